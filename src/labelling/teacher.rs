//! The teacher: pixels in, label maps or predictions out. The only module that uses ONNX Runtime.
//!
//! An ordinary classifier is rewritten in memory so that its head runs on every cell, and the rewrite is verified before
//! anything is labelled. `docs/teacher-endings.md` lists the supported endings.
//!
//! Modules: `graph` parses, `tail` recognises the ending, `quantisation` treats rounded values, `rewrite` builds the graph that
//! labels, `rewrite_check` verifies it, `locality` finds the positions of cells, `card` describes the input, `device`, `cuda`
//! and `placement` concern devices. `prediction_teacher` runs classifiers of which no cells are needed.

mod refusal;
mod onnx_proto;
mod wire;
mod external_data;
mod integrity;
mod graph;
pub mod card;
mod batch;
mod teacher_trait;
mod weights;
mod tensors;
mod tail;
mod quantisation;
mod rewrite;
mod ports;
pub mod cuda;
pub mod device;
mod runtime_search;
mod runtime;
mod cuda_libraries;
mod device_check;
mod placement;
mod scratch_folder;
mod normalised_input;
mod rewrite_check;
mod locality;
mod transfer_buffers;
mod catch_binding_panic;
mod description;
mod onnx_teacher;
mod teacher_request;
mod parsed_model;
mod load;
mod onnx_classifier;
mod prediction_teacher;
mod check_onnx;
mod halving;

pub use batch::Views;
pub use batch::{BatchLabels, PixelBatch};
pub use card::{CardError, CardFile, CardValues, Normalisation, TeacherCard};
pub use check_onnx::check_onnx;
pub use cuda::CudaTuning;
pub use description::TeacherDescription;
pub use device::{Device, DeviceChoice};
pub use halving::HalvingTeacher;
pub use locality::{Locality, ProbeResult, probe_labels};
pub use onnx_classifier::{ClassifierDescription, OnnxClassifier};
pub use onnx_teacher::OnnxTeacher;
pub use placement::{OffDeviceNode, Placement};
pub use prediction_teacher::{PredictionDescription, PredictionTeacher};
pub use rewrite_check::{QuantisedCheck, RewriteCheck};
pub use runtime::Runtime;
pub use runtime_search::RuntimeSearch;
pub use tail::Linearity;
pub use teacher_request::TeacherRequest;
pub use teacher_trait::{AdjustableClassifier, Classifier, Teacher, TeacherShape};
pub use weights::{WeightsFile, weights_bytes};
