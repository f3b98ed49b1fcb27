//! What training needs: pooled targets of crops, CutMix, and label maps exchanged as `.pt` files.
//!
//! Always compiled: with [`shared`](crate::shared) this is all that the Python package uses.

pub mod pool;
pub mod cutmix;
pub mod labels;
pub mod exchange;
