use std::fs;
use std::io::{Cursor, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use relabel::labelling::source::list_tar_bytes;
use relabel::shared::store::{RowState, StoreReader};
use tar::{Builder, EntryType, Header};

use crate::common::{LabelRun, data, python, repository, small_photographs, store_bytes};

#[test]
fn a_tar_and_a_tar_of_tars_give_the_bytes_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    small_photographs(&at("train"), 30);
    fs::write(at("train/n02123045/0003.JPEG"), b"").unwrap();
    fs::write(at("train/n02123045/notes.txt"), "not an image").unwrap();
    // One name of two-byte characters is too long for a header.
    fs::rename(at("train/n07920052/0029.JPEG"), at("train/n07920052").join(format!("{}.JPEG", "é".repeat(100))))
        .unwrap();
    LabelRun::new(folder.path()).source("train").out("from-folder").run().expect(3);

    fs::create_dir(at("plain")).unwrap();
    pack(&at("plain/train.tar"), &[("", &at("train"))]);
    fs::create_dir(at("of-tars")).unwrap();
    for class in ["n02123045", "n07920052"] {
        pack(&at(&format!("of-tars/{class}.tar")), &[("", &at("train").join(class))]);
    }
    pack(&at("train.tar"), &[("", &at("of-tars"))]);
    let cases = [
        ("plain/train.tar", "a tar of images"),
        ("train.tar", "a tar of 2 tars, each a folder"),
        ("of-tars/n*.tar", "2 tars, each a folder"),
        ("of-tars", "2 tars, each a folder"),
    ];
    let expected = store_bytes(&at("from-folder"));
    for (number, (source, what)) in cases.into_iter().enumerate() {
        let out = format!("out{number}");
        let ran = LabelRun::new(folder.path()).source(source).out(&out).run().expect(3);
        let is_announced =
            ran.stderr.contains("labelling 30 images") && ran.stderr.contains(&format!("from {what} into"));
        assert!(is_announced, "{}", ran.stderr);
        for ((name, a), (other, b)) in expected.iter().zip(&store_bytes(&at(&out))) {
            assert_eq!(name, other, "{source}");
            // The group contains the name of the source, which differs for `of-tars`.
            let same = a == b || (name == Path::new("zarr.json") && source.starts_with("of-tars"));
            assert!(same, "{source}: {}", name.display());
        }
        let again = LabelRun::new(folder.path()).source(source).out(&out).run().expect(3);
        assert!(again.stdout.contains("nothing left to do"), "{}", again.stdout);
    }
}

#[test]
fn webdataset_shards_and_parquet_files_give_the_rows_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    small_photographs(&at("in"), 24);
    let script = repository("tests/python/make_archives.py");
    python(&script, &[at("in").to_str().unwrap(), at("packed").to_str().unwrap()]).expect(0);
    // Batches of one, so that the order of rows has no effect.
    let args = ["--batch", "1"];
    LabelRun::new(folder.path()).out("expected").args(&args).run().expect(0);
    let expected = StoreReader::open(&at("expected")).unwrap();
    let id = |row: usize| expected.manifest().unwrap().id(row).replace('/', "_");
    let cases: [(&str, &str, ExpectedRow); 4] = [
        ("packed/shards/{000000..000002}.tar", "a WebDataset of 3 tars", &|row| (id(row), Some(class(row)))),
        ("packed/shards", "a WebDataset of 3 tars", &|row| (id(row), Some(class(row)))),
        ("packed/data", "2 Parquet files of images (train-00000-of-00002.parquet to train-00001", &|row| {
            let id = id(row);
            let (folder, stem) = id.split_once('_').unwrap();
            (format!("{stem}_{folder}"), Some(class(row)))
        }),
        ("packed/plain.parquet", "a Parquet file of images", &|row| (format!("plain/{row}"), None)),
    ];
    for (number, (source, what, expected_row)) in cases.iter().enumerate() {
        let out = format!("out{number}");
        let ran = LabelRun::new(folder.path()).source(source).out(&out).args(&args).run().expect(0);
        assert!(ran.stderr.contains(&format!("from {what}")), "{}", ran.stderr);
        let store = StoreReader::open(&at(&out)).unwrap();
        let manifest = store.manifest().unwrap();
        for row in 0..24 {
            let (id, label) = expected_row(row);
            assert_eq!((manifest.id(row), manifest.folder_class(row)), (id.as_str(), label), "{source}");
            assert!(matches!(store.row(row).unwrap(), RowState::Labelled(_)));
            assert_eq!(store.row(row).unwrap(), expected.row(row).unwrap(), "{source}, row {row}");
        }
        for array in ["scores", "classes", "image_probs", "image_classes"] {
            let file = |store: &str| fs::read(first_chunk(&at(store).join(array))).unwrap();
            assert!(file(&out) == file("expected"), "{source}: {array} differs");
        }
        // A numeric class is the index of an output of the teacher.
        assert_eq!(ran.stdout.contains("agrees   with"), has_folder_classes(source), "{}", ran.stdout);
        let again = LabelRun::new(folder.path()).source(source).out(&out).args(&args).run().expect(0);
        assert!(again.stdout.contains("nothing left to do"), "{}", again.stdout);
    }
}

/// Expected id and folder class of a row.
type ExpectedRow<'a> = &'a dyn Fn(usize) -> (String, Option<&'static str>);
/// Paths and lengths.
type Expected<'a> = &'a [(&'a str, u64)];

fn has_folder_classes(source: &str) -> bool {
    !source.ends_with("plain.parquet")
}

fn class(row: usize) -> &'static str {
    if row < 12 { "281" } else { "967" }
}

fn first_chunk(array: &Path) -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(array).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.remove(0)
}

#[test]
fn ambiguous_inputs_are_refused_with_help() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    small_photographs(&at("mixed/deep"), 2);
    fs::create_dir(at("both")).unwrap();
    for path in ["mixed/a.tar", "both/a.tar", "a.tar"] {
        fs::write(at(path), tar_of(&[file("x/a.jpg", b"jpeg")])).unwrap();
    }
    for path in ["both/b.parquet", "b.parquet"] {
        fs::write(at(path), b"PAR1 and nothing else").unwrap();
    }
    for (path, start) in [("c.tar.gz", &b"\x1f\x8b\x08\0"[..]), ("d.tar", b"\x28\xb5\x2f\xfd"), ("e.bin", b"hello")] {
        fs::write(at(path), start).unwrap();
    }
    fs::write(at("cut.tar"), b"").unwrap();
    fs::write(at("images.tar"), tar_of(&[file("readme.txt", b"")])).unwrap();
    let cases: &[(&str, &[&str])] = &[
        ("mixed", &["--in 'mixed/*.tar'", "move the archives out"]),
        ("both", &["--in 'both/*.tar'", "--in 'both/*.parquet'"]),
        ("{a.tar,b.parquet}", &["different kinds"]),
        ("b.parquet", &["not a readable Parquet file"]),
        ("c.tar.gz", &["compressed (gzip)", "gunzip -k c.tar.gz"]),
        ("d.tar", &["compressed (zstd)", "zstd -dk"]),
        ("e.bin", &["neither a tar nor a Parquet file", "--in takes"]),
        ("cut.tar", &["cut off"]),
        ("images.tar", &["contains no images"]),
        ("{0..3}.tar", &["no file matches `{0..3}.tar`"]),
        ("nowhere*.tar", &["no file matches"]),
    ];
    for (source, expected) in cases {
        let refused = LabelRun::new(folder.path()).source(source).run().expect(1);
        for text in *expected {
            assert!(refused.stderr.contains(text), "{source}: {text} in {}", refused.stderr);
        }
        assert!(!at("out").exists());
    }
}

#[test]
fn hostile_tars_are_listed_safely_or_refused() {
    let long = format!("{}/x.jpg", "d".repeat(300));
    let mut gnu_long = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o644);
    gnu_long.append_data(&mut header, &long, &b"long"[..]).unwrap();
    let base_256 = {
        let mut member = file("b.jpg", b"256b");
        member.0.as_mut_bytes()[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4]);
        member.0.set_cksum();
        member
    };
    let read: &[(Vec<u8>, Expected)] = &[
        (gnu_long.into_inner().unwrap(), &[(&long, 4)]),
        (tar_of(&[pax("path", &long), file("short.jpg", b"pax")]), &[(&long, 3)]),
        (tar_of(&[base_256]), &[("b.jpg", 4)]),
        (tar_of(&[file("./a//./x.jpg", b"1"), file("a/._x.jpg", b"2"), file(".git/y.jpg", b"3")]), &[("a/x.jpg", 1)]),
        // Unsafe paths are skipped.
        (
            tar_of(&[
                file("/etc/x.jpg", b"1"),
                file("../y.jpg", b"1"),
                file("a/../../z.jpg", b"1"),
                file("ok.jpg", b""),
            ]),
            &[("ok.jpg", 0)],
        ),
        // The last of two members with one name counts, as when unpacking.
        (tar_of(&[file("a.jpg", b"1"), file("a.jpg", b"22")]), &[("a.jpg", 2)]),
        (
            tar_of(&[
                file("a.jpg", b"four"),
                file("blob", b"seven.."),
                link(EntryType::Link, "b.jpg", "./a.jpg"),
                link(EntryType::Link, "c.jpg", "blob"),
                link(EntryType::Link, "d.jpg", "later.jpg"),
                link(EntryType::Link, "e.jpg", "/etc/passwd"),
                link(EntryType::Symlink, "f.jpg", "a.jpg"),
                link(EntryType::Char, "g.jpg", ""),
                link(EntryType::GNUSparse, "h.jpg", ""),
                link(EntryType::Directory, "i.jpg", ""),
                file("later.jpg", b"1"),
            ]),
            &[("a.jpg", 4), ("b.jpg", 4), ("c.jpg", 7), ("later.jpg", 1)],
        ),
        (
            tar_of(&[file("n01.tar", &tar_of(&[file("x.jpg", b"x")])), file("y.jpg", b"")]),
            &[("n01/x.jpg", 1), ("y.jpg", 0)],
        ),
    ];
    for (tar, expected) in read {
        let expected: Vec<_> = expected.iter().map(|(path, bytes)| ((*path).to_owned(), *bytes)).collect();
        assert_eq!(list_tar_bytes(tar).unwrap_or_else(|damage| panic!("{damage}")), expected);
    }
    let two = tar_of(&[file("n01/a.jpg", &[7; 700]), file("n01/b.jpg", &[7; 700])]);
    let overwritten = |at: usize, bytes: &[u8]| {
        let mut tar = two.clone();
        tar[at..at + bytes.len()].copy_from_slice(bytes);
        tar
    };
    let with_size = |size: &[u8]| {
        let mut member = file("size.jpg", b"");
        member.0.as_mut_bytes()[124..124 + size.len()].copy_from_slice(size);
        member.0.set_cksum();
        tar_of(&[member])
    };
    let deep = tar_of(&[file("a.tar", &tar_of(&[file("b.tar", &tar_of(&[file("c.jpg", b"")]))]))]);
    let refused: &[(Vec<u8>, &[&str])] = &[
        (two[..1300].to_vec(), &["at byte 512", "cut"][1..]),
        (two[..600].to_vec(), &["n01/a.jpg", "declares 700 bytes, but only 88 bytes follow"]),
        (two[..1536].to_vec(), &["n01/a.jpg, or after it", "cut off"]),
        (two[..1700].to_vec(), &["a header is cut off"]),
        (overwritten(1540, b"X"), &["at byte 1536", "checksum"]),
        (overwritten(148, b"zzzzzz"), &["at byte 0", "not the header of a tar"]),
        (with_size(b"77777777777"), &["size.jpg", "the size is wrong"]),
        (
            with_size(&[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            &["size.jpg", "the size is wrong"],
        ),
        (with_size(b"many"), &["its size is not a number"]),
        (tar_of(&[file("n\u{fffd}.jpg", b""), raw_name(b"n\xff.jpg")]), &["not UTF-8"]),
        (tar_of(&[pax("size", "many"), file("x.jpg", b"")]), &["pax size"]),
        (tar_of(&[link(EntryType::GNULongName, "x", "")]), &[]),
        ([two.clone(), two.clone()].concat(), &["bytes follow its end", "one by one"]),
        (deep, &["a.tar: b.tar", "a tar inside a tar inside a tar"]),
        (vec![b'x'; 2000], &["not the header of a tar"]),
        (Vec::new(), &["cut off"]),
    ];
    for (number, (tar, expected)) in refused.iter().enumerate() {
        match list_tar_bytes(tar) {
            Ok(images) => assert!(expected.is_empty() && images.is_empty(), "case {number} is listed: {images:?}"),
            Err(damage) => {
                let message = damage.to_string();
                assert!(expected.iter().all(|text| message.contains(text)), "case {number}: {message}");
            }
        }
    }
}

#[test]
fn a_tar_of_zeros_is_recognised_quickly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zeros.tar");
    let mut file_on_disk = fs::File::create(&path).unwrap();
    let mut tar = tar_of(&[file("n02123045/x.jpg", &fs::read(data("golden/images/odd/tiny_33x47.JPEG")).unwrap())]);
    file_on_disk.write_all(&tar).unwrap();
    // A sparse file of 2^40 bytes.
    file_on_disk.set_len(1 << 40).unwrap();
    LabelRun::new(folder.path()).source("zeros.tar").run().expect(0);
    // A name that declares such a length.
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_path("././@LongLink").unwrap();
    header.set_size((1 << 40) - 4096);
    header.set_cksum();
    tar.splice(0..0, header.as_bytes().iter().copied());
    file_on_disk.write_all_at(&tar, 0).unwrap();
    let refused = LabelRun::new(folder.path()).source("zeros.tar").out("other").run().expect(1);
    assert!(refused.stderr.contains("a name of 1,099,511,623,680 bytes"), "{}", refused.stderr);
}

#[test]
fn damage_anywhere_in_a_tar_never_panics_and_never_adds_a_path_outside() {
    let inner = tar_of(&[file("x.jpg", &[1; 600]), pax("path", "long.jpg"), file("s.jpg", b"1")]);
    let tar = tar_of(&[file("a/b.jpg", b"1"), file("n01.tar", &inner), link(EntryType::Link, "l.jpg", "a/b.jpg")]);
    let mut random = 7_u64;
    for _ in 0..20_000 {
        let mut damaged = tar.clone();
        for _ in 0..3 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (random >> 33) as usize % damaged.len();
            damaged[at] = (random >> 20) as u8;
        }
        if let Ok(images) = list_tar_bytes(&repaired(damaged)) {
            for (path, _) in images {
                assert!(
                    !path.starts_with('/') && !path.split('/').any(|part| part == ".." || part.is_empty()),
                    "{path}"
                );
            }
        }
    }
}

/// Corrects the header checksums, so that damage gets past them.
fn repaired(mut tar: Vec<u8>) -> Vec<u8> {
    for block in tar.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    tar
}

#[test]
fn skipped_members_are_reported_once() {
    let folder = tempfile::tempdir().unwrap();
    let image = fs::read(data("golden/images/odd/tiny_33x47.JPEG")).unwrap();
    let members = [file("ok.jpg", &image), file("/abs.jpg", &image), link(EntryType::Symlink, "b.jpg", "ok.jpg")];
    fs::write(folder.path().join("some.tar"), tar_of(&members)).unwrap();
    let ran = LabelRun::new(folder.path()).source("some.tar").run().expect(0);
    assert_eq!(ran.stderr.matches("are not read").count(), 1, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("2 members") && ran.stderr.contains("`/abs.jpg`: its name is absolute"),
        "{}",
        ran.stderr
    );
}

#[test]
fn an_archive_that_changed_gives_image_errors_and_never_another_image() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    small_photographs(&at("in"), 24);
    pack(&at("in.tar"), &[("", &at("in"))]);
    let args = ["--shard-size", "8"];
    LabelRun::new(folder.path()).source("in.tar").args(&args).run().expect(0);
    let original = store_bytes(&at("out"));
    let index = fs::read(at("out/.source-index")).unwrap();

    // Shard 1 is labelled again from the same archive: the same bytes with an intact, damaged or empty index.
    for (number, index) in [index.clone(), b"no index".to_vec(), Vec::new()].into_iter().enumerate() {
        fs::write(at("out/.source-index"), index).unwrap();
        fs::remove_file(at("out/records/000001.json")).unwrap();
        LabelRun::new(folder.path()).source("in.tar").args(&args).run().expect(0);
        assert!(original == store_bytes(&at("out")), "{number}");
        assert!(fs::read(at("out/.source-index")).unwrap() == source_index(&at("out")), "{number}");
    }

    // A new first image moves all others, and the archive is listed again.
    fs::create_dir_all(at("more/a")).unwrap();
    fs::write(at("more/a/first.JPEG"), fs::read(at("in/n02123045/0000.JPEG")).unwrap()).unwrap();
    pack(&at("in.tar"), &[("", &at("more")), ("", &at("in"))]);
    fs::remove_file(at("out/records/000001.json")).unwrap();
    LabelRun::new(folder.path()).source("in.tar").args(&args).run().expect(0);
    assert!(original == store_bytes(&at("out")));

    // Changed and deleted images.
    fs::write(at("in/n02123045/0009.JPEG"), fs::read(data("golden/images/photos/coffee.JPEG")).unwrap()).unwrap();
    fs::remove_file(at("in/n02123045/0010.JPEG")).unwrap();
    pack(&at("in.tar"), &[("", &at("in"))]);
    fs::remove_file(at("out/records/000001.json")).unwrap();
    LabelRun::new(folder.path()).source("in.tar").args(&args).run().expect(3);
    let store = || StoreReader::open(&at("out")).unwrap();
    let reason = |row| match store().row(row).unwrap() {
        RowState::Failed(failed) => failed.error.to_string(),
        other => panic!("row {row}: {other:?}"),
    };
    assert!(reason(9).starts_with("changed: 79,975 bytes now"), "{}", reason(9));
    assert!(reason(10).starts_with("unreadable: not in in"), "{}", reason(10));
    assert!(matches!(store().row(8).unwrap(), RowState::Labelled(_)));

    // Changed without a difference in length and time: the header shows it, and no other image is read.
    let modified = fs::metadata(at("in.tar")).unwrap().modified().unwrap();
    let tar = fs::File::options().write(true).open(at("in.tar")).unwrap();
    let bytes = fs::read(at("in.tar")).unwrap();
    let header = bytes.windows(19).position(|window| window == b"n02123045/0011.JPEG").unwrap();
    let mut changed = Header::from_byte_slice(&bytes[header..header + 512]).clone();
    changed.set_path("n02123045/9999.JPEG").unwrap();
    changed.set_cksum();
    tar.write_all_at(changed.as_bytes(), header as u64).unwrap();
    tar.set_modified(modified).unwrap();
    fs::remove_file(at("out/records/000001.json")).unwrap();
    LabelRun::new(folder.path()).source("in.tar").args(&args).run().expect(3);
    assert!(reason(11).starts_with("changed: in.tar changed since it was listed"), "{}", reason(11));
}

fn source_index(store: &Path) -> Vec<u8> {
    fs::read(store.join(".source-index")).unwrap()
}

#[test]
fn a_killed_run_from_a_tar_resumes_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    small_photographs(&at("in"), 400);
    pack(&at("in.tar"), &[("", &at("in"))]);
    let args = ["--shard-size", "8", "--batch", "4"];
    LabelRun::new(folder.path()).source("in.tar").out("unbroken").args(&args).run().expect(0);
    for _ in 0..3 {
        let before = records(&at("killed"));
        let mut child = LabelRun::new(folder.path()).source("in.tar").out("killed").args(&args).command();
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while records(&at("killed")) <= before && child.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!((1..50).contains(&records(&at("killed"))), "the kills hit a running program");
    LabelRun::new(folder.path()).source("in.tar").out("killed").args(&args).run().expect(0);
    assert!(store_bytes(&at("unbroken")) == store_bytes(&at("killed")));
}

fn records(store: &Path) -> usize {
    fs::read_dir(store.join("records")).map_or(0, Iterator::count)
}

type Member = (Header, Vec<u8>);

fn file(name: &str, content: &[u8]) -> Member {
    let mut member = raw_name(name.as_bytes());
    member.0.set_size(content.len() as u64);
    member.0.set_cksum();
    (member.0, content.to_vec())
}

/// An empty file with any bytes as its name.
fn raw_name(name: &[u8]) -> Member {
    let mut header = Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_mode(0o644);
    header.set_size(0);
    header.set_cksum();
    (header, Vec::new())
}

fn link(kind: EntryType, name: &str, target: &str) -> Member {
    let mut member = raw_name(name.as_bytes());
    member.0.set_entry_type(kind);
    member.0.set_link_name_literal(target).unwrap();
    member.0.set_cksum();
    member
}

/// A pax extension header of the next member.
fn pax(key: &str, value: &str) -> Member {
    let without_length = key.len() + value.len() + 3;
    let length =
        (1..5).map(|digits| without_length + digits).find(|sum| sum.to_string().len() + without_length == *sum);
    let mut member = file("PaxHeader", format!("{} {key}={value}\n", length.unwrap()).as_bytes());
    member.0.set_entry_type(EntryType::XHeader);
    member.0.set_cksum();
    member
}

fn tar_of(members: &[Member]) -> Vec<u8> {
    let mut tar = Builder::new(Cursor::new(Vec::new()));
    for (header, content) in members {
        tar.append(header, &content[..]).unwrap();
    }
    tar.into_inner().unwrap().into_inner()
}

/// Packs folders in directory order, as `tar` does.
fn pack(out: &Path, folders: &[(&str, &Path)]) {
    let mut tar = Builder::new(fs::File::create(out).unwrap());
    for (name, folder) in folders {
        tar.append_dir_all(name, folder).unwrap();
    }
    tar.finish().unwrap();
}
