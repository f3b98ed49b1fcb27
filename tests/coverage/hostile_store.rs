//! A store of an attacker: any number, text or byte may be changed, and every digest and checksum is correct, so readers
//! must check the values themselves.

use std::sync::{Arc, LazyLock};

use relabel::shared::digest::digest_bytes;
use relabel::shared::geometry::UnitBox;
use relabel::shared::manifest::manifest_bytes;
use relabel::shared::store::{RowState, StoreReader, StoreWriter, WriterOptions, check_labels, read_description};
use relabel::training::labels::Labels;
use serde_json::{Map, Value};

use super::memory_files::MemoryFiles;
use crate::synthetic_store;

const GROUP: &str = "zarr.json";
const MANIFEST: &str = "manifest.parquet";

/// Rows that are read; a store may declare billions.
const ROWS: usize = 12;

/// Bytes of one change.
const CHANGE_BYTES: usize = 12;

/// Repositions the text of the group or of a record.
pub(super) fn read_with_text(which: u8, text: &[u8]) {
    let mut store = VALID_STORE.clone();
    let name = if which.is_multiple_of(2) { GROUP } else { "records/000000.json" };
    store.put(name, text.to_vec());
    correct_digests(&mut store, &[name.to_owned()]);
    read(store);
}

/// Applies changes. The bytes of each are: file, kind of change, position (two bytes), and a number.
pub(super) fn read_with_changes(changes: &[u8]) {
    let mut store = VALID_STORE.clone();
    let names: Vec<String> = store.names().map(str::to_owned).collect();
    let mut changed = Vec::new();
    for change in changes.as_chunks::<CHANGE_BYTES>().0 {
        let [file, kind, low, high, number @ ..] = *change;
        let name = &names[usize::from(file) % names.len()];
        let (position, number) = (u16::from_le_bytes([low, high]), u64::from_le_bytes(number));
        let bytes = store.get(name).unwrap_or_default().to_vec();
        let bytes = match serde_json::from_slice::<Value>(&bytes) {
            Ok(mut json) => {
                change_json(&mut json, usize::from(position), kind, number);
                serde_json::to_vec(&json).unwrap_or_default()
            }
            Err(_) => changed_bytes(bytes, position, kind, number),
        };
        store.put(name, bytes);
        changed.push(name.clone());
    }
    correct_digests(&mut store, &changed);
    read(store);
}

/// A small valid store.
static VALID_STORE: LazyLock<MemoryFiles> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("cannot make a folder: {error}"));
    let root = folder.path().join("store");
    let writer =
        StoreWriter::create(&root, synthetic_store::info(), &synthetic_store::manifest(), WriterOptions::default());
    let writer = writer.unwrap_or_else(|error| panic!("cannot make a store: {error}"));
    synthetic_store::fill(&writer).unwrap_or_else(|error| panic!("cannot fill a store: {error}"));
    let arrays = ["scores", "classes", "image_probs", "image_classes"];
    let shards = 0..writer.info().shards();
    let files_of = |array: &&str| {
        let zeros = if array.starts_with("image_") { ".0" } else { ".0.0.0" };
        let shards = shards.clone().map(|shard| format!("{array}/c.{shard}{zeros}")).collect::<Vec<_>>();
        [vec![format!("{array}/{GROUP}")], shards].concat()
    };
    let records = shards.clone().map(|shard| format!("records/{shard:06}.json"));
    let mut store = MemoryFiles::default();
    for name in arrays.iter().flat_map(files_of).chain(records).chain([GROUP.to_owned()]) {
        let bytes = std::fs::read(root.join(&name));
        store.put(&name, bytes.unwrap_or_else(|error| panic!("cannot read {name}: {error}")));
    }
    store.put(MANIFEST, manifest_bytes(&synthetic_store::manifest()).unwrap_or_default());
    store
});

/// Corrects every digest and checksum.
fn correct_digests(store: &mut MemoryFiles, changed: &[String]) {
    let of = |store: &MemoryFiles, name: &str| serde_json::from_slice(store.get(name).unwrap_or_default()).ok();
    let is_changed = |name: &str| changed.iter().any(|changed| changed == name);
    if let Some(mut group) = of(store, GROUP).filter(Value::is_object) {
        if let Some(Value::Object(info)) = group.pointer_mut("/attributes/relabel") {
            if is_changed(MANIFEST) {
                let sha256 = digest_bytes(store.get(MANIFEST).unwrap_or_default());
                info.insert("manifest_sha256".into(), sha256.to_string().into());
            }
            seal(info);
        }
        store.put(GROUP, serde_json::to_vec(&group).unwrap_or_default());
    }
    let Ok(reader) = StoreReader::open_files(Arc::new(store.clone())) else { return };
    let identity = reader.info().identity();
    let names: Vec<String> = store.names().map(str::to_owned).collect();
    for name in names.iter().filter(|name| name.contains("/c.") && is_changed(name)) {
        let mut bytes = store.get(name).unwrap_or_default().to_vec();
        let is_map = !name.starts_with("image_");
        correct_checksums(&mut bytes, is_map.then_some(reader.info().shard_images));
        store.put(name, bytes);
    }
    for name in names.iter().filter(|name| name.starts_with("records/")) {
        let Some(Value::Object(mut record)) = of(store, name) else { continue };
        if record.contains_key("made_with") {
            record.insert("made_with".into(), identity.to_string().into());
        }
        for file in record.get_mut("files").and_then(Value::as_array_mut).into_iter().flatten() {
            let path = file["path"].as_str().unwrap_or_default().to_owned();
            if let Some(bytes) = store.get(&path).filter(|_| is_changed(&path)) {
                file["bytes"] = bytes.len().into();
                file["sha256"] = digest_bytes(bytes).to_string().into();
            }
        }
        seal(&mut record);
        store.put(name, serde_json::to_vec(&record).unwrap_or_default());
    }
}

fn seal(object: &mut Map<String, Value>) {
    object.shift_remove("sha256");
    let seal = digest_bytes(&serde_json::to_vec(object).unwrap_or_default());
    object.insert("sha256".into(), seal.to_string().into());
}

/// Writes the checksums of a label file: of each inner chunk and the index, or of its single chunk.
fn correct_checksums(bytes: &mut [u8], shard_images: Option<usize>) {
    fn sum(bytes: &mut [u8]) {
        if let Some((content, stored)) = bytes.split_last_chunk_mut::<4>() {
            *stored = crc32c::crc32c(content).to_le_bytes();
        }
    }
    let Some(shard_images) = shard_images else { return sum(bytes) };
    let index_bytes = shard_images.checked_mul(16).and_then(|entries| entries.checked_add(4));
    let Some(index_at) = index_bytes.and_then(|index_bytes| bytes.len().checked_sub(index_bytes)) else { return };
    let (chunks, index) = bytes.split_at_mut(index_at);
    for entry in index.as_chunks::<16>().0 {
        let [offset, length] = [0, 8].map(|half| {
            entry[half..half + 8].iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)) as usize
        });
        if let Some(chunk) = offset.checked_add(length).and_then(|end| chunks.get_mut(offset..end)) {
            sum(chunk);
        }
    }
    sum(index);
}

/// Reads a store through every reading function.
fn read(store: MemoryFiles) {
    let _ = read_description(&store, &|| Ok(()));
    let store = Arc::new(store);
    let Ok(reader) = StoreReader::open_files(Arc::clone(&store) as _) else { return };
    let _ = reader.manifest();
    let _ = reader.record(1);
    let rows = reader.info().images.min(ROWS);
    let mut labelled = Vec::new();
    for row in 0..rows {
        let _ = reader.map_bytes(row);
        let Ok(RowState::Labelled(labels)) = reader.row(row) else { continue };
        if check_labels(&labels, reader.info()).is_ok() {
            labelled.push(row);
        }
    }
    let Ok(labels) = Labels::open_files(store) else { return };
    if let Ok(all) = UnitBox::new(0.0, 0.0, 1.0, 1.0) {
        for row in labelled {
            let _ = labels.pool(&[row], &[all]);
        }
    }
    let _ = labels.rows(&["c/1"]);
    let _ = labels.row_statuses();
}

/// Changes the value at a position, counted over all nested values.
fn change_json(json: &mut Value, position: usize, kind: u8, number: u64) {
    let count = count_values(json);
    let mut left = position % count;
    change_at(json, &mut left, kind, number);
}

fn count_values(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count_values).sum(),
        Value::Object(fields) => fields.values().map(count_values).sum(),
        _ => 0,
    }
}

/// Returns whether the change was made.
fn change_at(value: &mut Value, left: &mut usize, kind: u8, number: u64) -> bool {
    if *left == 0 {
        *value = changed_value(value, kind, number);
        return true;
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| change_at(item, left, kind, number)),
        Value::Object(fields) => fields.values_mut().any(|field| change_at(field, left, kind, number)),
        _ => false,
    }
}

fn changed_value(value: &Value, kind: u8, number: u64) -> Value {
    match (kind % 8, value) {
        (0, _) => number.into(),
        (1, _) => number.cast_signed().into(),
        (2, _) => f64::from_bits(number).into(),
        (3, _) => String::from_utf8_lossy(&number.to_le_bytes()).into_owned().into(),
        (4, _) => Value::Null,
        (5, Value::Array(items)) => items.iter().cycle().take((number % 512) as usize).cloned().collect(),
        (6, Value::Array(items)) => items.iter().rev().cloned().collect(),
        (5, Value::String(text)) => text.repeat((number % 512) as usize).into(),
        (6, Value::String(text)) => format!("../{text}").into(),
        (5, Value::Number(old)) => old.as_u64().unwrap_or_default().wrapping_add(number).into(),
        (6, Value::Number(old)) => old.as_u64().unwrap_or_default().wrapping_sub(number).into(),
        (5 | 6, Value::Object(fields)) => {
            let mut fields = fields.clone();
            let key = fields.keys().nth(number as usize % fields.len().max(1)).cloned().unwrap_or_default();
            fields.shift_remove(&key);
            fields.into()
        }
        _ => number.is_multiple_of(2).into(),
    }
}

/// Changes bytes at a position. Positions in the upper half count from the end, where indices and tables are.
fn changed_bytes(mut bytes: Vec<u8>, position: u16, kind: u8, number: u64) -> Vec<u8> {
    let from_end = usize::from(u16::MAX - position);
    let at = if position < 1 << 15 { usize::from(position) } else { bytes.len().saturating_sub(1 + from_end) };
    let at = at.min(bytes.len().saturating_sub(1));
    let number = number.to_le_bytes();
    let width = match kind % 4 {
        0 => 1,
        1 => 4,
        2 => 8,
        _ => {
            bytes.truncate(at);
            return bytes;
        }
    };
    bytes.iter_mut().skip(at).zip(&number[..width]).for_each(|(byte, new)| *byte = *new);
    bytes
}
