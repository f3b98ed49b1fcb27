//! Delivers a release to a folder or an object store.
//!
//! A marker file exists at the destination from before the first file until after the last one, and the checksums are written
//! last. An incomplete release is therefore always recognised, and delivering again sends only files that are missing or
//! different (tests `delivery::a_killed_publish_is_resumed_with_the_missing_files`,
//! `delivery::network_faults_lose_nothing`).

mod destination;
mod folder_destination;
mod bucket_destination;
mod parallel;
mod delivery_plan;
mod delivery;

pub use bucket_destination::BucketDestination;
pub use delivery::{Delivery, DeliveryCallbacks, DeliveryProgress, deliver, files_to_send};
pub use delivery_plan::{Existing, MARKER, check_destination};
pub use destination::ReleaseDestination;
pub use folder_destination::{FolderDestination, LinkMode};
