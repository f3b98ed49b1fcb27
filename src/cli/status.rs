//! `relabel status`

use relabel::shared::error::Error;
use relabel::shared::geometry::map_size_text;
use relabel::shared::printable::printable;
use serde_json::json;

use super::Outcome;
use super::args::StatusArguments;
use super::output::{Output, agreement_line, bytes, count, per_image, rate, thousands};
use super::store_access::read_status;

pub fn run(arguments: &StatusArguments, output: Output) -> Result<Outcome, Error> {
    let (info, status) = read_status(&arguments.store)?;
    let mut text = format!(
        "teacher  {} ({} cells, top {})\n{}labelled {} of {} images, {} failed, {} to do\nshards   {} of {} done\n",
        printable(&info.teacher.name),
        map_size_text(info.map_size),
        info.k,
        info.tiles.as_ref().map_or_else(String::new, |tiles| format!("tiles    {}\n", printable(&tiles.to_string()))),
        thousands(status.labelled),
        thousands(status.images),
        thousands(status.failed),
        thousands(status.to_do),
        thousands(status.shards_done),
        thousands(status.shards_total),
    );
    if let Some(images_per_s) = status.images_per_s {
        text += &format!("rate     {} over the last shards\n", rate(images_per_s));
    }
    if let Some(bytes_per_image) = status.bytes_per_image {
        text += &format!("size     {} ({})\n", bytes(status.label_bytes), per_image(bytes_per_image));
    }
    text += &agreement_line(status.agreement);
    if let Some(first) = status.damaged_shards.first() {
        text += &format!(
            "damaged  {}, first: {first}; `relabel verify` lists the problems, re-run `relabel run` to repair\n",
            count(status.damaged_shards.len(), "shard")
        );
    }
    if !status.failures_by_kind.is_empty() {
        let kinds = status.failures_by_kind.iter().map(|(kind, count)| format!("{} {kind}", thousands(*count)));
        text += &format!("failed   {}\n", kinds.collect::<Vec<_>>().join(", "));
    }
    if arguments.failed {
        for failed in &status.failed_images {
            text += &format!("{}\t{}\t{}\n", failed.row, printable(&failed.path), failed.error);
        }
    }
    let mut document = json!(status);
    document["teacher"] = json!(info.teacher.name);
    document["locality"] = json!(info.teacher.locality);
    document["tiles"] = json!(info.tiles);
    text += &info.locality_warning().map_or_else(String::new, |warning| format!("warning  {warning}\n"));
    output.result(&text, &document)?;
    Ok(if status.damaged_shards.is_empty() { Outcome::Done } else { Outcome::DoneWithProblems })
}
