use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::common::repository;

/// One file below `src/`.
pub struct SourceFile {
    /// Path below `src/`, with slashes.
    pub file: String,
    /// Path of the module that the file holds, from the crate's root: `["shared", "store", "writer"]`.
    pub module: Vec<String>,
    pub text: String,
}

impl SourceFile {
    /// Lines of code up to the unit tests, without comments.
    pub fn code(&self) -> impl Iterator<Item = &str> {
        let lines = self.text.lines().take_while(|line| !line.contains("#[cfg(test)]"));
        lines.filter(|line| !line.trim_start().starts_with("//"))
    }

    pub fn is_program(&self) -> bool {
        ["cli", "main"].contains(&self.module[0].as_str())
    }
}

/// Returns every source file of the package, without nested crates.
pub fn sources() -> &'static [SourceFile] {
    static SOURCES: LazyLock<Vec<SourceFile>> = LazyLock::new(|| {
        let root = repository("src");
        let is_nested = |path: &std::path::Path| path.join("Cargo.toml").is_file();
        let files = walkdir::WalkDir::new(&root).sort_by_file_name().into_iter();
        let files = files.filter_entry(|entry| !is_nested(entry.path())).map(Result::unwrap);
        let files = files.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "rs"));
        let read = files.map(|entry| {
            let file = entry.path().strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            let module = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
            SourceFile { file, module, text: std::fs::read_to_string(entry.path()).unwrap() }
        });
        read.collect()
    });
    &SOURCES
}

/// Returns the modules of the library in the order of their declarations: those of the groups in `lib.rs`, or a group
/// itself if it declares no public modules.
pub fn library_modules() -> Vec<Vec<String>> {
    let declared = |file: &str| {
        let text = std::fs::read_to_string(repository("src").join(file)).unwrap();
        let names = text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let groups = declared("lib.rs").into_iter();
    let modules = groups.flat_map(|group| {
        let inner = declared(&format!("{group}.rs"));
        if inner.is_empty() {
            return vec![vec![group]];
        }
        inner.into_iter().map(|module| vec![group.clone(), module]).collect()
    });
    modules.collect()
}

/// A path in code, and whether it is only re-exported there.
pub struct UsedPath {
    pub segments: Vec<String>,
    pub is_export: bool,
}

/// Returns the paths that a file uses from its own crate: in `use` declarations, and in code if they begin with `crate`,
/// `super` or a child module.
pub fn used_paths(source: &SourceFile) -> Vec<UsedPath> {
    let code = source.code().collect::<Vec<_>>().join("\n");
    let mut used = Vec::new();
    let mut rest = String::with_capacity(code.len());
    let mut from = 0;
    for (at, _) in code.match_indices("use ") {
        let start = code[..at].rfind('\n').map_or(0, |line| line + 1);
        let before = code[start..at].trim();
        if at < from || !(before.is_empty() || before.starts_with("pub") && !before.contains(' ')) {
            continue;
        }
        let end = at + code[at..].find(';').unwrap();
        for segments in expanded(&code[at + "use ".len()..end]) {
            used.push(UsedPath { segments, is_export: before.starts_with("pub") });
        }
        rest.push_str(&code[from..start]);
        from = end;
    }
    rest.push_str(&code[from..]);
    let children: Vec<&str> = code.lines().filter_map(declared_module).collect();
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    for (at, _) in rest.match_indices("::") {
        let first = rest[..at].rfind(|letter| !is_word(letter)).map_or(0, |before| before + 1);
        let is_first = !rest[..first].ends_with("::");
        let name = &rest[first..at];
        if !is_first || !(["crate", "super", "self"].contains(&name) || children.contains(&name)) {
            continue;
        }
        let path: String = rest[first..].chars().take_while(|&letter| is_word(letter) || letter == ':').collect();
        let segments = path.split("::").filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
        used.push(UsedPath { segments, is_export: false });
    }
    used
}

/// Returns `store` for `pub(crate) mod store;`.
pub fn declared_module(line: &str) -> Option<&str> {
    let line = line.strip_suffix(';')?;
    let (before, name) = line.split_once("mod ")?;
    (before.is_empty() || before.starts_with("pub")).then_some(name)
}

/// Expands `a::{b, c::d}` to `[a, b]` and `[a, c, d]`; a name after `as` is dropped.
fn expanded(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap();
        return vec![path.split("::").map(|segment| segment.trim().to_owned()).collect()];
    };
    let head: Vec<String> = tree[..open]
        .split("::")
        .map(|segment| segment.trim().to_owned())
        .filter(|segment| !segment.is_empty())
        .collect();
    let inner = &tree[open + 1..tree.rfind('}').unwrap()];
    let (mut depth, mut start, mut branches) = (0, 0, Vec::new());
    for (at, letter) in inner.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                branches.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    branches.push(&inner[start..]);
    let branches = branches.into_iter().filter(|branch| !branch.trim().is_empty());
    branches.flat_map(expanded).map(|branch| [head.clone(), branch].concat()).collect()
}

/// Names that the files define or re-export, by module path.
pub struct Index {
    /// Modules that are files of their own.
    pub files: BTreeMap<Vec<String>, &'static SourceFile>,
    exports: BTreeMap<Vec<String>, Vec<Vec<String>>>,
}

impl Index {
    pub fn new() -> Self {
        let files: BTreeMap<_, _> = sources().iter().map(|source| (source.module.clone(), source)).collect();
        let mut exports = BTreeMap::new();
        for source in sources() {
            let paths = used_paths(source).into_iter().filter(|used| used.is_export);
            let paths: Vec<_> = paths.map(|used| absolute(source, &used.segments)).collect();
            exports.insert(source.module.clone(), paths);
        }
        Self { files, exports }
    }

    /// Returns the file that defines the item of a path; `None` for a path into another crate.
    pub fn defined_in(&self, source: &SourceFile, segments: &[String]) -> Option<&'static SourceFile> {
        let path = absolute(source, segments);
        self.resolved(&path, 0)
    }

    fn resolved(&self, path: &[String], depth: usize) -> Option<&'static SourceFile> {
        assert!(depth < 20, "{path:?} is re-exported in a cycle");
        let known = (1..=path.len()).rev().find(|&length| self.files.contains_key(&path[..length]))?;
        let file = self.files[&path[..known]];
        let Some(name) = path.get(known) else { return Some(file) };
        let exported = self.exports[&path[..known]].iter().find(|export| export.last() == Some(name));
        match exported {
            Some(export) if export.as_slice() != path => self.resolved(export, depth + 1).or(Some(file)),
            _ => Some(file),
        }
    }
}

/// Converts a path to one from the crate's root. In the file of `a::b`, `super` is `a`, and a child module has no prefix.
fn absolute(source: &SourceFile, segments: &[String]) -> Vec<String> {
    let mut path = source.module.clone();
    let root = ["lib", "main"].contains(&path[0].as_str());
    if root {
        path.clear();
    }
    let mut rest = segments;
    match rest[0].as_str() {
        "crate" => {
            path.clear();
            rest = &rest[1..];
        }
        "self" => rest = &rest[1..],
        _ => {
            while rest.first().is_some_and(|segment| segment == "super") {
                path.pop();
                rest = &rest[1..];
            }
        }
    }
    path.extend(rest.iter().filter(|segment| *segment != "self").cloned());
    path
}
