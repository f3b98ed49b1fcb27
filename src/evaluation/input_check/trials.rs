//! Runs the classifier for all trials: each image is decoded once a round, and trials with the same pixels share them.

use super::preparation::InputPreparation;
use super::probe_images::ProbeImages;
use super::trial::Trial;
use crate::labelling::pixels::Decoder;
use crate::labelling::teacher::{AdjustableClassifier, PixelBatch};
use crate::shared::error::Error;
use crate::shared::monitor::Monitor;

/// All trials so far. The first is the card in force.
pub(super) struct Trials<'a> {
    pub(super) all: Vec<Trial>,
    pub(super) images: &'a ProbeImages,
    classifier: &'a mut dyn AdjustableClassifier,
    decoder: &'a Decoder,
    monitor: &'a dyn Monitor,
}

impl<'a> Trials<'a> {
    /// Images per run. All trials are run on multiples of it, or on all images.
    const BATCH: usize = 16;

    pub(super) fn new(
        card: InputPreparation,
        images: &'a ProbeImages,
        classifier: &'a mut dyn AdjustableClassifier,
        decoder: &'a Decoder,
        monitor: &'a dyn Monitor,
    ) -> Self {
        let all = vec![Trial::new(card, classifier.class_count())];
        Self { all, images, classifier, decoder, monitor }
    }

    /// Number of classes of the classifier.
    pub(super) fn class_count(&self) -> usize {
        self.classifier.class_count()
    }

    /// Returns the index of the trial of a preparation, which is new or was tried before; `None` if the graph does not take
    /// images of its size.
    pub(super) fn add(&mut self, preparation: InputPreparation) -> Option<usize> {
        if let Some(at) = self.all.iter().position(|trial| trial.preparation == preparation) {
            return Some(at);
        }
        if !self.classifier.accepts_size(preparation.size) {
            return None;
        }
        self.all.push(Trial::new(preparation, self.classifier.class_count()));
        Some(self.all.len() - 1)
    }

    /// Runs trials on the first `count` images, as far as they have not been run.
    ///
    /// # Errors
    /// Returns [`Error::Interrupted`] if a stop is requested, and the error of the classifier, unless only a different input
    /// size causes it.
    pub(super) fn extend(&mut self, trials: &[usize], count: usize) -> Result<(), Error> {
        let count = count.min(self.images.len());
        for first in (0..count).step_by(Self::BATCH) {
            let end = (first + Self::BATCH).min(count);
            let missing: Vec<usize> = trials
                .iter()
                .copied()
                .filter(|&trial| self.all[trial].outcomes.len() <= first && self.all[trial].failure.is_none())
                .collect();
            let mut preparations: Vec<InputPreparation> = Vec::new();
            for &trial in &missing {
                let preparation = self.all[trial].preparation;
                if !preparations.iter().any(|other| other.has_pixels_of(&preparation)) {
                    preparations.push(preparation);
                }
            }
            if preparations.is_empty() {
                continue;
            }
            let pixels = self.images.pixels(first, end, &preparations, self.decoder)?;
            for (preparation, pixels) in preparations.iter().zip(pixels) {
                let batch = PixelBatch::new(end - first, preparation.size, pixels.concat());
                for &trial in &missing {
                    if self.all[trial].preparation.has_pixels_of(preparation) {
                        self.run(trial, &batch, first)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn run(&mut self, trial: usize, batch: &PixelBatch, first: usize) -> Result<(), Error> {
        if self.monitor.stop_requested() {
            return Err(Error::Interrupted);
        }
        let size_of_card = self.all[0].preparation.size;
        let trial = &mut self.all[trial];
        self.classifier.set_normalisation(trial.preparation.normalisation);
        let probs = match self.classifier.classify(batch) {
            Ok(probs) => probs,
            // Shapes of many graphs fit one size only, even if their input is declared free.
            Err(error @ (Error::Inference { .. } | Error::DeviceMemory { .. }))
                if trial.preparation.size != size_of_card =>
            {
                trial.failure = Some(error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for (image, probs) in (first..).zip(probs.chunks_exact(self.classifier.class_count())) {
            trial.push(probs, self.images.class(image));
        }
        Ok(())
    }
}
