//! Threads that may not be had: a shortage is an error, and never a panic.

use std::thread::{Builder, Scope, ScopedJoinHandle};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::shared::error::Error;

/// Starts a pool of so many threads, which are called `name-0`, `name-1`, ...
///
/// # Errors
/// Returns [`Error::Threads`] if they cannot be started.
pub fn thread_pool(count: usize, name: &'static str) -> Result<ThreadPool, Error> {
    let builder = ThreadPoolBuilder::new().num_threads(count).thread_name(move |index| format!("{name}-{index}"));
    builder.build().map_err(|error| Error::Threads { count, problem: error.into() })
}

/// Starts rayon's own pool, of so many threads. Without this it is started by the first use, which panics where threads
/// cannot be had. Does nothing where it was started before.
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
        let panicked = |_| Error::Internal { action: action.to_owned(), problem: "a thread panicked".into() };
        results.into_iter().map(|result| result.map_err(panicked)).collect()
    })
}
