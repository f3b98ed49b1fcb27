//! Targets of coverage-guided fuzzing; see `bodies`.

use std::sync::{Mutex, PoisonError};

#[path = "bodies.rs"]
pub mod bodies;
#[path = "../synthetic_store.rs"]
pub mod synthetic_store;

/// Defines the fuzz target of the body with the same name.
#[macro_export]
macro_rules! target {
    ($body:ident) => {
        libfuzzer_sys::fuzz_target!(init: $crate::prepare(), |bytes: &[u8]| {
            $crate::run($crate::bodies::$body, bytes);
        });
    };
}

/// Last panic, with its location.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// Prepares a process for millions of inputs.
pub fn prepare() {
    // libFuzzer's hook would also abort on panics that the library catches, such as those of Parquet's reader.
    std::panic::set_hook(Box::new(|panic| {
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string();
    }));
    // Waiting for another thread takes longer than most inputs.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread();
    pool.build_global().unwrap_or_else(|error| panic!("cannot set up a single thread: {error}"));
}

/// Runs a body. An uncaught panic aborts the process.
pub fn run(body: fn(&[u8]), bytes: &[u8]) {
    if std::panic::catch_unwind(|| body(bytes)).is_err() {
        eprintln!("{}", PANIC.lock().unwrap_or_else(PoisonError::into_inner));
        std::process::abort();
    }
}
