//! Sparse targets of a batch as arrays.

use std::num::NonZeroUsize;

use super::crop_pooling::CropPooling;
use super::row_pooler::RowPooler;
use super::{Labels, check_crops, parallel_chunks};
use crate::shared::error::Error;
use crate::shared::geometry::Crop;

/// Sparse targets of a batch of crops, padded to the same number of classes. A part is a part of the output, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct PaddedTargets {
    /// Number of classes of each target, with the padding.
    pub width: usize,
    /// Class ids by decreasing probability, `[image, width, part]`, padded with -1.
    pub classes: Vec<i64>,
    /// Probabilities of these classes, `[image, width, part]`, padded with 0.
    pub probs: Vec<f32>,
    /// Total probability of the other classes, which have equal shares, `[image, part]`.
    pub rests: Vec<f32>,
}

/// Targets of one crop, in the order in which its parts were pooled.
#[derive(Clone, Debug, Default)]
struct CropTargets {
    /// Number, rest and number of classes of each part.
    parts: Vec<(usize, f32, usize)>,
    /// Class ids and probabilities of all parts.
    ranks: Vec<(u32, f32)>,
}

impl Labels {
    /// Pools crops into sparse targets of the same number of classes: `top` (or all classes, if there are fewer), otherwise the
    /// largest number of classes of a target. The probability of classes that are left out is added to the rest.
    ///
    /// # Errors
    /// See [`Labels::pool_into`].
    pub fn pool_padded(
        &self,
        rows: &[usize],
        crops: &[Crop],
        pooling: impl Into<CropPooling>,
        top: Option<NonZeroUsize>,
        threads: NonZeroUsize,
    ) -> Result<PaddedTargets, Error> {
        let pooling = pooling.into();
        pooling.check(&self.reader)?;
        check_crops(rows, crops)?;
        let mut pooled = vec![CropTargets::default(); rows.len()];
        let kept = top.map_or(usize::MAX, NonZeroUsize::get);
        parallel_chunks::for_each_chunk(
            threads,
            &mut pooled,
            1,
            || RowPooler::new(self, pooling),
            |pooler, at, targets| {
                let CropTargets { parts, ranks } = &mut targets[0];
                pooler.for_each_sparse(rows[at], crops[at], kept, |part, target| {
                    parts.push((part, target.rest, target.classes.len()));
                    ranks.extend(target.classes.iter().copied().zip(target.probs.iter().copied()));
                })
            },
        )?;
        let longest = || pooled.iter().flat_map(|crop| &crop.parts).map(|&(_, _, classes)| classes).max();
        let width = top.map_or_else(|| longest().unwrap_or(0), |top| top.get().min(self.class_count()));
        PaddedTargets::new(&pooled, pooling.parts(), width, threads)
    }
}

impl PaddedTargets {
    fn new(crops: &[CropTargets], parts: usize, width: usize, threads: NonZeroUsize) -> Result<Self, Error> {
        let values = crops.len() * width * parts;
        let (mut classes, mut probs) = (vec![-1; values], vec![0.0; values]);
        let mut rests = vec![0.0; crops.len() * parts];
        for (crop, rests) in crops.iter().zip(rests.chunks_mut(parts)) {
            for &(part, rest, _) in &crop.parts {
                rests[part] = rest;
            }
        }
        // Without any class, these are empty.
        let of_crop = (width * parts).max(1);
        let mut of_crops: Vec<_> = classes.chunks_mut(of_crop).zip(probs.chunks_mut(of_crop)).collect();
        parallel_chunks::for_each_chunk(
            threads,
            &mut of_crops,
            1,
            || (),
            |(), at, arrays| {
                let (classes, probs) = &mut arrays[0];
                let mut ranks = crops[at].ranks.iter();
                for &(part, _, count) in &crops[at].parts {
                    for (rank, &(class, prob)) in ranks.by_ref().take(count).enumerate() {
                        classes[rank * parts + part] = i64::from(class);
                        probs[rank * parts + part] = prob;
                    }
                }
                Ok(())
            },
        )?;
        Ok(Self { width, classes, probs, rests })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_padded_rank_by_rank() {
        // Two parts, of which the second was pooled first, as in a mirrored crop.
        let first = CropTargets { parts: vec![(1, 0.5, 1), (0, 0.1, 2)], ranks: vec![(7, 0.5), (3, 0.6), (4, 0.3)] };
        let second = CropTargets { parts: vec![(0, 1.0, 0), (1, 0.0, 2)], ranks: vec![(0, 0.75), (9, 0.25)] };
        for threads in [1, 3] {
            let crops = [first.clone(), second.clone()];
            let padded = PaddedTargets::new(&crops, 2, 3, NonZeroUsize::new(threads).unwrap()).unwrap();
            assert_eq!(padded.classes, [3, 7, 4, -1, -1, -1, -1, 0, -1, 9, -1, -1]);
            assert_eq!(padded.probs, [0.6, 0.5, 0.3, 0.0, 0.0, 0.0, 0.0, 0.75, 0.0, 0.25, 0.0, 0.0]);
            assert_eq!(padded.rests, [0.1, 0.5, 1.0, 0.0]);
        }
    }

    #[test]
    fn targets_without_classes_have_only_a_rest() {
        let outside = CropTargets { parts: vec![(0, 1.0, 0)], ranks: Vec::new() };
        let padded = PaddedTargets::new(&[outside.clone(), outside], 1, 0, NonZeroUsize::MIN).unwrap();
        assert_eq!((padded.classes.len(), padded.rests), (0, vec![1.0, 1.0]));
        assert!(PaddedTargets::new(&[], 4, 0, NonZeroUsize::MIN).unwrap().rests.is_empty());
    }
}
