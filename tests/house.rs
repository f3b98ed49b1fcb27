//! Rules of the sources, and agreement of the documents with them.

/// Paths, tests and messages that documents quote.
mod documents;
/// Direction of imports between modules, and between the files of a module.
mod imports;
/// Names of types and files, lengths of files.
mod names;
/// Packages that only one module uses, and functions that the library does not call.
mod packages;
/// Source files, their modules and the paths they use.
mod sources;
/// One version for the program, the wheel and the changelog.
mod versions;
