//! What coverage-guided fuzzing runs, each target by its name: see `bodies`.

#[path = "bodies.rs"]
pub mod bodies;
#[path = "../synthetic.rs"]
pub mod synthetic;

/// Makes a fuzz target of the body of the same name.
#[macro_export]
macro_rules! target {
    ($body:ident) => {
        libfuzzer_sys::fuzz_target!(init: $crate::keep_caught_panics_quiet(), |bytes: &[u8]| {
            $crate::bodies::$body(bytes);
        });
    };
}

/// Replaces libFuzzer's hook, which ends the process at panics that the library catches, too. One that nobody catches
/// still ends it: libFuzzer's own `catch_unwind` is around the target.
pub fn keep_caught_panics_quiet() {
    let _ = std::panic::take_hook();
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // Parquet's reader panics on damaged files, and its callers catch it.
        if !panic.location().is_some_and(|place| place.file().contains("/parquet-")) {
            print(panic);
        }
    }));
}
