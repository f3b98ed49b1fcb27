//! What the Hugging Face Hub takes: files in a folder, files in all, bytes of a file.

use std::collections::BTreeMap;

use super::ReleaseFile;

/// Entries of one folder, files of one repository, bytes of one file; beyond the fourth a file is worth a word.
const FOLDER_ENTRIES: usize = 10_000;
const FILES: usize = 100_000;
const FILE_BYTES: u64 = 200_000_000_000;
const LARGE_FILE_BYTES: u64 = 20_000_000_000;

/// What of a release is beyond the Hub's limits, and what is near them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) beyond: Vec<String>,
    pub(super) near: Vec<String>,
}

impl Limits {
    pub(super) fn of(files: &[ReleaseFile], shard_images: usize, images: usize) -> Self {
        let mut limits = Self::default();
        let mut entries: BTreeMap<&str, usize> = BTreeMap::new();
        for file in files {
            *entries.entry(file.path.rsplit_once('/').map_or("", |(folder, _)| folder)).or_default() += 1;
            let gigabytes = file.bytes as f64 / 1e9;
            if file.bytes >= FILE_BYTES {
                limits.beyond.push(format!(
                    "{} has {gigabytes:.0} GB; a file may have up to 200. Shards of fewer images (`relabel run --shard-size`, \
                     now {shard_images}) make smaller files",
                    file.path
                ));
            } else if file.bytes >= LARGE_FILE_BYTES {
                limits.near.push(format!("{} has {gigabytes:.0} GB; the Hub advises files below 20", file.path));
            }
        }
        // In each folder lies a file for each shard, and a description.
        let advice = format!(
            "larger shards (`relabel run --shard-size`, now {shard_images}; at least {}) make fewer files",
            images.div_ceil(FOLDER_ENTRIES - 2).next_power_of_two()
        );
        for (folder, count) in entries {
            if count >= FOLDER_ENTRIES {
                let folder = if folder.is_empty() { "the release itself" } else { folder };
                limits
                    .beyond
                    .push(format!("{folder} has {count} entries; a folder must have fewer than 10,000: {advice}"));
            }
        }
        if files.len() >= FILES {
            limits.beyond.push(format!("{} files; a repository must have fewer than 100,000: {advice}", files.len()));
        }
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Content;
    use crate::shared::digest::digest_bytes;

    fn file(path: String, bytes: u64) -> ReleaseFile {
        ReleaseFile { path, bytes, sha256: digest_bytes(b""), content: Content::Made(Vec::new()) }
    }

    #[test]
    fn limits_are_the_hubs() {
        let shards = |count: usize| (0..count).map(|shard| file(format!("scores/c.{shard}.0"), 1)).collect::<Vec<_>>();
        assert_eq!(Limits::of(&shards(9_999), 8, 79_992), Limits::default());
        let beyond = Limits::of(&shards(10_000), 8, 80_000).beyond;
        assert!(
            beyond[0].contains("scores has 10000 entries") && beyond[0].contains("now 8; at least 16"),
            "{beyond:?}"
        );
        let many: Vec<_> = (0..100_000).map(|at| file(format!("{}/{at}", at % 50), 1)).collect();
        assert!(Limits::of(&many, 8, 80_000).beyond[0].contains("fewer than 100,000"));
        let large = Limits::of(&[file("a".into(), 30_000_000_000), file("b".into(), 200_000_000_000)], 8, 80);
        assert!(large.near[0].contains("a has 30 GB") && large.beyond[0].contains("b has 200 GB"));
    }
}
