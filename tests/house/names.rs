use std::collections::BTreeMap;

use super::sources::sources;

/// File names that do not describe the content.
const VAGUE_NAMES: &[&str] = &[
    "words", "cells", "places", "place", "folder", "texts", "unique", "utils", "util", "helpers", "misc", "common",
    "things", "stuff",
];

#[test]
fn public_type_names_are_unique() {
    let mut defined: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for source in sources() {
        for line in source.code() {
            let Some(rest) = line.strip_prefix("pub ") else { continue };
            let item = ["struct ", "enum ", "trait ", "type "].iter().find_map(|kind| rest.strip_prefix(kind));
            if let Some(name) = item.and_then(|item| item.split(|letter: char| !letter.is_alphanumeric()).next()) {
                defined.entry(name).or_default().push(&source.file);
            }
        }
    }
    assert!(defined.len() > 100, "only {} public types were found", defined.len());
    let duplicates: Vec<_> = defined.iter().filter(|(_, files)| files.len() > 1).collect();
    assert!(duplicates.is_empty(), "public types with the same name: {duplicates:?}");
}

#[test]
fn files_are_named_after_what_they_hold() {
    let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for source in sources() {
        let name = source.module.last().unwrap().as_str();
        assert!(!VAGUE_NAMES.contains(&name), "{}: name the file after its content", source.file);
        by_name.entry(name).or_default().push(&source.file);
    }
    // A name shared by many files describes none of them.
    let shared: Vec<_> = by_name.iter().filter(|(_, files)| files.len() > 3).collect();
    assert!(shared.is_empty(), "files with the same name: {shared:?}");
}

#[test]
fn files_stay_small() {
    let mut lengths: Vec<_> = sources().iter().map(|source| (source.text.lines().count(), &source.file)).collect();
    lengths.sort();
    let at = |share: usize| lengths[(lengths.len() - 1) * share / 100];
    assert!(at(50).0 <= 160, "the median length is {:?}", at(50));
    assert!(at(90).0 <= 330, "the 90th percentile of lengths is {:?}", at(90));
    assert!(at(100).0 <= 660, "the longest file: {:?}", at(100));
}
