//! Boxes and classes as XML files of PASCAL VOC, one for each image (Everingham et al., 2010), such as ImageNet's.

use std::path::Path;

use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use super::annotation_files::{annotation_files, refused};
use super::true_boxes::FileBox;
use super::truth_builder::TruthBuilder;
use super::truth_error::TruthError;
use super::voc_xml::{VocAnnotation, parse_voc};
use crate::shared::digest::{Digest, DigestBuilder, digest_bytes};
use crate::shared::error::Error;
use crate::shared::manifest::name_without_extension;
use crate::shared::regular_file;

/// Length of an annotation that is read; annotations have about a kilobyte.
const MAX_XML_BYTES: u64 = 4 << 20;
/// Annotations in memory.
const FILES_AT_A_TIME: usize = 2048;

/// Reads every XML file below a folder, and returns the digest of the sorted list of their digests and paths, as
/// `sha256sum` prints it.
///
/// # Errors
/// Returns [`Error::File`] if a file cannot be read, and [`Error::Usage`] if one is not an annotation that fits the store.
pub(super) fn read_voc_folder(root: &Path, truth: &mut TruthBuilder<'_>) -> Result<Digest, Error> {
    let mut list = DigestBuilder::default();
    for files in annotation_files(root)?.chunks(FILES_AT_A_TIME) {
        let read: Vec<_> = files.par_iter().map(|file| read_file(&root.join(file))).collect();
        for (file, read) in files.iter().zip(read) {
            let (digest, annotation) = read?;
            let file_name = file.to_string_lossy();
            list.add(format!("{digest}  {file_name}\n").as_bytes());
            add(&annotation, &file_name, truth).map_err(|problem| refused(&root.join(file), &problem))?;
        }
    }
    Ok(list.finish())
}

fn read_file(path: &Path) -> Result<(Digest, VocAnnotation), Error> {
    let bytes = regular_file::read(path, MAX_XML_BYTES)?.usable();
    let bytes = bytes.map_err(|problem| refused(path, &TruthError::Unusable(problem)))?;
    let parsed = match std::str::from_utf8(&bytes) {
        Ok(text) => parse_voc(text),
        Err(problem) => Err(TruthError::NotUtf8 { offset: problem.valid_up_to() }),
    };
    Ok((digest_bytes(&bytes), parsed.map_err(|problem| refused(path, &problem))?))
}

/// Reads one annotation; `file` is the path of the XML file.
pub(super) fn read_voc(text: &str, file: &str, truth: &mut TruthBuilder<'_>) -> Result<(), TruthError> {
    add(&parse_voc(text)?, file, truth)
}

fn add(annotation: &VocAnnotation, file: &str, truth: &mut TruthBuilder<'_>) -> Result<(), TruthError> {
    let name = image_name(annotation, file);
    let Some(row) = truth.row(name)? else { return Ok(()) };
    let origin = if annotation.counts_from_zero { 0.0 } else { 1.0 };
    let (mut boxes, mut classes) = (Vec::new(), Vec::new());
    for object in &annotation.objects {
        let class = truth.classes.by_text(name, &object.name)?;
        boxes.push(FileBox::from_pixels(Some(class), object.sides, origin));
        classes.push(class);
    }
    truth.add_boxes(row, name, annotation.size, &boxes)?;
    truth.add_classes(row, name, &mut classes)
}

/// Returns the name of the annotated image: the path of the XML file, which has the folder of the class, unless the
/// annotation names a different file. Some of ImageNet's annotations have `%s` as the name.
fn image_name<'a>(annotation: &'a VocAnnotation, file: &'a str) -> &'a str {
    let path = file.rsplit_once('.').map_or(file, |(path, _)| path);
    let stem = path.rsplit('/').next().unwrap_or(path);
    let named = annotation.file_name.as_str();
    let named_file = named.rsplit(['/', '\\']).next().unwrap_or(named);
    let is_same = named_file == stem || name_without_extension(named_file) == Some(stem);
    if named.is_empty() || named.contains("%s") || is_same { path } else { named }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_names_the_image_unless_the_annotation_names_another() {
        for (named, file, expected) in [
            ("n01_7", "n01/n01_7.xml", "n01/n01_7"),
            ("7.jpg", "n01/7.xml", "n01/7"),
            ("%s.JPEG", "n01/n01_7.xml", "n01/n01_7"),
            ("", "7.XML", "7"),
            ("JPEGImages/7.jpg", "7.xml", "7"),
            ("other.jpg", "n01/7.xml", "other.jpg"),
            ("frame_0.25.jpg", "a/frame_0.25.xml", "a/frame_0.25"),
        ] {
            let annotation = VocAnnotation { file_name: named.to_owned(), ..VocAnnotation::default() };
            assert_eq!(image_name(&annotation, file), expected, "{named} in {file}");
        }
    }
}
