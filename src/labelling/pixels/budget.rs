//! Memory budget of images, shared by all decoding threads.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Default limit of the memory for decoding and resizing one image, in bytes.
///
/// The RGB pixels alone of an image of PIL's largest size take as much, so images close to that size are refused.
pub const IMAGE_BYTES: u64 = 512 << 20;

/// Bytes per thread, enough that ordinary photographs never wait for each other.
const THREAD_BYTES: u64 = 128 << 20;

/// Limit of image files in memory at the same time, in bytes.
const FILE_BYTES: u64 = 256 << 20;

/// Memory budget. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct MemoryBudget {
    pub(super) image_bytes: u64,
    pixels: Arc<Pool>,
    files: Arc<Pool>,
}

impl MemoryBudget {
    /// Creates a budget for `threads` decoding threads. Whether an image is refused depends on `image_bytes` alone, so the
    /// number of threads does not affect labels.
    pub(super) fn new(image_bytes: u64, threads: usize) -> Self {
        let pixels = image_bytes.max((threads as u64).saturating_mul(THREAD_BYTES));
        Self { image_bytes, pixels: Arc::new(Pool::new(pixels)), files: Arc::new(Pool::new(FILE_BYTES)) }
    }

    /// Waits until `bytes`, but at most `image_bytes`, are free for pixels and reserves them.
    pub(super) fn pixels(&self, bytes: u64) -> Reservation {
        Pool::reserve(&self.pixels, bytes.min(self.image_bytes))
    }

    /// Waits until `bytes` are free for a file and reserves them; a file larger than the limit waits until it is the only one.
    ///
    /// A thread may wait for pixels while it holds a file, but never the reverse, which rules out deadlocks.
    pub(super) fn file(&self, bytes: u64) -> Reservation {
        Pool::reserve(&self.files, bytes.min(FILE_BYTES))
    }
}

/// Memory that is reserved until this is dropped.
#[derive(Debug)]
pub struct Reservation {
    pool: Arc<Pool>,
    bytes: u64,
}

impl Reservation {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        *self.pool.free_bytes.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.pool.freed.notify_all();
    }
}

#[derive(Debug)]
struct Pool {
    free_bytes: Mutex<u64>,
    freed: Condvar,
}

impl Pool {
    fn new(bytes: u64) -> Self {
        Self { free_bytes: Mutex::new(bytes), freed: Condvar::new() }
    }

    /// Waits until `bytes`, at most the size of the pool, are free and reserves them.
    fn reserve(pool: &Arc<Self>, bytes: u64) -> Reservation {
        let free_bytes = pool.free_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = pool.freed.wait_while(free_bytes, |free| *free < bytes);
        *enough.unwrap_or_else(PoisonError::into_inner) -= bytes;
        Reservation { pool: Arc::clone(pool), bytes }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn threads_together_never_hold_more_than_the_budget() {
        let budget = MemoryBudget::new(1000, 0);
        let (held, peak) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let (budget, held, peak) = (budget.clone(), &held, &peak);
                scope.spawn(move || {
                    for round in 0..200_u64 {
                        let bytes = 1 + (thread * 389 + round * 97) % 1500;
                        let file = budget.file(FILE_BYTES / 3);
                        let reservation = budget.pixels(bytes);
                        let now = held.fetch_add(reservation.bytes(), Ordering::SeqCst) + reservation.bytes();
                        peak.fetch_max(now, Ordering::SeqCst);
                        held.fetch_sub(reservation.bytes(), Ordering::SeqCst);
                        drop((reservation, file));
                    }
                });
            }
        });
        let peak = peak.into_inner();
        assert!((900..=1000).contains(&peak), "{peak}");
        assert_eq!(*budget.pixels.free_bytes.lock().unwrap(), 1000);
    }

    #[test]
    fn threads_raise_the_total_but_not_the_limit_per_image() {
        let budget = MemoryBudget::new(IMAGE_BYTES, 64);
        assert_eq!(*budget.pixels.free_bytes.lock().unwrap(), 64 * THREAD_BYTES);
        assert_eq!(budget.image_bytes, IMAGE_BYTES);
    }
}
