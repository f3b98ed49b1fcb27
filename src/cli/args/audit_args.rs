//! `relabel audit`

use std::path::PathBuf;

use clap::Args;

use super::heading::{CHECKS, INPUT, OUTPUT, SCHEDULING};
use super::{ValueError, threads};

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  relabel audit imagenet.labels -o audit.parquet
  relabel audit imagenet.labels -o audit.csv --crops 200
  relabel audit imagenet.labels -o audit.json --class n02099601
  relabel audit imagenet.labels -o audit.parquet --pred-probs        # for cleanlab's Datalab

The file lists every labelled image, strongest contradiction first. A second file, audit.classes.parquet next to \
audit.parquet, has one row per class. docs/guide/audit.md describes the columns.")]
pub struct AuditArguments {
    /// Store: a folder or a URL
    pub store: PathBuf,
    /// Audit only images of this folder class: a folder, name or number; repeatable
    #[arg(long = "class", value_name = "CLASS", help_heading = INPUT)]
    pub classes: Vec<String>,
    /// File to write, in the format of its extension: .parquet, .csv or .json
    #[arg(short, long, value_name = "FILE", help_heading = OUTPUT)]
    pub out: PathBuf,
    /// Add a column with the pooled probabilities of all classes (`pred_probs`)
    ///
    /// cleanlab's Datalab takes it together with `folder_class`. It adds up to 4 bytes per class and image. A teacher that
    /// was trained on these images agrees with wrong labels more often than a model that has not seen them.
    #[arg(long, help_heading = OUTPUT)]
    pub pred_probs: bool,
    /// Random crops to pool per image; 0 omits their columns
    #[arg(long, value_name = "N", default_value = "64", value_parser = crops, help_heading = CHECKS)]
    pub crops: usize,
    /// Seed of the random crops
    #[arg(long, value_name = "NUMBER", default_value = "0", help_heading = CHECKS)]
    pub seed: u64,
    /// Threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = threads, help_heading = SCHEDULING)]
    pub threads: Option<usize>,
}

/// Time grows with the number of crops, precision with its square root.
const MAX_CROPS: usize = 10_000;

fn crops(text: &str) -> Result<usize, ValueError> {
    let crops = text.parse().ok().filter(|crops| *crops <= MAX_CROPS);
    crops.ok_or(ValueError::OutOfRange { min: 0, max: MAX_CROPS })
}
