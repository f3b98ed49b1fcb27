//! Exit codes of the program, as `relabel --help` lists them.

use relabel::shared::error::{Error, ErrorClass};

/// The command succeeded.
pub const DONE: u8 = 0;
/// The command failed, or the program has a bug. A retry may help.
pub const FAILED: u8 = 1;
/// The command line is wrong: the same command can never succeed.
pub const USAGE: u8 = 2;
/// The command finished, but some images could not be labelled or a check found problems.
pub const PROBLEMS: u8 = 3;
/// The command was interrupted by a signal. Committed shards are kept.
pub const INTERRUPTED: u8 = 130;

/// Returns the exit code of an error. Nothing else maps errors to exit codes.
pub fn exit_code(error: &Error) -> u8 {
    match error.class() {
        ErrorClass::Usage => USAGE,
        ErrorClass::Interrupted => INTERRUPTED,
        ErrorClass::Input | ErrorClass::Configuration | ErrorClass::Retry | ErrorClass::Internal => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wrong_usage_is_2() {
        let io = || std::io::Error::from(std::io::ErrorKind::WouldBlock);
        let failures = [
            Error::Threads { count: 4, problem: io().into() },
            Error::Resource { action: "watch for signals", problem: io().into() },
            Error::Internal { action: "join a thread".to_owned(), problem: "it panicked".into() },
            Error::file("write", std::path::Path::new("stdout"))(io()),
        ];
        assert!(failures.iter().all(|error| exit_code(error) == FAILED));
        assert_eq!(exit_code(&Error::Usage("--top-k 0".to_owned())), USAGE);
        assert_eq!(exit_code(&Error::Interrupted), INTERRUPTED);
    }
}
