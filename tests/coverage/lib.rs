//! What coverage-guided fuzzing runs, each target by its name: see `bodies`.

use std::sync::{Mutex, PoisonError};

#[path = "bodies.rs"]
pub mod bodies;
#[path = "../synthetic_store.rs"]
pub mod synthetic_store;

/// Makes a fuzz target of the body of the same name.
#[macro_export]
macro_rules! target {
    ($body:ident) => {
        libfuzzer_sys::fuzz_target!(init: $crate::prepare(), |bytes: &[u8]| {
            $crate::run($crate::bodies::$body, bytes);
        });
    };
}

/// Last panic, with its place.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// Prepares a process for millions of inputs.
pub fn prepare() {
    // libFuzzer's own hook ends the process at panics that the library catches, too: Parquet's reader has some.
    std::panic::set_hook(Box::new(|panic| {
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string();
    }));
    // To wait for another thread takes longer than most inputs do.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread();
    pool.build_global().unwrap_or_else(|error| panic!("cannot work in one thread: {error}"));
}

/// Runs a body. A panic that nobody catches ends the process.
pub fn run(body: fn(&[u8]), bytes: &[u8]) {
    if std::panic::catch_unwind(|| body(bytes)).is_err() {
        eprintln!("{}", PANIC.lock().unwrap_or_else(PoisonError::into_inner));
        std::process::abort();
    }
}
