//! Generates the ONNX message types from `src/labelling/teacher/onnx.proto` (the official schema, Apache-2.0) with `protox`,
//! which does not need an installed `protoc`, and passes the git commit to the program, which writes it into releases.

use std::path::Path;
use std::process::Command;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=src/labelling/teacher/onnx.proto");
    let descriptors = protox::compile(["src/labelling/teacher/onnx.proto"], ["src/labelling/teacher"])?;
    prost_build::Config::new()
        // Weights are slices of the file's buffer, not copies.
        .bytes(["."])
        .compile_fds(descriptors)?;
    if let Some(commit) = commit() {
        println!("cargo::rustc-env=RELABEL_COMMIT={commit}");
    }
    Ok(())
}

/// Paths the program is built from. If one differs from the commit, the commit is marked `-dirty`.
const INPUTS: [&str; 5] = ["src", "manifests", "Cargo.toml", "Cargo.lock", "build.rs"];

/// Returns the commit, with `-dirty` if one of [`INPUTS`] was changed. `None` without git.
fn commit() -> Option<String> {
    // A copy of the sources may be inside another repository.
    let is_own = Path::new(&git(&["rev-parse", "--show-toplevel"])?).canonicalize().ok()
        == Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().ok();
    if !is_own {
        return None;
    }
    let commit = git(&["rev-parse", "HEAD"])?;
    let changed = git(&[["status", "--porcelain", "--"].as_slice(), &INPUTS].concat())?;
    // A missing path would cause a rebuild each time. HEAD's log changes with each commit; without a log, the branches are
    // watched.
    let git_files = ["HEAD", "logs/HEAD"].into_iter().filter_map(|name| git(&["rev-parse", "--git-path", name]));
    let git_files: Vec<String> = git_files.filter(|path| Path::new(path).exists()).collect();
    let branches = (git_files.len() < 2).then(|| git(&["rev-parse", "--git-path", "refs/heads"])).flatten();
    let watched = INPUTS.map(str::to_owned).into_iter().chain(git_files).chain(branches);
    for path in watched.filter(|path| Path::new(path).exists()) {
        println!("cargo::rerun-if-changed={path}");
    }
    Some(if changed.is_empty() { commit } else { format!("{commit}-dirty") })
}

/// Returns the output of git without the line end; `None` if git is missing or fails.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim_end().to_owned())
}
