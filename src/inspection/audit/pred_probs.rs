//! Targets of the full images, densely, as cleanlab's `pred_probs`.

use rayon::iter::{IndexedParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _};
use rayon::slice::ParallelSliceMut as _;

use super::audited_image::AuditedImage;
use crate::shared::error::Error;
use crate::shared::geometry::{Crop, UnitBox};
use crate::shared::monitor::Monitor;
use crate::shared::store::{Agreement, DecodeScratch, RowState, StoreReader};
use crate::training::pool::{PoolOptions, Pooler};

/// Name of the column.
pub(super) const PRED_PROBS: &str = "pred_probs";

/// Pools the maps of `images` again, as the probabilities of all images do not fit into memory. Returns `[image, class]`.
///
/// # Errors
/// Returns [`Error::Interrupted`] if a stop was requested, [`Error::NotLabelled`] if a row was labelled when the audit read
/// it and no longer is, and [`Error::Store`] if a shard is damaged.
pub(super) fn pred_probs(
    store: &StoreReader,
    images: &[AuditedImage],
    monitor: &dyn Monitor,
) -> Result<Vec<f32>, Error> {
    let class_count = store.info().classes.count;
    let mut probs = vec![0.0; images.len() * class_count];
    let make_scratch = || (Pooler::new(class_count, PoolOptions::default()), DecodeScratch::default());
    probs.par_chunks_mut(class_count).zip(images.par_iter()).try_for_each_init(
        make_scratch,
        |(pooler, scratch), (target, image)| {
            if monitor.stop_requested() {
                return Err(Error::Interrupted);
            }
            let RowState::Labelled(map) = store.map(image.row, scratch)? else {
                let (store, reason) = (
                    store.path().to_path_buf(),
                    "its shard is being labelled again\n  help: audit the store when no run writes to it".to_owned(),
                );
                return Err(Error::NotLabelled { store, row: image.row, reason });
            };
            pooler.pool(&map, Crop::from(UnitBox::WHOLE), target).map_err(|error| Error::Store {
                path: store.path().to_path_buf(),
                problem: format!("row {}: {error}", image.row).into(),
            })
        },
    )?;
    monitor.images_done(images.len(), 0, Agreement::default());
    Ok(probs)
}
