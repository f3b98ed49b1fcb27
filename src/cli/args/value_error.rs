//! Errors of value parsers. clap prints them after the flag and the value.

use relabel::shared::error::Cause;

/// Reason the value of a flag was refused.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    #[error("expected a whole number of at least 1")]
    NotPositive,
    #[error("expected a whole number from {min} to {max}")]
    OutOfRange { min: usize, max: usize },
    #[error("expected a power of two up to 1024, such as 8, 16 or 32")]
    NotPowerOfTwo,
    #[error("expected an amount, such as 2.50")]
    NotPrice,
    #[error("expected three numbers separated by commas, such as 0.485,0.456,0.406")]
    NotThreeNumbers,
    #[error("expected four numbers separated by commas, x0,y0,x1,y1")]
    NotCrop,
    #[error(transparent)]
    CropBox(Cause),
    #[error("pictures are written as PNG: choose a file that ends in .png")]
    NotPng,
    #[error("teachers are ONNX files: choose a file that ends in .onnx")]
    NotOnnx,
    #[error("expected a share from 0 to 1, such as 0.99")]
    NotShare,
    #[error("expected a probability from 0 to 1, such as 0.5")]
    NotProbability,
    #[error("expected height and width in cells, such as 15x15")]
    NotMapSize,
    #[error("expected a user and a name separated by a slash, such as me/my-labels")]
    NotHubRepo,
}
