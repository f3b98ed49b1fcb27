//! Constructors of image errors.

use crate::shared::error::{ImageError, ImageErrorKind};

/// The file is damaged.
pub(super) fn broken(reason: impl Into<String>) -> ImageError {
    ImageError { kind: ImageErrorKind::Broken, reason: reason.into() }
}

/// The file ends too early.
pub(super) fn truncated(reason: impl Into<String>) -> ImageError {
    ImageError { kind: ImageErrorKind::Truncated, reason: reason.into() }
}

/// A limit is exceeded.
pub(super) fn too_large(reason: impl Into<String>) -> ImageError {
    ImageError { kind: ImageErrorKind::TooLarge, reason: reason.into() }
}

/// PIL may read the file, but `what` of the format is not known to decode to the same pixels here.
pub(super) fn inexact(format: &str, what: &str) -> ImageError {
    ImageError {
        kind: ImageErrorKind::Inexact,
        reason: format!("{format}: {what} is not decoded exactly; convert it to PNG or JPEG"),
    }
}
