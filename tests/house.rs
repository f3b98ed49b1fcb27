use std::collections::BTreeMap;
use std::path::Path;

use crate::common::repository;

/// What each room of the library may import, beside itself. Data flows one way: a room knows what stands above it.
/// `docs/architecture.md` tells the same.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("shown", &[]),
    ("error", &["shown"]),
    ("regular_file", &["error"]),
    ("threads", &["error"]),
    ("geometry", &[]),
    ("digest", &["error", "regular_file"]),
    ("draft", &["error", "digest"]),
    ("random", &[]),
    ("words", &[]),
    ("spelling", &[]),
    ("classes", &["error"]),
    ("label_map", &["error", "geometry"]),
    ("manifest", &["error", "regular_file", "digest", "spelling"]),
    ("source", &["shown", "error", "regular_file", "threads", "digest", "words", "spelling", "manifest"]),
    ("pixels", &["error", "geometry"]),
    ("teacher", &["shown", "error", "regular_file", "geometry", "digest", "random", "spelling", "classes", "pixels"]),
    ("store", &["error", "geometry", "regular_file", "digest", "classes", "label_map", "manifest"]),
    ("remote", &["error", "regular_file", "digest", "store"]),
    ("monitor", &["store"]),
    (
        "pipeline",
        &["error", "threads", "geometry", "label_map", "manifest", "source", "pixels", "teacher", "store", "monitor"],
    ),
    ("pool", &["geometry", "label_map"]),
    ("cutmix", &["geometry"]),
    ("labels", &["error", "geometry", "label_map", "manifest", "store", "pool", "cutmix"]),
    ("exchange", &["error", "geometry", "digest", "classes", "label_map", "manifest", "store", "pool"]),
    ("inspect", &["error", "geometry", "classes", "label_map", "manifest", "store", "monitor", "pool"]),
    ("picture", &["geometry", "classes", "label_map", "pixels", "inspect"]),
    ("table", &[]),
    (
        "audit",
        &[
            "shown",
            "error",
            "draft",
            "geometry",
            "random",
            "classes",
            "label_map",
            "manifest",
            "store",
            "monitor",
            "pool",
            "inspect",
            "table",
        ],
    ),
    (
        "report",
        &[
            "shown",
            "error",
            "regular_file",
            "geometry",
            "random",
            "classes",
            "label_map",
            "manifest",
            "source",
            "pixels",
            "store",
            "monitor",
            "inspect",
        ],
    ),
    (
        "release",
        &[
            "error",
            "regular_file",
            "digest",
            "words",
            "classes",
            "manifest",
            "pixels",
            "store",
            "remote",
            "monitor",
            "inspect",
            "picture",
            "table",
        ],
    ),
];

/// Words that only one room may say, or two, and which.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("ort::", &["teacher"]),
    ("prost::", &["teacher"]),
    ("ndarray::", &["labels"]),
    ("zarrs::", &["store"]),
    ("zstd::", &["store"]),
    ("crc32c::", &["store"]),
    ("turbojpeg::", &["pixels"]),
    ("webp::", &["pixels"]),
    ("flate2::", &["pixels"]),
    ("parquet::", &["manifest", "source", "table"]),
    ("::tar::", &["source"]),
    ("glob::", &["source"]),
    ("hashbrown::", &["manifest"]),
    ("icu_normalizer::", &["spelling"]),
    ("tiny_skia::", &["picture"]),
    ("ab_glyph::", &["picture"]),
    ("png::", &["picture"]),
    ("base64::", &["report"]),
    ("object_store::", &["remote"]),
    ("reqwest::", &["remote"]),
    ("tokio::", &["remote"]),
    ("futures_util::", &["remote"]),
    ("url::", &["remote"]),
    ("ssh_key::", &["release"]),
    ("clap::", &["cli"]),
    ("indicatif::", &["cli"]),
    ("anstyle::", &["cli"]),
    ("anstyle_query::", &["cli"]),
    ("signal_hook::", &["cli"]),
];

/// What the library never does, and the words that would do it.
const NEVER_IN_LIBRARY: &[&str] =
    &["println!", "eprintln!", "process::exit", "env::var", "env::current_dir", "Instant::now", "SystemTime::now"];

#[test]
fn rooms_import_only_what_stands_before_them() {
    let rules: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    for (room, file, text) in sources() {
        if ["cli", "main", "lib"].contains(&room.as_str()) {
            continue;
        }
        let allowed = rules
            .get(room.as_str())
            .unwrap_or_else(|| panic!("{room} is a new room: say in tests/house.rs what it may import"));
        for imported in imports(&text) {
            assert!(
                imported == room || allowed.contains(&imported.as_str()),
                "{file}: `{room}` imports `{imported}`, which it may not know"
            );
        }
    }
}

#[test]
fn every_rule_is_about_a_room_that_exists() {
    let rooms: Vec<_> = sources().into_iter().map(|(room, _, _)| room).collect();
    for (room, _) in MAY_IMPORT {
        assert!(rooms.iter().any(|known| known == room), "{room} has gone");
    }
}

#[test]
fn each_outside_package_has_one_room() {
    for (room, file, text) in sources() {
        for (word, homes) in ONLY_IN {
            let used = code_lines(&text).any(|line| {
                line.match_indices(word)
                    .any(|(at, _)| !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_'))
            });
            assert!(!used || homes.contains(&room.as_str()), "{file} says `{word}`, which only {homes:?} may");
        }
    }
}

#[test]
fn the_library_neither_prints_nor_exits_nor_looks_around() {
    for (room, file, text) in sources().into_iter().filter(|(room, _, _)| room != "cli" && room != "main") {
        for word in NEVER_IN_LIBRARY {
            assert!(!code_lines(&text).any(|line| line.contains(word)), "{file} ({room}) says `{word}`");
        }
    }
}

#[test]
fn files_stay_small() {
    let mut lengths: Vec<(usize, String)> =
        sources().into_iter().map(|(_, file, text)| (text.lines().count(), file)).collect();
    lengths.sort();
    let at = |share: usize| &lengths[(lengths.len() - 1) * share / 100];
    assert!(at(50).0 <= 180, "half of the files are longer than {:?}", at(50));
    assert!(at(90).0 <= 540, "one file in ten is longer than {:?}", at(90));
}

#[test]
fn every_test_that_is_named_as_a_proof_exists() {
    let main = std::fs::read_to_string(repository("tests/main.rs")).unwrap();
    let modules: Vec<&str> = main
        .lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .filter(|name| *name != "common")
        .collect();
    let pages = ["docs", "src"].iter().flat_map(|folder| walkdir::WalkDir::new(repository(folder)));
    let pages = pages.map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    let mut named = 0;
    for page in pages.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "md" || ending == "rs")) {
        let text = std::fs::read_to_string(page.path()).unwrap();
        for module in &modules {
            let mut tests = std::fs::read_to_string(repository(&format!("tests/{module}.rs"))).unwrap();
            for file in walkdir::WalkDir::new(repository(&format!("tests/{module}"))).into_iter().filter_map(Result::ok)
            {
                tests += &std::fs::read_to_string(file.path()).unwrap_or_default();
            }
            for (at, start) in text.match_indices(&format!("`{module}::")) {
                let name: String =
                    text[at + start.len()..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let is_test = tests.contains(&format!("fn {name}("));
                assert!(
                    is_test || page.path().starts_with(repository("src/cli")),
                    "{} promises {module}::{name}",
                    page.path().display()
                );
                named += 1;
            }
        }
    }
    assert!(named > 20, "only {named} promises were found");
}

/// (room, file, text) of every source file of the package.
fn sources() -> Vec<(String, String, String)> {
    let root = repository("src");
    walkdir::WalkDir::new(&root)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "rs"))
        .map(|entry| {
            let inside = entry.path().strip_prefix(&root).unwrap();
            let room =
                inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
            (room, inside.display().to_string(), std::fs::read_to_string(Path::new(entry.path())).unwrap())
        })
        .collect()
}

/// The rooms that a file imports by `use crate::room` or names as `crate::room::`.
fn imports(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for line in code_lines(text) {
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + "crate::".len()..];
            assert!(!rest.starts_with('{'), "one room a line, so that this test can read it: {line}");
            rooms.push(rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect());
        }
    }
    rooms
}

/// Lines that are no comments, up to the unit tests.
fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| !line.contains("#[cfg(test)]")).filter(|line| !line.trim_start().starts_with("//"))
}
