//! A connection to a place, and the thread-less runtime that drives it.

use std::pin::pin;
use std::process;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::{BackoffConfig, ClientOptions, HeaderMap, HeaderValue, ObjectStore, ObjectStoreScheme, RetryConfig};
use tokio::runtime::{Builder, Runtime};
use url::Position;

use super::address::Address;
use super::connector::{Connector, Redirects};
use super::{Access, Settings};
use crate::shared::error::Error;

/// What one thread at a time uses to talk to a place.
#[derive(Debug)]
pub(super) struct Client {
    process: u32,
    runtime: Runtime,
    store: Box<dyn ObjectStore>,
}

impl Client {
    pub(super) fn new(address: &Address, settings: &Settings) -> Result<Self, Error> {
        let unusable = |problem: String| Error::Remote { place: address.name.clone(), problem: problem.into() };
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| unusable(format!("no connection can be prepared: {error}")))?;
        check_credentials(address, settings).map_err(unusable)?;
        let store = build(address, settings).map_err(|error| {
            unusable(format!("it cannot be reached with these settings: {}", super::words::chain(&error, settings)))
        })?;
        Ok(Self { process: process::id(), runtime, store })
    }

    /// Runs something to its end, or until `stop` returns true.
    pub(super) fn block_on<T>(
        &self,
        stop: impl Fn() -> bool,
        work: &impl AsyncFn(&dyn ObjectStore) -> object_store::Result<T>,
    ) -> object_store::Result<T> {
        self.runtime.block_on(async {
            let mut work = pin!(work(&*self.store));
            loop {
                match tokio::time::timeout(STOP_POLL, &mut work).await {
                    Ok(done) => return done,
                    Err(_) if stop() => {
                        let source = std::io::Error::from(std::io::ErrorKind::Interrupted).into();
                        return Err(object_store::Error::Generic { store: "network", source });
                    }
                    Err(_) => {}
                }
            }
        })
    }

    /// False in a process that was forked from the one that made it: its connections are not ours.
    pub(super) fn is_of_this_process(&self) -> bool {
        self.process == process::id()
    }

    /// Forgets a client of the process that this one was forked from. To close it would close its connections there.
    pub(super) fn abandon(self) {
        std::mem::forget(self);
    }
}

/// How often a request looks whether it should stop.
const STOP_POLL: Duration = Duration::from_millis(100);

fn build(address: &Address, settings: &Settings) -> object_store::Result<Box<dyn ObjectStore>> {
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: 6,
        retry_timeout: Duration::from_mins(2),
    };
    let (scheme, url) = (&address.scheme, address.url.to_string());
    let mut options = Vec::new();
    let connector = Connector { headers: HeaderMap::new(), redirects: Redirects::SameServer };
    if endpoint_variables(scheme).iter().any(|name| settings.variable(name).is_some_and(is_plain_http)) {
        options.push(("allow_http", "true"));
    }
    if *scheme != ObjectStoreScheme::Http && !has_credentials(address, settings) {
        options.push(("skip_signature", "true"));
    }
    Ok(match scheme {
        ObjectStoreScheme::AmazonS3 => {
            let builder = AmazonS3Builder::new().with_url(url).with_retry(retry).with_http_connector(connector);
            let set = |builder: AmazonS3Builder, key: &str, value| Some(builder.with_config(key.parse().ok()?, value));
            Box::new(with(builder, "AWS_", settings, &options, set).build()?)
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            let builder =
                GoogleCloudStorageBuilder::new().with_url(url).with_retry(retry).with_http_connector(connector);
            let set = |builder: GoogleCloudStorageBuilder, key: &str, value| {
                Some(builder.with_config(key.parse().ok()?, value))
            };
            Box::new(with(builder, "GOOGLE_", settings, &options, set).build()?)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            let builder = MicrosoftAzureBuilder::new().with_url(url).with_retry(retry).with_http_connector(connector);
            let set =
                |builder: MicrosoftAzureBuilder, key: &str, value| Some(builder.with_config(key.parse().ok()?, value));
            Box::new(with(builder, "AZURE_", settings, &options, set).build()?)
        }
        _ => {
            let mut headers = HeaderMap::new();
            if let Some(token) = settings.hub_token(&address.url)
                && let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {token}"))
            {
                value.set_sensitive(true);
                headers.insert("authorization", value);
            }
            let host = &address.url[..Position::BeforePath];
            let connector = Connector { headers, redirects: Redirects::AnyServer };
            let client = ClientOptions::new().with_allow_http(true);
            let builder = HttpBuilder::new().with_url(host).with_client_options(client).with_retry(retry);
            Box::new(builder.with_http_connector(connector).build()?)
        }
    })
}

/// Gives a builder our options, and then what the variables say, which wins. Keys that it does not know are passed over.
fn with<B: Clone>(
    builder: B,
    prefix: &str,
    settings: &Settings,
    options: &[(&str, &str)],
    set: impl Fn(B, &str, String) -> Option<B>,
) -> B {
    let ours = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let theirs = settings.variables.iter().filter(|(key, value)| key.starts_with(prefix) && !value.is_empty());
    let theirs = theirs.map(|(key, value)| (key.to_ascii_lowercase(), value.clone()));
    ours.chain(theirs).fold(builder, |builder, (key, value)| set(builder.clone(), &key, value).unwrap_or(builder))
}

fn is_plain_http(endpoint: &str) -> bool {
    endpoint.starts_with("http://")
}

/// The variables that name another server than the cloud's own.
fn endpoint_variables(scheme: &ObjectStoreScheme) -> &'static [&'static str] {
    match scheme {
        ObjectStoreScheme::AmazonS3 => &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"],
        ObjectStoreScheme::GoogleCloudStorage => &["GOOGLE_BASE_URL"],
        ObjectStoreScheme::MicrosoftAzure => &["AZURE_STORAGE_ENDPOINT"],
        _ => &[],
    }
}

/// The variables of which one has to be there, for an object store.
fn credential_variables(scheme: &ObjectStoreScheme) -> &'static [&'static str] {
    match scheme {
        ObjectStoreScheme::AmazonS3 => &[
            "AWS_ACCESS_KEY_ID",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_METADATA_ENDPOINT",
        ],
        ObjectStoreScheme::GoogleCloudStorage => &[
            "GOOGLE_SERVICE_ACCOUNT",
            "GOOGLE_SERVICE_ACCOUNT_PATH",
            "GOOGLE_SERVICE_ACCOUNT_KEY",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "GOOGLE_BEARER_TOKEN",
        ],
        ObjectStoreScheme::MicrosoftAzure => &[
            "AZURE_STORAGE_ACCOUNT_KEY",
            "AZURE_STORAGE_ACCESS_KEY",
            "AZURE_STORAGE_SAS_TOKEN",
            "AZURE_STORAGE_SAS_KEY",
            "AZURE_STORAGE_TOKEN",
            "AZURE_STORAGE_CLIENT_ID",
            "AZURE_CLIENT_ID",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_STORAGE_USE_EMULATOR",
            "AZURE_USE_AZURE_CLI",
        ],
        _ => &[],
    }
}

fn has_credentials(address: &Address, settings: &Settings) -> bool {
    credential_variables(&address.scheme).iter().any(|name| settings.variable(name).is_some())
}

/// Without credentials a store would ask the cloud's own machines for some, which takes minutes anywhere else.
fn check_credentials(address: &Address, settings: &Settings) -> Result<(), String> {
    let wanted = credential_variables(&address.scheme);
    if settings.access == Access::Read || wanted.is_empty() || has_credentials(address, settings) {
        return Ok(());
    }
    let skips = ["AWS_SKIP_SIGNATURE", "GOOGLE_SKIP_SIGNATURE", "AZURE_SKIP_SIGNATURE"];
    if skips.iter().any(|name| settings.variable(name).is_some()) {
        return Ok(());
    }
    let more = if address.scheme == ObjectStoreScheme::AmazonS3 {
        ", with AWS_SECRET_ACCESS_KEY and, as needed, AWS_SESSION_TOKEN, AWS_REGION and AWS_ENDPOINT_URL"
    } else {
        ""
    };
    Err(format!(
        "there are no credentials for it in the environment, which is the only place they are taken from. One of these \
         variables is needed: {}{more}",
        wanted.join(", ")
    ))
}
