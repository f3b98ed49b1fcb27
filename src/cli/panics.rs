//! Panics: reported as one message, with exit code 1.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::{Mutex, PoisonError};

use relabel::shared::error::Error;

/// Message and source location of a panic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({location})")]
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
/// Returns [`Error::Internal`] if it panics, in this thread or in one that it waits for.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let message = message_of(&*payload);
        let records = RECORDS.lock().unwrap_or_else(PoisonError::into_inner);
        let panic =
            cause(&message, records.iter()).unwrap_or(PanicRecord { message, location: "unknown location".to_owned() });
        Error::Internal { action: "finish the command".to_owned(), problem: panic.into() }
    })
}

/// The standard library's message if a scoped thread panicked.
const SCOPED_THREAD: &str = "a scoped thread panicked";

/// Returns the panic behind a message: the last one with it, or for a scoped thread the last one with a different message.
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
    fn panic_of_any_thread_becomes_an_internal_error() {
        let message = |work: fn()| catch(work).unwrap_err().to_string();
        assert_eq!(catch(|| 7).unwrap(), 7);
        install_hook();
        let here = message(|| panic!("row {} is odd", 7));
        assert!(here.contains("row 7 is odd") && here.contains("src/cli/panics.rs"), "{here}");
        assert!(here.contains(env!("CARGO_PKG_VERSION")) && here.contains("report"), "{here}");
        let in_scope = message(|| std::thread::scope(|scope| drop(scope.spawn(|| panic!("in a scope")))));
        assert!(in_scope.contains("in a scope"), "{in_scope}");
        let in_pool = message(|| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            pool.install(|| panic!("in a pool"));
        });
        assert!(in_pool.contains("in a pool") && in_pool.contains("src/cli/panics.rs"), "{in_pool}");
        drop(std::panic::take_hook());
    }
}
