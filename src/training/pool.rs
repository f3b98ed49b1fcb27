//! Targets of crops from the labels of their images.
//!
//! [`Pooler`] is LabelPooling (*Re-labeling ImageNet*, section 3.2): the target of a crop from the label map of its image.
//! It is `torchvision.ops.roi_align` of the densified map with the settings of `docs/label-pooling.md`, then softmax. The map
//! is never densified: `RoIAlign` to one value is a weighted sum over cells, each weight is the product of a row weight and a
//! column weight, and all classes that no cell has share one value. It equals torchvision to 1e-5
//! (tests `pooling::golden_boxes_pool_to_the_golden_targets` and
//! `pooling::random_maps_and_boxes_pool_like_dense_maps`).
//!
//! [`Pooler::pool_mask`] pools a region of any shape: the mean over the cells of a [`MaskWeights`], then softmax.
//!
//! [`MixedPooler`] mixes label maps and predictions of the image and its tiles, as `docs/calibrated-pooling.md` defines it.

mod pool_error;
mod options;
mod axis_samples;
mod mask_size;
mod coco_rle;
mod pixel_mask;
mod mask_weights;
mod cell_weights;
mod target;
mod softmax;
mod class_sums;
mod pooler;
mod crop_pooler;
mod label_sources;
mod source_scores;
mod mixture;
mod crop_ingredients;
mod source_pooler;
mod mixed_pooler;

pub use coco_rle::CocoRle;
pub use crop_ingredients::CropIngredients;
pub use crop_pooler::{CropLabel, CropPooler, CropWeights};
pub use label_sources::LabelSources;
pub use mask_size::{MaskError, MaskSize};
pub use mask_weights::{MaskResize, MaskWeights};
pub use mixed_pooler::{MixedPooler, NeededLabels};
pub use mixture::Mixture;
pub use options::{Convention, Fill, OutputSize, PoolOptions, Temperature};
pub use pixel_mask::{PixelMask, PixelOrder};
pub use pool_error::PoolError;
pub use pooler::Pooler;
pub use source_pooler::SourcePooler;
pub use source_scores::prediction_target;
pub use target::{SparseTarget, TargetValue};
