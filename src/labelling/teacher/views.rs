//! Test-time augmentation: the views of an image that a teacher sees.

/// The views of each image whose scores are averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Views {
    /// The image.
    #[default]
    Image,
    /// The image and its mirror image, whose scores are mirrored back before averaging. Takes twice the time and memory.
    ImageAndMirror,
}

impl Views {
    /// Number of views per image.
    #[must_use]
    pub fn count(self) -> usize {
        match self {
            Self::Image => 1,
            Self::ImageAndMirror => 2,
        }
    }
}
