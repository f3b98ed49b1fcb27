//! Evaluation of labels: how good the labels of a store are, how two stores differ, and whether a teacher gets its input as
//! it was trained. `docs/evaluation.md` defines every figure. Feature `label`.

pub mod truth;
pub mod metrics;
pub mod evaluation_file;
pub mod evaluate;
pub mod crop_fidelity;
pub mod calibrate;
pub mod compare;
pub mod input_check;
pub mod charts;
