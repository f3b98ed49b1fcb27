//! Compares the shards that more than one store has.

use std::path::Path;

use crate::shared::store::info::StoreInfo;
use crate::shared::store::record::ShardRecord;

/// Returns a line for each shard that differs between two stores: rows, stores and differences.
pub(super) fn differing_shards(holders: &[(&Path, &[ShardRecord])], info: &StoreInfo) -> Vec<String> {
    let mut first_of: Vec<Option<(&Path, &ShardRecord)>> = vec![None; info.shards()];
    let mut lines = Vec::new();
    for &(store, records) in holders {
        for record in records {
            let Some((first, known)) = first_of[record.shard] else {
                first_of[record.shard] = Some((store, record));
                continue;
            };
            if known != record {
                let rows = info.shard_rows(record.shard);
                lines.push(format!(
                    "shard {} (rows {} to {}) differs between {} and {}: {}",
                    record.shard,
                    rows.start,
                    rows.end - 1,
                    first.display(),
                    store.display(),
                    differences(known, record)
                ));
            }
        }
    }
    lines
}

fn differences(a: &ShardRecord, b: &ShardRecord) -> String {
    let mut what = Vec::new();
    let failed = |record: &ShardRecord| record.failed.iter().map(|failed| failed.row).collect::<Vec<_>>();
    if failed(a) != failed(b) {
        what.push(format!("failed rows ({:?} and {:?})", failed(a), failed(b)));
    } else if a.failed != b.failed {
        what.push("reasons of failed rows".to_owned());
    }
    let of_b = |path: &str| b.files.iter().find(|file| file.path == path);
    let in_a = a.files.iter().filter(|file| of_b(&file.path) != Some(file)).map(|file| file.path.as_str());
    let only_b = b.files.iter().filter(|file| !a.files.iter().any(|other| other.path == file.path));
    what.extend(in_a.chain(only_b.map(|file| file.path.as_str())).map(str::to_owned));
    if what.is_empty() {
        what.push("counts".to_owned());
    }
    what.join(", ")
}
