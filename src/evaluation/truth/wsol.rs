//! Boxes of wsolevaluation: `localization.txt`, with `image_sizes.txt` and `class_labels.txt` next to it (Choe et al., 2020,
//! arXiv 2001.07437).

use std::collections::HashMap;
use std::path::Path;

use super::annotation_files::refused;
use super::true_boxes::FileBox;
use super::truth_builder::TruthBuilder;
use super::truth_error::{TruthError, beginning};
use crate::shared::digest::{Digest, DigestBuilder, digest_bytes};
use crate::shared::error::Error;
use crate::shared::regular_file::{self, Lookup};

/// The file of boxes.
pub(super) const BOXES_FILE: &str = "localization.txt";
const SIZES_FILE: &str = "image_sizes.txt";
const CLASSES_FILE: &str = "class_labels.txt";

/// Returns whether text is a list of boxes: a path and four numbers in its first line.
pub(super) fn is_wsol(text: &str) -> bool {
    let line = text.lines().next().unwrap_or_default();
    is_header(line) || fields::<f64, 4>(line).is_some()
}

/// Reads the files of a folder, and returns the digest of the sorted list of their digests and names, as `sha256sum` prints
/// it. `boxes` is the content of the file of boxes, which has the digest `boxes_digest`.
///
/// # Errors
/// Returns [`Error::File`] if a file cannot be read, and [`Error::Usage`] if one is missing or does not fit the store.
pub(super) fn read_wsol(
    folder: &Path,
    boxes_file: &str,
    (boxes, boxes_digest): (&str, Digest),
    max_bytes: u64,
    truth: &mut TruthBuilder<'_>,
) -> Result<Digest, Error> {
    let read = |name: &str| -> Result<Option<String>, Error> {
        let path = folder.join(name);
        match regular_file::read(&path, max_bytes)? {
            Lookup::Absent => Ok(None),
            found => match found.usable() {
                Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|problem| {
                    refused(&path, &TruthError::NotUtf8 { offset: problem.utf8_error().valid_up_to() })
                }),
                Err(problem) => Err(refused(&path, &TruthError::Unusable(problem))),
            },
        }
    };
    let in_file = |name: &'static str| move |problem: TruthError| refused(&folder.join(name), &problem);
    let missing = || TruthError::Unusable(regular_file::UnusableFile::Missing);
    let sizes = read(SIZES_FILE)?.ok_or_else(missing).map_err(in_file(SIZES_FILE))?;
    let classes = read(CLASSES_FILE)?;

    let mut images: HashMap<&str, WsolImage> = HashMap::new();
    let size_of_name = lines::<u32, 2>(&sizes, "path,width,height").map_err(in_file(SIZES_FILE))?;
    for (name, size) in size_of_name {
        let image = WsolImage { size, class: None, boxes: Vec::new() };
        if images.insert(name, image).is_some_and(|before| before.size != size) {
            return Err(in_file(SIZES_FILE)(TruthError::ListedTwice { name: beginning(name) }));
        }
    }
    let class_of_name = lines::<i64, 1>(classes.as_deref().unwrap_or_default(), "path,class");
    for (name, [id]) in class_of_name.map_err(in_file(CLASSES_FILE))? {
        let class = truth.classes.by_id(name, id).map_err(in_file(CLASSES_FILE))?;
        let Some(image) = images.get_mut(name) else { continue };
        if image.class.replace(class).is_some_and(|before| before != class) {
            return Err(in_file(CLASSES_FILE)(TruthError::ListedTwice { name: beginning(name) }));
        }
    }
    let in_boxes = |problem: TruthError| refused(&folder.join(boxes_file), &problem);
    let order = read_boxes(boxes, classes.is_some(), &mut images).map_err(in_boxes)?;
    for name in order {
        let image = &images[name];
        add(name, image, truth).map_err(in_boxes)?;
    }

    let mut files = vec![(boxes_file, boxes_digest), (SIZES_FILE, digest_bytes(sizes.as_bytes()))];
    files.extend(classes.map(|classes| (CLASSES_FILE, digest_bytes(classes.as_bytes()))));
    files.sort_unstable_by_key(|(name, _)| *name);
    let mut list = DigestBuilder::default();
    for (name, digest) in files {
        list.add(format!("{digest}  {name}\n").as_bytes());
    }
    Ok(list.finish())
}

struct WsolImage {
    /// Width and height.
    size: [u32; 2],
    class: Option<u32>,
    boxes: Vec<FileBox>,
}

/// Adds the boxes to their images, and returns the names of the images with boxes, in the order of the file.
fn read_boxes<'a>(
    text: &'a str,
    has_classes: bool,
    images: &mut HashMap<&'a str, WsolImage>,
) -> Result<Vec<&'a str>, TruthError> {
    let mut order = Vec::new();
    for (name, sides) in lines::<f64, 4>(text, "path,x0,y0,x1,y1")? {
        let not_listed = |file| TruthError::NotListed { name: beginning(name), file };
        let image = images.get_mut(name).ok_or_else(|| not_listed(SIZES_FILE))?;
        if has_classes && image.class.is_none() {
            return Err(not_listed(CLASSES_FILE));
        }
        if image.boxes.is_empty() {
            order.push(name);
        }
        image.boxes.push(FileBox::from_pixels(image.class, sides, 0.0));
    }
    if order.is_empty() { Err(TruthError::Empty) } else { Ok(order) }
}

fn add(name: &str, image: &WsolImage, truth: &mut TruthBuilder<'_>) -> Result<(), TruthError> {
    let Some(row) = truth.row(name)? else { return Ok(()) };
    truth.add_boxes(row, name, image.size, &image.boxes)?;
    match image.class {
        Some(class) => truth.add_classes(row, name, &mut vec![class]),
        None => Ok(()),
    }
}

fn is_header(line: &str) -> bool {
    line.trim_start_matches('\u{feff}').ends_with(",x0,y0,x1,y1")
}

/// Returns the path and the numbers of a line.
fn fields<T: std::str::FromStr + Copy + Default, const N: usize>(line: &str) -> Option<(&str, [T; N])> {
    let mut numbers = [T::default(); N];
    let mut rest = line;
    for number in numbers.iter_mut().rev() {
        let (before, last) = rest.rsplit_once(',')?;
        *number = last.trim().parse().ok()?;
        rest = before;
    }
    (!rest.is_empty()).then_some((rest, numbers))
}

/// Parses every line: a path and numbers.
fn lines<'a, T: std::str::FromStr + Copy + Default, const N: usize>(
    text: &'a str,
    expected: &'static str,
) -> Result<Vec<(&'a str, [T; N])>, TruthError> {
    let mut parsed = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim().is_empty() || at == 0 && is_header(line) {
            continue;
        }
        let found = fields(line.trim_start_matches('\u{feff}'));
        if found.is_none() && line.split(',').skip(1).any(|field| field.contains('/')) {
            return Err(TruthError::Masks { example: beginning(line) });
        }
        let wrong = || TruthError::Line { line: at + 1, text: beginning(line), expected };
        parsed.push(found.ok_or_else(wrong)?);
    }
    Ok(parsed)
}
