//! A client of an object store or web server, with a runtime that needs no threads.

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

use super::address::RemoteAddress;
use super::connector::{Connector, Redirects};
use super::settings::{Access, RemoteSettings};
use crate::shared::error::Error;

/// A client and its runtime, used by one thread at a time.
#[derive(Debug)]
pub(super) struct Client {
    process: u32,
    runtime: Runtime,
    store: Box<dyn ObjectStore>,
}

impl Client {
    pub(super) fn new(address: &RemoteAddress, settings: &RemoteSettings) -> Result<Self, Error> {
        let unusable = |problem: String| Error::Remote { location: address.name.clone(), problem: problem.into() };
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| unusable(format!("cannot prepare a connection: {error}")))?;
        check_credentials(address, settings)
            .map_err(|problem| Error::Remote { location: address.name.clone(), problem: problem.into() })?;
        let store = build(address, settings).map_err(|error| {
            unusable(format!("cannot use these settings: {}", super::failure::root_cause(&error, settings)))
        })?;
        Ok(Self { process: process::id(), runtime, store })
    }

    /// Runs `work` until it ends or `stop` returns true.
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

    /// Returns whether this process created the client. A forked process must not use it: the parent owns its connections.
    pub(super) fn is_of_this_process(&self) -> bool {
        self.process == process::id()
    }

    /// Leaks a client of the parent process. Dropping it would close the connections of the parent.
    pub(super) fn abandon(self) {
        std::mem::forget(self);
    }
}

/// Interval at which a request checks whether to stop.
const STOP_POLL: Duration = Duration::from_millis(100);

fn build(address: &RemoteAddress, settings: &RemoteSettings) -> object_store::Result<Box<dyn ObjectStore>> {
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
            Box::new(configured(builder, "AWS_", settings, &options, set).build()?)
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            let builder =
                GoogleCloudStorageBuilder::new().with_url(url).with_retry(retry).with_http_connector(connector);
            let set = |builder: GoogleCloudStorageBuilder, key: &str, value| {
                Some(builder.with_config(key.parse().ok()?, value))
            };
            Box::new(configured(builder, "GOOGLE_", settings, &options, set).build()?)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            let builder = MicrosoftAzureBuilder::new().with_url(url).with_retry(retry).with_http_connector(connector);
            let set =
                |builder: MicrosoftAzureBuilder, key: &str, value| Some(builder.with_config(key.parse().ok()?, value));
            Box::new(configured(builder, "AZURE_", settings, &options, set).build()?)
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

/// Applies our options to a builder, and then those of the variables, which take precedence. Unknown keys are ignored.
fn configured<B: Clone>(
    builder: B,
    prefix: &str,
    settings: &RemoteSettings,
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

/// Variables that override the cloud's own endpoint.
fn endpoint_variables(scheme: &ObjectStoreScheme) -> &'static [&'static str] {
    match scheme {
        ObjectStoreScheme::AmazonS3 => &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"],
        ObjectStoreScheme::GoogleCloudStorage => &["GOOGLE_BASE_URL"],
        ObjectStoreScheme::MicrosoftAzure => &["AZURE_STORAGE_ENDPOINT"],
        _ => &[],
    }
}

/// Variables of which an object store needs at least one.
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

fn has_credentials(address: &RemoteAddress, settings: &RemoteSettings) -> bool {
    credential_variables(&address.scheme).iter().any(|name| settings.variable(name).is_some())
}

/// Credentials that an object store needs are missing.
#[derive(Debug, thiserror::Error)]
#[error(
    "no credentials in the environment\n  help: set one of these variables: {}{}",
    variables.join(", "),
    others.map(|others| format!("; with {others}")).unwrap_or_default()
)]
struct CredentialsError {
    /// Variables of which one is needed.
    variables: &'static [&'static str],
    /// Variables that belong to them.
    others: Option<&'static str>,
}

/// Refuses missing credentials. Without any, `object_store` would request some from the cloud's metadata service, which
/// takes minutes outside the cloud.
fn check_credentials(address: &RemoteAddress, settings: &RemoteSettings) -> Result<(), CredentialsError> {
    let wanted = credential_variables(&address.scheme);
    if settings.access == Access::Read || wanted.is_empty() || has_credentials(address, settings) {
        return Ok(());
    }
    let skips = ["AWS_SKIP_SIGNATURE", "GOOGLE_SKIP_SIGNATURE", "AZURE_SKIP_SIGNATURE"];
    if skips.iter().any(|name| settings.variable(name).is_some()) {
        return Ok(());
    }
    let others = (address.scheme == ObjectStoreScheme::AmazonS3)
        .then_some("AWS_SECRET_ACCESS_KEY and, if needed, AWS_SESSION_TOKEN, AWS_REGION and AWS_ENDPOINT_URL");
    Err(CredentialsError { variables: wanted, others })
}
