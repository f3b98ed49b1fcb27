use std::fs;
use std::path::Path;

use relabel::labelling::source::list_tar_bytes;
use relabel::shared::manifest::NameKind;
use relabel::shared::store::StoreReader;

use crate::common::{Ran, data, lite0, python, relabel, run, small_photographs};

/// Checks a refusal that comes before the teacher is read.
fn refused(folder: &Path, source: &str, args: &[&str], texts: &[&str]) {
    let mut command = relabel(folder);
    command.args(["run", "--teacher", "none.onnx", "--in", source, "--out", "refused.labels"]).args(args);
    let ran = Ran::of(&mut command).expect(1);
    for text in texts {
        assert!(ran.stderr.contains(text), "{source} {args:?}: {text} in {}", ran.stderr);
    }
    assert!(!folder.join("refused.labels").exists());
}

/// Lists a source; the run then fails because the teacher is missing.
fn listed(folder: &Path, source: &str, args: &[&str]) -> String {
    let mut command = relabel(folder);
    command.args(["run", "--teacher", "none.onnx", "--in", source, "--out", "listed.labels"]).args(args);
    let ran = Ran::of(&mut command).expect(2);
    assert!(ran.stderr.contains("teacher none.onnx: file not found"), "{source}: {}", ran.stderr);
    ran.stderr
}

fn touch(folder: &Path, files: &[&str]) {
    for file in files {
        let file = folder.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, b"not read").unwrap();
    }
}

#[test]
fn a_folder_with_several_splits_is_refused_unless_all_are_requested() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for part in ["train", "val"] {
        for class in ["n01", "n02"] {
            touch(
                at,
                &[&format!("imagenet/{part}/{class}/1.jpg"), &format!("ILSVRC/Data/CLS-LOC/{part}/{class}/1.jpg")],
            );
        }
    }
    touch(at, &["imagenet/annotations/list.txt", "only/train/n01/1.jpg", "only/train/n02/1.jpg"]);
    for class in ["bicycle", "bus", "car", "ship", "train", "tram", "truck"] {
        touch(at, &[&format!("vehicles/{class}/1.jpg"), &format!("vehicles/{class}/2.jpg")]);
    }
    for class in ["and", "dog", "eleven", "go", "house", "no", "one", "test", "train", "yes"] {
        touch(at, &[&format!("words/{class}/1.png")]);
    }
    refused(at, "imagenet", &[], &["`train` (2 images), `val` (2 images)", "--in 'imagenet/train'", "--all-splits"]);
    refused(at, "imagenet", &["--dry-run"], &["several splits"]);
    refused(at, "imagenet", &["--limit", "1"], &["several splits"]);
    refused(at, "ILSVRC", &[], &["in `Data/CLS-LOC`", "--in 'ILSVRC/Data/CLS-LOC/train'"]);
    refused(at, "only", &[], &["all 2 images are in `train`", "--in 'only/train'"]);
    assert!(!listed(at, "imagenet", &["--all-splits"]).contains("splits of a data set"));
    for source in ["imagenet/train", "imagenet/val", "vehicles", "words"] {
        assert!(!listed(at, source, &[]).contains("warning"), "{source}");
    }
}

#[test]
fn archives_with_several_splits_are_refused_unless_each_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let script = at.join("make.py");
    fs::write(
        &script,
        "import io, sys, tarfile, pathlib\nimport pyarrow as pa, pyarrow.parquet as pq\nout = pathlib.Path(sys.argv[1])\n\
         for folder in ['data', 'hub/train', 'hub/test', 'column', 'slip', 'tars', 'same/a', 'same/b', 'one']:\n    \
         (out / folder).mkdir(parents=True)\n\
         def parquet(name, **columns): pq.write_table(pa.table({'image': [b'x', b'y']} | columns), out / name)\n\
         for name in ['data/train-00000-of-00002-a09b74b3ef9c3b56', 'data/train-00001-of-00002-b19b74b3ef9c3b57',\n         \
         'data/validation-00000-of-00001-c09b74b3ef9c3b58', 'hub/train/0000', 'hub/test/0000']:\n    parquet(name + '.parquet')\n\
         parquet('column/all.parquet', path=['a.jpg', 'b.jpg'], split=['train', 'test'])\n\
         parquet('slip/space.parquet', **{' label': [1, 2]})\nparquet('slip/near.parquet', lable=[1, 2])\n\
         def tar(name, *members):\n    with tarfile.open(out / name, 'w') as archive:\n        for member in members:\n            \
         info = tarfile.TarInfo(member); info.size = 1; archive.addfile(info, io.BytesIO(b'x'))\n\
         tar('tars/img_train.tar', 'n01/1.jpg')\ntar('tars/img_val.tar', '1.jpg')\n\
         tar('same/a/n01.tar', '1.jpg')\ntar('same/b/n01.tar', '1.jpg')\ntar('one/all.tar', 'train/n01/1.jpg', 'test/n01/1.jpg')\n",
    )
    .unwrap();
    python(&script, &[at.to_str().unwrap()]).expect(0);
    refused(
        at,
        "data",
        &[],
        &["several splits", "2 files such as `train-00000", "1 file such as `validation", "--all-splits"],
    );
    refused(at, "data/*.parquet", &[], &["several splits", "--in 'data/train-*'"]);
    refused(at, "hub/*/*.parquet", &[], &["several splits", "1 file such as `train`", "--in 'hub/train'"]);
    refused(at, "column/all.parquet", &[], &["column `split`", "`test` (1 image), `train` (1 image)"]);
    refused(at, "slip/space.parquet", &[], &["` label`", "`label`"]);
    refused(at, "slip/near.parquet", &[], &["`lable`", "`label`"]);
    refused(at, "tars/img_*.tar", &[], &["several splits"]);
    refused(at, "one/all.tar", &[], &["several splits", "`test` (1 image), `train` (1 image)"]);
    refused(at, "same/*/n01.tar", &[], &["a/n01.tar", "b/n01.tar", "in the folder `n01`"]);
    assert!(listed(at, "data/{train,validation}-*.parquet", &[]).contains("warning"), "each is named");
    assert!(!listed(at, "data/train-*.parquet", &[]).contains("splits"));
    for source in ["data", "column/all.parquet", "one/all.tar"] {
        assert!(!listed(at, source, &["--all-splits"]).contains("warning"), "{source}");
    }
}

#[test]
fn images_of_two_tars_are_never_merged() {
    let file = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        (name.to_owned(), header, content.to_vec())
    };
    let tar_of = |members: Vec<(String, tar::Header, Vec<u8>)>| {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, mut header, content) in members {
            tar.append_data(&mut header, name, &content[..]).unwrap();
        }
        tar.into_inner().unwrap()
    };
    let inner = |bytes: &[u8]| tar_of(vec![file("x.jpg", bytes)]);
    for members in [
        vec![file("n01.tar", &inner(b"1")), file("n01.TAR", &inner(b"22"))],
        vec![file("n01.tar", &inner(b"1")), file("n01/x.jpg", b"22")],
        vec![file("a.tar", &tar_of(vec![file("b/x.jpg", b"1")])), file("a/b.tar", &inner(b"22"))],
    ] {
        let refusal = list_tar_bytes(&tar_of(members)).unwrap_err().to_string();
        assert!(refusal.contains("rename one of the inner tars"), "{refusal}");
    }
    // A repeated member replaces the earlier one, as with `tar --append`.
    let appended =
        list_tar_bytes(&tar_of(vec![file("n01.tar", &inner(b"1")), file("n01.tar", &inner(b"22"))])).unwrap();
    assert_eq!(appended, [("n01/x.jpg".to_owned(), 2)]);
}

#[test]
fn ambiguous_lists_are_refused_with_both_names() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), &["in/a/x.jpg", "in/a/y.jpg"]);
    for (text, expected) in [
        ("path, label\na/x.jpg,n01\n", &["` label`", "`label`"][..]),
        ("path,lable\na/x.jpg,n01\n", &["`lable`", "`label`"]),
        ("Path\na/x.jpg\n", &["`Path`", "`path`"]),
        ("path,ids\na/x.jpg,1\n", &["`ids`", "`id`"]),
        ("path,label,label\na/x.jpg,n01,n02\n", &["two columns `label`"]),
        ("path,label\na/x.jpg, n01\n", &["row 0", "spaces"]),
        ("path,bytes\na/x.jpg,many\n", &["row 0", "bytes is `many`"]),
        ("path\na\\x.jpg\na\\y.jpg\n", &["as on Windows", "`a/x.jpg`"]),
        ("path,id\na/x.jpg,1\na/y.jpg,1\n", &["row 0 and again in row 1"]),
        ("path,id\na/x.jpg,1\na/x.jpg,2\n", &["`a/x.jpg` is listed in row 0 and again in row 1"]),
        ("path,id\na/x.jpg,a/y.jpg\na/y.jpg,2\n", &["row 0 (`a/x.jpg`) has the id `a/y.jpg`", "row 1"]),
        ("path,split\na/x.jpg,train\na/y.jpg,test\n", &["column `split`", "--all-splits"]),
    ] {
        fs::write(folder.path().join("list.csv"), text).unwrap();
        refused(folder.path(), "in", &["--manifest", "list.csv"], expected);
    }
    fs::write(folder.path().join("list.csv"), "path,split,url\na/x.jpg,train,u\na/y.jpg,train,u\n").unwrap();
    listed(folder.path(), "in", &["--manifest", "list.csv"]);
}

#[test]
fn misspelt_card_keys_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), &["in/a/x.jpg"]);
    let card = folder.path().join("card.toml");
    for (text, expected) in [
        ("filer = \"bicubic\"", &["`filer`", "`filter`"][..]),
        ("channel_oder = \"bgr\"", &["`channel_oder`", "`channel_order`"]),
        ("filter = \"bilinaer\"", &["\"bilinaer\"", "\"lanczos\""]),
        ("[export]\ninput_size = [64, 64]", &["`export.input_size`", "above `[export]`"]),
    ] {
        fs::write(&card, text).unwrap();
        let teacher = lite0().display().to_string();
        let ran = run(&["teacher", &teacher, "--card", card.to_str().unwrap()]).expect(1);
        assert!(expected.iter().all(|text| ran.stderr.contains(text)), "{text}: {}", ran.stderr);
    }
}

#[test]
fn ids_of_a_store_resolve_to_their_rows() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    small_photographs(&at.join("in"), 2);
    let tiny = data("golden/images/odd/tiny_33x47.JPEG");
    for name in
        ["a.jpg", "a.jpg.png", "photo.jpg", "photo.v2.jpg", "x.png", "x.JPG", "X.jpg", "e\u{301}.jpg", "\u{e9}.jpg"]
    {
        fs::copy(&tiny, at.join("in").join(name)).unwrap();
    }
    let mut command = relabel(at);
    command.args(["run", "--in", "in", "--out", "out", "--input-size", "32", "--teacher"]).arg(lite0());
    Ran::of(&mut command).expect(0);
    let labels = relabel::training::labels::Labels::open(&at.join("out")).unwrap();
    let manifest = StoreReader::open(&at.join("out")).unwrap().manifest().unwrap();
    let rows: Vec<usize> = (0..manifest.len()).collect();
    let ids: Vec<&str> = rows.iter().map(|&row| manifest.id(row)).collect();
    let paths: Vec<&str> = rows.iter().map(|&row| manifest.path(row)).collect();
    assert_eq!(labels.rows(&ids).unwrap(), rows);
    assert_eq!(labels.rows_of_names(&paths, NameKind::Path).unwrap(), rows);
    assert_eq!(labels.rows_of_names(&ids, NameKind::IdOrPath).unwrap(), rows);
    let inspect = |name: &str| Ran::of(relabel(at).args(["inspect", "out", name]));
    for (row, id) in ids.iter().enumerate().filter(|(_, id)| **id != "a.jpg") {
        assert!(inspect(id).expect(0).stdout.contains(&format!("(row {row}, {})", paths[row])), "{id}");
    }
    // The path of one image and the id of the other.
    let both = inspect("a.jpg").expect(1).stderr;
    assert!(both.contains("a.jpg)") && both.contains("a.jpg.png)") && both.contains("`row:"), "{both}");
    assert!(inspect("x.gif").expect(1).stderr.contains("`x.png`"), "either of two");
    assert!(inspect("row:1").expect(0).stdout.contains("(row 1,"));
}
