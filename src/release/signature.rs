//! Signatures over `SHA256SUMS`, as `ssh-keygen -Y sign -n file` makes them and `ssh-keygen -Y verify` accepts them
//! (test `release::ssh_keygen_accepts_our_signatures_and_we_accept_its`).

use std::fmt;
use std::path::Path;

use serde::Serialize;
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};

use super::trusted::TrustedKeys;
use crate::shared::error::Error;

/// What a signature says that it is for, so that one made for something else does not count. `ssh-keygen` takes any text;
/// this is the one that its manual names for files.
pub const SIGNED_NAMESPACE: &str = "file";

const HOW_TO_MAKE_A_KEY: &str = "Make one with: ssh-keygen -t ed25519 -f KEY";

/// A private key, ready to sign.
pub struct Signer {
    key: PrivateKey,
}

impl Signer {
    /// Reads an OpenSSH private key of the kind ed25519. `passphrase` opens it where it is encrypted.
    ///
    /// # Errors
    /// When it cannot be read, is no such key, or the passphrase is missing or does not open it.
    pub fn open(path: &Path, passphrase: Option<&str>) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
        Self::read(&text, passphrase)
            .map_err(|problem| Error::Key { path: path.to_path_buf(), problem: problem.into() })
    }

    fn read(text: &str, passphrase: Option<&str>) -> Result<Self, String> {
        if let Some(kind) = public_key_kind(text) {
            return Err(format!(
                "it is a public key ({kind}), and only its private half can sign: the file without .pub"
            ));
        }
        if !text.contains("-----BEGIN OPENSSH PRIVATE KEY-----") {
            let what = text.lines().find_map(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----"));
            return Err(match what {
                Some(what) => format!("it is a file of another kind (`{what}`). {HOW_TO_MAKE_A_KEY}"),
                None => format!("it is no OpenSSH private key. {HOW_TO_MAKE_A_KEY}"),
            });
        }
        let key = PrivateKey::from_openssh(text).map_err(|error| match error {
            ssh_key::Error::AlgorithmUnsupported { algorithm } => another_kind(&algorithm),
            // Kinds that are not compiled in are told apart only here.
            error => format!("it cannot be read: {error}. Keys must be of the kind ed25519. {HOW_TO_MAKE_A_KEY}"),
        })?;
        if key.algorithm() != Algorithm::Ed25519 {
            return Err(another_kind(&key.algorithm()));
        }
        if !key.is_encrypted() {
            return Ok(Self { key });
        }
        let Some(passphrase) = passphrase else {
            return Err(
                "it is encrypted, and no passphrase was given. Put it into RELABEL_KEY_PASSPHRASE, in the environment"
                    .to_owned(),
            );
        };
        let key = key.decrypt(passphrase).map_err(|_| "the passphrase does not open it".to_owned())?;
        Ok(Self { key })
    }

    /// The bytes of a signature file over `signed`.
    ///
    /// # Errors
    /// When the key cannot sign, which an ed25519 key can.
    pub fn sign(&self, signed: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.key.sign(SIGNED_NAMESPACE, HashAlg::Sha512, signed);
        let text = signature.and_then(|signature| signature.to_pem(LineEnding::LF));
        text.map(String::into_bytes)
            .map_err(|error| Error::Internal { action: "sign the checksums".to_owned(), problem: error.into() })
    }

    /// The public half, as a line of an OpenSSH public key file.
    #[must_use]
    pub fn public_key(&self) -> String {
        self.key.public_key().to_openssh().unwrap_or_default()
    }

    /// What people compare: `SHA256:` and the digest of the public half.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.key.fingerprint(HashAlg::Sha256).to_string()
    }
}

/// Says no more than which key it is.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.fingerprint())
    }
}

/// Who signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignedBy {
    /// `SHA256:` and the digest of the key.
    pub fingerprint: String,
    /// What is known of the key.
    pub trust: Trust,
}

/// What is known of a key that signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// It is among those that were given, there under this name, if it has one.
    Trusted(Option<String>),
    /// No keys were given.
    NotCompared,
}

impl fmt::Display for SignedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "signed by {}", self.fingerprint)?;
        match &self.trust {
            Trust::Trusted(Some(name)) => write!(f, ", whom you trust as {name}"),
            Trust::Trusted(None) => f.write_str(", whose key you gave"),
            Trust::NotCompared => f.write_str("; not compared with a key that you trust"),
        }
    }
}

/// Checks the bytes of a signature file against those of `SHA256SUMS`. Without `trusted` it says only that whoever has the
/// key signed these bytes, which anybody could.
///
/// # Errors
/// When it is no signature of these bytes for this purpose, is by a key that is not among the trusted ones, or of a kind
/// that is not checked here; in words.
pub fn check_signature(sums: &[u8], signature: &[u8], trusted: Option<&TrustedKeys>) -> Result<SignedBy, String> {
    let signature = SshSig::from_pem(signature).map_err(|error| match error {
        ssh_key::Error::AlgorithmUnsupported { algorithm } => not_checked_here(algorithm.as_str()),
        ssh_key::Error::AlgorithmUnknown => not_checked_here("unknown"),
        error => format!("it is no OpenSSH signature: {error}"),
    })?;
    if signature.namespace() != SIGNED_NAMESPACE {
        return Err(format!(
            "it is a signature for `{}`, and one for `{SIGNED_NAMESPACE}` is needed",
            signature.namespace()
        ));
    }
    let key = PublicKey::new(signature.public_key().clone(), "");
    if key.algorithm() != Algorithm::Ed25519 {
        return Err(not_checked_here(key.algorithm().as_str()));
    }
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    key.verify(SIGNED_NAMESPACE, sums, &signature).map_err(|_| {
        format!("it is not the signature of this SHA256SUMS by {fingerprint}: one of the two was changed")
    })?;
    let trust = match trusted {
        None => Trust::NotCompared,
        Some(trusted) => trusted.trust_in(&key).ok_or_else(|| {
            format!("it is by {fingerprint}, a key that is not in {}: somebody else signed this", trusted.source())
        })?,
    };
    Ok(SignedBy { fingerprint, trust })
}

/// The kind of a public key in OpenSSH's one-line form.
pub(super) fn public_key_kind(text: &str) -> Option<&str> {
    let kind = text.split_whitespace().next()?;
    let known = ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"];
    known.iter().any(|start| kind.starts_with(start)).then_some(kind)
}

fn another_kind(algorithm: &Algorithm) -> String {
    format!("it is a key of the kind {algorithm}, and ed25519 is needed. {HOW_TO_MAKE_A_KEY}")
}

fn not_checked_here(kind: &str) -> String {
    format!(
        "it is by a key of the kind {kind}; only ed25519 is checked here. \
         Use: ssh-keygen -Y verify -n {SIGNED_NAMESPACE} -f ALLOWED -I WHO -s SHA256SUMS.sig < SHA256SUMS"
    )
}
