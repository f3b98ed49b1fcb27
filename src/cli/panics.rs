//! Panics: reported as one message, with exit code 1.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::{Mutex, PoisonError};

/// Message and source location of a panic.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PanicRecord {
    message: String,
    location: String,
}

/// The last panics of all threads. Most are expected and caught: a decoder that panics fails its image.
static RECORDS: Mutex<VecDeque<PanicRecord>> = Mutex::new(VecDeque::new());

const MAX_RECORDS: usize = 16;

/// Makes panics record themselves for [`catch`] instead of printing.
pub fn install_hook() {
    std::panic::set_hook(Box::new(|info| {
        tracing::debug!("panic: {info}");
        let record = PanicRecord { message: message_of(info.payload()), location: location_of(info) };
        let mut records = RECORDS.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() == MAX_RECORDS {
            records.pop_front();
        }
        records.push_back(record);
    }));
}

/// Runs `work`.
///
/// # Errors
/// Returns the message to report if it panics, in this thread or in one that it waits for.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let message = message_of(&*payload);
        let records = RECORDS.lock().unwrap_or_else(PoisonError::into_inner);
        let cause = cause(&message, records.iter());
        let PanicRecord { message, location } =
            cause.unwrap_or(PanicRecord { message, location: "unknown location".to_owned() });
        format!(
            "internal error: {message} (relabel {}, {location})\n  help: this is a bug, please report this message and the \
             command; committed shards are kept, re-run the command to resume",
            env!("CARGO_PKG_VERSION")
        )
    })
}

/// The standard library's message if a scoped thread panicked.
const SCOPED_THREAD: &str = "a scoped thread panicked";

/// Returns the panic behind a message: the last one with it, or for a scoped thread the last one with another message.
fn cause<'a>(message: &str, records: impl DoubleEndedIterator<Item = &'a PanicRecord>) -> Option<PanicRecord> {
    let is_cause = |record: &&PanicRecord| {
        if message == SCOPED_THREAD { record.message != SCOPED_THREAD } else { record.message == message }
    };
    records.rev().find(is_cause).cloned()
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic without a message".to_owned())
}

/// Returns the location as `src/labelling/pipeline.rs:12:5`, without folders of the build machine.
fn location_of(info: &PanicHookInfo<'_>) -> String {
    info.location().map_or_else(String::new, |location| {
        let file = location.file().rsplit_once("/registry/src/").map_or(location.file(), |(_, file)| file);
        format!("{file}:{}:{}", location.line(), location.column())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_of_any_thread_becomes_a_message() {
        assert_eq!(catch(|| 7), Ok(7));
        install_hook();
        let here = catch(|| panic!("row {} is odd", 7)).unwrap_err();
        assert!(here.contains("row 7 is odd") && here.contains("src/cli/panics.rs"), "{here}");
        assert!(here.contains(env!("CARGO_PKG_VERSION")) && here.contains("report"), "{here}");
        let in_scope = catch(|| std::thread::scope(|scope| drop(scope.spawn(|| panic!("in a scope"))))).unwrap_err();
        assert!(in_scope.contains("in a scope"), "{in_scope}");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let in_pool = catch(|| pool.install(|| panic!("in a pool"))).unwrap_err();
        assert!(in_pool.contains("in a pool") && in_pool.contains("src/cli/panics.rs"), "{in_pool}");
        drop(std::panic::take_hook());
    }
}
