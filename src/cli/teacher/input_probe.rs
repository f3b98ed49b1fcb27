//! `relabel teacher --probe`

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use relabel::evaluation::input_check::{
    InputCheck, PositionCheck, PositionVerdict, ProbeImages, ProbeSample, SearchRound, check_input, check_positions,
};
use relabel::labelling::pixels::Decoder;
use relabel::labelling::source::{self, ListedImages, Located, Source};
use relabel::labelling::teacher::{Teacher, TeacherDescription};
use relabel::shared::classes::ClassList;
use relabel::shared::digest::Digest;
use relabel::shared::error::Error;
use relabel::shared::manifest::Manifest;
use relabel::shared::monitor::Monitor;
use relabel::shared::printable::printable;
use serde_json::{Value, json};

use super::position_text::{positions_json, positions_text};
use super::probe_text::input_text;
use crate::cli::args::TeacherArguments;
use crate::cli::load_teacher::{LoadedClassifier, load_classifier, sample_photographs};
use crate::cli::loaded_teacher::{LoadedDescription, LoadedTeacher};
use crate::cli::new_store::manifest_digest;
use crate::cli::output::{CommandResult, count, message, warning};
use crate::cli::{Outcome, raised, stop_flag};

/// The listed images of `--probe`.
pub struct InputProbe<'a> {
    path: &'a Path,
    source: Box<dyn Source>,
    manifest: Manifest,
    manifest_sha256: Digest,
}

impl<'a> InputProbe<'a> {
    /// Opens and lists a source.
    ///
    /// # Errors
    /// Returns [`Error::Source`] if it is missing or has no images.
    pub fn open(path: &'a Path) -> Result<Self, Error> {
        let source = source::open(path)?;
        let manifest = source.list()?;
        let manifest_sha256 = manifest_digest(&manifest)?;
        Ok(Self { path, source, manifest, manifest_sha256 })
    }

    fn locate(&self) -> Result<Located<'_>, Error> {
        let list = ListedImages { manifest: &self.manifest, manifest_sha256: &self.manifest_sha256, index: None };
        self.source.locate(&list)
    }

    /// Reads files of some images.
    ///
    /// # Errors
    /// Returns an error if an image cannot be read for a reason other than the image itself.
    pub fn photographs(&self) -> Result<Vec<Vec<u8>>, Error> {
        sample_photographs(&*self.locate()?.images, &self.manifest)
    }

    /// Checks the positions of cells, then tries alternatives to the card in force.
    ///
    /// # Errors
    /// Returns [`Error::Teacher`] if cells look elsewhere, [`Error::Source`] if no image can be decoded, and the errors of the
    /// teacher.
    pub fn run(
        &self,
        arguments: &TeacherArguments,
        teacher: &Path,
        loaded: LoadedTeacher,
    ) -> Result<CommandResult, Error> {
        let monitor = StopMonitor(stop_flag());
        let LoadedTeacher { teachers, description, decoder, .. } = loaded;
        let classes = &description.card().classes;
        let sample = ProbeSample::draw(&self.manifest, classes, arguments.probe_images, arguments.seed);
        let located = self.locate()?;
        message(&format!("reading {}", count(arguments.probe_images.min(self.manifest.len()), "image")));
        let images = ProbeImages::read(&sample, &*located.images, &decoder, &monitor)?;
        self.check_images(&images)?;
        let positions = match &description {
            LoadedDescription::Maps(maps) => Some(positions_of(maps, teacher, teachers, &images, &decoder, &monitor)?),
            LoadedDescription::Predictions(_) => {
                drop(teachers);
                None
            }
        };
        let LoadedClassifier { mut classifier, description: loaded_classifier, decoder, .. } =
            load_classifier(&arguments.flags, teacher)?;
        let mut on_round = |round: SearchRound| {
            message(&format!("trying {} {} on {}", round.alternatives, round.subject, count(round.images, "image")));
        };
        let input = check_input(&mut classifier, &loaded_classifier.card, &images, &decoder, &monitor, &mut on_round)?;
        Ok(Self::result(arguments, &images, positions.as_ref(), &input, classes))
    }

    /// Refuses a sample without images, and warns about unreadable ones.
    fn check_images(&self, images: &ProbeImages) -> Result<(), Error> {
        let Some((row, error)) = images.unreadable_example() else {
            let none = || Error::Source { path: self.path.to_path_buf(), problem: "no images to probe with".into() };
            return if images.is_empty() { Err(none()) } else { Ok(()) };
        };
        let example = format!("{}: {error}", printable(self.manifest.path(*row)));
        if images.is_empty() {
            let problem = format!("none of {} can be decoded, such as {example}", count(images.unreadable(), "image"));
            return Err(Error::Source { path: self.path.to_path_buf(), problem: problem.into() });
        }
        warning(&format!(
            "{} cannot be decoded and are left out, such as {example}",
            count(images.unreadable(), "image")
        ));
        Ok(())
    }

    fn result(
        arguments: &TeacherArguments,
        images: &ProbeImages,
        positions: Option<&PositionCheck>,
        input: &InputCheck,
        classes: &ClassList,
    ) -> CommandResult {
        let mut document: Value = json!(input);
        document["seed"] = arguments.seed.into();
        document["unreadable"] = images.unreadable().into();
        document["without_class"] = images.without_class().into();
        document["positions"] = positions.map_or(Value::Null, positions_json);
        let is_good = input.better_card.is_none()
            && input.class_order.is_none()
            && (input.is_above_chance || !input.has_enough_images());
        CommandResult {
            outcome: if is_good { Outcome::Done } else { Outcome::DoneWithProblems },
            text: positions.map_or_else(String::new, positions_text) + &input_text(input, images, classes),
            document,
        }
    }
}

/// Checks the positions of cells, and refuses a teacher whose cells look elsewhere.
fn positions_of(
    description: &TeacherDescription,
    path: &Path,
    mut teachers: Vec<Box<dyn Teacher>>,
    images: &ProbeImages,
    decoder: &Decoder,
    monitor: &StopMonitor,
) -> Result<PositionCheck, Error> {
    message("comparing maps of mirrored and of changed images");
    let Some(first) = teachers.first_mut() else {
        let problem = "no session".into();
        return Err(Error::Internal { action: "check the positions of cells".to_owned(), problem });
    };
    let positions = check_positions(&mut **first, description, images, decoder, monitor)?;
    if let PositionVerdict::Elsewhere(seen) = &positions.verdict {
        return Err(Error::Teacher {
            path: path.to_path_buf(),
            problem: format!("the cells of its maps do not look where they are: {seen}").into(),
            advice: "export the teacher with its cells in the order of rows and columns, or set grid and layout in the card: \
                     labels of this one would belong to other places of the image"
                .to_owned(),
        });
    }
    Ok(positions)
}

/// Passes a requested stop on.
struct StopMonitor(Arc<AtomicBool>);

impl Monitor for StopMonitor {
    fn stop_requested(&self) -> bool {
        raised(&self.0)
    }
}
