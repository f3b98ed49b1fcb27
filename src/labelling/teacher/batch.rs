//! A batch of images, and its labels.

use crate::shared::geometry::InputSize;

/// Images as a teacher takes them: u8 `[image, y, x, channel]`, RGB.
#[derive(Clone, Debug)]
pub struct PixelBatch {
    images: usize,
    size: InputSize,
    data: Vec<u8>,
}

impl PixelBatch {
    /// Creates a batch of `images` consecutive images of `size`.
    ///
    /// # Panics
    /// Panics if `data` is not `images * size.rgb_bytes()` long.
    #[must_use]
    pub fn new(images: usize, size: InputSize, data: Vec<u8>) -> Self {
        assert_eq!(data.len(), images * size.rgb_bytes(), "{images} images of {size} pixels");
        Self { images, size, data }
    }

    /// Number of images.
    #[must_use]
    pub fn images(&self) -> usize {
        self.images
    }

    /// Size of each image.
    #[must_use]
    pub fn size(&self) -> InputSize {
        self.size
    }

    /// Bytes of all images.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Returns `images` images from `first` on as a batch of their own.
    pub(super) fn slice(&self, first: usize, images: usize) -> Self {
        let bytes = self.size.rgb_bytes();
        Self::new(images, self.size, self.data[first * bytes..(first + images) * bytes].to_vec())
    }

    /// Returns `kept` images from `first` on, followed by black ones up to `images`.
    pub(super) fn padded_slice(&self, first: usize, kept: usize, images: usize) -> Self {
        let bytes = self.size.rgb_bytes();
        let mut data = self.data[first * bytes..(first + kept) * bytes].to_vec();
        data.resize(images * bytes, 0);
        Self::new(images, self.size, data)
    }

    /// Returns the images followed by their mirror images.
    #[must_use]
    pub fn with_mirrors(&self) -> Self {
        let row_bytes = self.size.width_pixels() as usize * 3;
        let mut data = self.data.clone();
        for row in self.data.chunks_exact(row_bytes) {
            data.extend(row.rchunks_exact(3).flatten());
        }
        Self::new(self.images * 2, self.size, data)
    }

    /// Returns the bytes of one image, `[y, x, channel]`.
    ///
    /// # Panics
    /// Panics if the batch has no such image.
    #[must_use]
    pub fn image(&self, index: usize) -> &[u8] {
        &self.data[index * self.size.rgb_bytes()..][..self.size.rgb_bytes()]
    }
}

/// Labels of one batch, with the class axis last.
#[derive(Clone, Debug, Default)]
pub struct BatchLabels {
    /// Number of classes kept per cell.
    pub k: usize,
    /// Scores, `[image, y, x, k]`, each cell from high to low.
    pub scores: Vec<f32>,
    /// Class ids of the scores.
    pub classes: Vec<i32>,
    /// Number of classes kept for the entire image.
    pub image_ranks: usize,
    /// Probabilities for the entire image, `[image, image_ranks]`, from high to low.
    pub image_probs: Vec<f32>,
    /// Class ids of the probabilities.
    pub image_classes: Vec<i32>,
    /// Log-sum-exp over all classes, `[image, y, x]`, if it was requested.
    pub lse: Option<Vec<f32>>,
}

impl BatchLabels {
    /// Appends the labels of more images.
    pub(super) fn append(&mut self, more: Self) {
        self.scores.extend(more.scores);
        self.classes.extend(more.classes);
        self.image_probs.extend(more.image_probs);
        self.image_classes.extend(more.image_classes);
        if let (Some(lse), Some(more)) = (&mut self.lse, more.lse) {
            lse.extend(more);
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirroring_reverses_rows_and_keeps_channels() {
        let pixels = PixelBatch::new(1, InputSize::new(1, 2).unwrap(), vec![1, 2, 3, 4, 5, 6]);
        assert_eq!(pixels.with_mirrors().data(), [1, 2, 3, 4, 5, 6, 4, 5, 6, 1, 2, 3]);
    }
}
