//! Checks signatures of `SHA256SUMS` as `ssh-keygen -Y verify` does.

use std::fmt;

use serde::Serialize;
use ssh_key::{Algorithm, HashAlg, PublicKey, SshSig};

use super::checksums::CHECKSUMS;
use super::signer::SIGNED_NAMESPACE;
use super::trusted_keys::TrustedKeys;

/// The key that signed a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignedBy {
    /// `SHA256:` and the digest of the key.
    pub fingerprint: String,
    /// Whether the key is trusted.
    pub trust: Trust,
}

/// Trust in the key that signed a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// It is one of the trusted keys, under this name if it has one.
    Trusted(Option<String>),
    /// No trusted keys were given.
    NotCompared,
}

impl fmt::Display for SignedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "signed by {}", self.fingerprint)?;
        match &self.trust {
            Trust::Trusted(Some(name)) => write!(f, ", trusted as {name}"),
            Trust::Trusted(None) => f.write_str(", the trusted key"),
            Trust::NotCompared => f.write_str("; not compared with a trusted key"),
        }
    }
}

/// Reason a signature was rejected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The file is not a signature.
    #[error("not an OpenSSH signature: {source}")]
    NotASignature {
        /// Error of the parser.
        source: ssh_key::Error,
    },
    /// The signature was made for a different purpose.
    #[error("signature for `{namespace}`, expected `{SIGNED_NAMESPACE}`", namespace = namespace.escape_debug())]
    OtherNamespace {
        /// Purpose of the signature.
        namespace: String,
    },
    /// The key is of a type that is not supported.
    #[error("signed by a key of type {algorithm}, only ed25519 is supported")]
    OtherAlgorithm {
        /// Type of the key.
        algorithm: String,
    },
    /// The signature does not match the signed bytes.
    #[error("does not match this {CHECKSUMS} and the key {fingerprint}: one of the files was changed")]
    Mismatch {
        /// Fingerprint of the key in the signature.
        fingerprint: String,
    },
    /// The key is not trusted.
    #[error("signed by an untrusted key: {fingerprint} is not in {trusted}")]
    NotTrusted {
        /// Fingerprint of the key.
        fingerprint: String,
        /// File of trusted keys.
        trusted: String,
    },
}

/// Checks the content of a signature file against that of `SHA256SUMS`. Without `trusted`, this proves only that the owner
/// of the key signed these bytes, and anyone can create a key.
///
/// # Errors
/// Returns [`SignatureError`] if it is not a valid signature of these bytes for this purpose, or was made by a key that is
/// not trusted or of an unsupported type.
pub fn check_signature(
    checksums: &[u8],
    signature: &[u8],
    trusted: Option<&TrustedKeys>,
) -> Result<SignedBy, SignatureError> {
    let other_algorithm = |algorithm: &str| SignatureError::OtherAlgorithm { algorithm: algorithm.to_owned() };
    let signature = SshSig::from_pem(signature).map_err(|error| match error {
        ssh_key::Error::AlgorithmUnsupported { algorithm } => other_algorithm(algorithm.as_str()),
        ssh_key::Error::AlgorithmUnknown => other_algorithm("unknown"),
        source => SignatureError::NotASignature { source },
    })?;
    if signature.namespace() != SIGNED_NAMESPACE {
        return Err(SignatureError::OtherNamespace { namespace: signature.namespace().to_owned() });
    }
    let key = PublicKey::new(signature.public_key().clone(), "");
    if key.algorithm() != Algorithm::Ed25519 {
        return Err(other_algorithm(key.algorithm().as_str()));
    }
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    if key.verify(SIGNED_NAMESPACE, checksums, &signature).is_err() {
        return Err(SignatureError::Mismatch { fingerprint });
    }
    let trust = match trusted {
        None => Trust::NotCompared,
        Some(trusted) => match trusted.find(&key) {
            Some(key) => Trust::Trusted(key.name.clone()),
            None => return Err(SignatureError::NotTrusted { fingerprint, trusted: trusted.source().to_owned() }),
        },
    };
    Ok(SignedBy { fingerprint, trust })
}
