//! Runs work on chunks of a slice on several threads.

use std::num::NonZeroUsize;

use crate::shared::error::Error;
use crate::shared::threads::run_concurrently;

/// Fewer chunks than this are not worth a thread.
const CHUNKS_PER_THREAD: usize = 16;

/// Calls `work` for each chunk of `chunk_len` values of `values`, with its number. Each thread calls `new_buffers` once.
///
/// The threads end with the call: a thread pool would not survive `fork`, which data loaders use
/// (`tests/python/training/test_workers.py`).
///
/// # Errors
/// Returns the error of the first chunk that has any; [`Error::Threads`] if a thread cannot be started.
pub(super) fn for_each_chunk<T: Send, B>(
    threads: NonZeroUsize,
    values: &mut [T],
    chunk_len: usize,
    new_buffers: impl Fn() -> B + Sync,
    work: impl Fn(&mut B, usize, &mut [T]) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let count = values.len().checked_div(chunk_len).unwrap_or(0);
    let threads = threads.get().min(count.div_ceil(CHUNKS_PER_THREAD)).max(1);
    let chunks_per_thread = count.div_ceil(threads).max(1);
    let run = |first: usize, values: &mut [T]| {
        let mut buffers = new_buffers();
        let mut chunks = values.chunks_mut(chunk_len.max(1)).enumerate();
        chunks.try_for_each(|(at, chunk)| work(&mut buffers, first + at, chunk))
    };
    if threads == 1 {
        return run(0, values);
    }
    let run = &run;
    let parts = values.chunks_mut(chunks_per_thread * chunk_len).enumerate();
    let tasks = parts.map(|(part, values)| move || run(part * chunks_per_thread, values));
    run_concurrently("pool on several threads", tasks)?.into_iter().collect()
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
        for_each_chunk(threads, &mut targets, 2, || (), work).map_err(|error| error.to_string())?;
        Ok(targets)
    }

    #[test]
    fn every_chunk_is_visited_by_any_number_of_threads() {
        for (threads, count) in [(1, 0), (4, 0), (1, 5), (3, 5), (2, 33), (7, 100), (100, 100)] {
            let wanted: Vec<_> = (0..count).flat_map(|at| [at, at]).collect();
            assert_eq!(run(threads, count, &[]).unwrap(), wanted, "{threads} threads, {count} chunks");
        }
    }

    #[test]
    fn the_first_error_is_returned() {
        assert_eq!(run(4, 100, &[30, 99]).unwrap_err(), "30");
        assert_eq!(run(1, 100, &[99, 30]).unwrap_err(), "30");
    }

    #[test]
    fn a_panic_is_an_internal_error() {
        let work = |(): &mut (), at: usize, _: &mut [u8]| if at == 40 { panic!("on purpose") } else { Ok(()) };
        let result = for_each_chunk(NonZeroUsize::new(4).unwrap(), &mut [0; 100], 1, || (), work);
        assert!(matches!(result, Err(Error::Internal { .. })));
    }
}
