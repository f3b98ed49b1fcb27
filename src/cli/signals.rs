//! Ctrl-C and SIGTERM: every command exits within seconds.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::{Builder, sleep};
use std::time::{Duration, Instant};

use relabel::shared::error::Error;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::exit_code::INTERRUPTED;
use super::output::Output;

/// Time for a command to exit by itself. Committed shards are kept either way.
const GRACE: Duration = Duration::from_secs(3);

/// Time to print the last message: the reader of a pipe may have stopped reading.
const LAST_MESSAGE: Duration = Duration::from_millis(300);

const POLL: Duration = Duration::from_millis(20);

static STOP: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Returns the flag that the first signal raises.
pub fn stop_flag() -> Arc<AtomicBool> {
    Arc::clone(&STOP)
}

/// Returns whether the flag was raised.
pub fn raised(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Acquire)
}

/// Watches for signals in a thread. The first signal raises the flag; after [`GRACE`], or at the second signal, the program
/// exits.
///
/// # Errors
/// Returns [`Error::Resource`] if signals cannot be caught or the thread cannot be started.
pub fn watch(output: Output) -> Result<(), Error> {
    let shortage = |error: io::Error| Error::Resource { action: "watch for signals", problem: error.into() };
    let mut watched = vec![SIGINT, SIGTERM];
    // `nohup` sets SIGHUP to ignored.
    watched.extend((!is_ignored(SIGHUP)).then_some(SIGHUP));
    let mut signals = Signals::new(watched).map_err(shortage)?;
    let work = move || {
        if signals.forever().next().is_none() {
            return;
        }
        STOP.store(true, Ordering::Release);
        let since = Instant::now();
        while since.elapsed() < GRACE && signals.pending().next().is_none() {
            sleep(POLL);
        }
        exit_now(output);
    };
    Builder::new().name("signals".to_owned()).spawn(work).map_err(shortage)?;
    Ok(())
}

/// Exits without waiting for any thread.
fn exit_now(output: Output) {
    let print = move || output.interrupted();
    if let Ok(printing) = Builder::new().spawn(print) {
        let since = Instant::now();
        while !printing.is_finished() && since.elapsed() < LAST_MESSAGE {
            sleep(POLL);
        }
    } else {
        output.interrupted();
    }
    signal_hook::low_level::exit(i32::from(INTERRUPTED));
}

/// Returns whether this process was started with a signal ignored.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
