//! `relabel report`

use relabel::error::Error;

use super::Outcome;
use super::args::{Global, ReportArguments};
use super::output::Output;

pub fn run(_arguments: &ReportArguments, _global: &Global, _output: Output) -> Result<Outcome, Error> {
    Err(Error::Usage("not yet".to_owned()))
}
