//! Shared vocabulary: errors, geometry, label maps, the manifest and the store, and the small tools that they are built of.
//!
//! Always compiled. Modules are declared in the order of their dependencies: each imports only modules above it.

pub mod printable;
pub mod error;
pub mod regular_file;
pub mod threads;
pub mod geometry;
pub mod digest;
pub mod draft;
pub mod random;
pub mod numbers;
pub mod spelling;
pub mod classes;
pub mod label_map;
pub mod manifest;
pub mod store;
pub mod remote;
pub mod monitor;
