//! Constructors of image errors.

use crate::shared::error::{ImageError, ImageErrorKind};

/// Returns a `Broken` error.
pub(super) fn broken(reason: impl Into<String>) -> ImageError {
    ImageError { kind: ImageErrorKind::Broken, reason: reason.into() }
}

/// Returns a `Truncated` error.
pub(super) fn truncated(reason: impl Into<String>) -> ImageError {
    ImageError { kind: ImageErrorKind::Truncated, reason: reason.into() }
}

/// Returns a `TooLarge` error.
pub(super) fn too_large(reason: impl Into<String>) -> ImageError {
    ImageError { kind: ImageErrorKind::TooLarge, reason: reason.into() }
}

/// Returns an `Inexact` error: PIL may read the file, but `what` of the format is not known to decode to the same pixels here.
pub(super) fn inexact(format: &str, what: &str) -> ImageError {
    ImageError {
        kind: ImageErrorKind::Inexact,
        reason: format!("{format}: {what} is not decoded exactly; convert it to PNG or JPEG"),
    }
}
