//! Work on many targets at once.

use std::num::NonZeroUsize;

use crate::shared::error::Error;

/// Fewer targets than this for each thread are not worth one.
const TARGETS_PER_THREAD: usize = 16;

/// Calls `work` for each piece of `values_each` values of `targets`, with its number. Each thread has what `make` makes.
///
/// The threads live only as long as the call: a pool of them would not survive `fork`, which data loaders do
/// (`tests/python/test_workers.py`).
///
/// # Errors
/// The one of the first piece that has any.
pub(super) fn for_each<T: Send, M>(
    threads: NonZeroUsize,
    targets: &mut [T],
    values_each: usize,
    make: impl Fn() -> M + Sync,
    work: impl Fn(&mut M, usize, &mut [T]) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let count = targets.len().checked_div(values_each).unwrap_or(0);
    let threads = threads.get().min(count.div_ceil(TARGETS_PER_THREAD)).max(1);
    let each = count.div_ceil(threads).max(1);
    let run = |first: usize, targets: &mut [T]| {
        let mut made = make();
        let pieces = targets.chunks_mut(values_each.max(1)).enumerate();
        pieces.into_iter().try_for_each(|(at, target)| work(&mut made, first + at, target))
    };
    if threads == 1 {
        return run(0, targets);
    }
    std::thread::scope(|scope| {
        let parts = targets.chunks_mut(each * values_each).enumerate();
        let run = &run;
        let running: Vec<_> = parts.map(|(part, targets)| scope.spawn(move || run(part * each, targets))).collect();
        let ended = running.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| {
                Err(Error::Internal {
                    action: "pool on several threads".to_owned(),
                    problem: "a thread panicked".into(),
                })
            })
        });
        // All are waited for; the first error is that of the first piece.
        ended.fold(Ok(()), Result::and)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(threads: usize, count: usize, bad: &[usize]) -> Result<Vec<usize>, String> {
        let mut targets = vec![0; count * 2];
        let threads = NonZeroUsize::new(threads).unwrap();
        let work = |(): &mut (), at: usize, target: &mut [usize]| {
            target.fill(at);
            if bad.contains(&at) { Err(Error::Usage(at.to_string())) } else { Ok(()) }
        };
        for_each(threads, &mut targets, 2, || (), work).map_err(|error| error.to_string())?;
        Ok(targets)
    }

    #[test]
    fn every_piece_is_done_by_any_number_of_threads() {
        for (threads, count) in [(1, 0), (4, 0), (1, 5), (3, 5), (2, 33), (7, 100), (100, 100)] {
            let wanted: Vec<_> = (0..count).flat_map(|at| [at, at]).collect();
            assert_eq!(run(threads, count, &[]).unwrap(), wanted, "{threads} threads, {count} pieces");
        }
    }

    #[test]
    fn the_first_error_is_the_one_that_is_given() {
        assert_eq!(run(4, 100, &[30, 99]).unwrap_err(), "30");
        assert_eq!(run(1, 100, &[99, 30]).unwrap_err(), "30");
    }
}
