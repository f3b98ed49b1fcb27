//! Starts threads. A refusal by the operating system is an error, never a panic.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc;
use std::thread::{Builder, Scope, ScopedJoinHandle};

use rayon::{ThreadBuilder, ThreadPool, ThreadPoolBuilder};

use crate::shared::error::Error;

/// Starts a pool of `count` threads, named `name-0`, `name-1`, ...
///
/// # Errors
/// Returns [`Error::Threads`] if they cannot be started.
pub fn thread_pool(count: usize, name: &'static str) -> Result<ThreadPool, Error> {
    let builder = ThreadPoolBuilder::new().num_threads(count).thread_name(move |index| format!("{name}-{index}"));
    builder.spawn_handler(spawn_and_wait).build().map_err(|error| Error::Threads { count, problem: error.into() })
}

/// Starts a thread of a pool, and waits until it runs. A starting thread needs some memory of its own, and the process aborts
/// if it gets none: many threads that start at once could take the last of it from each other
/// (`exits::failing_to_start_threads_is_an_error_without_a_panic`).
fn spawn_and_wait(thread: ThreadBuilder) -> io::Result<()> {
    let (started, is_running) = mpsc::channel();
    let name = thread.name().unwrap_or_default().to_owned();
    Builder::new().name(name).spawn(move || {
        // The receiver waits.
        let _ = started.send(());
        thread.run();
    })?;
    let _ = is_running.recv();
    Ok(())
}

/// Starts rayon's global pool with `count` threads. Otherwise its first use starts it, and panics if threads cannot be
/// started. Does nothing if it is already running.
///
/// # Errors
/// Returns [`Error::Threads`] if they cannot be started.
pub fn start_common_pool(count: usize) -> Result<(), Error> {
    let built = ThreadPoolBuilder::new().num_threads(count).build_global();
    match built {
        Err(error) if std::error::Error::source(&error).is_some() => {
            Err(Error::Threads { count, problem: error.into() })
        }
        _ => Ok(()),
    }
}

/// Does the work of a thread, and turns a panic into an error: a scope that joins the thread would panic too. `action` is a
/// verb with its object: "decode images".
///
/// # Errors
/// Returns the error of the work, or [`Error::Internal`] if it panics.
pub fn catch_panic<T>(action: &str, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        Err(Error::Internal { action: action.to_owned(), problem: panic_message(&*payload).into() })
    })
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("a thread panicked: {}", text.unwrap_or("no message"))
}

/// Starts one thread of a scope.
///
/// # Errors
/// Returns [`Error::Threads`] if it cannot be started.
pub fn spawn_in<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, Error> {
    Builder::new().spawn_scoped(scope, work).map_err(|error| Error::Threads { count: 1, problem: error.into() })
}

/// Runs each task on a thread of its own, and returns the results in the order of the tasks. The threads end with this
/// call: a thread pool would not survive `fork`.
///
/// # Errors
/// Returns [`Error::Threads`] if a thread cannot be started; [`Error::Internal`] if one panics while it does `action`.
pub fn run_concurrently<'env, T: Send + 'env, F: FnOnce() -> T + Send + 'env>(
    action: &str,
    tasks: impl IntoIterator<Item = F>,
) -> Result<Vec<T>, Error> {
    std::thread::scope(|scope| {
        let (mut threads, mut failure) = (Vec::new(), None);
        for task in tasks {
            match spawn_in(scope, task) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        // All threads are joined before the first failure is returned: the scope panics if one that was not joined did.
        let results: Vec<_> = threads.into_iter().map(ScopedJoinHandle::join).collect();
        if let Some(error) = failure {
            return Err(error);
        }
        let panicked = |payload: Box<dyn Any + Send>| Error::Internal {
            action: action.to_owned(),
            problem: panic_message(&*payload).into(),
        };
        results.into_iter().map(|result| result.map_err(panicked)).collect()
    })
}

/// Does two tasks at the same time, the first on a thread of its own. The thread ends with this call: after `fork`, the child would
/// wait for ever for a thread pool of its parent. If no thread can be started, does the tasks one after the other.
pub fn join_two<A: Send, B>(mut first: impl FnMut() -> A + Send, mut second: impl FnMut() -> B) -> (A, B) {
    let joined = std::thread::scope(|scope| {
        let thread = spawn_in(scope, &mut first).ok()?;
        let result = second();
        Some((thread.join(), result))
    });
    match joined {
        Some((Ok(first), second)) => (first, second),
        Some((Err(panic), _)) => resume_unwind(panic),
        None => (first(), second()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_tasks_return_their_results_or_panic() {
        let mut count = 0;
        assert_eq!(join_two(|| "first", || count += 1), ("first", ()));
        assert_eq!(count, 1);
        assert!(catch_panic("count", || Ok(join_two(|| panic!("on purpose"), || ()))).is_err());
    }

    #[test]
    fn a_panic_becomes_an_internal_error() {
        let panicked: Result<(), Error> = catch_panic("count", || panic!("row {} is odd", 7));
        let message = panicked.unwrap_err().to_string();
        assert!(message.contains("cannot count: a thread panicked: row 7 is odd"), "{message}");
        assert!(matches!(catch_panic("count", || Ok(7)), Ok(7)));
    }
}
