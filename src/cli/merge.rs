//! `relabel merge`

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use indicatif::ProgressBar;
use relabel::shared::error::Error;
use relabel::shared::printable::printable_path;
use relabel::shared::store::{CopyMode, Merge, Merged, StoreStatus, VerifyProgress, WriterOptions};
use serde_json::json;

use super::args::{Global, MergeArguments};
use super::dry_run::free_bytes;
use super::output::{Output, bytes, count, may_draw, path_json, say, thousands};
use super::{Outcome, raised, stop_flag, task};

pub fn run(arguments: &MergeArguments, global: &Global, output: Output) -> Result<Outcome, Error> {
    let stop = stop_flag();
    let by = if arguments.link { CopyMode::Link } else { CopyMode::Copy };
    let plan = with_bar(global, &stop, |heard| Merge::plan(&arguments.parts, &arguments.out, heard))?;
    let to_copy = plan.bytes_to_copy(by);
    if by == CopyMode::Link && to_copy > 0 {
        say(&format!("{} lie on another file system and are copied", bytes(to_copy)));
    }
    refuse_without_space(&arguments.out, plan.space_needed(by), by)?;
    let merged = if arguments.dry_run {
        None
    } else {
        let options = WriterOptions { holder: task::holder(), ..WriterOptions::default() };
        Some(with_bar(global, &stop, |heard| plan.run(by, options, heard))?)
    };
    if merged.is_some() {
        check_merged(&plan, &arguments.out)?;
    }
    let account = Account { plan: &plan, merged: merged.as_ref(), out: &arguments.out, by };
    output.result(&account.words(), &account.document())?;
    Ok(if plan.shards_to_do().next().is_none() { Outcome::Done } else { Outcome::DoneWithProblems })
}

/// Checks that the store holds what was to be merged.
fn check_merged(plan: &Merge, out: &Path) -> Result<(), Error> {
    let (_, status) = StoreStatus::read(out)?;
    let expected = status.shards_total - plan.shards_to_do().count();
    if status.shards_done >= expected && status.damaged_shards.is_empty() {
        return Ok(());
    }
    Err(Error::Store {
        path: out.to_path_buf(),
        problem: format!(
            "the merge has ended, but only {} of {} are there: what was written was changed or removed meanwhile\n  help: \
             give the same command again",
            thousands(status.shards_done),
            count(expected, "shard")
        ).into(),
    })
}

/// Does work over shards with a bar, and ends it when a stop is wanted.
fn with_bar<T>(
    global: &Global,
    stop: &Arc<AtomicBool>,
    work: impl FnOnce(&(dyn Fn(VerifyProgress) -> Result<(), Error> + Sync)) -> Result<T, Error>,
) -> Result<T, Error> {
    let bar = if may_draw() && !global.quiet { ProgressBar::new(0) } else { ProgressBar::hidden() };
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

fn refuse_without_space(out: &Path, needed: u64, by: CopyMode) -> Result<(), Error> {
    match free_bytes(out) {
        Some(free) if free < needed => Err(Error::Store {
            path: out.to_path_buf(),
            problem: format!(
                "it needs up to {} more, and {} are free there. Make room{}",
                bytes(needed),
                bytes(free),
                if by == CopyMode::Copy { ", or give --link where the stores lie on one file system" } else { "" }
            )
            .into(),
        }),
        _ => Ok(()),
    }
}

/// What was found, and what was done where anything was.
struct Account<'a> {
    plan: &'a Merge,
    merged: Option<&'a Merged>,
    out: &'a Path,
    by: CopyMode,
}

impl Account<'_> {
    fn words(&self) -> String {
        let (out, plan) = (printable_path(self.out), self.plan);
        let mut words = match self.merged {
            None => format!("would merge {} into {out}; nothing was written\n", count(plan.parts().len(), "store")),
            Some(merged) => {
                let shards: usize = merged.shards_from.iter().sum();
                let how = match merged.shards_copied {
                    _ if shards == 0 => String::new(),
                    0 => ", by linking".to_owned(),
                    copied if copied == shards => ", by copying".to_owned(),
                    copied => format!(", by linking, and copying {} that could not be linked", count(copied, "shard")),
                };
                format!("merged   {} into {out}{how}\n", count(plan.parts().len(), "store"))
            }
        };
        for (at, part) in plan.parts().iter().enumerate() {
            let taken = self.merged.map_or(part.shards_taken, |merged| merged.shards_from[at]);
            words += &format!(
                "shards   {} of {} from {} ({})\n",
                thousands(taken),
                thousands(part.shards_done),
                printable_path(&part.store),
                bytes(part.bytes_taken)
            );
        }
        if plan.shards_there() > 0 {
            words += &format!("there    {} before\n", count(plan.shards_there(), "shard"));
        }
        let (labelled, failed) = self.images();
        let to_do = plan.info().images - labelled - failed;
        words += &format!(
            "labelled {} of {}, {} failed, {} to do\n",
            thousands(labelled),
            count(plan.info().images, "image"),
            thousands(failed),
            thousands(to_do)
        );
        if to_do > 0 {
            words += &format!(
                "to do    {} of {}, {}; merge the parts that have them too, or give the run command with --out {out}\n",
                count(plan.shards_to_do().count(), "shard"),
                thousands(plan.info().shards()),
                ranges(plan.shards_to_do())
            );
        }
        words
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
            "shards_there_before": plan.shards_there(),
            "shards_to_do": plan.shards_to_do().collect::<Vec<_>>(),
            "shards_copied": self.merged.map(|merged| merged.shards_copied),
            "bytes_to_copy": plan.bytes_to_copy(self.by),
            "images": plan.info().images,
            "labelled": labelled,
            "failed": failed,
            "to_do": plan.info().images - labelled - failed,
            "notes": self.merged.map(|merged| merged.notes),
            "whole": plan.shards_to_do().next().is_none(),
        })
    }
}

/// `3, 5 to 9, 12`; the first few of them.
fn ranges(numbers: impl Iterator<Item = usize>) -> String {
    const SAID: usize = 8;
    let numbers: Vec<usize> = numbers.collect();
    let mut words: Vec<String> = numbers
        .chunk_by(|a, b| a + 1 == *b)
        .map(|run| match run {
            [one] => one.to_string(),
            [first, .., last] => format!("{first} to {last}"),
            [] => String::new(),
        })
        .collect();
    if words.len() > SAID {
        words.truncate(SAID);
        words.push("...".to_owned());
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_said_shortly() {
        assert_eq!(ranges([3, 5, 6, 7, 12].into_iter()), "3, 5 to 7, 12");
        assert_eq!(ranges((0..40).step_by(2)), "0, 2, 4, 6, 8, 10, 12, 14, ...");
    }
}
