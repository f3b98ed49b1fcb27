//! The keys whose signatures are trusted: a public key file, or a list in the format of OpenSSH's `allowed_signers`.

use std::path::Path;

use ssh_key::{Algorithm, PublicKey};

use super::signer::{SIGNED_NAMESPACE, public_key_type};
use crate::shared::error::Error;

/// Trusted keys, all of type ed25519.
#[derive(Clone, Debug)]
pub struct TrustedKeys {
    source: String,
    keys: Vec<TrustedKey>,
}

/// One trusted key.
#[derive(Clone, Debug)]
pub(super) struct TrustedKey {
    key: PublicKey,
    /// Name of the key in the list; `None` in a public key file.
    pub(super) name: Option<String>,
}

/// Reason a file has no usable keys.
#[derive(Debug, thiserror::Error)]
enum TrustedKeysError {
    #[error("private key, expected a public key\n  help: pass the public key, the file with .pub")]
    PrivateKey,
    #[error("line {line}: the key is missing\n  help: write each line as NAME [OPTIONS] ssh-ed25519 AAAA...")]
    KeyMissing { line: usize },
    #[error(
        "line {line}: the option `{option}` is not supported\n  help: remove it from the list, or check the signature with \
         ssh-keygen -Y verify"
    )]
    UnsupportedOption { line: usize, option: String },
    #[error("line {line}: cannot parse the key: {source}\n  help: copy the key again, or ask the publisher for it")]
    InvalidKey { line: usize, source: ssh_key::Error },
    #[error(
        "key of type {kind}, only ed25519 is supported\n  help: ask the publisher for an ed25519 key, or check the signature with \
         ssh-keygen -Y verify"
    )]
    OtherType { kind: String },
    #[error(
        "no key that is trusted for `{SIGNED_NAMESPACE}`\n  help: ask the publisher for the key, or pass another --signer"
    )]
    NoKey,
}

impl TrustedKeys {
    /// Reads a public key file (`ssh-ed25519 AAAA... comment`) or a list of allowed signers
    /// (`me@example.org namespaces="file" ssh-ed25519 AAAA...`), as `ssh-keygen(1)` describes it.
    ///
    /// Of the options, `namespaces` is respected. Lines with a validity period or a certificate authority are refused:
    /// ignoring these options would grant more trust than the list does.
    ///
    /// # Errors
    /// Returns [`Error::File`] if the file cannot be read; [`Error::Key`] if it has no ed25519 key, or an invalid line.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
        Self::parse(&text, &path.display().to_string())
            .map_err(|problem| Error::Key { path: path.to_path_buf(), problem: problem.into() })
    }

    /// Name of the file, for messages.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Finds a key among the trusted ones.
    pub(super) fn find(&self, key: &PublicKey) -> Option<&TrustedKey> {
        self.keys.iter().find(|trusted| trusted.key.key_data() == key.key_data())
    }

    fn parse(text: &str, source: &str) -> Result<Self, TrustedKeysError> {
        if text.contains("PRIVATE KEY-----") {
            return Err(TrustedKeysError::PrivateKey);
        }
        let (mut keys, mut other_types) = (Vec::new(), Vec::new());
        for (index, line) in text.lines().enumerate() {
            let (number, line) = (index + 1, line.trim());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let signer = AllowedSigner::parse(line, number)?;
            if !signer.is_for_files {
                continue;
            }
            let kind = public_key_type(signer.key).unwrap_or_default();
            if kind != Algorithm::Ed25519.as_str() {
                other_types.push(kind.to_owned());
                continue;
            }
            let key = PublicKey::from_openssh(signer.key)
                .map_err(|source| TrustedKeysError::InvalidKey { line: number, source })?;
            keys.push(TrustedKey { key, name: signer.name });
        }
        if keys.is_empty() {
            let other_type = other_types.into_iter().next();
            return Err(other_type.map_or(TrustedKeysError::NoKey, |kind| TrustedKeysError::OtherType { kind }));
        }
        Ok(Self { source: source.to_owned(), keys })
    }
}

/// One line of a list of allowed signers.
struct AllowedSigner<'a> {
    name: Option<String>,
    /// Whether the key may sign for [`SIGNED_NAMESPACE`].
    is_for_files: bool,
    /// Rest of the line, from the type of the key.
    key: &'a str,
}

impl<'a> AllowedSigner<'a> {
    fn parse(line: &'a str, number: usize) -> Result<Self, TrustedKeysError> {
        if public_key_type(line).is_some() {
            return Ok(Self { name: None, is_for_files: true, key: line });
        }
        let (name, mut rest) = split_word(line);
        let mut is_for_files = true;
        while public_key_type(rest).is_none() {
            if rest.is_empty() {
                return Err(TrustedKeysError::KeyMissing { line: number });
            }
            let (options, after) = split_word(rest);
            for option in split_options(options) {
                let (key, value) = option.split_once('=').unwrap_or((option, ""));
                if !key.eq_ignore_ascii_case("namespaces") {
                    return Err(TrustedKeysError::UnsupportedOption { line: number, option: key.to_owned() });
                }
                is_for_files = value.trim_matches('"').split(',').any(|pattern| matches(pattern, SIGNED_NAMESPACE));
            }
            rest = after;
        }
        Ok(Self { name: Some(name.trim_matches('"').to_owned()), is_for_files, key: rest })
    }
}

/// Splits off the first word of a line. Spaces in quotes do not end it.
fn split_word(line: &str) -> (&str, &str) {
    let mut quoted = false;
    let end = line.find(|letter: char| {
        quoted ^= letter == '"';
        letter.is_whitespace() && !quoted
    });
    let (word, rest) = line.split_at(end.unwrap_or(line.len()));
    (word, rest.trim_start())
}

/// Splits options at their commas, except those in quotes.
fn split_options(options: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    options.split(move |letter: char| {
        quoted ^= letter == '"';
        letter == ',' && !quoted
    })
}

/// Returns whether a string matches a pattern of OpenSSH: `*` is any number of characters, `?` is one.
fn matches(pattern: &str, text: &str) -> bool {
    fn matches_bytes(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', pattern)), _) => (0..=text.len()).any(|skipped| matches_bytes(pattern, &text[skipped..])),
            (Some((b'?', pattern)), Some((_, text))) => matches_bytes(pattern, text),
            (Some((letter, pattern)), Some((other, text))) => letter == other && matches_bytes(pattern, text),
            _ => false,
        }
    }
    matches_bytes(pattern.trim().as_bytes(), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[test]
    fn public_keys_and_lists_of_signers_are_parsed() {
        let parse = |text: &str| TrustedKeys::parse(text, "keys");
        let key = PublicKey::from_openssh(KEY).unwrap();
        for (text, name) in [
            (format!("{KEY} ada@example.org\n"), None),
            (format!("# ours\n\nada@example.org {KEY}\n"), Some("ada@example.org")),
            (format!("\"ada lovelace\" namespaces=\"git, file\" {KEY} laptop\n"), Some("ada lovelace")),
            (format!("ada namespaces=\"f*\" {KEY}\nbob ssh-rsa AAAA\n"), Some("ada")),
        ] {
            let found = parse(&text).unwrap().find(&key).map(|trusted| trusted.name.clone());
            assert_eq!(found, Some(name.map(str::to_owned)), "{text}");
        }
        for (text, expected) in [
            (format!("ada namespaces=\"git\" {KEY}\n"), "no key that is trusted for `file`"),
            (format!("ada valid-before=\"20200101\" {KEY}\n"), "line 1: the option `valid-before`"),
            (format!("ada cert-authority {KEY}\n"), "the option `cert-authority`"),
            ("ada\n".to_owned(), "the key is missing"),
            ("ecdsa-sha2-nistp256 AAAA\n".to_owned(), "of type ecdsa-sha2-nistp256"),
            ("ssh-ed25519 AAAA\n".to_owned(), "line 1: cannot parse the key"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\n".to_owned(), "private key, expected a public key"),
            (String::new(), "no key"),
        ] {
            let problem = parse(&text).unwrap_err().to_string();
            assert!(problem.contains(expected), "{expected} in {problem}");
        }
    }
}
