//! Many files at a time, most of the time waiting for a disk or a network.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::shared::error::Error;

/// Does something with each item, on so many threads. The first error ends it, and so does a wish to stop.
pub(super) fn each<T: Sync>(
    items: &[T],
    at_a_time: NonZeroUsize,
    stop: &(dyn Fn() -> bool + Sync),
    work: impl Fn(&T) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let (next, failed, first_error) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(None));
    let worker = || {
        while !failed.load(Ordering::Acquire) {
            let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            let done = if stop() { Err(Error::Interrupted) } else { work(item) };
            if let Err(error) = done {
                failed.store(true, Ordering::Release);
                first_error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..at_a_time.get().min(items.len()) {
            scope.spawn(worker);
        }
    });
    first_error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_done_once_and_the_first_error_ends_it() {
        let items: Vec<usize> = (0..100).collect();
        let four = NonZeroUsize::new(4).unwrap();
        let sum = AtomicUsize::new(0);
        each(&items, four, &|| false, |item| {
            sum.fetch_add(*item, Ordering::Relaxed);
            Ok(())
        })
        .unwrap();
        assert_eq!(sum.into_inner(), 4950);
        let refuse = |item: &usize| if *item == 7 { Err(Error::Usage("seven".into())) } else { Ok(()) };
        assert!(matches!(each(&items, four, &|| false, refuse), Err(Error::Usage(_))));
        assert!(matches!(each(&items, four, &|| true, |_| Ok(())), Err(Error::Interrupted)));
        each(&[] as &[usize], four, &|| true, |_| Ok(())).unwrap();
    }
}
