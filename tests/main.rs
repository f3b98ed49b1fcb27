//! Integration tests, in a single binary.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

/// `relabel audit` against statistics computed from dense maps; its files, refusals and interruption.
mod audit;
/// Every command as a user runs it: help, results, refusals, exit codes.
mod commands;
/// Wrong cards, class lists and orders of cells are named by `relabel teacher --probe`.
mod input_check;
/// Running the program and Python, data sets for tests.
mod common;
/// The teacher's predictions for crops against labels of the crops, and their figures.
mod crop_fidelity;
/// `relabel evaluate`: truths, files, refusals, and the teacher on crops.
mod evaluate;
/// `relabel calibrate`: figures, the sealed file, refusals.
mod calibrate;
/// `relabel compare` on stores with planted differences; its figures, files, refusals and exit codes.
mod compare;
/// Stores with tiles, without label maps and with a calibration: shown, published, verified, compared, or refused with a message.
mod tiled_stores;
/// Completion scripts of shells, and man pages.
mod completions;
/// `relabel demo` on the samples and on other images.
mod demo;
/// Every kind of damage to every kind of file: reported, repaired, and never read as other labels.
mod damage;
/// Sessions on one and several devices, unusable GPUs, placement of nodes.
mod devices;
/// Exit codes, signals, unwritable output, missing resources, usage errors, paths that are not UTF-8.
mod exits;
/// Hostile cards, names and URLs: secrets, terminal control characters, spreadsheet formulas.
mod leaks;
/// Unusual image files against the verdict and pixels of PIL.
mod decode;
/// Frozen stores of every format version: read, resumed, merged and verified as recorded.
mod frozen_stores;
/// Randomly mutated files of every kind: an error, never a panic.
mod fuzz;
/// Stores imported from other programs' files, and starting Python for import, export and export-teacher.
mod exchange;
/// Pixels, scores and labels against PIL, PyTorch and torchvision on the golden photographs.
mod golden;
/// Nonlinear heads, mirrored views and log-sum-exp against the reference teacher in Python.
mod nonlinear_heads;
/// Scores before final activations, probabilities, quantisers, and cells that overflow float16.
mod raw_scores;
/// Forms of ONNX files: unnamed and unsorted nodes, functions, branches.
mod graph_forms;
/// Image files that need much memory or time, and images that crash the process.
mod hostile_images;
/// Damaged and hostile ONNX files.
mod hostile_models;
/// Splits, ambiguous lists, misspelt cards, and ids of a store.
mod names_and_ids;
/// Rules of the sources and documents: imports, names, cited paths, tests and messages.
mod house;
/// kill -9 at random moments, then the bytes of an uninterrupted run.
mod kill;
/// Metrics of labels and maps against scikit-learn, torchmetrics, wsolevaluation and `TorchRay`.
mod metrics;
/// Teachers without cells: accepted with tiles, their predictions against the unmodified network in Python; resumed, described,
/// refused.
mod mapless;
/// Merging partial stores to the bytes of one store; refusals.
mod merge;
/// Full disks, deleted files, failures at every step of a commit, runs with too many failures.
mod faults;
/// Image positions of cells in any order, and cells without one.
mod locality;
/// Class tokens joined with a mean, attention with a learned query, and other poolings that are refused.
mod token_pooling;
/// Pictures against reviewed ones, and `relabel inspect`.
mod pictures;
/// LabelPooling and CutMix against dense maps and the targets of torchvision.
mod pooling;
/// Targets mixed from label maps and predictions of images and tiles, through stores.
mod mixed_pooling;
/// Releases: their files, refusals, checksums, reproducibility.
mod publish;
/// Figures of an evaluation in charts, releases and reports.
mod publish_evaluation;
/// Stores read by zarr-python and `TensorStore`.
mod readers;
/// Verification of releases: signatures against OpenSSH's, folders and remote locations.
mod release;
/// The page of `relabel report`: its files, refusals, exit codes, hostile names.
mod report;
/// Delivery of releases to folders and object stores, with kills and faults.
mod delivery;
/// Stores read over the network: web servers, an S3-compatible server, faults.
mod remote;
/// Servers for tests.
mod servers;
/// Folders, tars, `WebDataset` shards and Parquet files of the same images; hostile archives.
mod sources;
/// A store without a teacher.
mod synthetic_store;
/// Several processes that fill one store.
mod tasks;
/// Every supported linear head: rewritten and verified; refusals.
mod teachers;
/// ONNX graphs of a few nodes with the heads of real exporters.
mod tiles;
mod tiny_graphs;
/// Stores and servers with correct digests and hostile values, files and responses.
mod hostile_stores;
/// Truths in every format, matched with images; damaged and hostile ones.
mod truths;
