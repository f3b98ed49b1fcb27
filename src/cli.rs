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
mod written;
mod paint;
mod output;
mod onnxruntime;
mod clock;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser as _;
use clap::error::ErrorKind;
use relabel::error::Error;
use tracing_subscriber::EnvFilter;

use args::{Arguments, Command, Global, LogFormat};
use output::Output;

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
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked_for { ExitCode::SUCCESS } else { ExitCode::from(2) };
        }
    };
    start_logs(&arguments.global);
    let output = Output::new(arguments.global.json);
    let result = match &arguments.command {
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
    };
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::DoneWithProblems) => ExitCode::from(3),
        Err(error) => {
            output.error(&error);
            ExitCode::from(match error {
                Error::Usage(_) => 2,
                Error::Interrupted => 130,
                _ => 1,
            })
        }
    }
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
    let logs =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(output::may_draw());
    match global.log_format {
        LogFormat::Text => logs.with_target(false).init(),
        LogFormat::Json => {
            output::say_in_json();
            logs.json().init();
        }
    }
}

/// A flag that Ctrl-C and SIGTERM raise; the second signal ends the program at once.
pub fn stop_flag() -> Result<Arc<AtomicBool>, Error> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(|error| Error::Usage(format!("signals cannot be handled: {error}")))?;
    }
    Ok(stop)
}

/// Whether the flag was raised.
pub fn raised(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Acquire)
}
