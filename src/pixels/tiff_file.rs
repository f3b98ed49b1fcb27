use super::limits::Limits;
use super::RgbImage;
use crate::error::ImageError;
pub(super) fn decode(_bytes: &[u8], _limits: Limits) -> Result<RgbImage, ImageError> { Err(super::inexact("TIFF","x")) }
