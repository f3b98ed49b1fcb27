//! Generates the ONNX message types from `src/labelling/teacher/onnx.proto` (the field's own schema, Apache-2.0).
//! `protox` compiles the schema, so that no `protoc` has to be installed.
//! And asks git of which commit the program is built, for what it publishes.

use std::path::Path;
use std::process::Command;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=src/labelling/teacher/onnx.proto");
    let descriptors = protox::compile(["src/labelling/teacher/onnx.proto"], ["src/labelling/teacher"])?;
    prost_build::Config::new()
        // Weights stay slices of the file's own buffer instead of copies.
        .bytes(["."])
        .compile_fds(descriptors)?;
    if let Some(commit) = commit() {
        println!("cargo::rustc-env=RELABEL_COMMIT={commit}");
    }
    Ok(())
}

/// What the program is made of. Where anything here differs from the commit, the program is not that of the commit.
const MADE_OF: [&str; 5] = ["src", "manifests", "Cargo.toml", "Cargo.lock", "build.rs"];

/// The commit that is checked out, with `-dirty` where what the program is made of was changed since. `None` without git.
fn commit() -> Option<String> {
    // A copy of the sources inside of another repository is not of that repository's commit.
    let is_own = Path::new(&git(&["rev-parse", "--show-toplevel"])?).canonicalize().ok()
        == Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().ok();
    if !is_own {
        return None;
    }
    let commit = git(&["rev-parse", "HEAD"])?;
    let changed = git(&[["status", "--porcelain", "--"].as_slice(), &MADE_OF].concat())?;
    // Only what exists may be named, or every build would begin anew. HEAD's log has a line for each commit; where none is
    // kept, its branch is looked at.
    let of_git = ["HEAD", "logs/HEAD"].into_iter().filter_map(|name| git(&["rev-parse", "--git-path", name]));
    let of_git: Vec<String> = of_git.filter(|path| Path::new(path).exists()).collect();
    let branches = (of_git.len() < 2).then(|| git(&["rev-parse", "--git-path", "refs/heads"])).flatten();
    let watched = MADE_OF.map(str::to_owned).into_iter().chain(of_git).chain(branches);
    for path in watched.filter(|path| Path::new(path).exists()) {
        println!("cargo::rerun-if-changed={path}");
    }
    Some(if changed.is_empty() { commit } else { format!("{commit}-dirty") })
}

/// What git says, without the end of the line; `None` where it is not there or says no.
fn git(words: &[&str]) -> Option<String> {
    let said = Command::new("git").args(words).output().ok().filter(|said| said.status.success())?;
    Some(String::from_utf8(said.stdout).ok()?.trim_end().to_owned())
}
