//! How a remote location is reached.

use std::fmt;
use std::sync::Arc;

use url::Url;

/// Credentials, access and interruption of a remote location.
#[derive(Clone, Default)]
pub struct RemoteSettings {
    /// Environment variables. Those that begin with `AWS_`, `GOOGLE_`, `AZURE_` and `HF_` are used, with the meaning that
    /// `object_store` gives them.
    pub variables: Vec<(String, String)>,
    /// Access that the caller needs.
    pub access: Access,
    /// Polled while a response is awaited; requests end with [`Error::Interrupted`](crate::shared::error::Error::Interrupted)
    /// once it returns true.
    pub stop: Option<StopCheck>,
}

/// Returns whether the caller requested a stop. Called from the thread that waits, about ten times a second.
pub type StopCheck = Arc<dyn Fn() -> bool + Send + Sync>;

/// Access to a remote location.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Read, without credentials if none are set.
    #[default]
    Read,
    /// Read and write.
    Write,
}

/// Address of the Hugging Face Hub, unless `HF_ENDPOINT` is set.
const HUB: &str = "https://huggingface.co";

impl RemoteSettings {
    pub(super) fn should_stop(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop())
    }

    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Returns the name of an endpoint variable whose URL contains a user or password.
    pub(super) fn endpoint_with_user(&self) -> Option<&str> {
        let has_user = |value: &str| {
            Url::parse(value)
                .is_ok_and(|url| url.password().is_some() || (url.has_host() && !url.username().is_empty()))
        };
        let is_endpoint = |name: &str| name == "HF_ENDPOINT" || (is_cloud_variable(name) && name.contains("ENDPOINT"));
        let found = self.variables.iter().find(|(name, value)| is_endpoint(name) && has_user(value));
        found.map(|(name, _)| name.as_str())
    }

    pub(super) fn hub_endpoint(&self) -> &str {
        self.variable("HF_ENDPOINT").unwrap_or(HUB)
    }

    /// Returns the token for the Hub if the address belongs to the Hub.
    pub(super) fn hub_token(&self, url: &Url) -> Option<&str> {
        let hub = Url::parse(self.hub_endpoint()).ok()?;
        self.variable("HF_TOKEN").filter(|_| hub.origin() == url.origin())
    }
}

fn is_cloud_variable(name: &str) -> bool {
    ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|prefix| name.starts_with(prefix))
}

/// Hides the variables, which contain credentials.
impl fmt::Debug for RemoteSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteSettings {{ access: {:?}, .. }}", self.access)
    }
}
