//! One integration-test binary: each module is one concern.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

/// `relabel audit` against figures that are computed anew from densified maps; its files, refusals and interruption.
mod audit;
/// Every command as a user runs it: help, results, refusals, exit codes.
mod commands;
/// Running the program, data sets for tests, Python.
mod common;
/// Every sort of damage to every kind of file: named, repaired, and never read as something else.
mod damage;
/// Sessions on one device and on several, GPUs that cannot be used, what runs where.
mod devices;
/// Exit codes, signals, results that cannot be written, shortages, wrong words, odd paths.
mod exits;
/// What a hostile card, name or address could give away, or do to a terminal or a spreadsheet.
mod leaks;
/// Odd files against PIL's verdict and pixels.
mod decode;
/// Files of every kind that were valid and then got broken at random: an answer, never a panic.
mod fuzz;
/// Stores that are made of other programs' files, and what starts the Python that reads these.
mod exchange;
/// Pixels, scores and labels against what PIL, PyTorch and torchvision make of the golden photographs.
mod golden;
/// Heads that are not linear, mirrored views and log-sum-exp, against the plain teacher in Python.
mod nonlinear_heads;
/// Scores before a final activation, probabilities, quantisers, and cells that float16 cannot hold.
mod raw_scores;
/// ONNX files in all the forms that the format allows: unnamed and unsorted nodes, functions, branches.
mod graph_forms;
/// Image files that are small and ask for much memory or time, and images that end the process.
mod hostile_images;
/// ONNX files that are broken on purpose.
mod hostile_models;
/// Names and images: several splits, lists and cards with slips, ids given back; refused or told apart, never mixed up.
mod names_and_ids;
/// Rules of the sources and documents: imports, names, cited paths, tests and messages.
mod house;
/// kill -9 at random moments, then the bytes of an unbroken run.
mod kill;
/// Stores made in parts that become one: the bytes of one process's store, or a refusal by name.
mod merge;
/// Full disks, files that vanish, failures at every step of a commit, runs that make no sense.
mod faults;
/// Cells that are places of the image, in whatever order a graph has them, and those that are none.
mod locality;
/// Poolings beside or other than a mean: class tokens joined with it, attention with a learned query, refusals.
mod token_pooling;
/// Pictures against those that were looked at, and `relabel inspect`.
mod pictures;
/// LabelPooling and CutMix against maps that are densified, and against torchvision's targets.
mod pooling;
/// Releases: what is in them and what is not, refusals, checksums, the same bytes.
mod publish;
/// Stores read by zarr-python and `TensorStore`.
mod readers;
/// Releases from their consumer's side: signatures against OpenSSH's, checks of folders and of remote places.
mod release;
/// The page of `relabel report`: its files, refusals, exit codes, hostile names.
mod report;
/// Releases brought to folders and object stores, with kills and faults in between.
mod delivery;
/// Stores read over the network: web servers, an S3-compatible server, faults.
mod remote;
/// Servers that tests start.
mod servers;
/// The Python scripts that export a teacher and label with Ray: their refusals.
mod scripts;
/// Folders, tars, `WebDataset` shards and Parquet files that hold the same images; hostile archives.
mod sources;
/// A store made in memory, without a teacher.
mod synthetic_store;
/// Many processes that fill one store.
mod tasks;
/// Every ending that is recognised, rewritten and proved; every refusal.
mod teachers;
/// ONNX graphs made in memory: the endings of real exporters, small.
mod tiny_graphs;
/// Stores and servers whose seals hold and whose numbers, files and answers do not.
mod hostile_stores;
