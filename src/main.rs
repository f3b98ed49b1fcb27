//! The command line program. `mod cli` is declared here and not in the library, which does not depend on clap.
#![allow(missing_docs, unreachable_pub)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
