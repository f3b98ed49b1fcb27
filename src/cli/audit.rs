//! `relabel audit`

use relabel::error::Error;

use super::Outcome;
use super::args::{AuditArguments, Global};
use super::output::Output;

pub fn run(_arguments: &AuditArguments, _global: &Global, _output: Output) -> Result<Outcome, Error> {
    Err(Error::Usage("not yet".to_owned()))
}
