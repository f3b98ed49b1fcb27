//! Reads what is known to be true of images, classes and boxes, and matches it with the rows of a store.

mod truth_error;
mod true_classes;
mod true_boxes;
mod class_names;
mod image_names;
mod truth_builder;
mod table_columns;
mod class_table;
mod class_parquet;
mod json_classes;
mod json_kind;
mod class_json;
mod real_lists;
mod coco;
mod annotation_files;
mod voc_xml;
mod pascal_voc;
mod wsol;

use std::path::Path;

use self::annotation_files::refused;
use self::json_kind::JsonKind;
use self::truth_builder::{TruthBuilder, TruthRows};
use crate::shared::classes::ClassList;
use crate::shared::digest::{Digest, digest_bytes};
use crate::shared::error::Error;
use crate::shared::manifest::{Manifest, RowIndex};
use crate::shared::regular_file::{self, UnusableFile};

pub use self::true_boxes::{ImageBoxes, TrueBox};
pub use self::truth_error::TruthError;

/// Length of a file that is read into memory. COCO's instances of 118,000 images have 470 MB.
const MAX_FILE_BYTES: u64 = 1 << 29;

/// True classes or boxes of images, by row of a store.
#[derive(Clone, Debug)]
pub struct Truth {
    name: String,
    format: TruthFormat,
    sha256: Option<Digest>,
    rows: TruthRows,
}

/// Format of a truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TruthFormat {
    /// The folder classes of the manifest.
    Folder,
    /// `ReaL`'s lists.
    Real,
    /// Lists of classes: JSON, CSV, TSV or Parquet.
    ClassLists,
    /// XML files of PASCAL VOC or ImageNet.
    PascalVoc,
    /// wsolevaluation's `localization.txt`.
    WsolLocalization,
    /// COCO's instances.
    Coco,
}

impl TruthFormat {
    /// Returns the name in `evaluation.json`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Real => "real",
            Self::ClassLists => "class-lists",
            Self::PascalVoc => "pascal-voc",
            Self::WsolLocalization => "wsol-localization",
            Self::Coco => "coco",
        }
    }
}

impl Truth {
    /// The name of the folder classes.
    pub const FOLDER: &'static str = "folder";

    /// Returns the folder classes of a manifest. Images in a folder that is not named after a class have no truth.
    ///
    /// # Errors
    /// Returns [`Error::Usage`] if no folder is named after a class.
    pub fn folder(manifest: &Manifest, classes: &ClassList) -> Result<Self, Error> {
        let by_name = classes.by_folder_class();
        let mut rows = TruthRows { classes: true_classes::ClassLists::new(manifest.len()), ..TruthRows::default() };
        let mut example = None;
        for row in 0..manifest.len() {
            let Some(folder) = manifest.folder_class(row) else { continue };
            match by_name.get(folder) {
                Some(&class) => rows.classes.set(row, &[class]),
                None => example = example.or(Some(folder)),
            }
        }
        rows.entries = rows.classes.len();
        if rows.entries == 0 {
            let problem = match example {
                Some(folder) => TruthError::OtherFolderClasses {
                    list: classes.source().to_owned(),
                    example: truth_error::beginning(folder),
                },
                None => TruthError::NoFolderClasses,
            };
            return Err(refused(Path::new(Self::FOLDER), &problem));
        }
        Ok(Self { name: Self::FOLDER.to_owned(), format: TruthFormat::Folder, sha256: None, rows })
    }

    /// Reads a file or folder, recognises its format by content, and matches its entries with rows.
    ///
    /// # Errors
    /// Returns [`Error::File`] if it cannot be read, and [`Error::Usage`] with the message of a [`TruthError`] if it is not a
    /// truth for the images of the manifest and the classes of the list.
    pub fn read(path: &Path, manifest: &Manifest, index: &RowIndex, classes: &ClassList) -> Result<Self, Error> {
        let in_truth = |problem: TruthError| refused(path, &problem);
        let Some(metadata) = regular_file::metadata(path)? else {
            return Err(in_truth(TruthError::Unusable(UnusableFile::Missing)));
        };
        let mut truth = TruthBuilder::new(manifest, index, classes);
        let (format, sha256) = if metadata.is_dir() {
            let boxes = path.join(wsol::BOXES_FILE);
            if regular_file::metadata(&boxes)?.is_some() {
                read_file(&boxes, &mut truth)?
            } else {
                (TruthFormat::PascalVoc, pascal_voc::read_voc_folder(path, &mut truth)?)
            }
        } else {
            read_file(path, &mut truth)?
        };
        let name = path.file_name().or_else(|| path.parent()?.file_name()).unwrap_or(path.as_os_str());
        let name = name.to_string_lossy().into_owned();
        Ok(Self { name, format, sha256: Some(sha256), rows: truth.finish().map_err(in_truth)? })
    }

    /// `folder`, or the name of the file or folder.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The recognised format.
    #[must_use]
    pub fn format(&self) -> TruthFormat {
        self.format
    }

    /// SHA-256 of the file. If several were read: of the list of their digests and paths below the folder, sorted by path, as
    /// `sha256sum` prints it. `None` for folder classes.
    #[must_use]
    pub fn sha256(&self) -> Option<&Digest> {
        self.sha256.as_ref()
    }

    /// True classes of a row: `None` without truth. The list is empty if the truth lists none.
    #[must_use]
    pub fn classes(&self, row: usize) -> Option<&[u32]> {
        self.rows.classes.get(row)
    }

    /// True boxes of a row: `None` without truth. It is empty if the truth lists the image without objects.
    #[must_use]
    pub fn boxes(&self, row: usize) -> Option<&ImageBoxes> {
        self.rows.boxes.get(row)
    }

    /// Returns whether any row has a list of classes.
    #[must_use]
    pub fn has_classes(&self) -> bool {
        self.rows.classes.len() > 0
    }

    /// Returns whether any row has boxes.
    #[must_use]
    pub fn has_boxes(&self) -> bool {
        self.rows.boxes.len() > 0
    }

    /// Number of entries.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.rows.entries
    }

    /// Number of entries whose image is not in the manifest.
    #[must_use]
    pub fn unmatched(&self) -> usize {
        self.rows.unmatched
    }

    /// Name of the first entry whose image is not in the manifest.
    #[must_use]
    pub fn unmatched_example(&self) -> Option<&str> {
        self.rows.unmatched_example.as_deref()
    }

    /// Number of boxes that were clipped because they extend past the edge of their image.
    #[must_use]
    pub fn boxes_clipped(&self) -> usize {
        self.rows.boxes_clipped
    }

    /// Number of annotations of groups of objects (COCO's `iscrowd`) of the images, which are not read.
    #[must_use]
    pub fn crowds_ignored(&self) -> usize {
        self.rows.crowds
    }
}

/// Reads a file, and returns its format and digest.
fn read_file(path: &Path, truth: &mut TruthBuilder<'_>) -> Result<(TruthFormat, Digest), Error> {
    let in_truth = |problem: TruthError| refused(path, &problem);
    let bytes = regular_file::read(path, MAX_FILE_BYTES)?.usable().map_err(TruthError::Unusable).map_err(in_truth)?;
    let digest = digest_bytes(&bytes);
    if bytes.starts_with(b"PAR1") {
        class_parquet::read_parquet(bytes, truth).map_err(in_truth)?;
        return Ok((TruthFormat::ClassLists, digest));
    }
    let text = text_of(&bytes).map_err(in_truth)?;
    let json = text.as_bytes();
    let format = match text.trim_start().chars().next() {
        None => return Err(in_truth(TruthError::Empty)),
        Some('[' | '{') => read_json(json, truth).map_err(in_truth)?,
        Some('<') => {
            pascal_voc::read_voc(text, &file_name(path), truth).map_err(in_truth)?;
            TruthFormat::PascalVoc
        }
        Some(_) if wsol::is_wsol(text) || file_name(path) == wsol::BOXES_FILE => {
            let folder = path.parent().unwrap_or(Path::new(""));
            let digest = wsol::read_wsol(folder, &file_name(path), (text, digest), MAX_FILE_BYTES, truth)?;
            return Ok((TruthFormat::WsolLocalization, digest));
        }
        Some(_) => {
            class_table::read_table(text, truth).map_err(in_truth)?;
            TruthFormat::ClassLists
        }
    };
    Ok((format, digest))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn read_json(json: &[u8], truth: &mut TruthBuilder<'_>) -> Result<TruthFormat, TruthError> {
    match JsonKind::of(json)? {
        JsonKind::Lists => real_lists::read_real(json, truth).map(|()| TruthFormat::Real),
        JsonKind::Coco => coco::read_coco(json, truth).map(|()| TruthFormat::Coco),
        JsonKind::ByImage => class_json::read_by_image(json, truth).map(|()| TruthFormat::ClassLists),
        JsonKind::ListOfObjects => class_json::read_list(json, truth).map(|()| TruthFormat::ClassLists),
        JsonKind::Objects => class_json::read_objects(json, truth).map(|()| TruthFormat::ClassLists),
    }
}

/// Returns the text of a file, without its byte order mark.
fn text_of(bytes: &[u8]) -> Result<&str, TruthError> {
    const OTHER_FORMATS: [(&[u8], &str); 8] = [
        (b"\x1f\x8b", "a gzip file"),
        (b"\x28\xb5\x2f\xfd", "a zstd file"),
        (b"PK\x03\x04", "a zip archive, or a file of PyTorch or NumPy"),
        (b"\x93NUMPY", "a NumPy array"),
        (b"\x80\x02", "a Python pickle"),
        (b"\xff\xfe", "text as UTF-16"),
        (b"\xfe\xff", "text as UTF-16"),
        (b"\xff\xd8\xff", "an image"),
    ];
    if let Some((_, found)) = OTHER_FORMATS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Err(TruthError::UnknownFormat { found });
    }
    let text = std::str::from_utf8(bytes).map_err(|problem| TruthError::NotUtf8 { offset: problem.valid_up_to() })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}
