//! Delivers a release to a folder or an object store.
//!
//! A marker file exists at the target from before the first file until after the last one, and the checksums are written
//! last. An incomplete release is therefore always recognised, and delivering again sends only files that are missing or
//! different (tests `delivery::a_killed_publish_is_resumed_with_the_missing_files`,
//! `delivery::network_faults_lose_nothing`).

mod target;
mod folder_target;
mod bucket_target;
mod parallel;
mod delivery_plan;
mod delivery;

pub use bucket_target::BucketTarget;
pub use delivery::{Delivery, DeliveryCallbacks, DeliveryProgress, deliver, files_to_send};
pub use delivery_plan::{Existing, MARKER, check_target};
pub use folder_target::{FolderTarget, LinkMode};
pub use target::Target;
