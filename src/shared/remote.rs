//! Stores and releases in the network: object stores (S3 and what speaks like it, Google Cloud Storage, Azure) and web
//! servers. The only room that knows `object_store`, and with it asynchronous code: what it shows to others blocks.
//!
//! Credentials come from the variables that the caller hands in, and no message holds one
//! (test `remote::credentials_are_never_printed`).

mod address;
mod connector;
mod client;
mod words;
mod body;
mod reading;
mod writing;
mod cache;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use object_store::ObjectStore;

use crate::shared::error::Error;

use address::Address;
use client::Client;

pub use address::is_address;
pub use cache::CachedFiles;
pub use writing::Sent;

/// A place in the network: a bucket and a prefix in it, or an address of a web server. Threads share it, and it survives
/// `fork`: connections are made when they are needed, and no threads are kept.
#[derive(Debug)]
pub struct Remote {
    address: Address,
    settings: Settings,
    /// Whether parts of files are given when they are asked for; believed until it does not happen.
    gives_ranges: AtomicBool,
    /// Clients that nobody uses just now.
    idle: Mutex<Vec<Client>>,
}

/// How a place is to be reached.
#[derive(Clone, Default)]
pub struct Settings {
    /// Variables as an environment has them; of these, the ones that begin with `AWS_`, `GOOGLE_`, `AZURE_` and `HF_`
    /// are looked at. Their meaning is that of `object_store`.
    pub variables: Vec<(String, String)>,
    /// What is wanted there.
    pub access: Access,
    /// Asked while an answer is waited for: true when the caller wishes to stop. Requests then end with
    /// [`Error::Interrupted`].
    pub stop: Option<Stop>,
}

/// Tells whether a stop was asked for. It is called from the thread that waits, about ten times a second.
pub type Stop = Arc<dyn Fn() -> bool + Send + Sync>;

/// What is wanted of a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Reading; without credentials, as the public may.
    #[default]
    Read,
    /// Reading and writing.
    Write,
}

impl Remote {
    /// Understands an address: `s3://bucket/path`, `gs://bucket/path`, `az://container/path`, `https://host/path`,
    /// `hf://datasets/user/name`. Nothing is asked of the network yet.
    ///
    /// # Errors
    /// [`Error::Usage`] when it is no such address, or cannot be written to; [`Error::Remote`] when credentials are missing
    /// or the settings contradict each other.
    pub fn open(address: &str, settings: Settings) -> Result<Self, Error> {
        let address = Address::parse(address, &settings)?;
        let first = Client::new(&address, &settings)?;
        Ok(Self { address, settings, gives_ranges: AtomicBool::new(true), idle: Mutex::new(vec![first]) })
    }

    /// What messages call the place: its address, without credentials.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.address.name
    }

    /// False once the server has given a whole file where a part was asked for.
    #[must_use]
    pub fn gives_ranges(&self) -> bool {
        self.gives_ranges.load(Ordering::Relaxed)
    }

    /// Lets a client do something, and again where an answer was cut off: the client itself tries again only what failed
    /// before an answer began.
    fn tried<T>(&self, work: impl Fn(&Client) -> object_store::Result<T>) -> Result<object_store::Result<T>, Error> {
        let mut pause = Duration::from_millis(100);
        for _ in 0..ANSWERS_CUT_OFF {
            match self.with_client(&work)? {
                Err(_) if self.should_stop() => return Err(Error::Interrupted),
                Err(error) if words::is_cut_off(&error) => std::thread::sleep(pause),
                done => return Ok(done),
            }
            pause = LONGEST_PAUSE.min(pause * 2);
        }
        match self.with_client(work)? {
            Err(_) if self.should_stop() => Err(Error::Interrupted),
            done => Ok(done),
        }
    }

    /// Asks the place for something, until it answers or a stop is asked for.
    fn ask<T>(
        &self,
        work: &impl AsyncFn(&dyn ObjectStore) -> object_store::Result<T>,
    ) -> Result<object_store::Result<T>, Error> {
        self.tried(|client| client.block_on(|| self.should_stop(), work))
    }

    fn should_stop(&self) -> bool {
        self.settings.stop.as_ref().is_some_and(|stop| stop())
    }

    /// Lets a client do something, and keeps it for the next time.
    ///
    /// Locks are only tried: in a process that was forked while another thread held one, it would never be let go.
    fn with_client<T>(&self, work: impl FnOnce(&Client) -> T) -> Result<T, Error> {
        let mut known = None;
        if let Ok(mut idle) = self.idle.try_lock() {
            while let Some(client) = idle.pop() {
                if client.is_of_this_process() {
                    known = Some(client);
                    break;
                }
                client.abandon();
            }
        }
        let client = match known {
            Some(client) => client,
            None => Client::new(&self.address, &self.settings)?,
        };
        let done = work(&client);
        if let Ok(mut idle) = self.idle.try_lock() {
            idle.push(client);
        }
        Ok(done)
    }
}

/// Answers that may be cut off before one is an error. A large file is sent by several requests, and begins anew when one
/// of them is.
const ANSWERS_CUT_OFF: usize = 12;
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Settings {{ access: {:?}, .. }}", self.access)
    }
}
