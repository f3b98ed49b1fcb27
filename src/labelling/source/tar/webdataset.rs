//! Images with separately stored classes, as `WebDataset` writes them: `000123.jpg` and `000123.cls`.

use std::collections::HashSet;

use super::listing::{IgnoredMembers, TarContents};
use crate::labelling::source::image_location::{ArchivedImage, FolderClass};
use crate::labelling::source::image_name::IMAGE_EXTENSIONS;
use crate::shared::manifest::folder_class_from_path;

/// Returns whether tars are a `WebDataset`: some tar contains classes.
pub(super) fn is_webdataset(tars: &[TarContents]) -> bool {
    tars.iter().any(|tar| !tar.classes.is_empty())
}

/// Returns the images of all shards in stored order. If shards have names in common, each path gets its shard's stem as a
/// folder.
pub(super) fn images(mut tars: Vec<TarContents>, stems: &[String], ignored: &mut IgnoredMembers) -> Vec<ArchivedImage> {
    for tar in &mut tars {
        keep_sample_images(tar, ignored);
        keep_last_of_same_name(tar);
    }
    let are_distinct = names_are_distinct(&tars);
    let mut images = Vec::new();
    for (tar, stem) in tars.into_iter().zip(stems) {
        for mut image in tar.images {
            let folder_class = folder_class_from_path(&image.path);
            if folder_class.is_none() {
                let class = tar.classes.get(key_of(&image.path)).cloned();
                image.folder_class = class.map_or(FolderClass::Unknown, FolderClass::Recorded);
            } else if !are_distinct {
                // The shard will be the first folder.
                image.folder_class =
                    folder_class.map_or(FolderClass::Unknown, |class| FolderClass::Recorded(class.to_owned()));
            }
            if !are_distinct {
                image.path = format!("{stem}/{}", image.path);
            }
            images.push(image);
        }
    }
    images
}

/// Returns the key that the members of one sample share: the path up to the first dot of its last part.
fn key_of(path: &str) -> &str {
    let file_at = path.rfind('/').map_or(0, |slash| slash + 1);
    path[file_at..].find('.').map_or(path, |dot| &path[..file_at + dot])
}

/// Keeps the images of the samples: `x.jpg` is that of sample `x`, and `x.mask.png` is something else.
fn keep_sample_images(tar: &mut TarContents, ignored: &mut IgnoredMembers) {
    tar.images.retain(|image| {
        let extension = image.path[key_of(&image.path).len()..].trim_start_matches('.');
        let is_the_image = IMAGE_EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known));
        if !is_the_image {
            ignored.add(&image.path, "its key ends at the first dot, and the rest is not an image extension");
        }
        is_the_image
    });
}

/// Keeps the last of several images with the same name, as unpacking would.
fn keep_last_of_same_name(tar: &mut TarContents) {
    let mut seen: HashSet<&str> = HashSet::with_capacity(tar.images.len());
    let last: Vec<bool> = tar.images.iter().rev().map(|image| seen.insert(&image.path)).collect();
    let mut last = last.into_iter().rev();
    tar.images.retain(|_| last.next().unwrap_or(true));
}

fn names_are_distinct(tars: &[TarContents]) -> bool {
    let mut seen: HashSet<&str> = HashSet::new();
    tars.iter().flat_map(|tar| &tar.images).all(|image| seen.insert(&image.path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labelling::source::image_location::{ImageLocation, manifest_of};

    fn tar(images: &[&str], classes: &[(&str, &str)]) -> TarContents {
        let location = ImageLocation { archive: 0, offset: 0, bytes: 1, check: 0 };
        let image = |path: &str| ArchivedImage { path: path.to_owned(), folder_class: FolderClass::FromPath, location };
        TarContents {
            images: images.iter().map(|path| image(path)).collect(),
            classes: classes.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect(),
            ..TarContents::default()
        }
    }

    fn listed(tars: Vec<TarContents>) -> Vec<(String, Option<String>)> {
        let stems = ["s0".to_owned(), "s1".to_owned()];
        let manifest = manifest_of(&images(tars, &stems, &mut IgnoredMembers::default())).unwrap();
        (0..manifest.len())
            .map(|row| (manifest.path(row).to_owned(), manifest.folder_class(row).map(str::to_owned)))
            .collect()
    }

    #[test]
    fn classes_are_those_of_the_same_key() {
        let first = tar(&["b.jpg", "a.JPEG", "n01/c.png", "a.mask.png"], &[("a", "7"), ("b", "9"), ("n01/c", "3")]);
        let second = tar(&["d.jpg"], &[]);
        let expected = [("b.jpg", Some("9")), ("a.JPEG", Some("7")), ("n01/c.png", Some("n01")), ("d.jpg", None)];
        let expected = expected.map(|(path, label)| (path.to_owned(), label.map(str::to_owned)));
        assert_eq!(listed(vec![first, second]), expected);
    }

    #[test]
    fn shards_with_names_in_common_become_folders() {
        let tars = vec![tar(&["0.jpg", "1.jpg", "0.jpg"], &[("0", "7")]), tar(&["0.jpg"], &[("0", "8")])];
        let paths: Vec<_> = listed(tars).into_iter().map(|(path, label)| (path, label.unwrap_or_default())).collect();
        let expected = [("s0/1.jpg", ""), ("s0/0.jpg", "7"), ("s1/0.jpg", "8")];
        assert_eq!(paths, expected.map(|(path, label)| (path.to_owned(), label.to_owned())));
    }
}
