//! The pooled probabilities of all classes, as cleanlab's `pred_probs`.

use rayon::iter::{IndexedParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _};
use rayon::slice::ParallelSliceMut as _;

use super::AuditedImage;
use crate::shared::error::Error;
use crate::shared::geometry::{Crop, UnitBox};
use crate::shared::monitor::Monitor;
use crate::shared::store::{Agreement, DecodeScratch, RowState, StoreReader};
use crate::training::pool::{PoolOptions, Pooler};

/// The column's name.
pub(super) const PRED_PROBS: &str = "pred_probs";

/// Pools the maps of images once more, since the probabilities of all are too many to be kept: `[image, class]`, one
/// image behind the other. The monitor hears of them.
pub(super) fn pred_probs(
    store: &StoreReader,
    images: &[AuditedImage],
    monitor: &dyn Monitor,
) -> Result<Vec<f32>, Error> {
    let class_count = store.info().classes.count;
    let mut probs = vec![0.0; images.len() * class_count];
    let make = || (Pooler::new(class_count, PoolOptions::default()), DecodeScratch::default());
    probs.par_chunks_mut(class_count).zip(images.par_iter()).try_for_each_init(
        make,
        |(pooler, scratch), (target, image)| {
            if monitor.stop_requested() {
                return Err(Error::Interrupted);
            }
            let RowState::Labelled(map) = store.map(image.row, scratch)? else {
                let (store, reason) = (store.path().to_path_buf(), "its shard was made again meanwhile".to_owned());
                return Err(Error::NotLabelled { store, row: image.row, reason });
            };
            pooler.pool(&map, Crop::from(UnitBox::WHOLE), target).map_err(|problem| Error::Store {
                path: store.path().to_path_buf(),
                problem: format!("row {}: {problem}", image.row).into(),
            })
        },
    )?;
    monitor.images_done(images.len(), 0, Agreement::default());
    Ok(probs)
}
