//! Small valid files of each kind.

use std::io::Cursor;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use relabel::shared::manifest::{Manifest, ManifestEntry, manifest_bytes};
use tar::{Builder, EntryType, Header};

use crate::common::repository;
use crate::graph_forms::unusual_files;
use crate::teachers::{C, SHAPES, convolution, gemm, linear_heads, scores_out};
use crate::tiny_graphs::Dim::Free;
use crate::tiny_graphs::{Message, TinyGraph, int, ints, subgraph};
use crate::token_pooling::{attention_poolings, joined_heads};

/// A manifest of few rows, one with ids and folder classes, and a large one that compresses well.
pub fn manifests() -> Vec<Vec<u8>> {
    let plain = |row: usize| ManifestEntry { path: format!("c/{row}.jpg"), ..ManifestEntry::default() };
    let chosen = |row: usize| ManifestEntry {
        path: format!("{row}/é.png"),
        id: Some(format!("id{row}")),
        folder_class: (!row.is_multiple_of(3)).then(|| format!("n{}", row % 5)),
        bytes: 1000 + row as u64,
    };
    let of = |entries: Vec<ManifestEntry>| manifest_bytes(&Manifest::from_entries(entries).unwrap()).unwrap();
    vec![
        of((0..3).map(plain).collect()),
        of((0..40).map(chosen).collect()),
        of((0..2000).map(plain).chain((2000..2100).map(chosen)).collect()),
    ]
}

pub fn csv_manifests() -> Vec<Vec<u8>> {
    let rows: Vec<_> = (0..30).map(|row| format!("\"a, {row}.jpg\",tench,{row},id \"\"{row}\"\"\n")).collect();
    vec![
        b"path\nc/d.jpg\nc/e.jpg\n".to_vec(),
        b"\xef\xbb\xbflabel,extra,path\r\ntench,1,\"a, b.jpg\"\r\n,2,c/d.jpg\r\n".to_vec(),
        format!("path,label,bytes,id\n{}", rows.concat()).into_bytes(),
    ]
}

/// Every supported head, and graphs that exporters do not write: a branch, external weights.
pub fn onnx_files() -> Vec<Vec<u8>> {
    let pooled = || convolution(TinyGraph::new(17), &SHAPES[1].1);
    let branch = TinyGraph::new(17).node("Relu", &["f"], &["y"], &[]).graph();
    let branched = pooled()
        .node("If", &["f"], &["g"], &[subgraph("then_branch", &branch), subgraph("else_branch", &branch)])
        .node("GlobalAveragePool", &["g"], &["p"], &[])
        .node("Flatten", &["p"], &["v"], &[int("axis", 1)]);
    let (external, _) = pooled()
        .node("ReduceMean", &["f"], &["v"], &[ints("axes", &[2, 3]), int("keepdims", 0)])
        .external_weight("w_out", &[C, C], "w");
    let external = gemm(external.node("MatMul", &["v", "w_out"], &["u"], &[]), "u");
    let metadata = |key: &str, value: &str| Message::default().text(1, key).text(2, value).finish();
    let mut described = scores_out(gemm(pooled().node("GlobalAveragePool", &["f"], &["v"], &[]), "v"), Free);
    described.extend(Message::default().bytes(14, &metadata("relabel.mean", "[0.1, 0.2, 0.3]")).finish());
    let linear = SHAPES.iter().flat_map(|(_, shape)| linear_heads(shape)).map(|(_, model)| model);
    let joined = joined_heads(&SHAPES[1].1).into_iter().map(|(_, model, _)| model);
    let attention = attention_poolings(&SHAPES[1].1).into_iter().map(|(_, model)| model);
    let more = [scores_out(gemm(branched, "v"), Free), scores_out(external, Free), described];
    linear.chain(more).chain(joined).chain(attention).chain(unusual_files()).collect()
}

/// The cards of the models that ship with the project.
pub fn cards() -> Vec<Vec<u8>> {
    let files = std::fs::read_dir(repository("models")).unwrap().map(|entry| entry.unwrap().path());
    let mut cards: Vec<_> = files.filter(|path| path.extension().is_some_and(|ending| ending == "toml")).collect();
    cards.sort();
    cards.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// A plain tar, long names in GNU and pax form, a tar of tars, a `WebDataset`, and links.
pub fn tars() -> Vec<Vec<u8>> {
    let plain = tar_of(&[file("c/0.jpg", b"first"), file("c/1.jpg", &[7; 700]), file("d/2.png", b"")]);
    let long = format!("{}.jpg", "long/".repeat(40));
    let mut gnu = Builder::new(Cursor::new(Vec::new()));
    gnu.append_data(&mut file("x", b"gnu").0.clone(), &long, &b"gnu"[..]).unwrap();
    let gnu = gnu.into_inner().unwrap().into_inner();
    let record = |text: &str| format!("{} {text}\n", text.len() + 5);
    let extensions = record(&format!("path={long}")) + &record(&format!("comment={}", "c".repeat(90)));
    let pax = tar_of(&[kind(EntryType::XHeader, extensions.as_bytes()), file("x.jpg", b"pax"), file("y.jpg", b"y")]);
    let nested = tar_of(&[file("n01.tar", &plain), file("n02.tar", &gnu)]);
    let web = [("0001.jpg", "a"), ("0001.cls", "7"), ("0002.jpg", "b"), ("0002.cls", "12"), ("0002.json", "{}")];
    let web: Vec<_> = web.iter().map(|(name, content)| file(name, content.as_bytes())).collect();
    let odd = tar_of(&[kind(EntryType::Directory, b""), kind(EntryType::Symlink, b""), file("../up.jpg", b"up")]);
    vec![plain, gnu, pax, nested, tar_of(&web), odd]
}

type Member = (Header, Vec<u8>);

fn file(name: &str, content: &[u8]) -> Member {
    let mut header = Header::new_gnu();
    // `set_path` would refuse hostile names.
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    header.set_cksum();
    (header, content.to_vec())
}

fn kind(kind: EntryType, content: &[u8]) -> Member {
    let (mut header, content) = file("other", content);
    header.set_entry_type(kind);
    header.set_cksum();
    (header, content)
}

fn tar_of(members: &[Member]) -> Vec<u8> {
    let mut tar = Builder::new(Cursor::new(Vec::new()));
    for (header, content) in members {
        tar.append(header, &content[..]).unwrap();
    }
    tar.into_inner().unwrap().into_inner()
}

/// Images as Hugging Face writes them, and a flat column without names.
pub fn parquet_files() -> Vec<Vec<u8>> {
    let with_names = "message images { optional group image { optional binary bytes; optional binary path (UTF8); } \
                      optional int64 label; }";
    let without = "message images { required binary jpg; }";
    let texts = |word: &str| -> Vec<ByteArray> {
        (0..50).map(|row| ByteArray::from(format!("{word}{row}.jpg").into_bytes())).collect()
    };
    let properties =
        || Arc::new(WriterProperties::builder().set_compression(parquet::basic::Compression::SNAPPY).build());
    let writer = |schema: &str| {
        SerializedFileWriter::new(Vec::new(), Arc::new(parse_message_type(schema).unwrap()), properties()).unwrap()
    };
    let mut named = writer(with_names);
    for _ in 0..2 {
        let mut group = named.next_row_group().unwrap();
        for word in ["bytes of ", "n01/"] {
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<ByteArrayType>().write_batch(&texts(word), Some(&[2; 50]), None).unwrap();
            column.close().unwrap();
        }
        let mut column = group.next_column().unwrap().unwrap();
        let labels: Vec<i64> = (0..50).collect();
        column.typed::<Int64Type>().write_batch(&labels, Some(&[1; 50]), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    let mut nameless = writer(without);
    let mut group = nameless.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&texts("bytes of "), None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    vec![named.into_inner().unwrap(), nameless.into_inner().unwrap()]
}
