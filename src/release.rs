//! A release: a finished store as a data set that others can find, understand, verify and train on.
//! `docs/guide/publish.md` describes its files.
//!
//! The content depends only on the store and on the publisher's options: the same store gives the same bytes in any
//! location (test `publish::the_same_store_gives_the_same_bytes`).

mod escape;
mod private_text;
mod licence;
mod source_terms;
mod publish_options;
mod release_file;
mod checksums;
mod hub_limits;
mod overview_picture;
mod summary;
mod published_evaluation;
mod published_tiles;
mod published_calibration;
mod release_metadata;
mod dataset_card;
mod croissant;
mod provenance;
mod build;
mod signer;
mod trusted_keys;
mod signature;
mod deliver;
mod verify;

pub use build::{Release, build_release};
pub use checksums::{CHECKSUMS, SIGNATURE};
pub use deliver::{
    BucketDestination, Delivery, DeliveryCallbacks, DeliveryProgress, Existing, FolderDestination, LinkMode, MARKER,
    ReleaseDestination, check_destination, deliver, files_to_send,
};
pub use licence::{KnownLicence, Licence, LicenceError};
pub use private_text::Redaction;
pub use publish_options::{Completeness, HubLimits, OverviewPicture, PublishOptions, SignFn, ToolVersion};
pub use release_file::{FileContent, ReleaseFile};
pub use signature::{SignatureError, SignedBy, Trust, check_signature};
pub use signer::{SIGNED_NAMESPACE, Signer};
pub use summary::VerdictCounts;
pub use trusted_keys::TrustedKeys;
pub use verify::{
    ReleaseProblem, ReleaseRemedy, ReleaseVerification, ReleaseVerifyProgress, VerifyScope, verify, verify_rows,
};
