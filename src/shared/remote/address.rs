//! Addresses of remote locations.

use object_store::ObjectStoreScheme;
use object_store::path::Path;
use url::Url;

use super::settings::{Access, RemoteSettings};
use crate::shared::error::Error;

/// A parsed address.
#[derive(Debug)]
pub(super) struct RemoteAddress {
    pub(super) url: Url,
    pub(super) scheme: ObjectStoreScheme,
    /// Prefix of the names of files.
    prefix: Path,
    /// The address without credentials.
    pub(super) name: String,
}

/// Returns whether a string is a URL rather than a path.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+'))
}

impl RemoteAddress {
    pub(super) fn parse(text: &str, settings: &RemoteSettings) -> Result<Self, Error> {
        let hub_url = hub_url(text, settings);
        let mut url = Url::parse(hub_url.as_deref().unwrap_or(text))
            .map_err(|error| Error::Usage(format!("`{}` is not a URL: {error}", without_credentials(text))))?;
        let name = without_credentials(text.trim_end_matches('/'));
        let unusable = |problem: &str| Error::Usage(format!("{name}: {problem}"));
        let has_user = url.password().is_some() || !url.username().is_empty();
        if has_user && !matches!(url.scheme(), "abfs" | "abfss") {
            return Err(unusable(NO_USER));
        }
        if let Some(variable) = settings.endpoint_with_user() {
            return Err(Error::Usage(format!("{variable}: {NO_USER}")));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(unusable(
                "the URL contains `?` or `#`\n  help: pass the URL of a folder; names of files are appended to it",
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

    /// Returns the location of a file in its bucket.
    pub(super) fn location(&self, inside: &str) -> Result<Path, Error> {
        let path =
            if self.prefix.as_ref().is_empty() { inside.to_owned() } else { format!("{}/{inside}", self.prefix) };
        Path::parse(&path)
            .map_err(|error| Error::Remote { location: self.name.clone(), problem: error.to_string().into() })
    }

    pub(super) fn prefix(&self) -> Option<&Path> {
        Some(&self.prefix).filter(|prefix| !prefix.as_ref().is_empty())
    }

    /// Returns the name, relative to the prefix, of an object in the bucket.
    pub(super) fn name_inside(&self, location: &Path) -> Option<String> {
        let inside = location.as_ref().strip_prefix(self.prefix.as_ref())?;
        Some(inside.strip_prefix('/').unwrap_or(inside).to_owned()).filter(|inside| !inside.is_empty())
    }
}

const KNOWN: &str = "relabel supports s3://bucket/path, gs://bucket/path, az://container/path, https://host/path and \
                     hf://datasets/user/name";

const NO_USER: &str = "a URL must not contain a user or password, since URLs are stored and shown\n  help: set the \
                       environment variables for credentials";

const NOT_TO_WRITE: &str = "web servers and the Hub are read-only\n  help: publish into a folder and copy it there; for the Hub, \
                            with `hf upload-large-folder` (the command is printed after publishing)";

/// Returns the URL of `hf://datasets/user/name[@revision]` on the Hub or on the endpoint of `HF_ENDPOINT`.
fn hub_url(text: &str, settings: &RemoteSettings) -> Option<String> {
    let path = text.strip_prefix("hf://")?;
    let mut parts = path.trim_end_matches('/').splitn(4, '/');
    let (kind, user, name, inside) = (parts.next()?, parts.next()?, parts.next()?, parts.next());
    let (name, revision) = name.split_once('@').unwrap_or((name, "main"));
    let endpoint = settings.hub_endpoint().trim_end_matches('/');
    let inside = inside.map_or(String::new(), |inside| format!("/{inside}"));
    Some(format!("{endpoint}/{kind}/{user}/{name}/resolve/{revision}{inside}"))
}

/// Removes user, password and query from a URL.
fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let path = path.split(['?', '#']).next().unwrap_or(path);
    match host.rsplit_once('@') {
        // `abfs://file_system@account` does not contain a user.
        _ if scheme.starts_with("abfs") => format!("{scheme}://{host}{path}"),
        Some((_, host)) => format!("{scheme}://{host}{path}"),
        // A password may contain a slash.
        None if host.contains(':') && path.contains('@') => {
            format!("{scheme}://{}", path.rsplit('@').next().unwrap_or_default())
        }
        None => format!("{scheme}://{host}{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<RemoteAddress, Error> {
        RemoteAddress::parse(text, &RemoteSettings::default())
    }

    #[test]
    fn files_are_below_the_prefix() {
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
            let location = address.location("zarr.json").unwrap();
            assert_eq!(location.as_ref(), file, "{text}");
            assert_eq!(address.name_inside(&location).unwrap(), "zarr.json");
        }
    }

    #[test]
    fn other_addresses_are_refused() {
        for bad in ["ftp://host/x", "file:///x", "memory:///", "https://host/x?download=true", "s3://", "://x"] {
            assert!(matches!(address(bad), Err(Error::Usage(_))), "{bad}");
        }
        let settings = RemoteSettings { access: Access::Write, ..RemoteSettings::default() };
        let refusal = RemoteAddress::parse("https://host/x", &settings).unwrap_err().to_string();
        assert!(refusal.contains("hf upload-large-folder"), "{refusal}");
    }

    #[test]
    fn addresses_and_paths_are_distinguished() {
        assert!(["s3://a/b", "https://a", "hf://datasets/a/b"].iter().all(|text| is_address(text)));
        assert!(["labels", "./a:b", "C:/x", "a b://c", "://"].iter().all(|text| !is_address(text)));
    }

    #[test]
    fn no_name_contains_a_password() {
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
        let settings = RemoteSettings { variables, ..RemoteSettings::default() };
        let refusal = RemoteAddress::parse("s3://bucket/x", &settings).unwrap_err().to_string();
        assert!(refusal.contains("AWS_ENDPOINT_URL") && !refusal.contains("secret"), "{refusal}");
    }
}
