//! Which place an address means.

use object_store::ObjectStoreScheme;
use object_store::path::Path;
use url::Url;

use super::{Access, Settings};
use crate::error::Error;

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
        Path::parse(&path).map_err(|error| Error::Remote { place: self.name.clone(), problem: error.to_string() })
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

    /// The token for the Hub, where the address is one of the Hub's.
    pub(super) fn hub_token(&self, url: &Url) -> Option<&str> {
        let hub = Url::parse(self.variable("HF_ENDPOINT").unwrap_or(HUB)).ok()?;
        self.variable("HF_TOKEN").filter(|_| hub.origin() == url.origin())
    }
}

/// An address as it may be said: without user and password.
fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // `abfs://file_system@account` names no user.
    let host = if scheme.starts_with("http") { host.rsplit('@').next().unwrap_or(host) } else { host };
    format!("{scheme}://{host}{}", path.split(['?', '#']).next().unwrap_or(path))
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
        let name = address("https://me:secret@host/x").unwrap().name;
        assert_eq!(name, "https://host/x");
        let refusal = address("https://me:secret@host/x?token=secret").unwrap_err().to_string();
        assert!(!refusal.contains("secret"), "{refusal}");
    }
}
