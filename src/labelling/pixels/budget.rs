//! Memory for images, shared by all threads that decode.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Most bytes that one image may take while it is decoded and resized, unless asked otherwise.
///
/// An image of PIL's largest size has as many bytes of RGB, so that those close to it are refused.
pub const IMAGE_BYTES: u64 = 512 << 20;

/// Bytes for each thread, so that ordinary photographs never wait for each other.
const THREAD_BYTES: u64 = 128 << 20;

/// Bytes of image files that are in memory at the same time.
const FILE_BYTES: u64 = 256 << 20;

/// How much memory images may take. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    pub(super) image_bytes: u64,
    pixels: Arc<Pool>,
    files: Arc<Pool>,
}

impl Budget {
    /// A budget for `threads` that decode at the same time. Whether an image is refused depends on `image_bytes` alone,
    /// so that the number of threads changes no label.
    pub(super) fn new(image_bytes: u64, threads: usize) -> Self {
        let pixels = image_bytes.max((threads as u64).saturating_mul(THREAD_BYTES));
        Self { image_bytes, pixels: Arc::new(Pool::new(pixels)), files: Arc::new(Pool::new(FILE_BYTES)) }
    }

    /// Waits until so many bytes are free for pixels; at most `image_bytes` are taken.
    pub(super) fn pixels(&self, bytes: u64) -> Reservation {
        Pool::reserve(&self.pixels, bytes.min(self.image_bytes))
    }

    /// Waits until so many bytes are free for a file, or, if it is larger than all of them, until no other is there.
    ///
    /// A thread may wait for pixels while it has a file, but never the other way round: no two wait for each other.
    pub(super) fn file(&self, bytes: u64) -> Reservation {
        Pool::reserve(&self.files, bytes.min(FILE_BYTES))
    }
}

/// Bytes that are taken until this is dropped.
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

    /// `bytes` is at most what the pool was made with.
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
        let budget = Budget::new(1000, 0);
        let (held, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let (budget, held, most) = (budget.clone(), &held, &most);
                scope.spawn(move || {
                    for round in 0..200_u64 {
                        let bytes = 1 + (thread * 389 + round * 97) % 1500;
                        let file = budget.file(FILE_BYTES / 3);
                        let reservation = budget.pixels(bytes);
                        let now = held.fetch_add(reservation.bytes(), Ordering::SeqCst) + reservation.bytes();
                        most.fetch_max(now, Ordering::SeqCst);
                        held.fetch_sub(reservation.bytes(), Ordering::SeqCst);
                        drop((reservation, file));
                    }
                });
            }
        });
        let most = most.into_inner();
        assert!((900..=1000).contains(&most), "{most}");
        assert_eq!(*budget.pixels.free_bytes.lock().unwrap(), 1000);
    }

    #[test]
    fn threads_enlarge_what_all_images_share_but_not_what_one_may_take() {
        let budget = Budget::new(IMAGE_BYTES, 64);
        assert_eq!(*budget.pixels.free_bytes.lock().unwrap(), 64 * THREAD_BYTES);
        assert_eq!(budget.image_bytes, IMAGE_BYTES);
    }
}
