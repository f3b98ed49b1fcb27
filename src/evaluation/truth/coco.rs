//! COCO's instances: boxes and classes as JSON (Lin et al., 2014, arXiv 1405.0312).

use std::collections::HashMap;

use serde::Deserialize;

use super::true_boxes::FileBox;
use super::truth_builder::TruthBuilder;
use super::truth_error::{TruthError, beginning};

#[derive(Deserialize)]
struct CocoFile {
    images: Vec<CocoImage>,
    annotations: Vec<CocoAnnotation>,
    categories: Vec<CocoCategory>,
}

#[derive(Deserialize)]
struct CocoImage {
    id: CocoId,
    file_name: String,
    width: u32,
    height: u32,
}

#[derive(Deserialize)]
struct CocoAnnotation {
    image_id: CocoId,
    category_id: CocoId,
    /// Left, upper, width, height, in pixels.
    bbox: Option<[f64; 4]>,
    #[serde(default)]
    iscrowd: Flag,
}

#[derive(Deserialize)]
struct CocoCategory {
    id: CocoId,
    name: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(untagged)]
enum CocoId {
    Number(i64),
    Text(String),
}

impl CocoId {
    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => beginning(text),
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Flag {
    Number(u8),
    Bool(bool),
}

impl Default for Flag {
    fn default() -> Self {
        Self::Bool(false)
    }
}

impl Flag {
    fn is_set(self) -> bool {
        matches!(self, Self::Bool(true) | Self::Number(1..))
    }
}

/// Reads a file of instances. An image without annotations has no object. Annotations of groups (`iscrowd`) are counted,
/// and not read, as in COCO's evaluation.
pub(super) fn read_coco(json: &[u8], truth: &mut TruthBuilder<'_>) -> Result<(), TruthError> {
    let unreadable = |problem: serde_json::Error| TruthError::Json { format: "COCO", problem: problem.to_string() };
    let CocoFile { images, annotations, categories } = serde_json::from_slice(json).map_err(unreadable)?;
    let names = by_id("category", categories.iter().map(|category| &category.id))?;
    let positions = by_id("image", images.iter().map(|image| &image.id))?;
    let mut of_images: Vec<Vec<u32>> = vec![Vec::new(); images.len()];
    for (at, annotation) in annotations.iter().enumerate() {
        let listed = |what, list, known: &HashMap<&CocoId, usize>, id: &CocoId| {
            known.get(id).copied().ok_or_else(|| TruthError::CocoReference { what, id: id.text(), list })
        };
        listed("category", "categories", &names, &annotation.category_id)?;
        let image = listed("image", "images", &positions, &annotation.image_id)?;
        if annotation.bbox.is_none() {
            return Err(TruthError::CocoWithoutBox { annotation: at });
        }
        of_images[image].push(at as u32);
    }
    // A category that no matched image has may be unknown to the teacher.
    let mut class_of_category: HashMap<&CocoId, u32> = HashMap::new();
    for (image, of_image) in images.iter().zip(&of_images) {
        let name = &image.file_name;
        let Some(row) = truth.row(name)? else { continue };
        let mut boxes = Vec::with_capacity(of_image.len());
        for annotation in of_image.iter().map(|&at| &annotations[at as usize]) {
            if annotation.iscrowd.is_set() {
                truth.add_crowds(1);
                continue;
            }
            let id = &annotation.category_id;
            let class = match class_of_category.get(id) {
                Some(&class) => class,
                None => truth.classes.by_text(name, &categories[names[id]].name)?,
            };
            class_of_category.insert(id, class);
            let [x, y, width, height] = annotation.bbox.unwrap_or_default();
            boxes.push(FileBox { class: Some(class), sides: [x, y, x + width, y + height] });
        }
        let mut classes = boxes.iter().filter_map(|found| found.class).collect();
        truth.add_boxes(row, name, [image.width, image.height], &boxes)?;
        truth.add_classes(row, name, &mut classes)?;
    }
    Ok(())
}

/// Returns the position of each id.
fn by_id<'a>(
    what: &'static str,
    ids: impl Iterator<Item = &'a CocoId>,
) -> Result<HashMap<&'a CocoId, usize>, TruthError> {
    let mut positions = HashMap::new();
    for (at, id) in ids.enumerate() {
        if positions.insert(id, at).is_some() {
            return Err(TruthError::CocoRepeated { what, id: id.text() });
        }
    }
    Ok(positions)
}
