//! A bucket, a prefix in one, or a folder of a web server.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use object_store::ObjectStore;

use super::address::RemoteAddress;
use super::client::Client;
use super::failure;
use super::settings::RemoteSettings;
use crate::shared::error::Error;

/// The files below a prefix of a bucket, or below the URL of a web server. Threads can share it, and it survives `fork`:
/// connections are made when they are needed, and no threads are kept.
#[derive(Debug)]
pub struct RemoteFiles {
    pub(super) address: RemoteAddress,
    pub(super) settings: RemoteSettings,
    /// Whether the server supports range requests; assumed until one fails.
    supports_ranges: AtomicBool,
    /// Clients that are not in use.
    idle: Mutex<Vec<Client>>,
}

impl RemoteFiles {
    /// Parses an address: `s3://bucket/path`, `gs://bucket/path`, `az://container/path`, `https://host/path`,
    /// `hf://datasets/user/name`. Sends no request.
    ///
    /// # Errors
    /// Returns [`Error::Usage`] if the scheme is unknown or the location is not writable; [`Error::Remote`] if credentials
    /// are missing or the settings contradict each other.
    pub fn open(address: &str, settings: RemoteSettings) -> Result<Self, Error> {
        let address = RemoteAddress::parse(address, &settings)?;
        let first = Client::new(&address, &settings)?;
        Ok(Self { address, settings, supports_ranges: AtomicBool::new(true), idle: Mutex::new(vec![first]) })
    }

    /// Address without credentials, for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.address.name
    }

    /// Returns whether the server supports range requests; false once it has answered one with the entire file.
    #[must_use]
    pub fn supports_ranges(&self) -> bool {
        self.supports_ranges.load(Ordering::Relaxed)
    }

    pub(super) fn set_without_ranges(&self) {
        self.supports_ranges.store(false, Ordering::Relaxed);
    }

    /// Returns the error of a failed request for a file, or for the location itself if `inside` is empty.
    pub(super) fn failure(&self, inside: &str, action: &'static str, error: &object_store::Error) -> Error {
        let name = if inside.is_empty() { self.name().to_owned() } else { format!("{}/{inside}", self.name()) };
        failure::failure(name, &self.settings, action, error)
    }

    /// Sends a request until there is a response or the caller requests a stop. A response that was cut off is requested
    /// again: the client itself retries only what failed before a response began.
    pub(super) fn request<T>(
        &self,
        work: &impl AsyncFn(&dyn ObjectStore) -> object_store::Result<T>,
    ) -> Result<object_store::Result<T>, Error> {
        let request = || self.with_client(|client| client.block_on(|| self.settings.should_stop(), work));
        let mut pause = Duration::from_millis(100);
        for _ in 0..MAX_RETRIES_OF_CUT_OFF {
            match request()? {
                Err(_) if self.settings.should_stop() => return Err(Error::Interrupted),
                Err(error) if failure::is_cut_off(&error) => std::thread::sleep(pause),
                done => return Ok(done),
            }
            pause = MAX_PAUSE.min(pause * 2);
        }
        match request()? {
            Err(_) if self.settings.should_stop() => Err(Error::Interrupted),
            done => Ok(done),
        }
    }

    /// Runs `work` with an idle client or a new one, and keeps the client for the next call.
    ///
    /// Locks are only tried: in a process that was forked while another thread held one, it would never be released.
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

/// Retries of responses that are cut off. A large file is uploaded in several requests, and starts anew when one of them
/// is cut off.
const MAX_RETRIES_OF_CUT_OFF: usize = 12;
const MAX_PAUSE: Duration = Duration::from_secs(1);
