//! Which place an address means.

use object_store::ObjectStoreScheme;
use object_store::path::Path;
use url::Url;

use super::{Access, Settings};
use crate::shared::error::Error;

/// A place that was understood.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) url: Url,
    pub(super) scheme: ObjectStoreScheme,
    /// What stands before the names of files.
    prefix: Path,
    /// The address without credentials.
    pub(super) name: String,
}

/// Whether a text is an address in the network rather than a path.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+'))
}

impl Address {
    pub(super) fn parse(text: &str, settings: &Settings) -> Result<Self, Error> {
        let of_hub = hub_address(text, settings);
        let mut url = Url::parse(of_hub.as_deref().unwrap_or(text))
            .map_err(|error| Error::Usage(format!("`{}` is no address: {error}", without_credentials(text))))?;
        let name = without_credentials(text.trim_end_matches('/'));
        let unusable = |problem: &str| Error::Usage(format!("{name}: {problem}"));
        let names_a_user = url.password().is_some() || !url.username().is_empty();
        if names_a_user && !matches!(url.scheme(), "abfs" | "abfss") {
            return Err(unusable(NO_USER));
        }
        if let Some(variable) = settings.variable_with_user() {
            return Err(Error::Usage(format!("{variable}: {NO_USER}")));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(unusable(
                "an address of a whole folder is needed, without `?` and `#`: the names of its files are put behind it",
            ));
        }
        // A folder, with or without the last slash.
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        let known = ObjectStoreScheme::parse(&url);
        let (scheme, prefix) = known.map_err(|_| unusable(KNOWN))?;
        match (&scheme, settings.access) {
            (ObjectStoreScheme::Local | ObjectStoreScheme::Memory, _) => return Err(unusable(KNOWN)),
            (ObjectStoreScheme::Http, Access::Write) => return Err(unusable(NOT_TO_WRITE)),
            _ => {}
        }
        Ok(Self { url, scheme, prefix, name })
    }

    /// Where a file of the place lies in its bucket.
    pub(super) fn of_file(&self, inside: &str) -> Result<Path, Error> {
        let path =
            if self.prefix.as_ref().is_empty() { inside.to_owned() } else { format!("{}/{inside}", self.prefix) };
        Path::parse(&path)
            .map_err(|error| Error::Remote { place: self.name.clone(), problem: error.to_string().into() })
    }

    pub(super) fn prefix(&self) -> Option<&Path> {
        Some(&self.prefix).filter(|prefix| !prefix.as_ref().is_empty())
    }

    /// The name inside the place of what lies here in its bucket.
    pub(super) fn name_of(&self, location: &Path) -> Option<String> {
        let inside = location.as_ref().strip_prefix(self.prefix.as_ref())?;
        Some(inside.strip_prefix('/').unwrap_or(inside).to_owned()).filter(|inside| !inside.is_empty())
    }
}

const KNOWN: &str = "relabel knows s3://bucket/path, gs://bucket/path, az://container/path, https://host/path and \
                     hf://datasets/user/name";

const NO_USER: &str = "an address with a user or password in it is refused: addresses are stored and shown. Credentials are \
                       taken from the variables of the environment";

const NOT_TO_WRITE: &str = "web servers and the Hub are read, not written to. Publish into a folder and copy it there; \
                            for the Hub, `hf upload-large-folder` does (the command is printed after publishing)";

/// Where the files of `hf://datasets/user/name[@revision]` lie on the Hub, or on the one that `HF_ENDPOINT` names.
fn hub_address(text: &str, settings: &Settings) -> Option<String> {
    let path = text.strip_prefix("hf://")?;
    let mut parts = path.trim_end_matches('/').splitn(4, '/');
    let (kind, user, name, inside) = (parts.next()?, parts.next()?, parts.next()?, parts.next());
    let (name, revision) = name.split_once('@').unwrap_or((name, "main"));
    let endpoint = settings.variable("HF_ENDPOINT").unwrap_or(HUB).trim_end_matches('/');
    let inside = inside.map_or(String::new(), |inside| format!("/{inside}"));
    Some(format!("{endpoint}/{kind}/{user}/{name}/resolve/{revision}{inside}"))
}

const HUB: &str = "https://huggingface.co";

impl Settings {
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The name of a variable whose address has a user or password in it.
    fn variable_with_user(&self) -> Option<&str> {
        let names_a_user = |value: &str| {
            Url::parse(value)
                .is_ok_and(|url| url.password().is_some() || (url.has_host() && !url.username().is_empty()))
        };
        let of_endpoint = |name: &str| name == "HF_ENDPOINT" || (is_of_cloud(name) && name.contains("ENDPOINT"));
        let found = self.variables.iter().find(|(name, value)| of_endpoint(name) && names_a_user(value));
        found.map(|(name, _)| name.as_str())
    }

    /// The token for the Hub, where the address is one of the Hub's.
    pub(super) fn hub_token(&self, url: &Url) -> Option<&str> {
        let hub = Url::parse(self.variable("HF_ENDPOINT").unwrap_or(HUB)).ok()?;
        self.variable("HF_TOKEN").filter(|_| hub.origin() == url.origin())
    }
}

fn is_of_cloud(name: &str) -> bool {
    ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|prefix| name.starts_with(prefix))
}

/// An address as it may be said: without user and password.
fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let path = path.split(['?', '#']).next().unwrap_or(path);
    match host.rsplit_once('@') {
        // `abfs://file_system@account` names no user.
        _ if scheme.starts_with("abfs") => format!("{scheme}://{host}{path}"),
        Some((_, host)) => format!("{scheme}://{host}{path}"),
        // A password may have a slash in it.
        None if host.contains(':') && path.contains('@') => {
            format!("{scheme}://{}", path.rsplit('@').next().unwrap_or_default())
        }
        None => format!("{scheme}://{host}{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<Address, Error> {
        Address::parse(text, &Settings::default())
    }

    #[test]
    fn files_lie_below_the_prefix() {
        for (text, file) in [
            ("s3://bucket/a/b", "a/b/zarr.json"),
            ("s3://bucket/a/b/", "a/b/zarr.json"),
            ("s3://bucket", "zarr.json"),
            ("gs://bucket/x", "x/zarr.json"),
            ("https://host:8080/my%20set/", "my set/zarr.json"),
            ("hf://datasets/user/name", "datasets/user/name/resolve/main/zarr.json"),
            ("hf://datasets/user/name@v1/part", "datasets/user/name/resolve/v1/part/zarr.json"),
        ] {
            let address = address(text).unwrap();
            let location = address.of_file("zarr.json").unwrap();
            assert_eq!(location.as_ref(), file, "{text}");
            assert_eq!(address.name_of(&location).unwrap(), "zarr.json");
        }
    }

    #[test]
    fn what_is_no_such_address_is_refused() {
        for bad in ["ftp://host/x", "file:///x", "memory:///", "https://host/x?download=true", "s3://", "://x"] {
            assert!(matches!(address(bad), Err(Error::Usage(_))), "{bad}");
        }
        let settings = Settings { access: Access::Write, ..Settings::default() };
        let refusal = Address::parse("https://host/x", &settings).unwrap_err().to_string();
        assert!(refusal.contains("hf upload-large-folder"), "{refusal}");
    }

    #[test]
    fn addresses_are_told_from_paths() {
        assert!(["s3://a/b", "https://a", "hf://datasets/a/b"].iter().all(|text| is_address(text)));
        assert!(["labels", "./a:b", "C:/x", "a b://c", "://"].iter().all(|text| !is_address(text)));
    }

    #[test]
    fn no_name_holds_a_password() {
        for with_password in [
            "https://me:secret@host/x",
            "https://me:secret@host/x?token=secret",
            "https://secret@host/x",
            "https://me:sec/secret@host/x",
            "s3://me:secret@bucket/x",
            "https://me:secret@host:port/x",
        ] {
            let refusal = address(with_password).unwrap_err();
            assert!(matches!(refusal, Error::Usage(_)), "{refusal}");
            assert!(!refusal.to_string().contains("secret"), "{refusal}");
        }
        assert!(address("abfs://files@account.dfs.core.windows.net/x").is_ok());
        let variables = vec![("AWS_ENDPOINT_URL".to_owned(), "http://me:secret@host".to_owned())];
        let settings = Settings { variables, ..Settings::default() };
        let refusal = Address::parse("s3://bucket/x", &settings).unwrap_err().to_string();
        assert!(refusal.contains("AWS_ENDPOINT_URL") && !refusal.contains("secret"), "{refusal}");
    }
}
