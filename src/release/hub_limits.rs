//! Limits of the Hugging Face Hub: files per folder, files in total, bytes per file.

use std::collections::BTreeMap;

use super::release_file::ReleaseFile;
use crate::shared::numbers::{bytes, thousands};

const MAX_FOLDER_ENTRIES: usize = 10_000;
const MAX_FILES: usize = 100_000;
const MAX_FILE_BYTES: u64 = 200_000_000_000;
/// Above this size the Hub accepts a file, but advises against it.
const ADVISED_FILE_BYTES: u64 = 20_000_000_000;

/// Limits of the Hub that a release exceeds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HubLimitFindings {
    /// One line for each limit that is exceeded.
    pub(super) exceeded: Vec<String>,
    /// One line for each file that the Hub accepts but advises against.
    pub(super) discouraged: Vec<String>,
}

/// Compares the files of a release with the limits of the Hub.
pub(super) fn check_hub_limits(files: &[ReleaseFile], shard_images: usize, images: usize) -> HubLimitFindings {
    let mut found = HubLimitFindings::default();
    let mut entries: BTreeMap<&str, usize> = BTreeMap::new();
    for file in files {
        *entries.entry(file.path.rsplit_once('/').map_or("", |(folder, _)| folder)).or_default() += 1;
        if file.bytes >= MAX_FILE_BYTES {
            found.exceeded.push(format!(
                "{} has {}, the limit is 200 GB: smaller shards (`relabel run --shard-size`, now {shard_images}) make \
                 smaller files",
                file.path,
                bytes(file.bytes)
            ));
        } else if file.bytes >= ADVISED_FILE_BYTES {
            found.discouraged.push(format!(
                "{} has {}, the Hub recommends less than 20 GB",
                file.path,
                bytes(file.bytes)
            ));
        }
    }
    // A folder contains one file for each shard, and the metadata of the array.
    let advice = format!(
        "larger shards (`relabel run --shard-size`, now {shard_images}, at least {}) make fewer files",
        images.div_ceil(MAX_FOLDER_ENTRIES - 2).next_power_of_two()
    );
    for (folder, count) in entries {
        if count >= MAX_FOLDER_ENTRIES {
            let folder = if folder.is_empty() { "the top folder" } else { folder };
            let count = thousands(count);
            found.exceeded.push(format!("{folder} has {count} files, the limit is fewer than 10,000: {advice}"));
        }
    }
    if files.len() >= MAX_FILES {
        let count = thousands(files.len());
        found.exceeded.push(format!("the release has {count} files, the limit is fewer than 100,000: {advice}"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::release_file::FileContent;
    use crate::shared::digest::digest_bytes;

    fn file(path: String, bytes: u64) -> ReleaseFile {
        ReleaseFile { path, bytes, sha256: digest_bytes(b""), content: FileContent::Memory(Vec::new()) }
    }

    #[test]
    fn limits_match_those_of_the_hub() {
        let shards = |count: usize| (0..count).map(|shard| file(format!("scores/c.{shard}.0"), 1)).collect::<Vec<_>>();
        assert_eq!(check_hub_limits(&shards(9_999), 8, 79_992), HubLimitFindings::default());
        let exceeded = check_hub_limits(&shards(10_000), 8, 80_000).exceeded;
        assert!(
            exceeded[0].contains("scores has 10,000 files") && exceeded[0].contains("now 8, at least 16"),
            "{exceeded:?}"
        );
        let many: Vec<_> = (0..100_000).map(|number| file(format!("{}/{number}", number % 50), 1)).collect();
        assert!(check_hub_limits(&many, 8, 80_000).exceeded[0].contains("fewer than 100,000"));
        let large = check_hub_limits(&[file("a".into(), 30_000_000_000), file("b".into(), 200_000_000_000)], 8, 80);
        assert!(large.discouraged[0].contains("a has 30.0 GB") && large.exceeded[0].contains("b has 200 GB"));
    }
}
