use std::path::Path;

use crate::common::{Ran, data, hermetic, lite0, relabel, repository, small_photographs};

/// Runs the demo in `folder` with the teacher and the photographs of the repository.
fn demo(folder: &Path, args: &[&str]) -> Ran {
    let mut command = relabel(folder);
    command.args(["demo", "--teacher"]).arg(lite0()).arg("--in").arg(data("golden/images"));
    Ran::of(command.args(args))
}

#[test]
fn the_demo_labels_the_samples_and_draws_one() {
    let folder = tempfile::tempdir().unwrap();
    let first = demo(folder.path(), &[]).expect(0).stdout;
    for text in [
        "labelled 22 of 27 images",
        "note     the failed images (5) are samples that are broken on purpose\n",
        "\nphotos/coffee (row ",
        "espresso",
        "picture  relabel-demo/coffee.png\n",
        "  relabel inspect relabel-demo/demo.labels photos/chelsea --image-root ",
        "  relabel report relabel-demo/demo.labels --image-root ",
    ] {
        assert!(first.contains(text), "{text} in {first}");
    }
    let picture = folder.path().join("relabel-demo/coffee.png");
    let drawn = std::fs::read(&picture).unwrap();
    std::fs::remove_file(&picture).unwrap();
    let again = demo(folder.path(), &["--json"]).expect(0);
    let document = again.json();
    assert_eq!(document["store"], "relabel-demo/demo.labels");
    assert_eq!(document["picture"], "relabel-demo/coffee.png");
    assert_eq!((&document["run"]["labelled"], &document["run"]["images_this_run"]), (&22.into(), &0.into()));
    assert_eq!(document["inspect"]["regions"][0]["name"], "espresso");
    assert!(drawn == std::fs::read(&picture).unwrap(), "the picture is drawn again");
    // The commands that it prints work.
    let command = first.lines().find_map(|line| line.strip_prefix("  relabel inspect ")).unwrap();
    let words: Vec<&str> = command.split(' ').collect();
    Ran::of(relabel(folder.path()).arg("inspect").args(words)).expect(0);
    assert!(folder.path().join("relabel-demo/chelsea.png").is_file());
}

#[test]
fn the_demo_finds_the_samples_next_to_the_program() {
    let prefix = tempfile::tempdir().unwrap();
    let [bin, share] = ["bin", "share/relabel/demo"].map(|folder| prefix.path().join(folder));
    for folder in [&bin, &share] {
        std::fs::create_dir_all(folder).unwrap();
    }
    let program = bin.join("relabel");
    std::fs::copy(env!("CARGO_BIN_EXE_relabel"), &program).unwrap();
    let run = || {
        let mut command = hermetic(&program);
        Ran::of(command.arg("demo").current_dir(prefix.path()))
    };
    let refused = run().expect(2).stderr;
    for text in ["share/relabel/demo/efficientnet-lite0.onnx is missing", "--teacher", "--in"] {
        assert!(refused.contains(text), "{text} in {refused}");
    }
    for file in ["efficientnet-lite0.onnx", "efficientnet-lite0.toml"] {
        std::os::unix::fs::symlink(repository("models").join(file), share.join(file)).unwrap();
    }
    small_photographs(&share.join("photographs"), 2);
    // No image is called coffee, so the first is drawn.
    let shown = run().expect(0).stdout;
    assert!(shown.contains("labelled 2 of 2 images") && !shown.contains("on purpose"), "{shown}");
    assert!(shown.contains("relabel-demo/0000.png\n") && shown.contains("demo.labels n07920052/0001 "), "{shown}");
    assert!(prefix.path().join("relabel-demo/0000.png").is_file());
}

#[test]
fn the_demo_reports_failures_of_other_images() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("in/broken.JPEG");
    small_photographs(&folder.path().join("in"), 2);
    std::fs::write(&broken, "").unwrap();
    let args = |out: &str| ["demo", "--in", "in", "-o", out, "--teacher"].map(str::to_owned);
    let shown = Ran::of(relabel(folder.path()).args(args("out")).arg(lite0())).expect(3).stdout;
    assert!(shown.contains("picture  out/0000.png") && !shown.contains("on purpose"), "{shown}");
    std::fs::remove_dir_all(folder.path().join("in/n02123045")).unwrap();
    std::fs::remove_dir_all(folder.path().join("in/n07920052")).unwrap();
    let nothing = Ran::of(relabel(folder.path()).args(args("none")).arg(lite0()).arg("--json")).expect(3).json();
    assert_eq!((&nothing["run"]["failed"], nothing.get("picture")), (&1.into(), None));
}
