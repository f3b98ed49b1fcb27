//! Label maps for image data sets: what a strong classifier sees in every cell of every image.
//!
//! Labels one photograph:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use relabel::label_map::{LabelMap, ScoreRounding};
//! use relabel::pixels::decode_into;
//! use relabel::teacher::{CardFile, CardValues, Device, OnnxTeacher, PixelBatch, Runtime, Teacher, TeacherRequest, Views};
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
//! [`pipeline::run`] does this for a whole data set, into a store. Reads one row of a store:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use relabel::classes::ClassList;
//! use relabel::store::{RowState, StoreReader};
//!
//! # fn main() -> Result<(), relabel::error::Error> {
//! let store = StoreReader::open(Path::new("labels"))?;
//! let classes: ClassList = (&store.info().classes).into();
//! match store.row(24)? {
//!     RowState::Labelled(labels) => {
//!         println!("the whole image: {}", classes.short_name(labels.prediction.classes()[0]));
//!         println!("its upper left cell: {}", classes.short_name(labels.map.at(0, 0, 0).1));
//!     }
//!     RowState::Failed(failed) => println!("{} could not be labelled: {}", failed.path, failed.error),
//!     RowState::ToDo => println!("not yet"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Words
//!
//! * *teacher*: an ONNX classifier of images ([`teacher`]); *teacher card*: how to feed it ([`teacher::TeacherCard`]).
//! * *cell*: one place of the teacher's last feature map. *score*: what the teacher's head gives for a class, before
//!   softmax.
//! * *score map*: the scores of all classes in every cell, `[class, y, x]`. *label map*: the best `k` of each cell
//!   ([`label_map::LabelMap`]). *rank*: place among these `k`, 0 being the best.
//! * *manifest*: the frozen list of images ([`manifest::Manifest`]). *row*: position in it, and in every array. *label*:
//!   the class that an image is filed under, its first folder.
//! * *store*: the folder that holds the label maps of a data set ([`store`]). *shard*: a range of rows, the unit of work,
//!   of commit and of resume. *record*: the file that makes a shard count as done. *part*: the shards that one of many
//!   processes does.
//! * *failed image*: one that could not be labelled, and is recorded with its reason ([`error::ImageError`]).
//! * Spaces ([`geometry`]): `image` pixels of the decoded file, `input` pixels of the teacher, `map` cells, `unit` 0..1
//!   of the image. Boxes are `x0, y0, x1, y1`, half-open; arrays are `[.., y, x]`.
//!
//! The library neither prints nor exits, and reads neither clock nor environment. `docs/architecture.md` shows the whole
//! in ten minutes; the modules below stand in reading order there and in the source.

pub mod shown;
pub mod error;
pub mod regular_file;
pub mod threads;
pub mod geometry;
pub mod digest;
pub mod draft;
pub mod random;
pub mod words;
pub mod spelling;
pub mod classes;
pub mod label_map;
pub mod manifest;
#[cfg(feature = "label")]
pub mod source;
#[cfg(feature = "label")]
pub mod pixels;
#[cfg(feature = "label")]
pub mod teacher;
pub mod store;
pub mod remote;
#[cfg(feature = "label")]
pub mod monitor;
#[cfg(feature = "label")]
pub mod pipeline;
pub mod pool;
pub mod cutmix;
pub mod labels;
pub mod exchange;
pub mod inspect;
#[cfg(feature = "label")]
pub mod picture;
#[cfg(feature = "label")]
pub mod table;
#[cfg(feature = "label")]
pub mod audit;
#[cfg(feature = "label")]
pub mod report;
#[cfg(feature = "label")]
pub mod release;
