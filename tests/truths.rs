use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::column::writer::ColumnWriterImpl;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use relabel::evaluation::truth::{Truth, TruthFormat};
use relabel::shared::classes::ClassList;
use relabel::shared::digest::digest_bytes;
use relabel::shared::error::{Error, ErrorClass};
use relabel::shared::manifest::{Manifest, ManifestEntry, RowIndex};
use relabel::shared::random::SplitMix64;

/// The images of a small store.
const IMAGES: [&str; 5] = [
    "n01440764/n01440764_10026.JPEG",
    "n01440764/ILSVRC2012_val_00000293.JPEG",
    "n01443537/ILSVRC2012_val_00000236.JPEG",
    "n01443537/n01443537_7.JPEG",
    "other/photo.jpg",
];

fn manifest(paths: &[&str]) -> Manifest {
    let entry = |path: &&str| ManifestEntry {
        path: (*path).to_owned(),
        folder_class: path.split_once('/').map(|(folder, _)| folder.to_owned()),
        ..ManifestEntry::default()
    };
    Manifest::from_entries(paths.iter().map(entry).collect()).unwrap()
}

fn read(path: &Path, images: &[&str], classes: &ClassList) -> Result<Truth, Error> {
    let manifest = manifest(images);
    Truth::read(path, &manifest, &RowIndex::new(&manifest), classes)
}

/// Reads the truth of a file with this content.
fn read_bytes(bytes: &[u8]) -> Result<Truth, Error> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    read(file.path(), &IMAGES, &ClassList::imagenet_1k())
}

/// Writes files into a new folder.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    folder
}

fn classes(truth: &Truth) -> Vec<Option<Vec<u32>>> {
    (0..IMAGES.len()).map(|row| truth.classes(row).map(<[u32]>::to_vec)).collect()
}

/// A row of the expected classes of a truth.
type Row = Option<Vec<u32>>;

fn write_column<T: DataType>(
    writer: &mut ColumnWriterImpl<'_, T>,
    values: &[T::T],
    defined: Option<&[i16]>,
    repeated: Option<&[i16]>,
) {
    writer.write_batch(values, defined, repeated).unwrap();
}

/// Writes a Parquet file with the column `file` and one with classes: integers, text or lists.
fn parquet(schema: &str, files: &[&str], classes: &ParquetClasses<'_>) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(WriterProperties::default())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let text = |text: &&str| ByteArray::from(*text);
    let mut column = group.next_column().unwrap().unwrap();
    write_column::<ByteArrayType>(column.typed(), &files.iter().map(text).collect::<Vec<_>>(), None, None);
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    match classes {
        ParquetClasses::Integers(values, levels) => {
            write_column::<Int64Type>(
                column.typed(),
                values,
                levels.map(|(defined, _)| defined),
                levels.map(|(_, repeated)| repeated),
            );
        }
        ParquetClasses::Texts(texts) => {
            write_column::<ByteArrayType>(column.typed(), &texts.iter().map(text).collect::<Vec<_>>(), None, None);
        }
    }
    column.close().unwrap();
    group.close().unwrap();
    writer.into_inner().unwrap()
}

enum ParquetClasses<'a> {
    /// Values, with the levels of definition and repetition of a list.
    Integers(&'a [i64], Option<(&'a [i16], &'a [i16])>),
    Texts(&'a [&'a str]),
}

fn parquet_of_lists() -> Vec<u8> {
    let schema = "message truth { required binary file (string);
        optional group labels (LIST) { repeated group list { optional int64 element; } } }";
    let files = ["n01440764_10026.JPEG", "n01443537_7", "photo.jpg", "unknown.jpg"];
    let levels: (&[i16], &[i16]) = (&[3, 3, 3, 1, 0], &[0, 1, 0, 0, 0]);
    parquet(schema, &files, &ParquetClasses::Integers(&[0, 391, 1], Some(levels)))
}

/// The same truth in every format of class lists.
fn class_lists() -> Vec<(&'static str, Vec<u8>)> {
    let text = |name, text: &str| (name, text.as_bytes().to_vec());
    let files = ["n01440764_10026.JPEG", "n01443537_7", "photo.jpg", "unknown.jpg"];
    let texts = parquet(
        "message truth { required binary file (string); required binary labels (string); }",
        &files,
        &ParquetClasses::Texts(&["[0, 391]", "goldfish", "", "7"]),
    );
    vec![
        text(
            "JSON by image",
            r#"{"n01440764/n01440764_10026": [0, 391], "n01443537_7.JPEG": 1, "photo": [], "unknown.jpg": 7}"#,
        ),
        text(
            "JSON with names",
            r#"{"n01440764/n01440764_10026": ["n01440764", "coho"], "n01443537_7.JPEG": "goldfish", "photo": null, "unknown.jpg": ["person"]}"#,
        ),
        text(
            "JSON list of objects",
            r#"[{"file": "n01440764_10026", "labels": [0.0, 391, 0]}, {"labels": "1", "file": "n01443537_7"},
                {"file": "photo.jpg", "labels": "", "score": {"a": [1]}}, {"file": "unknown.jpg", "labels": 7}]"#,
        ),
        text(
            "JSON lines",
            "{\"image_id\": \"n01440764_10026\", \"gt\": [0, 391]}\n{\"gt\": 1, \"image_id\": \"n01443537_7\"}\n\
             {\"image_id\": \"photo.jpg\", \"gt\": []}\n{\"image_id\": \"unknown.jpg\", \"gt\": 7}\n",
        ),
        text(
            "CSV",
            "\u{feff}File,score,Labels\r\nn01440764/n01440764_10026.JPEG,1,\"0, 391\"\r\nn01443537_7,1,goldfish\r\nphoto.jpg,1,\r\n\
             unknown.jpg,1,7\r\n",
        ),
        text(
            "TSV with header",
            "file\tgt\tids\tprobs\nn01440764_10026\t0\t0,391\t0.2,1\nn01443537_7\t1\t1\t1\nphoto\t5\t\t\nunknown.jpg\t7\t7\t1\n",
        ),
        text(
            "MultiLabel-ImageNet",
            "n01440764/n01440764_10026.JPEG\t0\t0,391\t0.2654,1.0000\nn01443537/n01443537_7.JPEG\t1\t1\t1.0000\nphoto.jpg\t5\t\t\n\
             unknown.jpg\t7\t7\t1.0\n",
        ),
        text(
            "table of `relabel export`, without folder classes",
            "n01440764/n01440764_10026.JPEG\t-1\t0,391\t0.2654,1.0000\nn01443537/n01443537_7.JPEG\t-1\t1\t1.0000\n\
             photo.jpg\t-1\t\t\nunknown.jpg\t-1\t7\t1.0000\n",
        ),
        ("Parquet of lists", parquet_of_lists()),
        ("Parquet of texts", texts),
    ]
}

#[test]
fn class_lists_are_the_same_in_every_format() {
    let expected: [Row; 5] = [Some(vec![0, 391]), None, None, Some(vec![1]), Some(vec![])];
    for (name, bytes) in class_lists() {
        let truth = read_bytes(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(classes(&truth), expected, "{name}");
        assert_eq!((truth.format(), truth.format().as_str()), (TruthFormat::ClassLists, "class-lists"), "{name}");
        assert_eq!((truth.entries(), truth.unmatched()), (4, 1), "{name}");
        assert_eq!(truth.unmatched_example(), Some("unknown.jpg"), "{name}");
        assert_eq!(truth.sha256(), Some(&digest_bytes(&bytes)), "{name}");
        assert!(truth.has_classes() && !truth.has_boxes(), "{name}");
        assert_eq!(truth.boxes(0), None, "{name}");
    }
}

#[test]
fn parquet_integers_are_ids() {
    let schema = "message truth { required binary file (string); required int64 label; }";
    let bytes = parquet(schema, &["photo.jpg", "n01443537_7"], &ParquetClasses::Integers(&[999, 0], None));
    assert_eq!(classes(&read_bytes(&bytes).unwrap())[3..], [Some(vec![0]), Some(vec![999])]);
}

#[test]
fn folder_classes_are_found_by_name() {
    let truth = Truth::folder(&manifest(&IMAGES), &ClassList::imagenet_1k()).unwrap();
    assert_eq!(classes(&truth), [Some(vec![0]), Some(vec![0]), Some(vec![1]), Some(vec![1]), None]);
    assert_eq!((truth.name(), truth.format().as_str(), truth.sha256()), ("folder", "folder", None));
    assert_eq!((truth.unmatched(), truth.boxes_clipped()), (0, 0));
    for (images, problem) in [
        (&["a/x.jpg"][..], "truth folder: no folder name is a class of the teacher (imagenet-1k); a folder is `a`"),
        (&["x.jpg"], "truth folder: the images have no folder classes"),
    ] {
        let error = Truth::folder(&manifest(images), &ClassList::imagenet_1k()).unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    }
}

fn real(lists: usize) -> String {
    let list = |at: usize| match at + 1 {
        236 => "[1, 5]".to_owned(),
        293 => "[]".to_owned(),
        other => format!("[{}]", other % 1000),
    };
    format!("[{}]", (0..lists).map(list).collect::<Vec<_>>().join(", "))
}

#[test]
fn real_is_matched_by_the_numbers_of_the_validation_files() {
    let truth = read_bytes(real(50_000).as_bytes()).unwrap();
    assert_eq!(classes(&truth), [None, Some(vec![]), Some(vec![1, 5]), None, None]);
    assert_eq!((truth.format().as_str(), truth.entries(), truth.unmatched()), ("real", 50_000, 49_998));
    assert_eq!(truth.unmatched_example(), Some("ILSVRC2012_val_00000001"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), real(50_000)).unwrap();
    for images in [
        &["ILSVRC2012_val_00000236.JPEG"][..],
        &["val/ILSVRC2012_val_00000236.png"],
        &["n/ILSVRC2012_val_00000236_n01443537.JPEG"],
    ] {
        let truth = read(file.path(), images, &ClassList::imagenet_1k()).unwrap();
        assert_eq!(truth.classes(0), Some(&[1, 5][..]), "{images:?}");
    }
    for (images, count, problem) in [
        (&IMAGES[..], 49_999, "a list of 49,999 lists; ReaL's has 50,000"),
        (&IMAGES, 50_001, "a list of 50,001 lists"),
        (
            &["a/x.jpg", "ILSVRC2012_val_000002361.JPEG"],
            50_000,
            "the store has no name such as `ILSVRC2012_val_00000001`; it has `a/x`",
        ),
        (
            &["a/ILSVRC2012_val_00000236.JPEG", "b/ILSVRC2012_val_00000236.JPEG"],
            50_000,
            "`ILSVRC2012_val_00000236` could be the image `a/ILSVRC2012_val_00000236` or `b/ILSVRC2012_val_00000236`",
        ),
    ] {
        std::fs::write(file.path(), real(count)).unwrap();
        let error = read(file.path(), images, &ClassList::imagenet_1k()).unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    }
    std::fs::write(file.path(), real(50_000)).unwrap();
    let error = read(file.path(), &IMAGES, &ClassList::unnamed(100)).unwrap_err();
    assert!(
        error.to_string().contains("`ILSVRC2012_val_00000100`: class id 100, but the teacher has 100 classes"),
        "{error}"
    );
}

fn annotation(database: &str, name: &str, size: [u32; 2], objects: &[(&str, [i32; 4])]) -> String {
    let object = |(class, [x0, y0, x1, y1]): &(&str, [i32; 4])| {
        format!(
            "<object><name>{class}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        )
    };
    format!(
        "<annotation><folder>val</folder><filename>{name}</filename><source><database>{database}</database></source>\
         <size><width>{}</width><height>{}</height><depth>3</depth></size>{}</annotation>",
        size[0],
        size[1],
        objects.iter().map(object).collect::<String>()
    )
}

/// The sides of the boxes of a row.
fn sides(truth: &Truth, row: usize) -> Vec<[f64; 4]> {
    truth.boxes(row).unwrap().boxes.iter().map(|found| [found.x0, found.y0, found.x1, found.y1]).collect()
}

#[test]
fn annotations_of_imagenet_and_pascal_have_their_own_origin() {
    let imagenet = annotation(
        "ILSVRC_2012",
        "ILSVRC2012_val_00000293",
        [500, 375],
        &[("n01440764", [0, 9, 499, 374]), ("n01443537", [5, 5, 5, 5])],
    );
    let train = annotation("ILSVRC_2012", "%s", [500, 375], &[("n01440764", [10, 10, 510, 20])]);
    let pascal = annotation("The VOC2007 Database", "photo.jpg", [100, 50], &[("goldfish", [1, 1, 100, 50])]);
    let empty = annotation("ILSVRC_2012", "unknown", [1, 1], &[("person", [0, 0, 0, 0])]);
    let folder = folder(&[
        ("val/ILSVRC2012_val_00000293.xml", &imagenet),
        ("train/n01440764/n01440764_10026.xml", &train),
        ("photo.XML", &pascal),
        ("readme.txt", "x"),
        (".hidden.xml", "x"),
        ("unknown.xml", &empty),
    ]);
    let truth = read(folder.path(), &IMAGES, &ClassList::imagenet_1k()).unwrap();
    assert_eq!(truth.format().as_str(), "pascal-voc");
    assert_eq!(classes(&truth), [Some(vec![0]), Some(vec![0, 1]), None, None, Some(vec![1])]);
    assert_eq!(sides(&truth, 1), [[0.0, 9.0, 500.0, 375.0], [5.0, 5.0, 6.0, 6.0]]);
    assert_eq!(truth.boxes(1).unwrap().boxes[0].last_pixels().to_vec(), [0.0, 9.0, 499.0, 374.0]);
    assert_eq!(sides(&truth, 4), [[0.0, 0.0, 100.0, 50.0]]);
    assert_eq!(sides(&truth, 0), [[10.0, 10.0, 500.0, 21.0]]);
    assert_eq!((truth.boxes_clipped(), truth.unmatched(), truth.entries()), (1, 1, 4));
    let boxes = truth.boxes(4).unwrap();
    assert_eq!((boxes.width_pixels, boxes.height_pixels, boxes.boxes[0].class), (100, 50, Some(1)));
    let mut files = [
        ("photo.XML", &pascal),
        ("train/n01440764/n01440764_10026.xml", &train),
        ("unknown.xml", &empty),
        ("val/ILSVRC2012_val_00000293.xml", &imagenet),
    ];
    files.sort_unstable();
    let list: String = files
        .iter()
        .map(|(name, text)| format!("{}  {name}\n", digest_bytes(text.as_bytes())))
        .collect::<Vec<_>>()
        .concat();
    assert_eq!(truth.sha256(), Some(&digest_bytes(list.as_bytes())));
    let one = read(&folder.path().join("photo.XML"), &IMAGES, &ClassList::imagenet_1k()).unwrap();
    assert_eq!((sides(&one, 4), one.name()), (sides(&truth, 4), "photo.XML"));
}

/// The files of wsolevaluation for three images, one of which the store does not have.
const WSOL: [(&str, &str); 3] = [
    (
        "localization.txt",
        "val/ILSVRC2012_val_00000293.JPEG,0,9,499,374\nval/unknown.JPEG,0,0,1,1\nval/ILSVRC2012_val_00000236.JPEG,45,49,510,162\n\
         val/ILSVRC2012_val_00000293.JPEG,2,69,437,207\n",
    ),
    (
        "image_sizes.txt",
        "val/ILSVRC2012_val_00000293.JPEG,500,375\nval/ILSVRC2012_val_00000236.JPEG,500,375\nval/unknown.JPEG,2,2\n",
    ),
    (
        "class_labels.txt",
        "val/ILSVRC2012_val_00000293.JPEG,0\nval/ILSVRC2012_val_00000236.JPEG,1\nval/unknown.JPEG,999\n",
    ),
];

#[test]
fn boxes_of_wsolevaluation_are_read_with_their_sizes_and_classes() {
    let all = folder(&WSOL);
    let without_classes = folder(&WSOL[..2]);
    for path in [all.path().to_path_buf(), all.path().join("localization.txt")] {
        let truth = read(&path, &IMAGES, &ClassList::imagenet_1k()).unwrap();
        assert_eq!(truth.format().as_str(), "wsol-localization");
        assert_eq!(classes(&truth), [None, Some(vec![0]), Some(vec![1]), None, None]);
        assert_eq!(sides(&truth, 1), [[0.0, 9.0, 500.0, 375.0], [2.0, 69.0, 438.0, 208.0]]);
        assert_eq!(sides(&truth, 2), [[45.0, 49.0, 500.0, 163.0]]);
        assert_eq!((truth.boxes_clipped(), truth.unmatched(), truth.entries()), (1, 1, 3));
        assert_eq!(truth.boxes(2).unwrap().boxes[0].class, Some(1));
        let mut files = WSOL;
        files.sort_unstable();
        let list: String = files
            .iter()
            .map(|(name, text)| format!("{}  {name}\n", digest_bytes(text.as_bytes())))
            .collect::<Vec<_>>()
            .concat();
        assert_eq!(truth.sha256(), Some(&digest_bytes(list.as_bytes())));
    }
    let truth = read(without_classes.path(), &IMAGES, &ClassList::imagenet_1k()).unwrap();
    assert!(truth.has_boxes() && !truth.has_classes() && truth.classes(1).is_none());
    assert_eq!(truth.boxes(1).unwrap().boxes[0].class, None);
}

const COCO: &str = r#"{"info": {"year": 2017}, "annotations": [
    {"id": 1, "image_id": 5, "category_id": 18, "iscrowd": 0, "bbox": [10.5, 20.0, 30.25, 40.0], "segmentation": [[1, 2]]},
    {"id": 2, "image_id": 5, "category_id": 18, "iscrowd": 1, "bbox": [0, 0, 9, 9]},
    {"id": 3, "image_id": 5, "category_id": 3, "bbox": [600, 400, 50, 100]},
    {"id": 4, "image_id": 6, "category_id": 99, "bbox": [0, 0, 1, 1]}],
    "images": [{"id": 5, "file_name": "photo.jpg", "width": 640, "height": 480}, {"id": 6, "file_name": "000006.jpg", "width": 9, "height": 9},
    {"id": 7, "file_name": "val/n01443537_7.JPEG", "width": 9, "height": 9}],
    "categories": [{"id": 18, "name": "goldfish"}, {"id": 3, "name": "n01440764"}, {"id": 99, "name": "person"}]}"#;

#[test]
fn coco_is_read_without_crowds() {
    let truth = read_bytes(COCO.as_bytes()).unwrap();
    assert_eq!(truth.format().as_str(), "coco");
    assert_eq!(classes(&truth), [None, None, None, Some(vec![]), Some(vec![1, 0])]);
    assert_eq!(sides(&truth, 4), [[10.5, 20.0, 40.75, 60.0], [600.0, 400.0, 640.0, 480.0]]);
    assert!(truth.boxes(3).unwrap().boxes.is_empty());
    assert_eq!((truth.crowds_ignored(), truth.boxes_clipped(), truth.unmatched()), (1, 1, 1));
}

#[test]
fn unusable_files_are_refused_with_a_reason() {
    let coco = |from: &str, to: &str| COCO.replacen(from, to, 1);
    for (content, problem) in [
        ("", "the file is empty"),
        (" \n", "the file is empty"),
        ("{}", "no entries"),
        ("file,label\n", "no entries"),
        ("\u{1f}\u{8b}", "no column has the images"),
        ("hello", "no column has the images; the columns are `hello`"),
        ("photo.jpg,3\n", "the columns are `photo.jpg`, `3`"),
        ("file,image_id,label\n", "the columns `file`, `image_id` could all have the images"),
        ("file,label\nphoto.jpg\n", "found record with 1 fields"),
        ("file,label\n,1\n", "entry 1 does not name an image"),
        (
            "file,label\nx.jpg,1\n",
            "no image in common: the truth has 1 entries, such as `x.jpg`; the store has 5 images, such as `n01440764/",
        ),
        ("file,label\nphoto,1000\n", "`photo`: class id 1000, but the teacher has 1,000 classes"),
        ("file,label\nphoto,person\n", "`photo`: `person` is none of the 1,000 classes of the teacher (imagenet-1k)"),
        (
            "file,label\nphoto,1\nphoto.jpg,2\n",
            "`photo.jpg` is the image `other/photo`, which an entry before it describes differently: classes [1] there, classes [2] here",
        ),
        ("{\"photo\": [1], \"x\"", "line 1 column"),
        ("{\"photo\": {\"gt\": 1}}", "invalid type: map, expected a class id, a class name, or a list of them"),
        ("{\"photo\": [[1]]}", "expected a class id or a class name"),
        ("{\"photo\": [1.5]}", "invalid value: floating point `1.5`, expected a class id"),
        ("{\"photo\": [NaN]}", "line 1"),
        ("{\"photo\": [-1]}", "class id -1"),
        ("{\"photo\": [1]} x", "trailing characters"),
        ("[1, 2]", "a JSON list of numbers is not a truth"),
        ("[[1], \"a\"]", "expected a list of class ids"),
        ("[{\"file\": \"photo\"}]", "no column has the classes"),
        ("[{\"file\": [1, 2], \"label\": 1}]", "does not name an image"),
        ("<annotation>", "ends inside `annotation`"),
        ("<!DOCTYPE x><annotation></annotation>", "document type"),
        ("photo.jpg,1,2,3,4\n", "image_sizes.txt: missing"),
        (&coco("\"bbox\": [10.5, 20.0, 30.25, 40.0]", "\"area\": 1"), "annotation 0 (from 0) has no `bbox`"),
        (&coco("\"image_id\": 5", "\"image_id\": 50"), "image 50 is not listed in `images`"),
        (&coco("\"category_id\": 3,", "\"category_id\": 4,"), "category 4 is not listed in `categories`"),
        (&coco("\"id\": 6,", "\"id\": 5,"), "image 5 is listed twice"),
        (&coco("30.25", "-30"), "x0 = 10.5, y0 = 20, x1 = -19.5, y1 = 60 is reversed (image: 640x480 pixels"),
        (&coco("[600, 400", "[640, 400"), "entirely outside"),
        (&coco("\"width\": 640", "\"width\": 0"), "`photo.jpg`: the size of the image is missing or 0"),
        (&coco("goldfish", "person"), "`photo.jpg`: `person` is none"),
        (&coco("val/n01443537_7.JPEG", "photo.png"), "`photo.png` is the image `other/photo`"),
        (&COCO[..COCO.len() / 2], "cannot be read as COCO: EOF"),
    ] {
        let error = read_bytes(content.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(problem), "{content}:\n{error}");
        assert!(error.to_string().contains("\n  help: "), "{error}");
        assert_eq!(error.class(), ErrorClass::Usage, "{error}");
    }
    for (content, problem) in [
        (&b"\x1f\x8b\x08"[..], "a gzip file is not a format"),
        (b"PK\x03\x04", "a zip archive"),
        (b"file,label\n\xff,1", "byte 11 is not UTF-8"),
        (b"PAR1PAR1", "cannot be read as Parquet"),
    ] {
        let error = read_bytes(content).unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    }
    let deep = format!("{{\"x\": {}", "[".repeat(1_000_000));
    assert!(read_bytes(deep.as_bytes()).is_err());
    let deep = format!("[{}", "{\"a\":".repeat(1_000_000));
    assert!(read_bytes(deep.as_bytes()).is_err());
}

#[test]
fn unusable_files_of_wsolevaluation_are_refused_with_a_reason() {
    for (file, from, to, problem) in [
        ("localization.txt", ",0,9,499,374", ",m/a.png,", "the lines name masks"),
        (
            "localization.txt",
            ",45,49,510,162",
            ",45,49,510",
            "line 3: `val/ILSVRC2012_val_00000236.JPEG,45,49,510`, expected path,x0,y0,x1,y1",
        ),
        ("localization.txt", ",45,49,510,162", ",45,49,44,162", "is reversed"),
        ("localization.txt", ",45,49,510,162", ",nan,49,44,162", "not a finite number"),
        ("localization.txt", ",45,49,510,162", ",500,49,510,162", "entirely outside"),
        (
            "image_sizes.txt",
            "val/ILSVRC2012_val_00000236.JPEG,500,375\n",
            "",
            "has boxes, but is not listed in `image_sizes.txt`",
        ),
        ("image_sizes.txt", "val/unknown.JPEG,2,2", "val/ILSVRC2012_val_00000236.JPEG,1,1", "is listed twice"),
        ("image_sizes.txt", ",500,375", ",500", "line 1"),
        ("class_labels.txt", "val/ILSVRC2012_val_00000236.JPEG,1\n", "", "not listed in `class_labels.txt`"),
        ("class_labels.txt", "999", "1000", "class id 1000"),
    ] {
        let mut files = WSOL.map(|(name, text)| (name, text.to_owned()));
        for (_, text) in files.iter_mut().filter(|(name, _)| *name == file) {
            *text = text.replacen(from, to, 1);
        }
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let error = read(folder(&files).path(), &IMAGES, &ClassList::imagenet_1k()).unwrap_err();
        assert!(error.to_string().contains(problem) && error.to_string().contains(file), "{problem}:\n{error}");
        assert_eq!(error.class(), ErrorClass::Usage);
    }
}

#[test]
fn unusable_folders_are_refused_with_a_reason() {
    let refused = |path: &Path| read(path, &IMAGES, &ClassList::imagenet_1k()).unwrap_err().to_string();
    let images = folder(&[("n01440764/x.JPEG", "x")]);
    assert!(refused(images.path()).contains("neither `localization.txt` nor XML files; it has `x.JPEG`"));
    assert!(refused(tempfile::tempdir().unwrap().path()).contains("neither `localization.txt` nor XML files\n"));
    assert!(refused(Path::new("/nonexistent")).contains("truth /nonexistent: missing"));
    let loops = folder(&[("a/photo.xml", &annotation("x", "photo", [9, 9], &[]))]);
    std::os::unix::fs::symlink("..", loops.path().join("a/up")).unwrap();
    assert!(refused(loops.path()).contains("`a/up` is a link to a folder that contains it"));
    let dangling = folder(&[("photo.xml", &annotation("x", "photo", [9, 9], &[]))]);
    std::os::unix::fs::symlink("nowhere", dangling.path().join("x.xml")).unwrap();
    assert!(refused(dangling.path()).contains("x.xml: missing"));
    let deep: PathBuf = std::iter::repeat_n("d", 20).collect();
    let deep = folder(&[(&format!("{}/photo.xml", deep.display()), "x")]);
    assert!(refused(deep.path()).contains("more than 16 levels of folders"));
    let boxes = |objects: &[(&str, [i32; 4])]| annotation("ILSVRC", "photo", [9, 9], objects);
    for (text, problem) in [
        (boxes(&[("person", [0, 0, 1, 1])]), "photo.xml: `photo`: `person` is none"),
        (boxes(&[("goldfish", [5, 0, 4, 1])]), "x0 = 5, y0 = 0, x1 = 4, y1 = 1 is reversed"),
        (boxes(&[("goldfish", [9, 0, 9, 1])]), "entirely outside of its image (image: 9x9"),
        (annotation("x", "photo", [0, 9], &[]), "the size of the image"),
        ("<annotation>".to_owned(), "photo.xml: not a PASCAL VOC annotation"),
    ] {
        let message = refused(folder(&[("photo.xml", &text)]).path());
        assert!(message.contains(problem), "{message}");
    }
    let twice = [("a/photo.xml", boxes(&[])), ("b/photo.xml", boxes(&[("goldfish", [0, 0, 1, 1])]))];
    let twice: Vec<_> = twice.iter().map(|(name, text)| (*name, text.as_str())).collect();
    assert!(refused(folder(&twice).path()).contains("0 boxes there, 1 boxes here"));
}

#[test]
fn many_unknown_images_are_counted() {
    let mut table = "file,label\n".to_owned();
    for number in 0..1_000_000 {
        table.push_str(&format!("n99/{number}.jpg,1\n"));
    }
    table.push_str("photo,7\n");
    let truth = read_bytes(table.as_bytes()).unwrap();
    assert_eq!((truth.unmatched(), truth.unmatched_example()), (1_000_000, Some("n99/0.jpg")));
    assert_eq!(truth.classes(4), Some(&[7][..]));
}

#[test]
fn damaged_files_never_panic() {
    let mut random = SplitMix64::new(20);
    let mut formats = class_lists();
    formats.push(("COCO", COCO.as_bytes().to_vec()));
    formats.push(("ReaL", b"[[1], [], [2, 3]]".to_vec()));
    formats.push(("XML", annotation("ILSVRC", "photo", [9, 9], &[("goldfish", [0, 0, 1, 1])]).into_bytes()));
    let (mut read, mut refused) = (0, 0);
    for (_, whole) in &formats {
        for round in 0..200 {
            let mut bytes = whole.clone();
            let mut below = |limit: usize| (random.next_u64() % limit as u64) as usize;
            if round % 4 == 0 {
                bytes.truncate(below(whole.len()));
            } else {
                for _ in 0..=below(4) {
                    let at = below(bytes.len());
                    match below(3) {
                        0 => bytes[at] = below(256) as u8,
                        1 => drop(bytes.drain(at..(at + 3).min(bytes.len() - 1))),
                        _ => bytes.insert(at, b"\"[]{},:\t\n<>&;-019eN\\"[below(20)]),
                    }
                }
            }
            match read_bytes(&bytes) {
                Ok(_) => read += 1,
                Err(error) => {
                    assert_eq!(error.class(), ErrorClass::Usage, "{error}");
                    assert!(!error.to_string().contains('\u{1b}'));
                    refused += 1;
                }
            }
        }
    }
    assert!(read > 50 && refused > 500, "{read} read, {refused} refused");
}

#[test]
fn damaged_files_of_wsolevaluation_never_panic() {
    let mut random = SplitMix64::new(21);
    let mut below = |limit: usize| (random.next_u64() % limit as u64) as usize;
    for _ in 0..150 {
        let mut files = WSOL.map(|(name, text)| (name, text.as_bytes().to_vec()));
        let text = &mut files[below(3)].1;
        let at = below(text.len());
        match below(3) {
            0 => text.truncate(at),
            1 => text[at] = below(256) as u8,
            _ => text.insert(at, b",\n-.9"[below(5)]),
        }
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in &files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        if let Err(error) = read(folder.path(), &IMAGES, &ClassList::imagenet_1k()) {
            assert_eq!(error.class(), ErrorClass::Usage, "{error}");
        }
    }
}
