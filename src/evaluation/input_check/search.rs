//! The staged search: all normalisations on a few images, the best of them on all; then filters and sizes around the best.

use std::collections::BTreeSet;

use super::class_order;
use super::input_figures::{
    AlternativeFigures, AlternativeVerdict, BetterCard, Evidence, InputCheck, PreparedInput, card_lines,
    difference_from_card, mistakes,
};
use super::normalisations;
use super::preparation::{Framing, InputPreparation, Resampling};
use super::probe_images::ProbeImages;
use super::statistics::{critical_deviate, deviate, estimate, paired};
use super::trials::Trials;
use crate::evaluation::evaluation_file::Estimate;
use crate::labelling::pixels::{Decoder, ExifOrientation, Filter};
use crate::labelling::teacher::{AdjustableClassifier, TeacherCard};
use crate::shared::error::Error;
use crate::shared::geometry::InputSize;
use crate::shared::monitor::Monitor;

/// A round of the search, for progress messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchRound {
    /// What is varied: `normalisations`.
    pub subject: &'static str,
    /// Number of alternatives.
    pub alternatives: usize,
    /// Number of images.
    pub images: usize,
}

/// Images of the first round, and of the rounds about filters and sizes.
const FIRST_IMAGES: usize = 32;
const NEXT_IMAGES: usize = 64;
/// Alternatives of a round that are tried on all images.
const FINALISTS: usize = 4;
/// Rounds about filters and sizes; each moves on from the best of the round before.
const MAX_ROUNDS: usize = 4;
/// Smallest mean gain that matters, in nats: the folder class gets 16 % more probability. Some filters and sizes are slightly
/// better than those of the training, without being those of the training.
const MIN_GAIN: f64 = 0.15;
/// The same for the information of predictions, which varies less.
const MIN_INFORMATION_GAIN: f64 = 0.1;
/// Input sides that networks are trained with.
const COMMON_SIDES: [u32; 20] =
    [64, 96, 128, 160, 192, 224, 240, 256, 288, 300, 320, 384, 448, 480, 512, 576, 640, 768, 896, 1024];
/// The most common of these, which are preferred among equals.
const PREFERRED_SIDES: [u32; 5] = [224, 384, 448, 256, 512];
const CROP_RATIOS: [f64; 3] = [0.875, 0.95, 1.0];

/// Tries plausible preparations of the input, and compares them with the card in force.
///
/// # Errors
/// Returns [`Error::Interrupted`] if a stop is requested, and the error of the classifier if it fails.
///
/// # Panics
/// Panics without images.
pub fn check_input(
    classifier: &mut dyn AdjustableClassifier,
    card: &TeacherCard,
    images: &ProbeImages,
    decoder: &Decoder,
    monitor: &dyn Monitor,
    on_round: &mut dyn FnMut(SearchRound),
) -> Result<InputCheck, Error> {
    assert!(!images.is_empty(), "at least one image");
    let trials = Trials::new(InputPreparation::of_card(card), images, classifier, decoder, monitor);
    let mut search = Search { trials, best: 0, on_round };
    search.try_normalisations()?;
    for _ in 0..MAX_ROUNDS {
        if !search.try_neighbours()? {
            break;
        }
    }
    search.prefer_common_size()?;
    search.try_hints()?;
    Ok(search.result(card))
}

struct Search<'a> {
    trials: Trials<'a>,
    /// The best trial so far that a card can describe; the first is the card in force.
    best: usize,
    on_round: &'a mut dyn FnMut(SearchRound),
}

impl Search<'_> {
    fn try_normalisations(&mut self) -> Result<(), Error> {
        let card = self.trials.all[0].preparation;
        let alternatives = normalisations::alternatives(&card.normalisation);
        let added = alternatives.into_iter().map(|normalisation| InputPreparation { normalisation, ..card }).collect();
        let finalists = self.round("normalisations", added, FIRST_IMAGES, false)?;
        self.adopt(&finalists);
        Ok(())
    }

    /// Tries filters, EXIF orientations and sizes next to the best. Returns whether one of them is better.
    fn try_neighbours(&mut self) -> Result<bool, Error> {
        let current = self.trials.all[self.best].preparation;
        let mut added = Vec::new();
        for (_, filter) in Filter::ALL {
            added.push(InputPreparation { resampling: Resampling::Pil(filter), ..current });
        }
        if self.trials.images.turned() > 0 {
            let exif_orientation = match current.exif_orientation {
                ExifOrientation::Apply => ExifOrientation::Ignore,
                ExifOrientation::Ignore => ExifOrientation::Apply,
            };
            added.push(InputPreparation { exif_orientation, ..current });
        }
        // Smaller inputs can give more confident predictions, so without folder classes no size is evident.
        if self.trials.images.has_classes() {
            added.extend(nearby_sizes(current.size).into_iter().map(|size| InputPreparation { size, ..current }));
        }
        let finalists = self.round("filters and sizes", added, NEXT_IMAGES, true)?;
        Ok(self.adopt(&finalists))
    }

    /// Replaces an adopted size by a more common one that is not worse.
    fn prefer_common_size(&mut self) -> Result<(), Error> {
        let (card, best) = (self.trials.all[0].preparation, self.trials.all[self.best].preparation);
        if best.size == card.size || best.size.height_pixels() != best.size.width_pixels() {
            return Ok(());
        }
        for side in PREFERRED_SIDES {
            if side == best.size.height_pixels() {
                break;
            }
            let Ok(size) = InputSize::new(side, side) else { continue };
            let known =
                self.trials.all.iter().position(|trial| {
                    trial.preparation == InputPreparation { size, ..best } && trial.failure.is_none()
                });
            let Some(other) = known else { continue };
            self.trials.extend(&[other], usize::MAX)?;
            if self.is_as_good(other, self.best) && self.is_better(other, 0) {
                self.best = other;
                break;
            }
        }
        Ok(())
    }

    /// Tries what no card can describe.
    fn try_hints(&mut self) -> Result<(), Error> {
        let current = self.trials.all[self.best].preparation;
        let mut added = vec![InputPreparation { resampling: Resampling::PlainBilinear, ..current }];
        if self.trials.images.has_classes() {
            let crop = |ratio| InputPreparation { framing: Framing::CentreCrop { ratio }, ..current };
            added.extend(CROP_RATIOS.map(crop));
        }
        self.round("resizes without antialiasing and centre crops", added, NEXT_IMAGES, true)?;
        Ok(())
    }

    /// Tries preparations on `count` images, and the best of them on all. Returns these, the best
    /// first.
    fn round(
        &mut self,
        subject: &'static str,
        preparations: Vec<InputPreparation>,
        count: usize,
        must_gain: bool,
    ) -> Result<Vec<usize>, Error> {
        let added: BTreeSet<usize> = preparations.into_iter().filter_map(|one| self.trials.add(one)).collect();
        let mut added: Vec<usize> = added.into_iter().filter(|&trial| trial != self.best).collect();
        let images = self.trials.images.len();
        (self.on_round)(SearchRound { subject, alternatives: added.len(), images: count.min(images) });
        let current = self.best;
        self.trials.extend(&[&[current], &added[..]].concat(), count)?;
        added.retain(|&trial| self.trials.all[trial].failure.is_none());
        self.sort_by_gain(&mut added);
        let mut finalists = added;
        // Swapped channels are the simplest explanation, so they take part in any case.
        let swapped = normalisations::with_other_order(&self.trials.all[0].preparation.normalisation);
        let is_swapped = |trial: usize| self.trials.all[trial].preparation.normalisation == swapped;
        let mut at = 0;
        finalists.retain(|&trial| {
            at += 1;
            at <= FINALISTS || (!must_gain && is_swapped(trial))
        });
        if must_gain {
            finalists.retain(|&trial| self.gain(trial, current).value > 0.0);
        }
        if !finalists.is_empty() && images > count {
            (self.on_round)(SearchRound { subject: "of the best of these", alternatives: finalists.len(), images });
        }
        self.trials.extend(&[&[current], &finalists[..]].concat(), usize::MAX)?;
        finalists.retain(|&trial| self.trials.all[trial].failure.is_none());
        self.sort_by_gain(&mut finalists);
        Ok(finalists)
    }

    fn sort_by_gain(&self, trials: &mut [usize]) {
        let gain = |trial: usize| self.gain(trial, self.best).value;
        trials.sort_by(|&one, &other| gain(other).total_cmp(&gain(one)));
    }

    /// Moves on to the first of some trials if it is clearly better than the best so far. If others are about as good, to the
    /// one that fewest mistakes in the card would explain.
    fn adopt(&mut self, finalists: &[usize]) -> bool {
        let better: Vec<usize> = finalists.iter().copied().filter(|&trial| self.is_better(trial, self.best)).collect();
        let Some(&first) = better.first() else { return false };
        let card = self.trials.all[0].preparation;
        let as_good = better.into_iter().filter(|&trial| self.is_as_good(trial, first));
        let simplest = as_good.min_by_key(|&trial| mistakes(&self.trials.all[trial].preparation, &card));
        self.best = simplest.unwrap_or(first);
        true
    }

    /// Returns whether a trial is not clearly worse than a better one.
    fn is_as_good(&self, trial: usize, better: usize) -> bool {
        self.gain(trial, better).value > -self.min_gain() && !self.is_better(better, trial)
    }

    fn min_gain(&self) -> f64 {
        if self.trials.images.has_classes() { MIN_GAIN } else { MIN_INFORMATION_GAIN }
    }

    /// Returns the images by which two trials are compared: those that both have. If only EXIF orientation differs, the images
    /// that it changes.
    fn differences(&self, one: usize, other: usize) -> Vec<f64> {
        let (one, other) = (&self.trials.all[one], &self.trials.all[other]);
        let count = one.outcomes.len().min(other.outcomes.len());
        let only_turned = one.preparation.exif_orientation != other.preparation.exif_orientation
            && InputPreparation { exif_orientation: other.preparation.exif_orientation, ..one.preparation }
                == other.preparation;
        let pairs = one.scores(count).into_iter().zip(other.scores(count)).enumerate();
        pairs
            .filter(|(image, _)| !only_turned || self.trials.images.is_turned(*image))
            .map(|(_, (one, other))| one - other)
            .collect()
    }

    fn gain(&self, one: usize, other: usize) -> Estimate {
        estimate(&self.differences(one, other))
    }

    /// Returns whether a trial is clearly better than another: significantly, by an amount that matters, above chance, and
    /// without fewer hits.
    fn is_better(&self, one: usize, other: usize) -> bool {
        let differences = self.differences(one, other);
        let gain = estimate(&differences);
        gain.value >= self.min_gain()
            && deviate(&gain, differences.len()) >= critical_deviate(self.trials.all.len())
            && self.is_above_chance(one)
            && !self.loses_hits(one, other)
    }

    /// Returns whether a trial has fewer images whose best class is the folder class, by more than the error. A flatter
    /// prediction can have a better log-probability without being better.
    fn loses_hits(&self, one: usize, other: usize) -> bool {
        let hits = |trial: usize| -> Vec<f64> {
            let outcomes = self.trials.all[trial].outcomes.iter().enumerate();
            let is_hit = |image: usize, class: u32| self.trials.images.class(image) == Some(class);
            outcomes.map(|(image, outcome)| f64::from(u8::from(is_hit(image, outcome.best_class)))).collect()
        };
        let difference = paired(&hits(one), &hits(other));
        self.trials.images.has_classes() && difference.value < -difference.standard_error.unwrap_or(0.0)
    }

    /// Returns whether more images agree with their folder class than by chance. True without folder classes.
    fn is_above_chance(&self, trial: usize) -> bool {
        if !self.trials.images.has_classes() {
            return true;
        }
        let trial = &self.trials.all[trial];
        let outcomes = trial.outcomes.iter().enumerate();
        let hits = outcomes.filter(|(image, one)| self.trials.images.class(*image) == Some(one.best_class)).count();
        let expected = trial.outcomes.len() as f64 / self.trials.class_count() as f64;
        hits as f64 > expected + 3.0 * expected.sqrt() + 1.0
    }

    fn result(&self, card: &TeacherCard) -> InputCheck {
        let images = self.trials.images;
        let has_classes = images.has_classes();
        let class_order = [0, self.best].into_iter().find_map(|trial| {
            let outcomes = self.trials.all[trial].outcomes.iter().enumerate();
            let predictions = outcomes.filter_map(|(image, one)| Some((images.class(image)?, one.best_class)));
            class_order::find(&predictions.collect::<Vec<_>>(), &card.classes)
        });
        let mut order: Vec<usize> = (0..self.trials.all.len()).collect();
        order.retain(|&trial| self.trials.all[trial].failure.is_none());
        let gain_over_card = |trial: usize| self.gain(trial, 0).value;
        order.sort_by(|&one, &other| gain_over_card(other).total_cmp(&gain_over_card(one)));
        let is_above_chance = order.iter().any(|&trial| self.is_above_chance(trial));
        let card_preparation = self.trials.all[0].preparation;
        let agreement =
            |trial: usize| has_classes.then(|| self.trials.all[trial].agreement(|image| images.class(image)));
        // With a wrong class list, flat predictions look better than right ones.
        let is_better = self.best != 0 && class_order.is_none() && self.is_better(self.best, 0);
        let better_card = is_better.then(|| {
            let preparation = self.trials.all[self.best].preparation;
            BetterCard {
                name: difference_from_card(&preparation, &card_preparation),
                lines: card_lines(&preparation, &card_preparation),
                agreement: agreement(self.best),
                agreement_of_card: agreement(0),
                gain: self.gain(self.best, 0),
                not_told_apart: self.as_good_as_best(),
            }
        });
        InputCheck {
            images: images.len(),
            folder_classes: (0..images.len()).filter_map(|image| images.class(image)).collect::<BTreeSet<_>>().len(),
            evidence: if has_classes { Evidence::FolderClass } else { Evidence::Information },
            tried: order.len(),
            card_is_best: better_card.is_none() && class_order.is_none() && is_above_chance && images.len() > 2,
            is_above_chance,
            better_card,
            class_order,
            alternatives: order.into_iter().map(|trial| self.figures(trial, agreement(trial))).collect(),
        }
    }

    /// Returns the names of the alternatives that are better than the card, and as good as the best.
    fn as_good_as_best(&self) -> Vec<String> {
        let all = (1..self.trials.all.len()).filter(|&trial| trial != self.best);
        let usable = all.filter(|&trial| {
            let one = &self.trials.all[trial];
            one.failure.is_none() && one.preparation.fits_a_card()
        });
        let as_good = usable.filter(|&trial| self.is_better(trial, 0) && self.is_as_good(trial, self.best));
        let name =
            |trial: usize| difference_from_card(&self.trials.all[trial].preparation, &self.trials.all[0].preparation);
        as_good.map(name).collect()
    }

    fn figures(&self, at: usize, agreement: Option<Estimate>) -> AlternativeFigures {
        let trial = &self.trials.all[at];
        AlternativeFigures {
            name: difference_from_card(&trial.preparation, &self.trials.all[0].preparation),
            fits_a_card: trial.preparation.fits_a_card(),
            input: PreparedInput::new(&trial.preparation),
            images: trial.outcomes.len(),
            agreement,
            confidence: trial.confidence(),
            score: estimate(&trial.scores(usize::MAX)),
            gain: self.gain(at, 0),
            verdict: match at {
                0 => AlternativeVerdict::Card,
                _ if self.is_better(at, 0) => AlternativeVerdict::Better,
                _ if self.is_better(0, at) => AlternativeVerdict::Worse,
                _ => AlternativeVerdict::Similar,
            },
        }
    }
}

/// Returns the two nearest common sizes below and above a size, with its aspect ratio.
fn nearby_sizes(size: InputSize) -> Vec<InputSize> {
    let (height, width) = (size.height_pixels(), size.width_pixels());
    let below = COMMON_SIDES.iter().rev().filter(|&&side| side < height).take(2);
    let above = COMMON_SIDES.iter().filter(|&&side| side > height).take(2);
    let scaled = |side: &u32| {
        let other = f64::from(*side) * f64::from(width) / f64::from(height);
        let width = if height == width { *side } else { (other / 32.0).round().max(1.0) as u32 * 32 };
        InputSize::new(*side, width).ok()
    };
    below.chain(above).filter_map(scaled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearby_sizes_are_common_ones_of_the_same_shape() {
        let sizes = |height, width| {
            nearby_sizes(InputSize::new(height, width).unwrap()).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(sizes(224, 224), ["192x192", "160x160", "240x240", "256x256"]);
        assert_eq!(sizes(2048, 2048), ["1024x1024", "896x896"]);
        assert_eq!(sizes(256, 128), ["240x128", "224x128", "288x160", "300x160"]);
    }
}
