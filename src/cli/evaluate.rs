//! `relabel evaluate`

mod crop_run;
mod evaluation_outputs;
mod evaluation_text;
mod fidelity_text;
mod value_text;

use std::path::Path;

use relabel::evaluation::evaluate::evaluate_truths;
use relabel::evaluation::evaluation_file::{EvaluatedStore, Evaluation};
use relabel::evaluation::truth::Truth;
use relabel::shared::classes::ClassList;
use relabel::shared::error::Error;
use relabel::shared::manifest::{Manifest, RowIndex};
use relabel::shared::printable::printable_path;
use relabel::shared::store::{Part, StoreReader, StoreStatus};
use relabel::shared::threads::thread_pool;
use serde_json::json;

use super::args::{EvaluateArguments, Global};
use super::crop_teacher::skipped_text;
use super::output::{Output, message};
use super::progress_bar::RowProgress;
use super::store_access::open_store;
use super::{Outcome, stop_flag};

use crop_run::CropRun;
use evaluation_outputs::EvaluationOutputs;
use evaluation_text::evaluation_text;

pub fn run(arguments: &EvaluateArguments, global: &Global, output: Output) -> Result<Outcome, Error> {
    let outputs = EvaluationOutputs::new(arguments)?;
    let store = open_store(&arguments.store)?;
    let manifest = store.manifest()?;
    let index = RowIndex::new(&manifest);
    let status = StoreStatus::from_records(store.info(), Part::WHOLE, &store.records()?);
    if status.labelled == 0 {
        let problem =
            "cannot evaluate: no image is labelled yet\n  help: label images with `relabel run`, then evaluate";
        return Err(Error::Store { path: arguments.store.clone(), problem: problem.into() });
    }
    let truths = truths(arguments, &store, &manifest, &index)?;
    let crop_run = CropRun::prepare(arguments, &store, &manifest, &index)?;
    let mut drafts = outputs.create(&arguments.store)?;

    let figures = if truths.is_empty() {
        Vec::new()
    } else {
        let progress = RowProgress::new(manifest.len(), global, stop_flag());
        let evaluate = || evaluate_truths(&store, &manifest, &truths, &progress);
        let figures = match arguments.teacher.threads {
            Some(count) => thread_pool(count, "evaluate")?.install(evaluate),
            None => evaluate(),
        };
        progress.finish();
        figures?
    };
    let crops = match crop_run {
        Some(run) => Some(run.run(global, &store, &manifest, drafts.crops.take())?),
        None => None,
    };
    let evaluation = Evaluation {
        evaluation_version: Evaluation::VERSION,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        store: EvaluatedStore {
            labels_sha256: store.labels_digest()?,
            teacher: store.info().teacher.name.clone(),
            teacher_sha256: store.info().teacher.sha256.clone(),
            images: status.images,
            labelled: status.labelled,
            failed: status.failed,
            to_do: status.to_do,
        },
        truths: figures,
        crop_fidelity: crops.as_ref().map(|crops| crops.fidelity.clone()),
    };
    let written = drafts.write(&evaluation)?;
    let mut text = evaluation_text(&evaluation);
    let skipped = crops.as_ref().map_or(0, |crops| crops.skipped.len());
    if let Some(crops) = &crops {
        text += &skipped_text(&crops.skipped, &manifest);
    }
    for path in &written {
        text += &format!("wrote    {}\n", printable_path(path));
    }
    output.result(&text, &json!(evaluation))?;
    Ok(if skipped == 0 { Outcome::Done } else { Outcome::DoneWithProblems })
}

/// Reads the truths: those of `--truth`, or the folder classes if they are known.
fn truths(
    arguments: &EvaluateArguments,
    store: &StoreReader,
    manifest: &Manifest,
    index: &RowIndex,
) -> Result<Vec<Truth>, Error> {
    let classes: ClassList = (&store.info().classes).into();
    if arguments.truths.is_empty() {
        return match Truth::folder(manifest, &classes) {
            Ok(truth) => Ok(vec![truth]),
            Err(error) if arguments.crops.is_none() && arguments.boxes.is_none() => Err(error),
            Err(_) => {
                message("the folders are not classes of the teacher, so only crops are evaluated");
                Ok(Vec::new())
            }
        };
    }
    let read = |what: &Path| {
        // A file or folder of this name is meant if it is written as a path: ./folder
        if what == Path::new("folder") {
            Truth::folder(manifest, &classes)
        } else {
            Truth::read(what, manifest, index, &classes)
        }
    };
    arguments.truths.iter().map(|what| read(what)).collect()
}
