//! Recognises how a classifier ends: its last pooling, and the nodes (the *head*) that turn pooled features into class
//! scores. `docs/teacher-endings.md` lists the supported endings.

mod layout;
mod ending;
mod average;
mod attention;
mod single_tokens;
mod head;
mod quantised_head;
mod activation;
mod unsupported;
mod recognise;
mod plain_classifier;

pub(crate) use activation::RawScores;
pub use ending::Linearity;
pub(crate) use ending::{Ending, Pooling, QuantisedHead, Tail};
pub(crate) use head::describe_node;
pub(crate) use layout::{CellGrid, FeatureLayout};
pub(crate) use plain_classifier::{check_plain_classifier, end_in_layer_with_weights};
pub(crate) use recognise::{recognise, recognise_scores};
pub(crate) use unsupported::detector;
