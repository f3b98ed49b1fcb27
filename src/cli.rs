//! The command line: everything that knows clap, the terminal, the clock and the environment.

mod args;
mod plan;
mod task;
mod run;
mod dry_run;
mod summary;
mod status;
mod verify;
mod inspect;
mod report;
mod audit;
mod publish;
mod teacher;
mod exchange;
mod merge;
mod progress;
mod counting;
mod places;
mod photos;
mod memory_limit;
mod paint;
mod output;
mod onnxruntime;
mod clock;
mod signals;
mod panics;

use std::ffi::OsStr;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::thread::available_parallelism;

use clap::Parser as _;
use clap::error::ErrorKind;
use relabel::shared::error::{Error, ErrorClass};
use relabel::shared::printable::printable;
use relabel::shared::threads::start_common_pool;
use tracing_subscriber::EnvFilter;

use args::{Arguments, Command, Global, LogFormat};
use output::{Logs, Output, written};

/// How a command ended; the contract's exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 0
    Done,
    /// 3: finished, but some images could not be labelled or a check found problems.
    DoneWithProblems,
}

/// The single place that turns an outcome into an exit code.
pub fn main() -> ExitCode {
    let (json, lines_are_json) = asked_for_json();
    let output = Output::new(json);
    if lines_are_json {
        output::say_in_json();
    }
    panics::keep_quiet();
    let ended = signals::watch(output).and_then(|()| {
        panics::caught(|| answer(output)).unwrap_or_else(|fault| {
            output.error(&fault);
            Ok(1)
        })
    });
    ExitCode::from(ended.unwrap_or_else(|error| {
        output.error(&error.to_string());
        code_of(&error)
    }))
}

/// Does what was asked for. Gives the exit code.
fn answer(output: Output) -> Result<u8, Error> {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return written(error.print()).map(|()| 0);
        }
        Err(error) => {
            refuse_words(error, output);
            return Ok(2);
        }
    };
    start_logs(&arguments.global);
    Ok(match dispatch(&arguments, output)? {
        Outcome::Done => 0,
        Outcome::DoneWithProblems => 3,
    })
}

fn dispatch(arguments: &Arguments, output: Output) -> Result<Outcome, Error> {
    if !matches!(arguments.command, Command::Import(_) | Command::Export(_)) {
        start_common_pool(available_parallelism().map_or(1, NonZeroUsize::get))?;
    }
    match &arguments.command {
        Command::Run(command) if command.dry_run => dry_run::run(command, output),
        Command::Run(command) => run::run(command, &arguments.global, output),
        Command::Status(command) => status::run(command, output),
        Command::Verify(command) => verify::run(command, &arguments.global, output),
        Command::Inspect(command) => inspect::run(command, output),
        Command::Report(command) => report::run(command, &arguments.global, output),
        Command::Audit(command) => audit::run(command, &arguments.global, output),
        Command::Publish(command) => publish::run(command, &arguments.global, output),
        Command::Teacher(command) => teacher::run(command, output),
        Command::Merge(command) => merge::run(command, &arguments.global, output),
        Command::Import(command) => exchange::import(command, &arguments.global),
        Command::Export(command) => exchange::export(command, &arguments.global),
    }
}

/// The single map from errors to exit codes.
fn code_of(error: &Error) -> u8 {
    match error.class() {
        ErrorClass::Usage => 2,
        ErrorClass::Interrupted => 130,
        ErrorClass::Input | ErrorClass::Configuration | ErrorClass::Retry | ErrorClass::Internal => 1,
    }
}

/// Whether one JSON document is asked for on stdout, and JSON lines on stderr; also where the words make no sense
/// otherwise.
fn asked_for_json() -> (bool, bool) {
    let words: Vec<_> = std::env::args_os().skip(1).take_while(|word| word != "--").collect();
    let is_format = |pair: &[_]| pair[0] == OsStr::new("--log-format") && pair[1] == OsStr::new("json");
    let lines = words.iter().any(|word| word == "--log-format=json") || words.windows(2).any(is_format);
    (words.iter().any(|word| word == "--json"), lines)
}

/// Says what is wrong with the words that were typed, which clap repeats.
fn refuse_words(error: clap::Error, output: Output) {
    let words: Vec<_> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    // Parsed once more, escaped, they are refused for the same reason.
    let error = Arguments::try_parse_from(words.iter().map(|word| printable(word).into_owned())).err().unwrap_or(error);
    if !output.is_json() && !output::lines_are_json() {
        let _ = error.print();
        return;
    }
    let text = error.render().to_string();
    let lines = text.lines().map(str::trim_start).filter(|line| !line.is_empty());
    output.error(lines.collect::<Vec<_>>().join("\n  ").trim_start_matches("error: "));
}

fn start_logs(global: &Global) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => "relabel=error,ort=off",
        (false, 0) => "relabel=warn,ort=off",
        (false, 1) => "relabel=info,ort=error",
        (false, 2) => "relabel=debug,ort=warn",
        // What other packages trace holds addresses with their signatures, and headers.
        (false, _) => "relabel=trace,ort=trace",
    };
    let filter = EnvFilter::new(level);
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Logs).with_ansi(false);
    match global.log_format {
        LogFormat::Text => logs.with_target(false).init(),
        LogFormat::Json => logs.json().init(),
    }
}

pub use signals::{raised, stop_flag};
