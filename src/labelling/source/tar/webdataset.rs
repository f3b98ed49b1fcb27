//! Images with their classes beside them, as `WebDataset` writes them: `000123.jpg` and `000123.cls`.

use std::collections::HashSet;

use super::listing::{Contents, PassedOver};
use crate::labelling::source::IMAGE_EXTENSIONS;
use crate::labelling::source::places::{Label, PlacedImage};
use crate::shared::manifest::label_from_path;

/// True for what was written as a `WebDataset`: there is a class beside some image.
pub(super) fn is_webdataset(tars: &[Contents]) -> bool {
    tars.iter().any(|tar| !tar.labels.is_empty())
}

/// The images of all shards in the order in which they stand. Where shards have names in common, each path gets its
/// shard's stem as a folder.
pub(super) fn images(mut tars: Vec<Contents>, stems: &[String], passed_over: &mut PassedOver) -> Vec<PlacedImage> {
    for tar in &mut tars {
        keep_whole_extensions(tar, passed_over);
        keep_last_of_same_name(tar);
    }
    let apart = names_are_apart(&tars);
    let mut images = Vec::new();
    for (tar, stem) in tars.into_iter().zip(stems) {
        for mut image in tar.images {
            if label_from_path(&image.path).is_none() {
                image.label = tar.labels.get(key_of(&image.path)).cloned().map_or(Label::Unknown, Label::Said);
            } else if !apart {
                // The shard will be the first folder.
                image.label =
                    label_from_path(&image.path).map_or(Label::Unknown, |label| Label::Said(label.to_owned()));
            }
            if !apart {
                image.path = format!("{stem}/{}", image.path);
            }
            images.push(image);
        }
    }
    images
}

/// What the members of one sample have in common: the path up to the first dot of its last part.
fn key_of(path: &str) -> &str {
    let file_at = path.rfind('/').map_or(0, |slash| slash + 1);
    path[file_at..].find('.').map_or(path, |dot| &path[..file_at + dot])
}

/// `x.jpg` is the image of sample `x`; `x.mask.png` is something else of it.
fn keep_whole_extensions(tar: &mut Contents, passed_over: &mut PassedOver) {
    tar.images.retain(|image| {
        let extension = image.path[key_of(&image.path).len()..].trim_start_matches('.');
        let is_the_image = IMAGE_EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known));
        if !is_the_image {
            passed_over.see(&image.path, "its key ends at the first dot, and what follows is no image's ending");
        }
        is_the_image
    });
}

/// Unpacking would leave only the last.
fn keep_last_of_same_name(tar: &mut Contents) {
    let mut seen: HashSet<&str> = HashSet::with_capacity(tar.images.len());
    let last: Vec<bool> = tar.images.iter().rev().map(|image| seen.insert(&image.path)).collect();
    let mut last = last.into_iter().rev();
    tar.images.retain(|_| last.next().unwrap_or(true));
}

fn names_are_apart(tars: &[Contents]) -> bool {
    let mut seen: HashSet<&str> = HashSet::new();
    tars.iter().flat_map(|tar| &tar.images).all(|image| seen.insert(&image.path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labelling::source::places::{Place, manifest_of};

    fn tar(images: &[&str], labels: &[(&str, &str)]) -> Contents {
        let place = Place { archive: 0, offset: 0, bytes: 1, check: 0 };
        let image = |path: &str| PlacedImage { path: path.to_owned(), label: Label::Folder, place };
        Contents {
            images: images.iter().map(|path| image(path)).collect(),
            labels: labels.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect(),
            ..Contents::default()
        }
    }

    fn listed(tars: Vec<Contents>) -> Vec<(String, Option<String>)> {
        let stems = ["s0".to_owned(), "s1".to_owned()];
        let manifest = manifest_of(&images(tars, &stems, &mut PassedOver::default())).unwrap();
        (0..manifest.len()).map(|row| (manifest.path(row).to_owned(), manifest.label(row).map(str::to_owned))).collect()
    }

    #[test]
    fn labels_are_those_of_the_same_key() {
        let first = tar(&["b.jpg", "a.JPEG", "n01/c.png", "a.mask.png"], &[("a", "7"), ("b", "9"), ("n01/c", "3")]);
        let second = tar(&["d.jpg"], &[]);
        let expected = [("b.jpg", Some("9")), ("a.JPEG", Some("7")), ("n01/c.png", Some("n01")), ("d.jpg", None)];
        let expected = expected.map(|(path, label)| (path.to_owned(), label.map(str::to_owned)));
        assert_eq!(listed(vec![first, second]), expected);
    }

    #[test]
    fn shards_with_names_in_common_are_told_apart() {
        let tars = vec![tar(&["0.jpg", "1.jpg", "0.jpg"], &[("0", "7")]), tar(&["0.jpg"], &[("0", "8")])];
        let paths: Vec<_> = listed(tars).into_iter().map(|(path, label)| (path, label.unwrap_or_default())).collect();
        let expected = [("s0/1.jpg", ""), ("s0/0.jpg", "7"), ("s1/0.jpg", "8")];
        assert_eq!(paths, expected.map(|(path, label)| (path.to_owned(), label.to_owned())));
    }
}
