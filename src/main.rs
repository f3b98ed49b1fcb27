//! The program: parse, prepare logs, dispatch, exit code. `mod cli` is declared here, so the library cannot see clap.
#![allow(missing_docs, unreachable_pub)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
