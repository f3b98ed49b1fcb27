//! The unmodified teacher, which the rewrite is compared with.

use std::path::Path;

use ort::session::Session;

use super::images::{normalised, random_images};
use crate::labelling::teacher::device::Device;
use crate::labelling::teacher::graph::Graph;
use crate::labelling::teacher::rewrite::{self, ImageInput};
use crate::labelling::teacher::runtime::{Optimisation, Runtime, SessionOptions};
use crate::labelling::teacher::tail::Tail;
use crate::labelling::teacher::tensors::{FloatTensor, run_floats, take};
use crate::labelling::teacher::{PixelBatch, TeacherCard, Views};
use crate::shared::error::Error;

/// The unmodified teacher, and what is needed to run it.
pub(crate) struct ReferenceTeacher<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) tail: &'a Tail,
    pub(crate) input: &'a ImageInput,
    pub(crate) card: &'a TeacherCard,
    pub(crate) weights_folder: &'a Path,
    pub(crate) device: Device,
    pub(crate) threads: usize,
    pub(crate) views: Views,
    pub(crate) stop_requested: &'a dyn Fn() -> bool,
}

impl ReferenceTeacher<'_> {
    pub(super) fn session(&self, runtime: &Runtime, model: &[u8]) -> Result<Session, Error> {
        runtime.session(model, &self.session_options()?)
    }

    /// Options of a session for the reference, or [`Error::Interrupted`] if a stop was requested.
    pub(crate) fn session_options(&self) -> Result<SessionOptions<'_>, Error> {
        if (self.stop_requested)() {
            return Err(Error::Interrupted);
        }
        let (weights_folder, device, threads) =
            (self.weights_folder, self.device.with_pageable_transfer(), self.threads);
        Ok(SessionOptions { weights_folder, device, threads, profile: None, optimisation: Optimisation::All })
    }

    /// Normalised random images: `images`, or as many as a fixed batch has.
    pub(crate) fn random_input(&self, images: usize) -> FloatTensor {
        let images = self.input.fixed_batch.unwrap_or(images);
        normalised(&random_images(images, self.card.input_size), self.card, self.input)
    }

    /// A session that returns one tensor of the reference.
    pub(crate) fn features_session(&self, runtime: &Runtime, tensor: &str) -> Result<Session, Error> {
        self.session(runtime, &rewrite::model_with_outputs(self.graph, self.input, &[tensor]))
    }

    /// Runs a session of [`ReferenceTeacher::features_session`].
    pub(crate) fn run_features(
        &self,
        session: &mut Session,
        tensor: &str,
        batch: &PixelBatch,
    ) -> Result<FloatTensor, Error> {
        if (self.stop_requested)() {
            return Err(Error::Interrupted);
        }
        let image = normalised(batch, self.card, self.input);
        let [features] = take(run_floats(session, &[(&self.input.name, &image)], &[tensor])?);
        Ok(features)
    }

    /// Computes one tensor of the reference from normalised images.
    pub(crate) fn features(&self, runtime: &Runtime, tensor: &str, image: &FloatTensor) -> Result<FloatTensor, Error> {
        let mut session = self.features_session(runtime, tensor)?;
        let [features] = take(run_floats(&mut session, &[(&self.input.name, image)], &[tensor])?);
        Ok(features)
    }
}
