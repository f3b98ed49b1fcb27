//! Signs `SHA256SUMS` as `ssh-keygen -Y sign -n file` does
//! (test `release::ssh_keygen_accepts_our_signatures_and_we_accept_its`).

use std::fmt;
use std::path::Path;

use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey};

use crate::shared::error::Error;

/// Purpose of a signature: one that was made for a different purpose is rejected. OpenSSH allows any string; this
/// is the one that its manual recommends for files.
pub const SIGNED_NAMESPACE: &str = "file";

/// A private key, ready to sign.
pub struct Signer {
    key: PrivateKey,
}

/// Reason a private key cannot sign.
#[derive(Debug, thiserror::Error)]
enum PrivateKeyError {
    #[error("public key ({kind}), expected a private key\n  help: pass the private key, the file without .pub")]
    PublicKey { kind: String },
    #[error("not an OpenSSH private key, but `{kind}`\n  {MAKE_A_KEY}")]
    OtherFormat { kind: String },
    #[error("not an OpenSSH private key\n  {MAKE_A_KEY}")]
    NotAKey,
    #[error("key of type {algorithm}, only ed25519 is supported\n  {MAKE_A_KEY}")]
    OtherAlgorithm { algorithm: String },
    #[error("cannot parse the key: {source}; only ed25519 keys are supported\n  {MAKE_A_KEY}")]
    Unreadable { source: ssh_key::Error },
    #[error("encrypted, and no passphrase was given\n  help: set RELABEL_KEY_PASSPHRASE in the environment")]
    PassphraseMissing,
    #[error("wrong passphrase\n  help: check RELABEL_KEY_PASSPHRASE")]
    WrongPassphrase,
}

const MAKE_A_KEY: &str = "help: create a key with: ssh-keygen -t ed25519 -f KEY";

impl Signer {
    /// Reads an OpenSSH private key of type ed25519, and decrypts it with `passphrase` if it is encrypted.
    ///
    /// # Errors
    /// Returns [`Error::File`] if the file cannot be read; [`Error::Key`] if it is not such a key, or the passphrase is
    /// missing or wrong.
    pub fn open(path: &Path, passphrase: Option<&str>) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
        Self::parse(&text, passphrase)
            .map_err(|problem| Error::Key { path: path.to_path_buf(), problem: problem.into() })
    }

    fn parse(text: &str, passphrase: Option<&str>) -> Result<Self, PrivateKeyError> {
        if let Some(kind) = public_key_type(text) {
            return Err(PrivateKeyError::PublicKey { kind: kind.to_owned() });
        }
        if !text.contains("-----BEGIN OPENSSH PRIVATE KEY-----") {
            let kind = text.lines().find_map(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----"));
            return Err(
                kind.map_or(PrivateKeyError::NotAKey, |kind| PrivateKeyError::OtherFormat { kind: kind.to_owned() })
            );
        }
        let key = PrivateKey::from_openssh(text).map_err(|error| match error {
            ssh_key::Error::AlgorithmUnsupported { algorithm } => {
                PrivateKeyError::OtherAlgorithm { algorithm: algorithm.to_string() }
            }
            // Also algorithms that are not compiled in.
            source => PrivateKeyError::Unreadable { source },
        })?;
        if key.algorithm() != Algorithm::Ed25519 {
            return Err(PrivateKeyError::OtherAlgorithm { algorithm: key.algorithm().to_string() });
        }
        if !key.is_encrypted() {
            return Ok(Self { key });
        }
        let passphrase = passphrase.ok_or(PrivateKeyError::PassphraseMissing)?;
        let key = key.decrypt(passphrase).map_err(|_| PrivateKeyError::WrongPassphrase)?;
        Ok(Self { key })
    }

    /// Returns the content of a signature file for `signed`.
    ///
    /// # Errors
    /// Returns [`Error::Internal`] if the key cannot sign, which every ed25519 key can.
    pub fn sign(&self, signed: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.key.sign(SIGNED_NAMESPACE, HashAlg::Sha512, signed);
        let text = signature.and_then(|signature| signature.to_pem(LineEnding::LF));
        text.map(String::into_bytes)
            .map_err(|error| Error::Internal { action: "sign the checksums".to_owned(), problem: error.into() })
    }

    /// Returns the public key, as a line of an OpenSSH public key file.
    #[must_use]
    pub fn public_key(&self) -> String {
        self.key.public_key().to_openssh().unwrap_or_default()
    }

    /// Returns the fingerprint: `SHA256:` and the digest of the public key.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.key.fingerprint(HashAlg::Sha256).to_string()
    }
}

/// Shows only the fingerprint.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.fingerprint())
    }
}

/// Returns the type of a public key in OpenSSH's one-line format.
pub(super) fn public_key_type(text: &str) -> Option<&str> {
    let kind = text.split_whitespace().next()?;
    let known = ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"];
    known.iter().any(|start| kind.starts_with(start)).then_some(kind)
}
