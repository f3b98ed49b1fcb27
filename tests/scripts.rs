//! The Python scripts without PyTorch and Ray. `docs/guide/teachers.md` and `docs/guide/many-machines.md` list their results
//! with both.

use std::path::Path;

use crate::common::{Ran, hermetic, repository};

#[test]
fn exporting_without_pytorch_prints_how_to_install_it() {
    let folder = tempfile::tempdir().unwrap();
    // `-S` hides installed packages.
    let mut python = hermetic(repository(".venv/bin/python"));
    python.arg("-S").arg(repository("scripts/export_teacher.py")).args(["resnet18", "-o", "net.onnx"]);
    let ran = Ran::of(python.current_dir(folder.path())).expect(1);
    assert!(
        ran.stderr.contains("missing in this Python; python -m pip install torch torchvision timm"),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("Traceback"), "{}", ran.stderr);
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn invalid_exports_are_refused_before_pytorch_is_imported() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("there.toml"), "name = \"mine\"").unwrap();
    let refused: [(&[&str], i32, &str); 7] = [
        (&["resnet18"], 2, "required: -o"),
        (&["resnet18", "-o", "net.pth"], 2, "must end in .onnx"),
        (&["resnet18", "-o", "net.onnx", "--num-classes", "12"], 2, "published weights have a fixed number of classes"),
        (&["resnet18", "-o", "net.onnx", "--input-size", "224x0"], 2, "'0' is not a positive integer"),
        (&["resnet18", "-o", "none/net.onnx"], 1, "folder none not found"),
        (&["resnet18", "-o", "net.onnx", "--checkpoint", "gone.pth"], 1, "gone.pth: file not found"),
        (&["resnet18", "-o", "there.onnx"], 1, "there.toml exists"),
    ];
    for (args, code, reason) in refused {
        let ran = script("export_teacher.py", folder.path(), args).expect(code);
        assert!(ran.stderr.contains(reason), "{args:?}: {}", ran.stderr);
    }
    assert_eq!(std::fs::read_to_string(folder.path().join("there.toml")).unwrap(), "name = \"mine\"");
}

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
