use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::sources::{Index, SourceFile, library_modules, sources, used_paths};
use crate::common::repository;

/// The page with the import table. `RELABEL_BLESS=1` rewrites it.
const MODULES_PAGE: &str = "docs/modules.md";

#[test]
fn modules_import_only_modules_declared_above_them() {
    let modules = library_modules();
    for (at, imported) in imports_by_module() {
        let later: Vec<_> =
            imported.iter().filter(|&&other| other > at).map(|&other| modules[other].join("::")).collect();
        assert!(later.is_empty(), "{} imports {later:?}, declared below it", modules[at].join("::"));
    }
}

#[test]
fn the_import_table_is_up_to_date() {
    let modules = library_modules();
    let mut table = "| module | imports |\n|---|---|\n".to_owned();
    for (at, imported) in imports_by_module() {
        let names: Vec<_> = imported.iter().map(|&other| format!("`{}`", modules[other].last().unwrap())).collect();
        let names = if names.is_empty() { "–".to_owned() } else { names.join(", ") };
        writeln!(table, "| `{}` | {names} |", modules[at].join("::")).unwrap();
    }
    let path = repository(MODULES_PAGE);
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once("| module | imports |").unwrap();
    let after = rest.split_once("\n\n").map_or("", |(_, after)| after);
    let now = if after.is_empty() { format!("{before}{table}") } else { format!("{before}{table}\n{after}") };
    if std::env::var_os("RELABEL_BLESS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    assert_eq!(page, now, "{MODULES_PAGE} is out of date: run this test with RELABEL_BLESS=1");
}

#[test]
fn files_of_one_module_import_each_other_in_one_direction() {
    let index = Index::new();
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for source in sources().iter().filter(|source| source.file != "lib.rs") {
        for used in used_paths(source).iter().filter(|used| !used.is_export) {
            let target = index.defined_in(source, &used.segments);
            // Imports between a module and its own files are not counted.
            let is_related = |target: &SourceFile| {
                target.module.starts_with(&source.module) || source.module.starts_with(&target.module)
            };
            if let Some(target) = target.filter(|target| !is_related(target) && target.file != "lib.rs") {
                edges.entry(&source.file).or_default().insert(&target.file);
            }
        }
    }
    assert!(edges.len() > 100, "only {} files import anything", edges.len());
    let cycles: Vec<_> = cycles(&edges).into_iter().map(|cycle| cycle.join(" → ")).collect();
    assert!(cycles.is_empty(), "import cycles:\n{}", cycles.join("\n"));
}

/// Returns the modules that each library module imports, as positions in [`library_modules`].
fn imports_by_module() -> BTreeMap<usize, BTreeSet<usize>> {
    let modules = library_modules();
    let module_of = |path: &[String]| modules.iter().position(|module| path.starts_with(module));
    let index = Index::new();
    let mut imports: BTreeMap<usize, BTreeSet<usize>> = (0..modules.len()).map(|at| (at, BTreeSet::new())).collect();
    for source in sources() {
        let Some(from) = module_of(&source.module) else { continue };
        for used in used_paths(source) {
            let is_of_root = used.segments.len() == 2
                && used.segments[0] == "crate"
                && !modules.contains(&used.segments[1..].to_vec());
            assert!(!is_of_root, "{}: name `{}` by its module", source.file, used.segments.join("::"));
            let target = index.defined_in(source, &used.segments).and_then(|target| module_of(&target.module));
            imports.get_mut(&from).unwrap().extend(target.filter(|&target| target != from));
        }
    }
    assert!(imports.len() > 20, "only {} modules were found", imports.len());
    imports
}

/// Returns the shortest cycle through each file that is in one, without duplicates.
fn cycles<'a>(edges: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Vec<Vec<&'a str>> {
    let mut found: Vec<Vec<&str>> = Vec::new();
    for &start in edges.keys() {
        if found.iter().any(|cycle| cycle.contains(&start)) {
            continue;
        }
        // A breadth-first search from the file back to itself.
        let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
        let mut front = vec![start];
        'search: while !front.is_empty() {
            for at in std::mem::take(&mut front) {
                for &next in edges.get(at).into_iter().flatten() {
                    if next == start {
                        let mut cycle = vec![at];
                        while let Some(&before) = came_from.get(cycle.last().unwrap()) {
                            cycle.push(before);
                        }
                        cycle.reverse();
                        found.push(cycle);
                        break 'search;
                    }
                    if !came_from.contains_key(next) {
                        came_from.insert(next, at);
                        front.push(next);
                    }
                }
            }
        }
    }
    found
}

#[test]
fn cycles_are_found() {
    let edges = |pairs: &[(&'static str, &'static str)]| {
        let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (from, to) in pairs {
            edges.entry(from).or_default().insert(to);
        }
        edges
    };
    assert!(cycles(&edges(&[("a", "b"), ("b", "c"), ("a", "c")])).is_empty());
    assert_eq!(cycles(&edges(&[("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")])), [["b", "c"]]);
}
