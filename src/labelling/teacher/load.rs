//! Loads a teacher: parses the model, recognises its ending, runs the unmodified teacher, rewrites it and verifies the rewrite.

use std::path::Path;

use super::card::{self, GraphFacts, TeacherCard};
use super::catch_binding_panic::catch_binding_panic;
use super::description::{TeacherDescription, describe_rewrite};
use super::device::Device;
use super::graph::Graph;
use super::locality::{LocalityOptions, LocatedCells, locate_cells};
use super::onnx_teacher::OnnxTeacher;
use super::parsed_model::ParsedModel;
use super::placement::Placement;
use super::ports::describe_port;
use super::quantisation;
use super::refusal::Refusal;
use super::rewrite::{RewriteSpec, labelling_model};
use super::rewrite_check::{ReferenceScores, ReferenceTeacher, RewriteCheck};
use super::runtime::{Optimisation, Runtime, SessionOptions};
use super::scratch_folder::create_scratch_folder;
use super::tail::{CellGrid, Ending, Tail};
use super::teacher_request::TeacherRequest;
use super::teacher_trait::{Teacher as _, TeacherShape};
use crate::shared::error::Error;
use crate::shared::geometry::InputSize;

impl OnnxTeacher {
    /// Loads, rewrites and verifies a teacher, with one session per device. `stop_requested` is polled between the steps.
    ///
    /// # Errors
    /// Returns [`Error::NoCells`] if the model is a classifier that cannot give label maps, [`Error::Teacher`] if it is refused for
    /// another reason, [`Error::Card`] if it contradicts its card, [`Error::RewriteCheck`] if the verification of the rewrite fails, [`Error::Device`] or [`Error::Inference`] if it
    /// cannot be loaded on a device, and [`Error::Interrupted`] if a stop was requested.
    pub fn load(
        runtime: &Runtime,
        request: &TeacherRequest,
        devices: &[Device],
        stop_requested: &dyn Fn() -> bool,
    ) -> Result<(Vec<Self>, TeacherDescription), Error> {
        let loader = TeacherLoader { runtime, request, devices, stop_requested };
        catch_binding_panic("load the teacher", || loader.load())
    }
}

/// The arguments of [`OnnxTeacher::load`].
struct TeacherLoader<'a> {
    runtime: &'a Runtime,
    request: &'a TeacherRequest,
    devices: &'a [Device],
    stop_requested: &'a dyn Fn() -> bool,
}

impl TeacherLoader<'_> {
    fn load(&self) -> Result<(Vec<OnnxTeacher>, TeacherDescription), Error> {
        let model = ParsedModel::read(self.request)?;
        let first_device = self.check_devices()?;
        let reference = self.reference_teacher(&model, first_device);
        let LocatedCells { locality, grid } = self.locate_cells(&reference, &model.facts)?;
        let scores =
            ReferenceScores::compute(self.runtime, &reference, &grid)?.map_err(|refusal| self.refused(refusal))?;
        let card = self.card_with_classes(&model, scores.class_count)?;
        let spec = self.rewrite_spec(&scores, card.input_size, grid)?;
        let sessions = self.sessions(&model, &card, &spec, &scores);
        let quantised = self.verify_quantised(&sessions, &reference, &spec.grid, &scores)?;
        let rewrite = describe_rewrite(&model.graph, &model.recognised, &model.input, &card, &spec);
        let (opset, input) = (model.graph.opset(), describe_port(&model.graph.inputs()[0]));
        // The graph contains the weights, which the sessions copy.
        drop(model.graph);

        let (teacher, check, placement) =
            sessions.load_and_verify(first_device, &scores, quantised, self.request.scratch_folder.as_deref())?;
        self.fail_if_differs(&check)?;
        let others = self.devices[1..].iter().map(|&device| sessions.load(device, None));
        let teachers = std::iter::once(Ok(teacher)).chain(others).collect::<Result<_, Error>>()?;
        let description = TeacherDescription {
            sha256: model.sha256,
            weights_files: model.weights_files,
            opset,
            input,
            output: describe_port(&model.output),
            rewrite,
            card,
            shape: sessions.shape,
            rewrite_check: check,
            locality,
            placement,
        };
        Ok((teachers, description))
    }

    fn refused(&self, refusal: Refusal) -> Error {
        refusal.into_error(&self.request.path)
    }

    /// Checks that all devices can be used, and returns the first.
    fn check_devices(&self) -> Result<Device, Error> {
        let first = *self.devices.first().ok_or_else(|| Error::Usage("no device was given".to_owned()))?;
        self.devices.iter().try_for_each(|&device| self.runtime.check_device(device))?;
        Ok(first)
    }

    fn reference_teacher<'a>(&'a self, model: &'a ParsedModel<Tail>, device: Device) -> ReferenceTeacher<'a> {
        ReferenceTeacher {
            graph: &model.graph,
            tail: &model.recognised,
            input: &model.input,
            card: &model.card,
            weights_folder: self.weights_folder(),
            device,
            threads: self.request.threads,
            views: self.request.views,
            stop_requested: self.stop_requested,
        }
    }

    fn weights_folder(&self) -> &Path {
        self.request.path.parent().unwrap_or(Path::new("."))
    }

    /// Verifies that cells correspond to positions of the image.
    fn locate_cells(&self, reference: &ReferenceTeacher<'_>, facts: &GraphFacts) -> Result<LocatedCells, Error> {
        let request = self.request;
        let options = LocalityOptions {
            photographs: &request.photographs,
            scratch_folder: request.scratch_folder.as_deref(),
            named_classes: card::named_class_count(&request.flags, &request.card, facts),
        };
        let located = locate_cells(self.runtime, reference, &options);
        located.map_err(|error| error.into_error(|refusal| self.refused(refusal)))
    }

    /// Resolves the class list, and refuses features that nobody declared to be classes.
    fn card_with_classes(&self, model: &ParsedModel<Tail>, class_count: usize) -> Result<TeacherCard, Error> {
        let request = self.request;
        let card = card::resolve_classes(model.card.clone(), &request.flags, &request.card, &model.facts, class_count)?;
        check_classifier(&model.graph, &model.recognised, &card, class_count)
            .map_err(|refusal| self.refused(refusal))?;
        Ok(card)
    }

    /// Returns the outputs that the rewrite must return.
    fn rewrite_spec(
        &self,
        scores: &ReferenceScores,
        input_size: InputSize,
        grid: CellGrid,
    ) -> Result<RewriteSpec, Error> {
        let class_count = scores.class_count;
        Ok(RewriteSpec {
            input_size,
            grid,
            image_ranks: self.request.image_ranks(class_count)?,
            k: self.request.k,
            class_count,
            head_dims: scores.head_dims,
            views: self.request.views,
            with_lse: self.request.with_lse,
        })
    }

    /// Rewrites the model.
    fn sessions(
        &self,
        model: &ParsedModel<Tail>,
        card: &TeacherCard,
        spec: &RewriteSpec,
        scores: &ReferenceScores,
    ) -> Sessions<'_> {
        let on_cpu = self.devices.iter().filter(|&&device| device == Device::Cpu).count();
        Sessions {
            runtime: self.runtime,
            model: labelling_model(&model.graph, &model.recognised, &model.input, card, spec),
            weights_folder: self.weights_folder(),
            threads: self.request.threads.div_ceil(on_cpu.max(1)),
            shape: TeacherShape {
                input_size: card.input_size,
                map_size: scores.map_size,
                class_count: spec.class_count,
                k: spec.k,
                fixed_batch: model.input.fixed_batch.map(|batch| batch / self.request.views.count()),
            },
            image_ranks: spec.image_ranks,
            with_lse: spec.with_lse,
            stop_requested: self.stop_requested,
        }
    }

    /// Verifies the head of a quantised teacher on the features of the rewritten teacher; `None` for other teachers.
    fn verify_quantised(
        &self,
        sessions: &Sessions<'_>,
        reference: &ReferenceTeacher<'_>,
        grid: &CellGrid,
        scores: &ReferenceScores,
    ) -> Result<Option<RewriteCheck>, Error> {
        let tail = reference.tail;
        if !(tail.has_single_input() && quantisation::is_quantised(reference.graph, tail.head_input())) {
            return Ok(None);
        }
        let check = sessions.verify_head(reference, grid, scores)?;
        check.map(Some).map_err(|refusal| self.refused(refusal))
    }

    /// Refuses a rewrite that was not verified.
    fn fail_if_differs(&self, check: &RewriteCheck) -> Result<(), Error> {
        check.failure().map_or(Ok(()), |problem| {
            Err(Error::RewriteCheck {
                path: self.request.path.clone(),
                problem: problem.into(),
                advice: "the ending is not what it seems to be; export it again without optimisation, or as a graph that ends \
                         in a score map [batch, class, y, x]"
                    .to_owned(),
            })
        })
    }
}

/// Shared settings of all sessions of a teacher.
struct Sessions<'a> {
    runtime: &'a Runtime,
    /// The rewritten model, serialised.
    model: Vec<u8>,
    weights_folder: &'a Path,
    threads: usize,
    shape: TeacherShape,
    image_ranks: usize,
    with_lse: bool,
    stop_requested: &'a dyn Fn() -> bool,
}

impl Sessions<'_> {
    /// Loads a session, and compares its labels of the reference's images. Returns the result, and where its nodes ran.
    /// `quantised` is the result of [`TeacherLoader::verify_quantised`].
    fn load_and_verify(
        &self,
        device: Device,
        scores: &ReferenceScores,
        quantised: Option<RewriteCheck>,
        scratch_folder: Option<&Path>,
    ) -> Result<(OnnxTeacher, RewriteCheck, Option<Placement>), Error> {
        let profile = scratch_folder.and_then(create_scratch_folder);
        let mut teacher = self.load(device, profile.as_ref().map(tempfile::TempDir::path))?;
        let labels = teacher.label(&scores.pixels)?;
        let check = match quantised {
            Some(quantised) => scores.compare_from_pixels(&labels, quantised),
            None => scores.compare(&labels),
        };
        let placement = match profile {
            Some(_) => teacher.end_profile(device)?,
            None => None,
        };
        Ok((teacher, check, placement))
    }

    /// Compares the heads of a quantised teacher on the features that the rewritten teacher computes, in a session that
    /// returns them as well.
    fn verify_head(
        &self,
        reference: &ReferenceTeacher<'_>,
        grid: &CellGrid,
        scores: &ReferenceScores,
    ) -> Result<Result<RewriteCheck, Refusal>, Error> {
        let features = reference.tail.head_input();
        let model = quantisation::with_output(&self.model, features)
            .map_err(|error| Error::Inference { action: "build the verification", message: error.to_string() })?;
        let sessions = Sessions { model, ..*self };
        let mut teacher = sessions.load(reference.device.with_pageable_transfer(), None)?;
        let (labels, features) = teacher.label_with_features(&scores.pixels, features)?;
        let from_features = scores.compute_from_features(self.runtime, reference, grid, &features)?;
        Ok(from_features.map(|scores| scores.compare(&labels)))
    }

    fn load(&self, device: Device, profile: Option<&Path>) -> Result<OnnxTeacher, Error> {
        if (self.stop_requested)() {
            return Err(Error::Interrupted);
        }
        let options = SessionOptions {
            weights_folder: self.weights_folder,
            device,
            threads: self.threads,
            profile,
            optimisation: Optimisation::All,
        };
        let session = self.runtime.session(&self.model, &options)?;
        OnnxTeacher::new(session, device, self.shape, self.image_ranks, self.with_lse)
    }
}

/// Refuses features that nobody declared to be classes.
fn check_classifier(graph: &Graph, tail: &Tail, card: &TeacherCard, class_count: usize) -> Result<(), Refusal> {
    match &tail.ending {
        Ending::Pooled(pooling) if card.classes.is_unnamed() && !pooling.has_classifier(graph) => Err(Refusal::new(
            format!(
                "there are no weights between the pooling and the output: the {class_count} outputs are features, not scores \
                 of classes"
            ),
            "export it with its classifier; if these are classes, list them: `classes = \"my_classes.txt\"` in the card, one \
             class per line",
        )),
        _ => Ok(()),
    }
}
