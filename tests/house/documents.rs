use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::common::repository;

/// Beginnings of paths in the repository. Other paths in documents are examples.
const TOP_LEVEL: [&str; 9] =
    ["src/", "tests/", "docs/", "models/", "manifests/", "python/", "scripts/", "benches/", "examples/"];

#[test]
fn every_cited_path_exists() {
    let (mut cited, mut missing) = (0, Vec::new());
    for page in documents().into_iter().chain(files_below("src", "rs")) {
        let text = std::fs::read_to_string(&page).unwrap();
        for quoted in in_backticks(&text).filter(|quoted| TOP_LEVEL.iter().any(|folder| quoted.starts_with(folder))) {
            let is_pattern = quoted.contains(['*', '<', '>', ' ', '{', '|', '…']);
            if is_pattern || quoted.starts_with("models/") && !quoted.contains("lite0") {
                continue;
            }
            let path = quoted.split(['#', ':']).next().unwrap();
            cited += 1;
            if !repository(path).exists() {
                missing.push(format!("{}: `{quoted}`", inside(&page)));
            }
        }
    }
    assert!(missing.is_empty(), "cited paths that do not exist:\n{}", missing.join("\n"));
    assert!(cited > 50, "only {cited} paths were found");
}

#[test]
fn every_link_between_documents_resolves() {
    let mut broken = Vec::new();
    let mut links = 0;
    for page in documents() {
        let text = std::fs::read_to_string(&page).unwrap();
        for target in link_targets(&text).filter(|target| !target.contains("://") && !target.starts_with("mailto:")) {
            links += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let path = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let is_right = match std::fs::read_to_string(&path) {
                Ok(text) if !anchor.is_empty() => anchors(&text).contains(anchor),
                _ => path.exists(),
            };
            if !is_right {
                broken.push(format!("{}: {target}", inside(&page)));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
    assert!(links > 100, "only {links} links were found");
}

#[test]
fn every_cited_test_exists() {
    let modules = test_modules();
    let (mut named, mut missing) = (0, Vec::new());
    for page in documents().into_iter().chain(files_below("src", "rs")) {
        let text = std::fs::read_to_string(&page).unwrap();
        for quoted in in_backticks(&text) {
            let Some((module, name)) = quoted.split_once("::") else { continue };
            if !modules.iter().any(|known| known == module) || inside(&page).starts_with("src/cli") {
                continue;
            }
            named += 1;
            let name = name.rsplit("::").next().unwrap();
            let tests = files_below("tests", "rs").into_iter().filter(|file| {
                let below = inside(file);
                below == format!("tests/{module}.rs") || below.starts_with(&format!("tests/{module}/"))
            });
            let is_there = |file: PathBuf| std::fs::read_to_string(file).unwrap().contains(&format!("fn {name}("));
            if !tests.into_iter().any(is_there) {
                missing.push(format!("{}: {quoted}", inside(&page)));
            }
        }
    }
    assert!(missing.is_empty(), "tests that do not exist:\n{}", missing.join("\n"));
    assert!(named > 20, "only {named} cited tests were found");
}

/// `docs/testing.md` lists the test modules by boundary, each as one word in backticks in the last column.
#[test]
fn every_listed_test_module_exists() {
    let modules = test_modules();
    let text = std::fs::read_to_string(repository("docs/testing.md")).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with("Tests\n")).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let cells: Vec<String> = rows.flat_map(|(_, tests)| in_backticks(tests).collect::<Vec<_>>()).collect();
    let is_word = |quoted: &str| quoted.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
    let listed: BTreeSet<&str> = cells.iter().map(String::as_str).filter(|quoted| is_word(quoted)).collect();
    let unknown: Vec<_> = listed.iter().filter(|name| !modules.iter().any(|known| known == *name)).collect();
    assert!(unknown.is_empty(), "docs/testing.md lists test modules that do not exist: {unknown:?}");
    let unlisted: Vec<_> = modules.iter().filter(|name| !listed.contains(name.as_str())).collect();
    assert!(unlisted.is_empty(), "docs/testing.md does not list the test modules {unlisted:?}");
}

/// Returns the modules of the integration tests, except `common`.
fn test_modules() -> Vec<String> {
    let main = std::fs::read_to_string(repository("tests/main.rs")).unwrap();
    let modules = main.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    modules.filter(|name| *name != "common").map(str::to_owned).collect()
}

/// The guide quotes messages in the first column of the tables of its troubleshooting pages, in backticks.
#[test]
fn every_quoted_message_exists() {
    let sources = [files_below("src", "rs"), files_below("python", "py"), files_below("scripts", "py")].concat();
    let sources: Vec<_> = sources.iter().map(|file| joined_literals(&std::fs::read_to_string(file).unwrap())).collect();
    let (mut quoted, mut missing) = (0, Vec::new());
    for page in ["docs/guide/troubleshoot.md", "docs/guide/refused-teachers.md"] {
        let text = std::fs::read_to_string(repository(page)).unwrap();
        for cell in text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()) {
            for message in in_backticks(cell) {
                quoted += 1;
                if !sources.iter().any(|source| source.contains(&message)) {
                    missing.push(format!("{page}: `{message}`"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "quoted messages that no source contains:\n{}", missing.join("\n"));
    assert!(quoted > 50, "only {quoted} messages were found");
}

/// Joins string literals that continue on the next line, and unescapes quotes.
fn joined_literals(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    for line in text.lines() {
        match line.strip_suffix('\\') {
            Some(begun) if joined.is_empty() || joined.ends_with('\n') => joined.push_str(begun),
            Some(begun) => joined.push_str(begun.trim_start()),
            None if joined.is_empty() || joined.ends_with('\n') => joined.extend([line, "\n"]),
            None => joined.extend([line.trim_start(), "\n"]),
        }
    }
    joined.replace("\\\"", "\"")
}

/// Returns every Markdown page.
fn documents() -> Vec<PathBuf> {
    let top = std::fs::read_dir(repository("")).unwrap().map(|entry| entry.unwrap().path());
    let top = top.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let below = ["docs", "models", "manifests"].iter().flat_map(|folder| files_below(folder, "md"));
    top.chain(below).chain([repository("python/README.md")]).collect()
}

fn files_below(folder: &str, extension: &str) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(repository(folder)).sort_by_file_name().into_iter().filter_map(Result::ok);
    let files = files.map(walkdir::DirEntry::into_path);
    files.filter(|path| path.extension().is_some_and(|ending| ending == extension)).collect()
}

fn inside(path: &Path) -> String {
    path.strip_prefix(repository("")).unwrap().to_string_lossy().into_owned()
}

/// Returns the texts between single backticks.
fn in_backticks(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().filter(|line| !line.starts_with("```"));
    lines.flat_map(|line| line.split('`').skip(1).step_by(2)).map(str::to_owned)
}

/// Returns the targets of `[text](target)` outside of code blocks.
fn link_targets(text: &str) -> impl Iterator<Item = String> {
    let prose = text.split("```").step_by(2).collect::<String>();
    let links = prose.match_indices("](").map(|(at, _)| prose[at + 2..].split(')').next().unwrap().to_owned());
    links.collect::<Vec<_>>().into_iter()
}

/// Returns the anchors of a page's headings as GitHub generates them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.split("```").step_by(2).flat_map(str::lines).filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter));
        kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
    };
    headings.map(anchor).collect()
}
