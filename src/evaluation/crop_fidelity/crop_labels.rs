//! The labels that are compared with the teacher's prediction for a crop.

use super::crop_job::TeacherCrop;
use super::label_agreement::{CropPrediction, LabelAgreement};
use crate::shared::error::Error;
use crate::shared::geometry::Crop;
use crate::shared::label_map::ImagePrediction;
use crate::shared::store::StoreReader;
use crate::training::pool::{Fill, PoolError, PoolOptions, Pooler, SparseTarget};

/// Kinds of labels, in the order of all arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LabelKind {
    Pooled,
    Image,
    Folder,
    Swapped,
    Rest,
}

/// Number of kinds.
pub(super) const KINDS: usize = 5;

/// Agreement of each kind of label with the teacher; `None` for labels that do not exist.
pub(super) type Agreements = [Option<LabelAgreement>; KINDS];

/// Computes the labels of crops.
pub(super) struct CropLabeller<'a> {
    store: &'a StoreReader,
    class_count: usize,
    pooler: Pooler,
    rest_pooler: Option<Pooler>,
    scratch: Vec<f64>,
}

/// A crop after the comparison.
pub(super) struct ComparedCrop {
    pub(super) pooled: SparseTarget,
    pub(super) agreements: Agreements,
}

impl<'a> CropLabeller<'a> {
    pub(super) fn new(store: &'a StoreReader) -> Self {
        let class_count = store.info().classes.count;
        let rest = PoolOptions { fill: Fill::Rest, ..PoolOptions::default() };
        Self {
            store,
            class_count,
            pooler: Pooler::new(class_count, PoolOptions::default()),
            rest_pooler: store.info().with_lse.then(|| Pooler::new(class_count, rest)),
            scratch: Vec::new(),
        }
    }

    /// Compares all labels of a crop with the teacher's prediction.
    ///
    /// # Errors
    /// Returns [`Error::Store`] if the labels of the image have a class that the teacher does not have.
    pub(super) fn compare(
        &mut self,
        crop: &TeacherCrop<'_>,
        prediction: &CropPrediction<'_>,
        folder_class: Option<u32>,
    ) -> Result<ComparedCrop, Error> {
        self.try_compare(crop, prediction, folder_class).map_err(|error| Error::Store {
            path: self.store.path().to_path_buf(),
            problem: format!("row {}: {error}", crop.row).into(),
        })
    }

    fn try_compare(
        &mut self,
        crop: &TeacherCrop<'_>,
        prediction: &CropPrediction<'_>,
        folder_class: Option<u32>,
    ) -> Result<ComparedCrop, PoolError> {
        let (map, unit_box) = (&crop.labels.map, crop.crop.unit_box());
        let pooled = single(self.pooler.pool_sparse(map, Crop::from(unit_box))?);
        let swapped = single(self.pooler.pool_sparse(map, Crop::from(unit_box.transposed()))?);
        let rest = match &mut self.rest_pooler {
            Some(pooler) => Some(single(pooler.pool_sparse(map, Crop::from(unit_box))?)),
            None => None,
        };
        let image = label_of_prediction(&crop.labels.prediction, self.class_count)?;
        let folder = folder_class.map(|class| SparseTarget { classes: vec![class], probs: vec![1.0], rest: 0.0 });
        let mut compare = |label: &SparseTarget| prediction.compare(label, &mut self.scratch);
        let agreements = [
            Some(compare(&pooled)),
            Some(compare(&image)),
            folder.as_ref().map(&mut compare),
            Some(compare(&swapped)),
            rest.as_ref().map(&mut compare),
        ];
        Ok(ComparedCrop { pooled, agreements })
    }
}

/// Returns the target of an output of one part.
fn single(targets: Vec<SparseTarget>) -> SparseTarget {
    targets.into_iter().next().unwrap_or_default()
}

/// Smallest probability of all classes together that were not stored: half the distance between 1 and the float16 below it,
/// since stored probabilities are rounded to float16 and may add up to 1 or more.
const SMALLEST_REST: f32 = 1.0 / 4096.0;

/// Smallest positive float16, for stored probabilities that were rounded to 0.
const SMALLEST_STORED: f32 = 1.0 / 16_777_216.0;

/// Returns the stored prediction as a label. The classes that are not stored have equal shares of what remains.
fn label_of_prediction(prediction: &ImagePrediction, class_count: usize) -> Result<SparseTarget, PoolError> {
    let classes = prediction.classes().to_vec();
    if let Some(&class) = classes.iter().find(|&&class| class as usize >= class_count) {
        return Err(PoolError::ClassId { class, class_count });
    }
    let mut probs: Vec<f32> = prediction.probs().iter().map(|prob| prob.to_f32().max(SMALLEST_STORED)).collect();
    let stored: f32 = probs.iter().sum();
    let mut rest = if classes.len() < class_count { (1.0 - stored).max(SMALLEST_REST) } else { 0.0 };
    let total = stored + rest;
    for prob in &mut probs {
        *prob /= total;
    }
    rest /= total;
    Ok(SparseTarget { classes, probs, rest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_predictions_become_labels() {
        let label = |probs: &[f32], class_count| {
            let classes: Vec<i32> = (0..probs.len() as i32).collect();
            label_of_prediction(&ImagePrediction::from_ranks(probs, &classes).unwrap(), class_count).unwrap()
        };
        assert_eq!(label(&[0.5, 0.25], 10), SparseTarget { classes: vec![0, 1], probs: vec![0.5, 0.25], rest: 0.25 });
        let certain = label(&[1.0, 1e-9], 10);
        assert!(certain.probs[0] > 0.999 && certain.probs[1] > 1e-8, "{certain:?}");
        assert!((certain.rest - 1.0 / 4097.0).abs() < 1e-6, "{certain:?}");
        let all = label(&[0.75, 0.25], 2);
        assert!(all.rest.abs() < 1e-9 && (all.probs[0] - 0.75).abs() < 1e-6);
        let refused = label_of_prediction(&ImagePrediction::from_ranks(&[0.5], &[7]).unwrap(), 7).unwrap_err();
        assert!(refused.to_string().contains("class id 7 is out of range"));
    }
}
