//! `relabel calibrate`

mod calibration_text;

use relabel::evaluation::calibrate::{CalibrationResult, CalibrationVerdict, calibrate};
use relabel::evaluation::crop_fidelity::{CropChoice, labelled_rows, sample_rows};
use relabel::shared::error::Error;
use relabel::shared::printable::printable_path;
use relabel::shared::store::{FolderFiles, StoreReader};
use serde_json::json;

use super::args::{CalibrateArguments, Global};
use super::crop_teacher::{CropTeacher, skipped_text};
use super::output::{Output, message};
use super::progress_bar::RowProgress;
use super::store_access::{url, warn_if_unchecked};
use super::verify::is_release;
use super::{Outcome, stop_flag};

use calibration_text::{calibration_text, refusal};

pub fn run(arguments: &CalibrateArguments, global: &Global, output: Output) -> Result<Outcome, Error> {
    refuse_what_is_not_a_store(arguments)?;
    let store = StoreReader::open(&arguments.store)?;
    warn_if_unchecked(store.info());
    let manifest = store.manifest()?;
    let rows = sample_rows(arguments.images, arguments.seed, &labelled_rows(&store)?);
    let crops = CropChoice::Random { per_image: arguments.crops, seed: arguments.seed };
    let Some(teacher) = &arguments.teacher.teacher else {
        return Err(Error::Usage("cannot calibrate without a teacher\n  help: pass --teacher".to_owned()));
    };
    let teacher = CropTeacher::open(&store, &arguments.source, teacher, &arguments.teacher, arguments.other_teacher)?;
    let progress = RowProgress::new(rows.len(), global, stop_flag());
    let result =
        teacher.with_job(&store, &manifest, rows, crops, |job, classifiers| calibrate(job, classifiers, &progress));
    progress.finish();
    let result = result?;

    let CalibrationResult { calibration, verdict, skipped, .. } = &result;
    // A damaged one is replaced, too.
    let is_replaced = !matches!(store.calibration(), Ok(None));
    let is_written = *verdict != CalibrationVerdict::Worse;
    if is_written {
        calibration.write(&arguments.store)?;
    }
    let mut text = calibration_text(&result, store.info());
    text += &skipped_text(skipped, &manifest);
    if is_written {
        let replaced = if is_replaced { ", which replaces the previous one" } else { "" };
        text += &format!("wrote      {}{replaced}\n", printable_path(&arguments.store.join("pooling.json")));
    } else {
        let kept = if is_replaced { "; the previous pooling.json was kept" } else { "" };
        text += &format!("wrote      nothing{kept}\n");
    }
    let document = json!({
        "verdict": verdict,
        "written": is_written,
        "replaced": is_written && is_replaced,
        "skipped": skipped.len(),
        "calibration": calibration,
    });
    output.result(&text, &document)?;
    if !is_written {
        message(&refusal(&result, &arguments.store));
    }
    Ok(if is_written && skipped.is_empty() { Outcome::Done } else { Outcome::DoneWithProblems })
}

/// Refuses stores that `pooling.json` cannot be written into.
fn refuse_what_is_not_a_store(arguments: &CalibrateArguments) -> Result<(), Error> {
    if let Some(url) = url(&arguments.store) {
        return Err(Error::Usage(format!(
            "cannot calibrate {url}: only a store in a folder can be written to\n  help: calibrate the store, then publish it again"
        )));
    }
    if is_release(&FolderFiles::new(&arguments.store))? {
        return Err(Error::Usage(format!(
            "cannot calibrate {}: it is a release, whose files are fixed by their checksums\n  help: calibrate the store that it \
             was made of, then publish it again",
            printable_path(&arguments.store)
        )));
    }
    Ok(())
}
