//! The script that labels with Ray, without Ray. `docs/guide/many-machines.md` lists its results with it.

use std::path::Path;

use crate::common::{Ran, hermetic, repository};

#[test]
fn invalid_ray_options_are_refused_before_ray_is_imported() {
    let folder = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_relabel");
    let refused: [(&[&str], i32, &str); 5] = [
        (
            &["--tasks", "2", "--relabel", program, "--", "--in", "photos"],
            2,
            "no store given: add --out STORE after the --",
        ),
        (&["--tasks", "0", "--relabel", program, "--", "--out", "labels"], 2, "--tasks must be at least 1"),
        (&["--tasks", "2", "--", "--out", "labels", "--task-index=1"], 2, "this script sets --task-index"),
        (
            &["--tasks", "2", "--relabel", "no-such-program", "--", "--out", "labels"],
            2,
            "no-such-program: program not found",
        ),
        (&["--tasks", "2", "--relabel", program, "--", "--out", "labels"], 1, "python -m pip install ray"),
    ];
    for (args, code, reason) in refused {
        let ran = script("relabel_ray.py", folder.path(), args).expect(code);
        assert!(ran.stderr.contains(reason), "{args:?}: {}", ran.stderr);
    }
}

/// Runs a script of `scripts/` in `folder`, with the project's Python, which has neither PyTorch nor Ray.
fn script(name: &str, folder: &Path, args: &[&str]) -> Ran {
    let python = repository(".venv/bin/python");
    Ran::of(hermetic(python).arg(repository("scripts").join(name)).args(args).current_dir(folder))
}
