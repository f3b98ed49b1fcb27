//! Limits on the size of a graph, which functions can multiply.

use crate::labelling::teacher::refusal::Refusal;
use crate::labelling::teacher::wire::{MAX_NESTED_GRAPHS, WireError};

/// Most nodes that are accepted, including those inside `If`, `Loop` and `Scan`; the largest classifiers have a few
/// thousand.
pub(super) const MAX_NODES: usize = 100_000;

/// Refuses graphs that are nested deeper than is accepted.
pub(super) fn check_depth(depth: usize) -> Result<(), Refusal> {
    if depth > MAX_NESTED_GRAPHS {
        return Err(Refusal::new(WireError::NestedTooDeep, "export it without functions of its own"));
    }
    Ok(())
}
