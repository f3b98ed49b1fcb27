use std::os::unix::fs::symlink;
use std::path::Path;

use relabel::shared::printable::acts_on_terminal;

use crate::common::{LabelRun, Ran, lite0, relabel, small_photographs};

/// Creates a teacher whose card has additional lines.
fn teacher_with_card(folder: &Path, more: &str) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::copy(lite0(), folder.join("net.onnx")).unwrap();
    std::fs::write(folder.join("net.toml"), format!("mean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\n{more}\n"))
        .unwrap();
}

/// A class list of a thousand classes with the given first line.
fn class_list(first: &str) -> String {
    std::iter::once(first.to_owned())
        .chain((1..1000).map(|class| format!("class {class}")))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_class_list_outside_the_cards_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |inside: &str| folder.path().join(inside);
    std::fs::create_dir_all(path("net/lists")).unwrap();
    std::fs::write(path("id_key"), class_list("SECRET")).unwrap();
    std::fs::write(path("net/lists/good.txt"), class_list("good")).unwrap();
    symlink("../id_key", path("net/link.txt")).unwrap();
    symlink("lists/good.txt", path("net/inner.txt")).unwrap();
    symlink("..", path("net/up")).unwrap();
    let teacher = |card: &str, args: &[&str]| {
        teacher_with_card(&path("net"), card);
        Ran::of(relabel(folder.path()).args(["teacher", "net/net.onnx", "--input-size", "64"]).args(args))
    };
    let absolute = path("id_key").display().to_string();
    for outside in ["../id_key", "link.txt", "up/id_key", "lists/../../id_key", &absolute] {
        let refused = teacher(&format!("classes = '{outside}'"), &[]).expect(1);
        assert!(refused.stderr.contains("outside the folder of the card"), "{outside}: {}", refused.stderr);
        assert!(!refused.stderr.contains("SECRET"), "{}", refused.stderr);
    }
    assert!(teacher("classes = 'gone.txt'", &[]).expect(1).stderr.contains("gone.txt"));
    assert!(teacher("classes = 'lists'", &[]).expect(1).stderr.contains("not a regular file"));
    for inside in
        ["lists/good.txt", "inner.txt", "./lists/../lists/good.txt", &path("net/lists/good.txt").display().to_string()]
    {
        teacher(&format!("classes = '{inside}'"), &[]).expect(0);
    }
    // With --card the folder of that card counts; --classes accepts any path.
    std::fs::copy(path("net/net.toml"), path("other.toml")).unwrap();
    let text = std::fs::read_to_string(path("other.toml")).unwrap().replace("./lists", "net/lists");
    std::fs::write(path("other.toml"), text).unwrap();
    teacher("", &["--classes", "id_key"]).expect(0);
    teacher("classes = 'lists/good.txt'", &["--card", "other.toml"]).expect(0);
    std::fs::create_dir(path("cards")).unwrap();
    std::fs::copy(path("other.toml"), path("cards/other.toml")).unwrap();
    std::fs::write(path("cards/other.toml"), "classes = '../net/lists/good.txt'").unwrap();
    assert!(teacher("", &["--card", "cards/other.toml"]).expect(1).stderr.contains("outside the folder of the card"));
}

#[test]
fn terminal_control_characters_are_escaped_in_all_output() {
    let folder = tempfile::tempdir().unwrap();
    let hostile = "x\u{1b}[2J\u{1b}]0;t\u{7}\u{9b}31m\nrelabel: all is well\r\u{202e}";
    let class = "n02123045";
    small_photographs(&folder.path().join("in"), 4);
    for name in [format!("{class}/{hostile}"), format!("{hostile}/y")] {
        let path = folder.path().join("in").join(name + ".JPEG");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::copy(folder.path().join("in/n02123045/0000.JPEG"), &path).unwrap();
        std::fs::write(path.with_file_name(format!("broken{hostile}.jpg")), "no image").unwrap();
    }
    let one_line = hostile.replace(['\n', '\r'], "");
    let quoted = one_line.chars().map(|c| format!("\\u{:04X}", u32::from(c))).collect::<Vec<_>>().concat();
    std::fs::create_dir(folder.path().join("net")).unwrap();
    std::fs::write(
        folder.path().join("net/list.txt"),
        class_list(&one_line).replace("\nclass", &format!("\n{one_line}")),
    )
    .unwrap();
    teacher_with_card(
        &folder.path().join("net"),
        &format!("licence = \"{quoted}\"\n\"key{quoted}\" = 1\nclasses = 'list.txt'"),
    );
    let (mut output, mut codes) = (String::new(), Vec::new());
    let mut ran = |args: &[&str]| {
        let ran = Ran::of(relabel(folder.path()).args(args));
        let shown = format!("{}{}", ran.stdout, ran.stderr);
        for line in shown.lines() {
            assert!(!line.replace('\t', " ").contains(acts_on_terminal), "{args:?}: {line:?}");
            assert!(!line.starts_with("relabel: all is well"), "{args:?}: {shown}");
        }
        output += &shown;
        codes.push(ran.code);
        ran
    };
    let run =
        ["run", "--in", "in", "--out", "out", "--teacher", "net/net.onnx", "--input-size", "64", "--shard-size", "4"];
    ran(&[&run[..], &["-vv"]].concat()).expect(3);
    ran(&[&run[..], &["--retry-failed", "--log-format", "json", "-v"]].concat()).expect(3);
    ran(&["status", "out", "--failed"]);
    ran(&["status", "out", "--json"]);
    for row in 0..8 {
        ran(&["inspect", "out", &row.to_string(), "--color", "never"]);
    }
    ran(&["inspect", "out", &format!("nowhere{hostile}")]).expect(1);
    ran(&["inspect", "out", "0", hostile]).expect(2);
    ran(&["status", hostile]).expect(1);
    ran(&["status", hostile, "--json"]).expect(1);
    ran(&["status", "out", &format!("--bogus{hostile}")]).expect(2);
    ran(&["status", "out", &format!("--bogus{hostile}"), "--json"]).expect(2);
    ran(&["teacher", "net/net.onnx", "--input-size", "64"]).expect(0);
    ran(&["teacher", hostile]).expect(2);
    ran(&["audit", "out", "-o", "audit.csv"]).expect(0);
    ran(&["audit", "out", "-o", "audit.json", "--class", hostile]).expect(2);
    ran(&["compare", "out", "out"]).expect(0);
    ran(&["compare", "out", hostile]).expect(1);
    ran(&["compare", "out", "out", "--picture", "p.png", "--picture-of", hostile]).expect(0);
    ran(&["verify", "out"]).expect(0);
    ran(&["publish", "out", "--to", hostile, "--license", "CC0-1.0", "--source-terms", hostile, "--name", hostile])
        .expect(0);
    ran(&["verify", hostile]).expect(0);
    std::fs::write(folder.path().join("out/scores").join(hostile), "stray").unwrap();
    ran(&["verify", "out"]).expect(3);
    assert!(
        output.contains("\\u{1b}[2J") && output.contains("\\nrelabel: all is well"),
        "no output was escaped: {codes:?}"
    );
}

#[test]
fn table_cells_are_never_formulas() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 2);
    let photograph = folder.path().join("in/n02123045/0000.JPEG");
    for name in ["=1+1", "+x", "-x", "@SUM(A1)", "\t=x", "\r=x"] {
        let path = folder.path().join("in").join(name).join("x.JPEG");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::copy(&photograph, path).unwrap();
    }
    std::fs::create_dir(folder.path().join("net")).unwrap();
    std::fs::write(folder.path().join("net/list.txt"), class_list("=HYPERLINK(0)").replace("\nclass", "\n=class"))
        .unwrap();
    teacher_with_card(&folder.path().join("net"), "classes = 'list.txt'");
    let mut run = relabel(folder.path());
    run.args(["run", "--in", "in", "--out", "out", "--teacher", "net/net.onnx", "--input-size", "64"]);
    Ran::of(&mut run).expect(0);
    Ran::of(relabel(folder.path()).args(["audit", "out", "-o", "a.csv"])).expect(0);
    let mut formulas = 0;
    for file in ["a.csv", "a.classes.csv"] {
        let mut table = csv::Reader::from_path(folder.path().join(file)).unwrap();
        for record in table.records() {
            for field in &record.unwrap() {
                let is_number = field.parse::<f64>().is_ok();
                assert!(is_number || !field.starts_with(['=', '+', '-', '@', '\t', '\r']), "{file}: {field:?}");
                formulas += usize::from(field.starts_with('\''));
            }
        }
    }
    assert!(formulas > 12, "only {formulas} formulas were escaped");
    Ran::of(relabel(folder.path()).args(["audit", "out", "-o", "a.json"])).expect(0);
    let exact = std::fs::read_to_string(folder.path().join("a.json")).unwrap();
    assert!(exact.contains("\"=class") && !exact.contains("\"'="), "JSON stays exact");
}

#[test]
fn signed_urls_and_passwords_are_removed_from_releases() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 4);
    let card = "source = 'https://bucket.s3.amazonaws.com/net.onnx?X-Amz-Credential=A&X-Amz-Signature=HUNTER2'\n\
                weights = 'https://me:HUNTER2@example.org/net.pth (see https://x.net/a?sig=HUNTER2&sv=1)'\n\
                command = ['git clone me:HUNTER2@example.org:net.git', 'curl h.org/a?token=HUNTER2']\n\
                page = 'https://example.org/nets?name=lite0'";
    teacher_with_card(&folder.path().join("net"), card);
    let mut run = LabelRun::new(folder.path()).small_shards().command();
    Ran::of(&mut run).expect(0);
    let mut run = relabel(folder.path());
    run.args(["run", "--in", "in", "--out", "labels", "--teacher", "net/net.onnx", "--input-size", "64"]);
    Ran::of(&mut run).expect(0);
    let published =
        Ran::of(relabel(folder.path()).args(["publish", "labels", "--to", "release", "--license", "CC0-1.0", "-vv"]));
    let published = published.expect(0);
    assert!(!published.stdout.contains("HUNTER2") && !published.stderr.contains("HUNTER2"), "{}", published.stdout);
    let mut pages = 0;
    for entry in walkdir::WalkDir::new(folder.path().join("release")).into_iter().map(Result::unwrap) {
        if entry.file_type().is_file() {
            let text = String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned();
            assert!(!text.contains("HUNTER2"), "{}: {text}", entry.path().display());
            pages += usize::from(text.contains("https://example.org/nets?name=lite0"));
        }
    }
    assert!(pages > 0, "other URLs stay");
    Ran::of(relabel(folder.path()).args(["verify", "release"])).expect(0);
}
