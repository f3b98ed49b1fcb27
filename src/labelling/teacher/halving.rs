//! Retries with smaller batches if the memory of the device is full.

use super::batch::{BatchLabels, PixelBatch};
use super::teacher_trait::Teacher;
use crate::shared::error::Error;

/// A teacher that halves its batches for good if its device has too little memory for them. Labels differ at most in the last
/// bits of scores, since sums may be computed in a different order.
pub struct HalvingTeacher<T> {
    inner: T,
    /// Most images in a run; `None` as long as complete batches fit.
    max_images: Option<usize>,
}

impl<T: Teacher> HalvingTeacher<T> {
    /// Wraps a teacher, starting with complete batches.
    pub fn new(inner: T) -> Self {
        Self { inner, max_images: None }
    }
}

impl<T: Teacher> Teacher for HalvingTeacher<T> {
    fn label(&mut self, batch: &PixelBatch) -> Result<BatchLabels, Error> {
        let mut all = BatchLabels::default();
        let mut first = 0;
        while first < batch.images() {
            let images = self.max_images.unwrap_or(batch.images()).min(batch.images() - first);
            let labels = if images == batch.images() {
                self.inner.label(batch)
            } else {
                self.inner.label(&batch.slice(first, images))
            };
            match labels {
                Ok(labels) if first == 0 => all = labels,
                Ok(labels) => all.append(labels),
                Err(Error::DeviceMemory { message, .. }) if images > 1 => {
                    self.max_images = Some(images / 2);
                    tracing::warn!(
                        "the device's memory is too small for batches of {images} images ({message}); continuing with {}. \
                         Labels may differ in the last bits of scores",
                        images / 2
                    );
                    continue;
                }
                Err(error) => return Err(error),
            }
            first += images;
        }
        Ok(all)
    }

    fn stopper(&self) -> Box<dyn Fn() + Send + Sync> {
        self.inner.stopper()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::geometry::InputSize;

    /// Returns the first byte of each image as its score, for batches of at most `capacity` images.
    struct SmallDevice {
        capacity: usize,
        runs: Vec<usize>,
    }

    impl Teacher for SmallDevice {
        fn label(&mut self, batch: &PixelBatch) -> Result<BatchLabels, Error> {
            self.runs.push(batch.images());
            if batch.images() > self.capacity {
                return Err(Error::DeviceMemory { action: "run the teacher", message: "out of memory".into() });
            }
            let first_bytes = (0..batch.images()).map(|image| f32::from(batch.image(image)[0])).collect();
            Ok(BatchLabels { k: 1, scores: first_bytes, ..BatchLabels::default() })
        }

        fn stopper(&self) -> Box<dyn Fn() + Send + Sync> {
            Box::new(|| {})
        }
    }

    fn batch(images: usize) -> PixelBatch {
        let size = InputSize::new(1, 1).unwrap();
        PixelBatch::new(images, size, (0..images as u8 * 3).collect())
    }

    #[test]
    fn batches_are_halved_until_they_fit_and_stay_so() {
        let mut teacher = HalvingTeacher::new(SmallDevice { capacity: 3, runs: Vec::new() });
        let expected: Vec<f32> = (0..10).map(|image| f32::from(image * 3_u8)).collect();
        let labels = teacher.label(&batch(10)).unwrap();
        assert_eq!((labels.k, labels.scores), (1, expected.clone()));
        assert_eq!(teacher.inner.runs, [10, 5, 2, 2, 2, 2, 2]);
        teacher.inner.runs.clear();
        assert_eq!(teacher.label(&batch(10)).unwrap().scores, expected);
        assert_eq!(teacher.inner.runs, [2, 2, 2, 2, 2]);
    }

    #[test]
    fn one_image_that_does_not_fit_is_an_error() {
        let mut teacher = HalvingTeacher::new(SmallDevice { capacity: 0, runs: Vec::new() });
        assert!(matches!(teacher.label(&batch(4)), Err(Error::DeviceMemory { .. })));
    }
}
