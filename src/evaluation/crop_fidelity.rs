//! Crop fidelity: the teacher is run on crops, and its prediction for each crop is compared with labels of the crop.
//! `docs/crop-fidelity.md` defines every figure.

mod crop_choice;
mod box_file;
mod crop_job;
mod cut_stage;
mod teacher_crops;
mod label_agreement;
mod cluster_mean;
mod crop_labels;
mod fidelity_sums;
mod crop_table;
mod crop_figures;

pub use box_file::{BoxFileError, read_boxes};
pub use crop_choice::{CropBoxes, CropChoice, labelled_rows, sample_rows};
pub use crop_figures::crop_fidelity;
pub use crop_job::{CropJob, SkippedImage, TeacherCrop};
pub use crop_table::CropTable;
pub use teacher_crops::visit_teacher_crops;

pub(super) use cluster_mean::ClusterMean;
pub(super) use crop_labels::{Agreements, CalibratedParameters, CropLabeller};
pub(super) use label_agreement::CropPrediction;
