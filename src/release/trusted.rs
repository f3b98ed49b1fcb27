//! The keys whose signatures a reader trusts: a public key file, or a list in the form of OpenSSH's `allowed_signers`.

use std::path::Path;

use ssh_key::{Algorithm, PublicKey};

use super::signature::{SIGNED_NAMESPACE, Trust, public_key_kind};
use crate::shared::error::Error;

/// Keys that a reader trusts, all of the kind ed25519.
#[derive(Clone, Debug)]
pub struct TrustedKeys {
    source: String,
    /// Each with the name that it is trusted under, where it has one.
    keys: Vec<(PublicKey, Option<String>)>,
}

impl TrustedKeys {
    /// Reads a public key file (`ssh-ed25519 AAAA... comment`) or a list of allowed signers
    /// (`me@example.org namespaces="file" ssh-ed25519 AAAA...`), as `ssh-keygen(1)` describes it.
    ///
    /// Of the options `namespaces` is kept to. A line with a span of time or a certificate authority is refused, since
    /// neither is looked at here and to ignore them would be to trust more than was said.
    ///
    /// # Errors
    /// When it cannot be read, holds no ed25519 key, or a line is not understood.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
        Self::read(&text, &path.display().to_string())
            .map_err(|problem| Error::Key { path: path.to_path_buf(), problem: problem.into() })
    }

    /// What messages call the file.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// That a key is trusted, and under which name; `None` where it is not.
    pub(super) fn trust_in(&self, key: &PublicKey) -> Option<Trust> {
        let found = self.keys.iter().find(|(trusted, _)| trusted.key_data() == key.key_data());
        found.map(|(_, name)| Trust::Trusted(name.clone()))
    }

    fn read(text: &str, source: &str) -> Result<Self, String> {
        if text.contains("PRIVATE KEY-----") {
            return Err("it is a private key. Name the public half, the file with .pub".to_owned());
        }
        let (mut keys, mut other_kinds) = (Vec::new(), Vec::new());
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let signer = Signer::of(line).map_err(|problem| format!("line {}: {problem}", at + 1))?;
            if !signer.is_for_files {
                continue;
            }
            let kind = public_key_kind(signer.key).unwrap_or_default();
            if kind != Algorithm::Ed25519.as_str() {
                other_kinds.push(kind.to_owned());
                continue;
            }
            let key = PublicKey::from_openssh(signer.key)
                .map_err(|error| format!("line {}: its key cannot be read: {error}", at + 1))?;
            keys.push((key, signer.name));
        }
        if keys.is_empty() {
            return Err(match other_kinds.first() {
                Some(kind) => {
                    format!("it holds a key of the kind {kind}, and signatures are by keys of the kind ed25519")
                }
                None => format!("it holds no key that is trusted for `{SIGNED_NAMESPACE}`"),
            });
        }
        Ok(Self { source: source.to_owned(), keys })
    }
}

/// One line.
struct Signer<'a> {
    name: Option<String>,
    is_for_files: bool,
    /// From the kind of the key to the end.
    key: &'a str,
}

impl<'a> Signer<'a> {
    fn of(line: &'a str) -> Result<Self, String> {
        if public_key_kind(line).is_some() {
            return Ok(Self { name: None, is_for_files: true, key: line });
        }
        let (name, mut rest) = word(line);
        let mut is_for_files = true;
        while public_key_kind(rest).is_none() {
            if rest.is_empty() {
                return Err("a key is missing: NAME [OPTIONS] ssh-ed25519 AAAA...".to_owned());
            }
            let (options, behind) = word(rest);
            for option in options_in(options) {
                let (key, value) = option.split_once('=').unwrap_or((option, ""));
                match key.to_ascii_lowercase().as_str() {
                    "namespaces" => {
                        is_for_files =
                            value.trim_matches('"').split(',').any(|pattern| allows(pattern, SIGNED_NAMESPACE));
                    }
                    _ => {
                        return Err(format!(
                            "the option `{key}` is not looked at here. Use ssh-keygen -Y verify, or a list without it"
                        ));
                    }
                }
            }
            rest = behind;
        }
        Ok(Self { name: Some(name.trim_matches('"').to_owned()), is_for_files, key: rest })
    }
}

/// The first word of a line and what stands behind it; blanks between quotation marks do not end it.
fn word(line: &str) -> (&str, &str) {
    let mut quoted = false;
    let end = line.find(|letter: char| {
        quoted ^= letter == '"';
        letter.is_whitespace() && !quoted
    });
    let (word, rest) = line.split_at(end.unwrap_or(line.len()));
    (word, rest.trim_start())
}

/// Options at their commas; those between quotation marks divide nothing.
fn options_in(options: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    options.split(move |letter: char| {
        quoted ^= letter == '"';
        letter == ',' && !quoted
    })
}

/// OpenSSH's patterns: `*` for any letters, `?` for one, and `!` before it for all others.
fn allows(pattern: &str, text: &str) -> bool {
    fn fits(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', pattern)), _) => (0..=text.len()).any(|skipped| fits(pattern, &text[skipped..])),
            (Some((b'?', pattern)), Some((_, text))) => fits(pattern, text),
            (Some((letter, pattern)), Some((other, text))) => letter == other && fits(pattern, text),
            _ => false,
        }
    }
    fits(pattern.trim().as_bytes(), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[test]
    fn public_keys_and_lists_of_signers_are_understood() {
        let read = |text: &str| TrustedKeys::read(text, "keys");
        let key = PublicKey::from_openssh(KEY).unwrap();
        for (text, name) in [
            (format!("{KEY} ada@example.org\n"), None),
            (format!("# ours\n\nada@example.org {KEY}\n"), Some("ada@example.org")),
            (format!("\"ada lovelace\" namespaces=\"git, file\" {KEY} laptop\n"), Some("ada lovelace")),
            (format!("ada namespaces=\"f*\" {KEY}\nbob ssh-rsa AAAA\n"), Some("ada")),
        ] {
            let found = read(&text).unwrap().trust_in(&key);
            assert_eq!(found, Some(Trust::Trusted(name.map(str::to_owned))), "{text}");
        }
        for (text, said) in [
            (format!("ada namespaces=\"git\" {KEY}\n"), "no key that is trusted for `file`"),
            (format!("ada valid-before=\"20200101\" {KEY}\n"), "line 1: the option `valid-before`"),
            (format!("ada cert-authority {KEY}\n"), "the option `cert-authority`"),
            ("ada\n".to_owned(), "a key is missing"),
            ("ecdsa-sha2-nistp256 AAAA\n".to_owned(), "of the kind ecdsa-sha2-nistp256"),
            ("ssh-ed25519 AAAA\n".to_owned(), "line 1: its key cannot be read"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\n".to_owned(), "it is a private key"),
            (String::new(), "no key"),
        ] {
            let problem = read(&text).unwrap_err();
            assert!(problem.contains(said), "{said} in {problem}");
        }
    }
}
