//! The command line: everything that uses clap, the terminal, the clock or the environment.

mod args;
mod exit_code;
mod load_teacher;
mod loaded_teacher;
mod map_options;
mod new_store;
mod tile_options;
mod part_selection;
mod run;
mod run_progress;
mod dry_run;
mod status;
mod verify;
mod inspect;
mod report;
mod audit;
mod crop_teacher;
mod evaluate;
mod calibrate;
mod compare;
mod publish;
mod teacher;
mod import_export;
mod export_teacher;
mod demo;
mod completions;
mod man_pages;
mod merge;
mod progress_bar;
mod store_access;
mod photo_source;
mod host_limits;
mod terminal_colors;
mod output;
mod installation;
mod onnxruntime;
mod python;
mod shell;
mod time_format;
mod signals;
mod panics;

use std::ffi::OsStr;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::thread::available_parallelism;

use clap::Parser as _;
use clap::error::ErrorKind;
use relabel::shared::error::Error;
use relabel::shared::printable::printable;
use relabel::shared::threads::start_common_pool;
use tracing_subscriber::EnvFilter;

use args::{Arguments, Command, Global, LogFormat};
use exit_code::{DONE, PROBLEMS, USAGE, exit_code};
use output::{Logs, Output, written};

/// Outcome of a successful command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Finished, but some images could not be labelled or a check found problems.
    DoneWithProblems,
}

pub fn main() -> ExitCode {
    let (json, json_lines) = json_requested();
    let output = Output::new(json);
    if json_lines {
        output::use_json_lines();
    }
    panics::install_hook();
    let code = signals::watch(output).and_then(|()| panics::catch(|| execute(output))?);
    ExitCode::from(code.unwrap_or_else(|error| {
        output.error(&error.to_string());
        exit_code(&error)
    }))
}

/// Parses the command line and runs the command. Returns the exit code.
fn execute(output: Output) -> Result<u8, Error> {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return written(error.print()).map(|()| DONE);
        }
        Err(error) => {
            print_usage_error(error, output);
            return Ok(USAGE);
        }
    };
    if arguments.global.quiet {
        output::use_quiet();
    }
    start_logs(&arguments.global);
    Ok(match dispatch(&arguments, output)? {
        Outcome::Done => DONE,
        Outcome::DoneWithProblems => PROBLEMS,
    })
}

fn dispatch(arguments: &Arguments, output: Output) -> Result<Outcome, Error> {
    if needs_threads(&arguments.command) {
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
        Command::Evaluate(command) => evaluate::run(command, &arguments.global, output),
        Command::Calibrate(command) => calibrate::run(command, &arguments.global, output),
        Command::Compare(command) => compare::run(command, &arguments.global, output),
        Command::Teacher(command) => teacher::run(command, output),
        Command::Merge(command) => merge::run(command, &arguments.global, output),
        Command::Publish(command) => publish::run(command, &arguments.global, output),
        Command::Import(command) => import_export::import(command, &arguments.global),
        Command::Export(command) => import_export::export(command, &arguments.global),
        Command::ExportTeacher(command) => export_teacher::run(command, &arguments.global),
        Command::Demo(command) => demo::run(command, &arguments.global, output),
        Command::Completions(command) => completions::run(command, output),
        Command::ManPages(command) => man_pages::run(command, output),
    }
}

/// Returns whether a command works in this process and with threads.
fn needs_threads(command: &Command) -> bool {
    let is_handed_over = matches!(command, Command::Import(_) | Command::Export(_) | Command::ExportTeacher(_));
    !is_handed_over && !matches!(command, Command::Completions(_) | Command::ManPages(_))
}

/// Returns whether `--json` and `--log-format json` are given, even if clap refuses the command line.
fn json_requested() -> (bool, bool) {
    let arguments: Vec<_> = std::env::args_os().skip(1).take_while(|argument| argument != "--").collect();
    let is_format = |pair: &[_]| pair[0] == OsStr::new("--log-format") && pair[1] == OsStr::new("json");
    let json_lines =
        arguments.iter().any(|argument| argument == "--log-format=json") || arguments.windows(2).any(is_format);
    (arguments.iter().any(|argument| argument == "--json"), json_lines)
}

/// Prints clap's error, with the arguments that it repeats escaped.
fn print_usage_error(error: clap::Error, output: Output) {
    let arguments: Vec<_> = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    // The escaped arguments are refused for the same reason.
    let escaped = arguments.iter().map(|argument| printable(argument).into_owned());
    let error = Arguments::try_parse_from(escaped).err().unwrap_or(error);
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
        // Traces of HTTP crates are left out: they contain signed URLs and headers.
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
