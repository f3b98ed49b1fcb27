//! What the other modules share: errors, geometry, label maps, the manifest and the store, and small utilities.
//!
//! Always compiled. Modules are declared in the order of their dependencies: each imports only modules above it.

pub mod printable;
pub mod error;
pub mod numbers;
pub mod regular_file;
pub mod threads;
pub mod geometry;
pub mod digest;
pub mod atomic_file;
pub mod random;
pub mod spelling;
pub mod classes;
pub mod tiles;
pub mod label_map;
pub mod pooling_parameters;
pub mod manifest;
pub mod store;
pub mod remote;
pub mod monitor;
