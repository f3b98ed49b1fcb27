//! `relabel demo`: `relabel run` and `relabel inspect` on the samples that are installed with the program.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::Parser as _;
use relabel::inspection::inspect::{find_image, name_of_row};
use relabel::shared::error::Error;
use relabel::shared::manifest::Manifest;
use relabel::shared::printable::{printable, printable_path};
use relabel::shared::regular_file::metadata;
use relabel::shared::store::{RowState, StoreReader};
use serde_json::{Value, json};

use super::args::{Arguments, Command, DemoArguments, Global, InspectArguments, RunArguments};
use super::installation::demo_folder;
use super::output::{CommandResult, Output, path_json};
use super::shell::shell_quote;
use super::{Outcome, inspect, run};

/// Images to draw, preferably: the demo draws the first and prints how to draw the second.
const FAVOURITES: [&str; 2] = ["coffee", "chelsea"];

/// Crop whose labels the picture shows.
const CROP: &str = "0.4,0.3,0.9,0.8";

/// Samples that no program can decode. They show how failures are reported.
const BROKEN_SAMPLES: [&str; 5] = [
    "bad/corrupt_header.JPEG",
    "bad/empty.JPEG",
    "bad/text.JPEG",
    "bad/truncated_half.JPEG",
    "bad/truncated_tail.JPEG",
];

pub fn run(arguments: &DemoArguments, global: &Global, output: Output) -> Result<Outcome, Error> {
    let demo = Demo::new(arguments)?;
    let label_run = run::label(&demo.run_arguments(arguments)?, global)?;
    let failed_samples = failed_samples(&label_run.document);
    // Other failures are reported as `relabel run` does.
    let outcome = if failed_samples.is_some() { Outcome::Done } else { label_run.outcome };
    let mut text = label_run.text;
    if let Some(failed @ 1..) = failed_samples {
        text += &format!("note     the failed images ({failed}) are samples that are broken on purpose\n");
    }
    let store = StoreReader::open(&demo.store)?;
    let manifest = store.manifest()?;
    let [Some(row), other] = rows_to_show(&store, &manifest)? else {
        let document = json!({ "store": path_json(&demo.store), "run": label_run.document });
        return output.command(&CommandResult { outcome: label_run.outcome, text, document });
    };
    let picture = demo.picture(&manifest, row);
    let inspection = inspect::describe(&demo.inspect_arguments(&manifest, row, &picture)?)?;
    text += &format!("\n{}\n{}", inspection.text, demo.next_steps(&manifest, other.unwrap_or(row)));
    let document = json!({
        "store": path_json(&demo.store),
        "picture": path_json(&picture),
        "run": label_run.document,
        "inspect": inspection.document,
    });
    output.command(&CommandResult { outcome, text, document })
}

/// Paths of the demo.
struct Demo {
    teacher: PathBuf,
    source: PathBuf,
    out: PathBuf,
    store: PathBuf,
}

impl Demo {
    /// Returns the given paths, or those of the samples.
    ///
    /// # Errors
    /// Returns [`Error::Usage`] if a sample is needed but not installed.
    fn new(arguments: &DemoArguments) -> Result<Self, Error> {
        Ok(Self {
            teacher: given_or_sample(arguments.teacher.as_ref(), "efficientnet-lite0.onnx")?,
            source: given_or_sample(arguments.source.as_ref(), "photographs")?,
            out: arguments.out.clone(),
            store: arguments.out.join("demo.labels"),
        })
    }

    /// Returns the arguments of `relabel run`. clap parses them, so that all others have their defaults.
    fn run_arguments(&self, arguments: &DemoArguments) -> Result<RunArguments, Error> {
        let mut words = vec!["relabel".into(), "run".into()];
        words.push(joined("--teacher", &self.teacher));
        words.push(joined("--in", &self.source));
        words.push(joined("--out", &self.store));
        match parsed(&words)? {
            Command::Run(mut run) => {
                run.teacher.device = arguments.device.clone();
                run.teacher.onnxruntime.clone_from(&arguments.onnxruntime);
                Ok(*run)
            }
            _ => Err(not_parsed(&words, "as another command".into())),
        }
    }

    /// Returns the arguments of `relabel inspect`.
    fn inspect_arguments(&self, manifest: &Manifest, row: usize, picture: &Path) -> Result<InspectArguments, Error> {
        let mut words = vec!["relabel".into(), "inspect".into()];
        words.push(joined("--image-root", &self.source));
        words.push(joined("--crop", CROP));
        words.push(joined("--out", picture));
        words.extend(["--".into(), self.store.clone().into(), name_of_row(manifest, row).into()]);
        match parsed(&words)? {
            Command::Inspect(arguments) => Ok(*arguments),
            _ => Err(not_parsed(&words, "as another command".into())),
        }
    }

    /// Returns the file of an image's picture.
    fn picture(&self, manifest: &Manifest, row: usize) -> PathBuf {
        let id = manifest.id(row);
        self.out.join(format!("{}.png", id.rsplit('/').next().unwrap_or(id)))
    }

    /// Returns the commands that show other images.
    fn next_steps(&self, manifest: &Manifest, row: usize) -> String {
        let path = |path: &Path| printable(&shell_quote(&path.to_string_lossy())).into_owned();
        let (store, source) = (path(&self.store), path(&self.source));
        format!(
            "Label maps are stored in {}. To see others:\n  \
             relabel inspect {store} {} --image-root {source} -o {}\n  \
             relabel report {store} --image-root {source} -o {}\n",
            printable_path(&self.store),
            printable(&shell_quote(&name_of_row(manifest, row))),
            path(&self.picture(manifest, row)),
            path(&self.out.join("report")),
        )
    }
}

fn given_or_sample(given: Option<&PathBuf>, name: &str) -> Result<PathBuf, Error> {
    if let Some(given) = given {
        return Ok(given.clone());
    }
    let sample = demo_folder().unwrap_or_default().join(name);
    if metadata(&sample)?.is_none() {
        return Err(Error::Usage(format!(
            "cannot find the samples of the demo: {} is missing\n  help: the wheel and the release archive of relabel install it; \
             with the program alone, pass --teacher MODEL.onnx and --in PHOTOGRAPHS",
            printable_path(&sample)
        )));
    }
    Ok(sample)
}

/// Returns how many images failed, if all of them are broken samples.
fn failed_samples(run_document: &Value) -> Option<usize> {
    let failed = run_document["failed_images"].as_array()?;
    let is_sample = |image: &Value| image["path"].as_str().is_some_and(|path| BROKEN_SAMPLES.contains(&path));
    failed.iter().all(is_sample).then_some(failed.len())
}

/// Returns the rows of two labelled images: the favourites, or else the first others.
fn rows_to_show(store: &StoreReader, manifest: &Manifest) -> Result<[Option<usize>; 2], Error> {
    let favourites = FAVOURITES.iter().filter_map(|name| find_image(manifest, name).ok());
    let mut rows = [None; 2];
    for row in favourites.chain(0..manifest.len()) {
        if rows.contains(&Some(row)) || !matches!(store.row(row)?, RowState::Labelled(_)) {
            continue;
        }
        match rows {
            [None, _] => rows[0] = Some(row),
            [_, None] => rows[1] = Some(row),
            _ => break,
        }
    }
    Ok(rows)
}

/// Joins a value to its flag, so that it may begin with a dash.
fn joined(flag: &str, value: impl AsRef<OsStr>) -> OsString {
    let mut word = OsString::from(format!("{flag}="));
    word.push(value);
    word
}

fn parsed(words: &[OsString]) -> Result<Command, Error> {
    let arguments = Arguments::try_parse_from(words);
    arguments.map(|arguments| arguments.command).map_err(|error| not_parsed(words, error.into()))
}

fn not_parsed(words: &[OsString], problem: relabel::shared::error::Cause) -> Error {
    Error::Internal { action: format!("parse {}", words.join(OsStr::new(" ")).to_string_lossy()), problem }
}
