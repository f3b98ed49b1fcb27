//! Faults of the program itself: a line that can be reported, and exit code 1.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::{Mutex, PoisonError};

/// A panic as it was met: its message, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Met {
    message: String,
    place: String,
}

/// The last panics of any thread. Most are caught where they are expected: a decoder that gives up fails its image.
static MET: Mutex<VecDeque<Met>> = Mutex::new(VecDeque::new());

const KEPT: usize = 16;

/// From now on panics print nothing by themselves; see [`caught`].
pub fn keep_quiet() {
    std::panic::set_hook(Box::new(|info| {
        tracing::debug!("panic: {info}");
        let met = Met { message: message_of(info.payload()), place: place_of(info) };
        let mut all = MET.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == KEPT {
            all.pop_front();
        }
        all.push_back(met);
    }));
}

/// Does some work.
///
/// # Errors
/// Returns what to report if it panics, in this thread or in one that it waits for.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let message = message_of(&*payload);
        let all = MET.lock().unwrap_or_else(PoisonError::into_inner);
        let cause = cause(&message, all.iter());
        let Met { message, place } = cause.unwrap_or(Met { message, place: "an unknown place".to_owned() });
        format!(
            "stopped by a fault of the program: {message} (relabel {}, {place})\n  help: what was committed is kept, and the \
             same command resumes. Please report this line and the command",
            env!("CARGO_PKG_VERSION")
        )
    })
}

/// The standard library's message where a thread of a scope has panicked.
const OF_A_SCOPE: &str = "a scoped thread panicked";

/// The panic behind a message: the last one with it, or for a scope the last one of another thread.
fn cause<'a>(message: &str, met: impl DoubleEndedIterator<Item = &'a Met>) -> Option<Met> {
    let is_cause = |met: &&Met| if message == OF_A_SCOPE { met.message != OF_A_SCOPE } else { met.message == message };
    met.rev().find(is_cause).cloned()
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".to_owned())
}

/// `src/pipeline.rs:12:5`, without the folders of the machine that compiled it.
fn place_of(info: &PanicHookInfo<'_>) -> String {
    info.location().map_or_else(String::new, |place| {
        let file = place.file().rsplit_once("/registry/src/").map_or(place.file(), |(_, file)| file);
        format!("{file}:{}:{}", place.line(), place.column())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_any_thread_becomes_a_line_to_report() {
        assert_eq!(caught(|| 7), Ok(7));
        keep_quiet();
        let here = caught(|| panic!("row {} is odd", 7)).unwrap_err();
        assert!(here.contains("row 7 is odd") && here.contains("src/cli/panics.rs"), "{here}");
        assert!(here.contains(env!("CARGO_PKG_VERSION")) && here.contains("report"), "{here}");
        let in_scope = caught(|| std::thread::scope(|scope| drop(scope.spawn(|| panic!("in a scope"))))).unwrap_err();
        assert!(in_scope.contains("in a scope"), "{in_scope}");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let in_pool = caught(|| pool.install(|| panic!("in a pool"))).unwrap_err();
        assert!(in_pool.contains("in a pool") && in_pool.contains("src/cli/panics.rs"), "{in_pool}");
        drop(std::panic::take_hook());
    }
}
