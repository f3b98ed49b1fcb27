//! `relabel merge`

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use relabel::shared::error::Error;
use relabel::shared::printable::printable_path;
use relabel::shared::store::{CopyMode, Merge, Merged, StoreStatus, VerifyProgress, WriterOptions};
use serde_json::json;

use super::args::{Global, MergeArguments};
use super::host_limits::free_bytes;
use super::output::{Output, bytes, count, message, path_json, thousands};
use super::part_selection::writer_name;
use super::progress_bar::step_bar;
use super::{Outcome, raised, stop_flag};

pub fn run(arguments: &MergeArguments, global: &Global, output: Output) -> Result<Outcome, Error> {
    let stop = stop_flag();
    let by = if arguments.link { CopyMode::Link } else { CopyMode::Copy };
    let plan = with_bar(global, &stop, |on_step| Merge::plan(&arguments.parts, &arguments.out, on_step))?;
    let to_copy = plan.bytes_to_copy(by);
    if by == CopyMode::Link && to_copy > 0 {
        message(&format!("copying {} from a different file system", bytes(to_copy)));
    }
    check_free_space(&arguments.out, plan.space_needed(by), by)?;
    let merged = if arguments.dry_run {
        None
    } else {
        let options = WriterOptions { holder: writer_name(), ..WriterOptions::default() };
        Some(with_bar(global, &stop, |on_step| plan.run(by, options, on_step))?)
    };
    if merged.is_some() {
        check_merged(&plan, &arguments.out)?;
    }
    let summary = MergeSummary { plan: &plan, merged: merged.as_ref(), out: &arguments.out, by };
    output.result(&summary.text(), &summary.document())?;
    Ok(if plan.shards_to_do().next().is_none() { Outcome::Done } else { Outcome::DoneWithProblems })
}

/// Checks that the store has every shard that was merged.
fn check_merged(plan: &Merge, out: &Path) -> Result<(), Error> {
    let (_, status) = StoreStatus::read(out)?;
    let expected = status.shards_total - plan.shards_to_do().count();
    if status.shards_done >= expected && status.damaged_shards.is_empty() {
        return Ok(());
    }
    Err(Error::Store {
        path: out.to_path_buf(),
        problem: format!(
            "the merge finished, but only {} of {} exist: written files were changed or removed in the meantime\n  help: re-run the \
             same command",
            thousands(status.shards_done),
            count(expected, "shard")
        ).into(),
    })
}

/// Runs work over shards with a progress bar, and stops it on a signal.
fn with_bar<T>(
    global: &Global,
    stop: &Arc<AtomicBool>,
    work: impl FnOnce(&(dyn Fn(VerifyProgress) -> Result<(), Error> + Sync)) -> Result<T, Error>,
) -> Result<T, Error> {
    let bar = step_bar(0, global);
    let result = work(&|step| {
        match step {
            VerifyProgress::Shards(shards) => bar.set_length(shards as u64),
            VerifyProgress::ShardDone => bar.inc(1),
        }
        if raised(stop) { Err(Error::Interrupted) } else { Ok(()) }
    });
    bar.finish_and_clear();
    result
}

fn check_free_space(out: &Path, needed: u64, by: CopyMode) -> Result<(), Error> {
    match free_bytes(out) {
        Some(free) if free < needed => Err(Error::Store {
            path: out.to_path_buf(),
            problem: format!(
                "not enough disk space: up to {} needed, {} free\n  help: free disk space{}",
                bytes(needed),
                bytes(free),
                if by == CopyMode::Copy { ", or pass --link if the stores are on one file system" } else { "" }
            )
            .into(),
        }),
        _ => Ok(()),
    }
}

/// Result of a merge, or its plan.
struct MergeSummary<'a> {
    plan: &'a Merge,
    merged: Option<&'a Merged>,
    out: &'a Path,
    by: CopyMode,
}

impl MergeSummary<'_> {
    fn text(&self) -> String {
        let (out, plan) = (printable_path(self.out), self.plan);
        let mut text = match self.merged {
            None => format!("would merge {} into {out}; nothing was written\n", count(plan.parts().len(), "store")),
            Some(merged) => {
                let shards: usize = merged.shards_from.iter().sum();
                let method = match merged.shards_copied {
                    _ if shards == 0 => String::new(),
                    0 => ", by linking".to_owned(),
                    copied if copied == shards => ", by copying".to_owned(),
                    copied => format!(", by linking, except {} by copying", count(copied, "shard")),
                };
                format!("merged   {} into {out}{method}\n", count(plan.parts().len(), "store"))
            }
        };
        for (at, part) in plan.parts().iter().enumerate() {
            let taken = self.merged.map_or(part.shards_taken, |merged| merged.shards_from[at]);
            text += &format!(
                "shards   {} of {} from {} ({})\n",
                thousands(taken),
                thousands(part.shards_done),
                printable_path(&part.store),
                bytes(part.bytes_taken)
            );
        }
        if plan.shards_there() > 0 {
            text += &format!("existing {}\n", count(plan.shards_there(), "shard"));
        }
        let (labelled, failed) = self.images();
        let to_do = plan.info().images - labelled - failed;
        text += &format!(
            "labelled {} of {}, {} failed, {} to do\n",
            thousands(labelled),
            count(plan.info().images, "image"),
            thousands(failed),
            thousands(to_do)
        );
        if let Some(store) = plan.calibrated_by() {
            text += &format!("pooling  pooling.json of {}\n", printable_path(store));
        }
        if to_do > 0 {
            text += &format!(
                "to do    {} of {} ({})\nnext     merge the parts that have them, or label them with relabel run --out {out}\n",
                count(plan.shards_to_do().count(), "shard"),
                thousands(plan.info().shards()),
                ranges(plan.shards_to_do())
            );
        }
        text
    }

    fn images(&self) -> (usize, usize) {
        let records = || self.plan.records();
        (records().map(|record| record.labelled).sum(), records().map(|record| record.failed.len()).sum())
    }

    fn document(&self) -> serde_json::Value {
        let plan = self.plan;
        let (labelled, failed) = self.images();
        let parts = plan.parts().iter().enumerate().map(|(at, part)| {
            json!({
                "store": path_json(&part.store),
                "shards_done": part.shards_done,
                "shards_taken": self.merged.map_or(part.shards_taken, |merged| merged.shards_from[at]),
                "bytes_taken": part.bytes_taken,
            })
        });
        json!({
            "store": path_json(self.out),
            "dry_run": self.merged.is_none(),
            "parts": parts.collect::<Vec<_>>(),
            "shards_total": plan.info().shards(),
            "shards_existing": plan.shards_there(),
            "shards_to_do": plan.shards_to_do().collect::<Vec<_>>(),
            "shards_copied": self.merged.map(|merged| merged.shards_copied),
            "bytes_to_copy": plan.bytes_to_copy(self.by),
            "images": plan.info().images,
            "labelled": labelled,
            "failed": failed,
            "to_do": plan.info().images - labelled - failed,
            "pooling_from": plan.calibrated_by().map(path_json),
            "run_notes": self.merged.map(|merged| merged.notes),
            "complete": plan.shards_to_do().next().is_none(),
        })
    }
}

/// Returns `3, 5 to 9, 12`, at most the first few ranges.
fn ranges(numbers: impl Iterator<Item = usize>) -> String {
    const MAX_RANGES: usize = 8;
    let numbers: Vec<usize> = numbers.collect();
    let mut ranges: Vec<String> = numbers
        .chunk_by(|a, b| a + 1 == *b)
        .map(|run| match run {
            [one] => one.to_string(),
            [first, .., last] => format!("{first} to {last}"),
            [] => String::new(),
        })
        .collect();
    if ranges.len() > MAX_RANGES {
        ranges.truncate(MAX_RANGES);
        ranges.push("...".to_owned());
    }
    ranges.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_consecutive_numbers() {
        assert_eq!(ranges([3, 5, 6, 7, 12].into_iter()), "3, 5 to 7, 12");
        assert_eq!(ranges((0..40).step_by(2)), "0, 2, 4, 6, 8, 10, 12, 14, ...");
    }
}
