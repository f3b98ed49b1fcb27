//! A seeded sample of images, spread over the classes, and their files.

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use super::preparation::InputPreparation;
use crate::labelling::pixels::{Decoder, ExifOrientation, RgbImage};
use crate::labelling::source::{ImageReader, LengthCheck, ReadError};
use crate::labelling::teacher::PixelBatch;
use crate::shared::classes::ClassList;
use crate::shared::error::{Error, ImageError};
use crate::shared::manifest::Manifest;
use crate::shared::monitor::Monitor;
use crate::shared::random::SplitMix64;

/// Rows of a manifest in the order in which they are tried.
#[derive(Clone, Debug)]
pub struct ProbeSample {
    rows: Vec<(usize, Option<u32>)>,
    images: usize,
    has_classes: bool,
    without_class: usize,
}

impl ProbeSample {
    /// Images of one class that are tried before the next class. Two show whether the teacher is consistent.
    const IN_A_ROW: usize = 2;
    /// Fewest images with a known folder class for which folder classes are used, if most images have none.
    const MIN_WITH_CLASS: usize = 10;

    /// Draws `images` images: pairs of images of random classes, or random images if the folders are not classes.
    #[must_use]
    pub fn draw(manifest: &Manifest, classes: &ClassList, images: usize, seed: u64) -> Self {
        let known = classes.by_folder_class();
        let class = |row: usize| manifest.folder_class(row).and_then(|name| known.get(name)).copied();
        let mut of_class: Vec<Vec<usize>> = vec![Vec::new(); classes.entries().len()];
        let mut with_class = 0;
        for row in 0..manifest.len() {
            if let Some(rows) = class(row).and_then(|class| of_class.get_mut(class as usize)) {
                rows.push(row);
                with_class += 1;
            }
        }
        let has_classes = with_class > 0 && (with_class >= Self::MIN_WITH_CLASS || 2 * with_class >= manifest.len());
        let mut random = SplitMix64::new(seed);
        // Some images may be unreadable.
        let wanted = 2 * images + 16;
        let rows = if has_classes {
            let mut classes: Vec<(u32, Vec<usize>)> =
                (0..).zip(of_class).filter(|(_, rows)| !rows.is_empty()).collect();
            shuffle(&mut classes, &mut random);
            for (_, rows) in &mut classes {
                shuffle(rows, &mut random);
            }
            let longest = classes.iter().map(|(_, rows)| rows.len()).max().unwrap_or(0);
            let passes = (0..longest).step_by(Self::IN_A_ROW);
            let in_pass = |first: usize| {
                classes.iter().flat_map(move |(class, rows)| {
                    rows.iter().skip(first).take(Self::IN_A_ROW).map(|&row| (row, Some(*class)))
                })
            };
            passes.flat_map(in_pass).take(wanted).collect()
        } else {
            let mut rows: Vec<_> = (0..manifest.len()).map(|row| (row, None)).collect();
            shuffle(&mut rows, &mut random);
            rows.truncate(wanted);
            rows
        };
        let without_class = if has_classes { manifest.len() - with_class } else { 0 };
        Self { rows, images, has_classes, without_class }
    }
}

/// Files of a sample.
pub struct ProbeImages {
    images: Vec<ProbeImage>,
    has_classes: bool,
    without_class: usize,
    unreadable: usize,
    example: Option<(usize, ImageError)>,
}

struct ProbeImage {
    bytes: Vec<u8>,
    class: Option<u32>,
    /// Whether its EXIF orientation changes it.
    is_turned: bool,
}

impl ProbeImages {
    /// Files are kept in memory up to this size together.
    const MAX_BYTES: usize = 512 << 20;
    /// Images that are read at the same time.
    const CHUNK: usize = 32;

    /// Reads and decodes the images of a sample. Images that cannot be read are counted, and replaced by others.
    ///
    /// # Errors
    /// Returns an error if an image cannot be read for a reason other than the image itself, and [`Error::Interrupted`] if a
    /// stop is requested.
    pub fn read(
        sample: &ProbeSample,
        reader: &dyn ImageReader,
        decoder: &Decoder,
        monitor: &dyn Monitor,
    ) -> Result<Self, Error> {
        let mut all = Self {
            images: Vec::new(),
            has_classes: sample.has_classes,
            without_class: sample.without_class,
            unreadable: 0,
            example: None,
        };
        let mut bytes = 0;
        let mut rest = &sample.rows[..];
        while all.images.len() < sample.images && bytes < Self::MAX_BYTES && !rest.is_empty() {
            if monitor.stop_requested() {
                return Err(Error::Interrupted);
            }
            let count = (sample.images - all.images.len()).min(Self::CHUNK).min(rest.len());
            let (chunk, others) = rest.split_at(count);
            rest = others;
            let read: Vec<_> =
                chunk.into_par_iter().map(|&(row, class)| (row, read_image(reader, decoder, row, class))).collect();
            for (row, image) in read {
                match image {
                    Ok(image) => {
                        bytes += image.bytes.len();
                        all.images.push(image);
                    }
                    Err(error) => {
                        let error = error.into_image_error()?;
                        all.unreadable += 1;
                        all.example.get_or_insert((row, error));
                    }
                }
            }
        }
        Ok(all)
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Returns whether the sample is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Returns whether the folder classes are known.
    #[must_use]
    pub fn has_classes(&self) -> bool {
        self.has_classes
    }

    /// Number of images of the source that were left out because their folder is not a class of the teacher.
    #[must_use]
    pub fn without_class(&self) -> usize {
        self.without_class
    }

    /// Number of images that could not be read.
    #[must_use]
    pub fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// Row and error of one image that could not be read.
    #[must_use]
    pub fn unreadable_example(&self) -> Option<&(usize, ImageError)> {
        self.example.as_ref()
    }

    /// Folder class of an image.
    pub(super) fn class(&self, image: usize) -> Option<u32> {
        self.images[image].class
    }

    /// Returns whether the EXIF orientation of an image changes it.
    pub(super) fn is_turned(&self, image: usize) -> bool {
        self.images[image].is_turned
    }

    /// Number of images whose EXIF orientation changes them.
    pub(super) fn turned(&self) -> usize {
        self.images.iter().filter(|image| image.is_turned).count()
    }

    /// Returns the pixels of images `first..end` in each of several preparations, as `[preparation, image]`.
    ///
    /// # Errors
    /// Returns [`Error::Internal`] if an image that was decoded before cannot be decoded again.
    pub(super) fn pixels(
        &self,
        first: usize,
        end: usize,
        preparations: &[InputPreparation],
        decoder: &Decoder,
    ) -> Result<Vec<Vec<Vec<u8>>>, Error> {
        let failed =
            |error: ImageError| Error::Internal { action: "prepare an image".to_owned(), problem: error.reason.into() };
        let by_image: Vec<Vec<Vec<u8>>> = (first..end)
            .into_par_iter()
            .map(|image| self.images[image].prepared(preparations, decoder).map_err(failed))
            .collect::<Result<_, _>>()?;
        let mut by_preparation: Vec<Vec<Vec<u8>>> = preparations.iter().map(|_| Vec::new()).collect();
        for image in by_image {
            for (images, pixels) in by_preparation.iter_mut().zip(image) {
                images.push(pixels);
            }
        }
        Ok(by_preparation)
    }

    /// Returns images `first..end` as a batch.
    ///
    /// # Errors
    /// See [`ProbeImages::pixels`].
    pub(super) fn batch(
        &self,
        first: usize,
        end: usize,
        preparation: &InputPreparation,
        decoder: &Decoder,
    ) -> Result<PixelBatch, Error> {
        let pixels = self.pixels(first, end, &[*preparation], decoder)?.concat().concat();
        Ok(PixelBatch::new(end - first, preparation.size, pixels))
    }
}

impl ProbeImage {
    fn prepared(&self, preparations: &[InputPreparation], decoder: &Decoder) -> Result<Vec<Vec<u8>>, ImageError> {
        let mut decoded: [Option<RgbImage>; 2] = [None, None];
        let mut all = Vec::with_capacity(preparations.len());
        for preparation in preparations {
            let is_applied = self.is_turned && preparation.exif_orientation == ExifOrientation::Apply;
            let image = &mut decoded[usize::from(is_applied)];
            let image = match image {
                Some(image) => &*image,
                None => image.insert(decoder.decode(&self.bytes, preparation.exif_orientation)?),
            };
            all.push(preparation.pixels(image)?);
        }
        Ok(all)
    }
}

fn read_image(
    reader: &dyn ImageReader,
    decoder: &Decoder,
    row: usize,
    class: Option<u32>,
) -> Result<ProbeImage, ReadError> {
    let bytes = reader.read(row, LengthCheck::Ignore)?;
    let image = decoder.decode(&bytes, ExifOrientation::Ignore)?;
    let may_be_turned = bytes.windows(4).any(|part| part.eq_ignore_ascii_case(b"exif"));
    let is_turned = may_be_turned && decoder.decode(&bytes, ExifOrientation::Apply)? != image;
    Ok(ProbeImage { bytes, class, is_turned })
}

/// Shuffles as Fisher and Yates do.
fn shuffle<T>(values: &mut [T], random: &mut SplitMix64) {
    for last in (1..values.len()).rev() {
        values.swap(last, (random.next_u64() % (last as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::shared::manifest::ManifestEntry;

    fn manifest(folders: &[(&str, usize)]) -> Manifest {
        let entries = folders.iter().flat_map(|&(folder, count)| {
            (0..count).map(move |number| ManifestEntry {
                path: format!("{folder}/{number:04}.png"),
                id: None,
                folder_class: Some(folder.to_owned()),
                bytes: 1,
            })
        });
        Manifest::from_entries(entries.collect()).unwrap()
    }

    #[test]
    fn samples_are_pairs_of_random_classes() {
        let classes = ClassList::imagenet_1k();
        let folders: Vec<_> = classes.entries()[..40].iter().map(|entry| (entry.id.as_str(), 50)).collect();
        let list = manifest(&folders);
        let sample = ProbeSample::draw(&list, &classes, 20, 7);
        let first: Vec<u32> = sample.rows[..20].iter().map(|(_, class)| class.unwrap()).collect();
        assert!(first.chunks(2).all(|pair| pair[0] == pair[1]), "{first:?}");
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 10);
        let rows: BTreeSet<_> = sample.rows.iter().map(|(row, _)| row).collect();
        assert_eq!((rows.len(), sample.rows.len()), (56, 56));
        assert_eq!(ProbeSample::draw(&list, &classes, 20, 7).rows, sample.rows);
        assert_ne!(ProbeSample::draw(&list, &classes, 20, 8).rows, sample.rows);
    }

    #[test]
    fn folders_that_are_not_classes_are_left_out_or_ignored() {
        let classes = ClassList::imagenet_1k();
        let mixed = ProbeSample::draw(&manifest(&[("n01440764", 12), ("holidays", 90)]), &classes, 50, 0);
        assert!(mixed.has_classes && mixed.rows.len() == 12 && mixed.without_class == 90);
        let unknown = ProbeSample::draw(&manifest(&[("n01440764", 3), ("holidays", 90)]), &classes, 50, 0);
        assert!(!unknown.has_classes && unknown.rows.len() == 93 && unknown.without_class == 0);
        assert!(ProbeSample::draw(&manifest(&[]), &classes, 50, 0).rows.is_empty());
    }
}
