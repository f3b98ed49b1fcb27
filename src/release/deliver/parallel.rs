//! Processes files concurrently. The threads mostly wait for a disk or a network.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::shared::error::Error;
use crate::shared::threads::spawn_in;

/// Calls `work` for each item, on up to `concurrency` threads. The first error stops all threads, and so does
/// `should_stop`.
///
/// # Errors
/// Returns the first error of `work`; [`Error::Interrupted`] if a stop was requested; [`Error::Threads`] if a thread cannot
/// be started; [`Error::Internal`] if a thread panicked.
pub(super) fn for_each<T: Sync>(
    items: &[T],
    concurrency: NonZeroUsize,
    should_stop: &(dyn Fn() -> bool + Sync),
    work: impl Fn(&T) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let (next, has_failed, first_error) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(None));
    let fail = |error: Error| {
        has_failed.store(true, Ordering::Release);
        first_error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    };
    let run_worker = || {
        while !has_failed.load(Ordering::Acquire) {
            let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            let result = if should_stop() { Err(Error::Interrupted) } else { work(item) };
            if let Err(error) = result {
                fail(error);
            }
        }
    };
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for _ in 0..concurrency.get().min(items.len()) {
            match spawn_in(scope, run_worker) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    fail(error);
                    break;
                }
            }
        }
        for thread in threads {
            if thread.join().is_err() {
                let action = "process the files of a release".to_owned();
                fail(Error::Internal { action, problem: "a thread panicked".into() });
            }
        }
    });
    first_error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_processed_once_and_the_first_error_stops_all_threads() {
        let items: Vec<usize> = (0..100).collect();
        let four = NonZeroUsize::new(4).unwrap();
        let sum = AtomicUsize::new(0);
        for_each(&items, four, &|| false, |item| {
            sum.fetch_add(*item, Ordering::Relaxed);
            Ok(())
        })
        .unwrap();
        assert_eq!(sum.into_inner(), 4950);
        let refuse = |item: &usize| if *item == 7 { Err(Error::Usage("seven".into())) } else { Ok(()) };
        assert!(matches!(for_each(&items, four, &|| false, refuse), Err(Error::Usage(_))));
        assert!(matches!(for_each(&items, four, &|| true, |_| Ok(())), Err(Error::Interrupted)));
        for_each(&[] as &[usize], four, &|| true, |_| Ok(())).unwrap();
    }

    #[test]
    fn a_panic_is_an_internal_error() {
        let panics = |item: &usize| if *item == 7 { panic!("seven") } else { Ok(()) };
        let items: Vec<usize> = (0..100).collect();
        let result = for_each(&items, NonZeroUsize::MIN, &|| false, panics);
        assert!(matches!(result, Err(Error::Internal { .. })), "{result:?}");
    }
}
