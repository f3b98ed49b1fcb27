//! Ctrl-C and SIGTERM: every command ends soon, whatever it does.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::{Builder, sleep};
use std::time::{Duration, Instant};

use relabel::shared::error::Error;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::output::Output;

/// How long a command may take to end in its own way. What it committed is kept either way.
const GRACE: Duration = Duration::from_secs(3);

/// How long the last words may take: whoever reads them may have stopped reading.
const LAST_WORDS: Duration = Duration::from_millis(300);

const POLL: Duration = Duration::from_millis(20);

static STOP: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// The flag that the first signal raises.
pub fn stop_flag() -> Arc<AtomicBool> {
    Arc::clone(&STOP)
}

/// Whether the flag was raised.
pub fn raised(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Acquire)
}

/// Watches for signals, from a thread of its own. The first one raises the flag; after [`GRACE`], or at the second one,
/// the program ends.
///
/// # Errors
/// Returns [`Error::Resource`] if signals cannot be caught or the thread cannot be started.
pub fn watch(output: Output) -> Result<(), Error> {
    let shortage = |error: io::Error| Error::Resource { action: "watch for signals", problem: error.into() };
    let mut heard = vec![SIGINT, SIGTERM];
    // `nohup` has it ignored, and means it.
    heard.extend((!is_ignored(SIGHUP)).then_some(SIGHUP));
    let mut signals = Signals::new(heard).map_err(shortage)?;
    let work = move || {
        if signals.forever().next().is_none() {
            return;
        }
        STOP.store(true, Ordering::Release);
        let since = Instant::now();
        while since.elapsed() < GRACE && signals.pending().next().is_none() {
            sleep(POLL);
        }
        end_now(output);
    };
    Builder::new().name("signals".to_owned()).spawn(work).map_err(shortage)?;
    Ok(())
}

/// Ends the program without waiting for any thread of it.
fn end_now(output: Output) {
    let last_words = move || output.interrupted();
    if let Ok(saying) = Builder::new().spawn(last_words) {
        let since = Instant::now();
        while !saying.is_finished() && since.elapsed() < LAST_WORDS {
            sleep(POLL);
        }
    } else {
        output.interrupted();
    }
    signal_hook::low_level::exit(130);
}

/// Whether this process was started with a signal ignored.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
