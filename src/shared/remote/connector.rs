//! Sends requests. Credentials do not follow redirects to other servers, and responses that `object_store` reads entirely
//! have limits.

use std::pin::Pin;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use object_store::{ClientConfigKey, ClientOptions, HeaderMap};
use reqwest::redirect::{Attempt, Policy};

/// Creates the HTTP clients of a location.
#[derive(Debug)]
pub(super) struct Connector {
    /// Headers of each request. `authorization` is not sent to other servers.
    pub(super) headers: HeaderMap,
    pub(super) redirects: Redirects,
}

/// Redirects that are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redirects {
    /// To the same server. Session tokens and customer keys are in headers that would be sent to any server.
    SameServer,
    /// To any server, but never from HTTPS to HTTP.
    AnyServer,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        self.client(options).map(|client| HttpClient::new(Bounded { client: HttpClient::new(client) })).map_err(
            |error| object_store::Error::Generic { store: "HTTP client", source: Box::new(error.without_url()) },
        )
    }
}

impl Connector {
    fn client(&self, options: &ClientOptions) -> reqwest::Result<reqwest::Client> {
        let text = |key| options.get_config_value(&key);
        let is_on = |key| text(key).is_some_and(|value| value == "true");
        let agent = concat!("relabel/", env!("CARGO_PKG_VERSION"));
        let redirects = self.redirects;
        let mut builder = reqwest::Client::builder()
            .user_agent(text(ClientConfigKey::UserAgent).unwrap_or_else(|| agent.to_owned()))
            .default_headers(self.headers.clone())
            .redirect(Policy::custom(move |attempt| redirects.decide(attempt)))
            // A referer would show the URL and its query to the next server.
            .referer(false)
            .https_only(!is_on(ClientConfigKey::AllowHttp))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate();
        if let Some(proxy) = text(ClientConfigKey::ProxyUrl) {
            let excludes = text(ClientConfigKey::ProxyExcludes).as_deref().and_then(reqwest::NoProxy::from_string);
            builder = builder.proxy(reqwest::Proxy::all(proxy)?.no_proxy(excludes));
        }
        if let Some(certificate) = text(ClientConfigKey::ProxyCaCertificate) {
            let certificate = reqwest::tls::Certificate::from_pem(certificate.as_bytes())?;
            builder = builder.tls_certs_merge(std::iter::once(certificate));
        }
        if is_on(ClientConfigKey::AllowInvalidCertificates) {
            builder = builder.danger_accept_invalid_certs(true);
        }
        if is_on(ClientConfigKey::Http1Only) {
            builder = builder.http1_only();
        }
        builder.build()
    }
}

impl Redirects {
    fn decide(self, attempt: Attempt<'_>) -> reqwest::redirect::Action {
        let (next, previous) = (attempt.url(), attempt.previous());
        let may_follow = previous.len() < MAX_REDIRECTS
            && previous.iter().all(|asked| match self {
                Self::SameServer => asked.origin() == next.origin(),
                Self::AnyServer => asked.scheme() == next.scheme() || next.scheme() == "https",
            });
        // The redirect itself is then the response, which is an error.
        if may_follow { attempt.follow() } else { attempt.stop() }
    }
}

/// A client that limits the length of all responses except those with a file, which are read with a limit of their own.
#[derive(Debug)]
struct Bounded {
    client: HttpClient,
}

/// Type of an asynchronous function in `async_trait`.
type Answer<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Bounded {
    fn call<'life0, 'async_trait>(&'life0 self, request: HttpRequest) -> Answer<'async_trait>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let is_list = request.uri().query().is_some_and(|query| query.split('&').any(is_of_list));
            let answer = self.client.execute(request).await?;
            let most = match answer.status().is_success() {
                true if is_list => MAX_LIST_BYTES,
                true => return Ok(answer),
                false => MAX_ERROR_BYTES,
            };
            let (parts, body) = answer.into_parts();
            let mut pieces = body.bytes_stream();
            let mut bytes = Vec::new();
            while bytes.len() < most
                && let Some(piece) = pieces.try_next().await?
            {
                bytes.extend_from_slice(&piece[..piece.len().min(most - bytes.len())]);
            }
            Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(bytes)))
        })
    }
}

fn is_of_list(parameter: &str) -> bool {
    ["list-type=", "comp=list", "prefix=", "delimiter="].iter().any(|start| parameter.starts_with(start))
}

/// Longest pause within a response.
const SILENCE_TIMEOUT: Duration = Duration::from_mins(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_hours(1);
const MAX_REDIRECTS: usize = 10;
/// Longest error response. Messages show far less of it.
const MAX_ERROR_BYTES: usize = 1 << 16;
/// Longest page of a list, which has up to a thousand names.
const MAX_LIST_BYTES: usize = 1 << 24;
