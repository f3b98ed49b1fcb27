//! Label maps for image data sets: what a strong classifier sees in every cell of every image.
//!
//! Labels one photograph:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use relabel::shared::label_map::{LabelMap, ScoreRounding};
//! use relabel::labelling::pixels::decode_into;
//! use relabel::labelling::teacher::{CardFile, CardValues, Device, OnnxTeacher, PixelBatch, Runtime, Teacher, TeacherRequest, Views};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::load(Path::new("libonnxruntime.so"))?;
//! let path = Path::new("models/efficientnet-lite0.onnx");
//! let request = TeacherRequest {
//!     path: path.to_path_buf(),
//!     card: CardFile::find(path, None)?,
//!     flags: CardValues::default(),
//!     k: 5,
//!     views: Views::Image,
//!     with_lse: false,
//!     threads: 4,
//!     photographs: Vec::new(),
//!     scratch_folder: None,
//! };
//! let (mut teachers, described) = OnnxTeacher::load(&runtime, &request, &[Device::Cpu], &|| false)?;
//!
//! let (card, shape) = (&described.card, described.shape);
//! let photograph = std::fs::read("coffee.jpg")?;
//! let mut pixels = vec![0; card.input_size.rgb_bytes()];
//! decode_into(&photograph, card.exif_orientation, card.input_size, card.filter, &mut pixels).map_err(|e| e.to_string())?;
//!
//! let labels = teachers[0].label(&PixelBatch::new(1, card.input_size, pixels))?;
//! let map = LabelMap::from_cells(&labels.scores, &labels.classes, shape.k, shape.map_size, ScoreRounding::Float16)
//!     .map_err(|e| e.to_string())?;
//! let (score, class) = map.at(0, 3, 3);
//! println!("in cell 3, 3: {} ({score})", card.classes.short_name(class));
//! # Ok(())
//! # }
//! ```
//!
//! [`labelling::pipeline::run`] does this for an entire data set and writes a store. Reads one row of a store:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use relabel::shared::classes::ClassList;
//! use relabel::shared::store::{RowState, StoreReader};
//!
//! # fn main() -> Result<(), relabel::shared::error::Error> {
//! let store = StoreReader::open(Path::new("labels"))?;
//! let classes: ClassList = (&store.info().classes).into();
//! match store.row(24)? {
//!     RowState::Labelled(labels) => {
//!         println!("the entire image: {}", classes.short_name(labels.prediction.classes()[0]));
//!         if let Some(map) = &labels.map {
//!             println!("its upper left cell: {}", classes.short_name(map.at(0, 0, 0).1));
//!         }
//!     }
//!     RowState::Failed(failed) => println!("{} could not be labelled: {}", failed.path, failed.error),
//!     RowState::ToDo => println!("not yet"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! Six, in the order of declaration. Each module imports only modules declared above it:
//!
//! | module | purpose | feature |
//! |---|---|---|
//! | [`shared`] | common types: [`Error`], geometry, [`LabelMap`], [`Manifest`], [`StoreReader`], remote stores | – |
//! | [`training`] | pooled targets of crops: [`Labels`], [`Pooler`], [`CutRect`] | – |
//! | [`labelling`] | from images to label maps: [`Source`], [`OnnxTeacher`], [`Job`] | `label` |
//! | [`inspection`] | what a store contains: one image, pictures, pages, audits | `label` |
//! | [`evaluation`] | how good labels are: figures against truths, fidelity of crops, comparison of stores | `label` |
//! | [`release`] | a store as a data set for publication: descriptions, checksums, signatures, delivery | `label` |
//!
//! Without the feature `label` only what training needs is compiled. The program (`src/main.rs`, `src/cli/`) uses the
//! library as any other caller does.
//!
//! # Terms
//!
//! * *teacher*: an ONNX image classifier ([`OnnxTeacher`]); *teacher card*: how its input is prepared ([`TeacherCard`]).
//! * *cell*: one position of the teacher's last feature map. *score*: the output of the teacher's head for a class, before
//!   softmax.
//! * *score map*: the scores of all classes in every cell, `[class, y, x]`. *label map*: the best `k` of each cell
//!   ([`LabelMap`]). *rank*: position among these `k`, 0 being the best.
//! * *manifest*: the fixed list of images ([`Manifest`]). *row*: position in it, and in every array. *folder class*: the
//!   class an image is filed under, its first folder.
//! * *target*: what training gets for a crop: a pooled, normalised vector ([`Labels`]). *prediction*: the teacher's own
//!   output for the entire image.
//! * *store*: the folder that holds the label maps of a data set ([`shared::store`]). *shard*: a range of rows, the unit of
//!   work, of commit and of resume. *record*: the file that marks a shard as done. *part*: the shards that one of several
//!   processes does.
//! * *failed image*: one that could not be labelled, and is recorded with its reason ([`ImageError`]).
//! * Spaces ([`shared::geometry`]): `image` pixels of the decoded file, `input` pixels of the teacher, `map` cells, `unit`
//!   0..1 of the image. Boxes are `x0, y0, x1, y1`, half-open; arrays are `[.., y, x]`.
//!
//! The library neither prints nor exits, and reads neither clock nor environment.

pub mod shared;
pub mod training;
#[cfg(feature = "label")]
pub mod labelling;
#[cfg(feature = "label")]
pub mod inspection;
#[cfg(feature = "label")]
pub mod evaluation;
#[cfg(feature = "label")]
pub mod release;

pub use shared::error::{Error, ImageError};
pub use shared::geometry::UnitBox;
pub use shared::label_map::LabelMap;
pub use shared::manifest::Manifest;
pub use shared::store::{StoreReader, StoreWriter};
pub use training::cutmix::CutRect;
pub use training::labels::Labels;
pub use training::pool::Pooler;

#[cfg(feature = "label")]
pub use labelling::{
    pipeline::Job,
    source::Source,
    teacher::{OnnxTeacher, Teacher, TeacherCard},
};
