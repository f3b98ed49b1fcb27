//! `relabel completions`

use clap::CommandFactory as _;
use relabel::shared::error::Error;
use serde_json::json;

use super::Outcome;
use super::args::{Arguments, CompletionsArguments};
use super::output::Output;

pub fn run(arguments: &CompletionsArguments, output: Output) -> Result<Outcome, Error> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "relabel", &mut script);
    let script = String::from_utf8_lossy(&script);
    output.result(&script, &json!({ "shell": arguments.shell.to_string(), "script": script }))?;
    Ok(Outcome::Done)
}
