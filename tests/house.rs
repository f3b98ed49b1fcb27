//! What the documents promise of the sources, and what keeps the sources in one piece.

/// Documents: the paths, tests and messages that they quote exist.
mod documents;
/// Imports: data flows one way, between modules and between the files of each.
mod imports;
/// Names: one meaning each.
mod names;
/// Packages: each is known to one module, and the library touches nothing of its surroundings.
mod packages;
/// Source files, their modules and the paths they use.
mod sources;
