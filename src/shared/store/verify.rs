//! Verifies that a store is complete and undamaged.

mod verification;
mod label_values;
mod fixed_files;
mod shards;
mod description;
mod verify_store;

pub use description::{StoreDescription, read_description};
pub(super) use fixed_files::check_fixed_files;
pub use label_values::check_labels;
pub(super) use shards::check_shard;
pub use verification::{Depth, Problem, Repair, Verification, VerifyProgress};
pub use verify_store::verify;
