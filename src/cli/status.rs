//! `relabel status`

use relabel::shared::error::Error;
use relabel::shared::printable::printable;
use serde_json::json;

use super::Outcome;
use super::args::StatusArguments;
use super::output::{Output, agreement_line, bytes, count, thousands};
use super::places::status;

pub fn run(arguments: &StatusArguments, output: Output) -> Result<Outcome, Error> {
    let (info, status) = status(&arguments.store)?;
    let mut words = format!(
        "teacher  {} ({} cells, top {})\nlabelled {} of {} images, {} failed, {} to do\nshards   {} of {} done\n",
        printable(&info.teacher.name),
        info.map_size,
        info.k,
        thousands(status.labelled),
        thousands(status.images),
        thousands(status.failed),
        thousands(status.to_do),
        thousands(status.shards_done),
        thousands(status.shards_total),
    );
    if let Some(rate) = status.images_per_s {
        words += &format!("rate     {rate:.1} images/s over the last shards\n");
    }
    if let Some(per_image) = status.bytes_per_image {
        words += &format!("size     {} ({per_image:.0} bytes per image)\n", bytes(status.label_bytes));
    }
    words += &agreement_line(status.agreement);
    if let Some(first) = status.damaged_shards.first() {
        words += &format!(
            "damaged  {}, the first is {first}: `relabel verify` shows what is wrong, the run command repairs it\n",
            count(status.damaged_shards.len(), "shard")
        );
    }
    for (kind, count) in &status.failures_by_kind {
        words += &format!("failed   {}: {kind}\n", thousands(*count));
    }
    if arguments.failed {
        for failed in &status.failed_images {
            words += &format!("{}\t{}\t{}\n", failed.row, printable(&failed.path), failed.error);
        }
    }
    let mut document = json!(status);
    document["teacher"] = json!(info.teacher.name);
    document["locality"] = json!(info.teacher.locality);
    words += &info.locality_warning().map_or_else(String::new, |warning| format!("warning  {warning}\n"));
    output.result(&words, &document)?;
    Ok(if status.damaged_shards.is_empty() { Outcome::Done } else { Outcome::DoneWithProblems })
}
