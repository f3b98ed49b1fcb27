//! Detects a source that is one folder too high: several splits of a data set (train, val, test) that would become one
//! manifest. Their images would get ids and folder classes that training code does not look for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::shared::manifest::{Manifest, SplitCounts};
use crate::shared::numbers::thousands;
use crate::shared::printable::{printable, printable_path};

/// Several splits, or a superfluous folder, that a source seems to contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitsFound {
    /// Problem and advice.
    pub problem: String,
    /// Whether it is so certain that labelling should not start unless the user confirms it; otherwise it is a warning.
    pub is_certain: bool,
}

/// The splits that data sets have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Split {
    Train,
    Val,
    Test,
}

/// Depth of folders that is searched: in `ILSVRC/Data/CLS-LOC/train` the split is the fourth.
const MAX_DEPTH: usize = 4;

/// If there are this many times as many other folders, `train` and `test` are classes among them (vehicles, words).
const MANY_OTHERS: usize = 4;

/// Returns the split that a name contains, and its other words: (`Train`, `seg`) for `seg_train`; `None` if it contains none
/// or several.
fn split_of(name: &str) -> Option<(Split, String)> {
    let (mut split, mut rest) = (None, Vec::new());
    for word in words(name) {
        let found = match word.as_str() {
            "train" | "training" | "trainset" | "trn" => Split::Train,
            "val" | "valid" | "validation" | "valset" | "dev" | "eval" | "evaluation" => Split::Val,
            "test" | "testing" | "testset" | "tst" => Split::Test,
            // Words about the files, not about the split.
            "of" | "image" | "images" | "img" | "imgs" | "data" | "dataset" | "set" | "split" => continue,
            _ => {
                rest.push(word);
                continue;
            }
        };
        match split {
            Some(other) if other != found => return None,
            _ => split = Some(found),
        }
    }
    Some((split?, rest.join(" ")))
}

/// Returns the words of a name in lower case, without numbers and digests such as `a09b74b3ef9c3b56`.
fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    for chunk in name.split(|letter: char| !letter.is_alphanumeric()) {
        let is_digest = chunk.len() >= 8 && chunk.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_digest && chunk.bytes().any(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let mut word = String::new();
        let mut was_small = false;
        for letter in chunk.chars() {
            let starts_word = letter.is_numeric() || (letter.is_uppercase() && was_small);
            if starts_word && !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            if !letter.is_numeric() {
                word.extend(letter.to_lowercase());
            }
            was_small = letter.is_lowercase();
        }
        if !word.is_empty() {
            words.push(word);
        }
    }
    words
}

/// One of several folders or archives in the same folder.
#[derive(Debug, Default)]
struct Sibling {
    images: usize,
    /// Names of the folders in it.
    folders: BTreeSet<String>,
}

/// Returns the splits among siblings with their numbers of images, and whether they clearly are splits.
fn splits_among(siblings: &BTreeMap<&str, Sibling>) -> Option<(Vec<(String, usize)>, bool)> {
    let mut groups: BTreeMap<String, Vec<(&str, Split)>> = BTreeMap::new();
    for name in siblings.keys() {
        if let Some((split, rest)) = split_of(name) {
            groups.entry(rest).or_default().push((*name, split));
        }
    }
    let several = |group: &&Vec<(&str, Split)>| group.iter().any(|(_, split)| *split != group[0].1);
    let group = groups.values().filter(several).max_by_key(|group| group.len())?;
    let others: Vec<&Sibling> = siblings
        .iter()
        .filter(|(name, _)| !group.iter().any(|(split, _)| split == *name))
        .map(|(_, other)| other)
        .collect();
    // The same classes in two splits, and in no other folder.
    let shares_classes = group.iter().any(|(one, split)| {
        let others_of_group = group.iter().filter(|(_, other)| other != split);
        others_of_group.into_iter().any(|(other, _)| {
            let mut shared = siblings[one].folders.intersection(&siblings[other].folders);
            shared.any(|class| !others.iter().any(|sibling| sibling.folders.contains(class)))
        })
    });
    if others.len() >= group.len() * MANY_OTHERS && !shares_classes {
        return None;
    }
    let found = group.iter().map(|(name, _)| ((*name).to_owned(), siblings[name].images)).collect();
    Some((found, shares_classes || others.len() < group.len()))
}

/// Detects splits in the same folder, or one folder around everything, from the paths of a manifest. `is_folder`: whether
/// the source is a folder on disk, so a deeper folder can be suggested.
pub(super) fn of_paths(list: &Manifest, root: &Path, is_folder: bool) -> Option<SplitsFound> {
    let levels = levels_of(list);
    let deeper = |above: &str, name: &str| if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
    let advice = |path: &str| {
        if is_folder {
            format!("choose one: --in '{}'", printable_path(&root.join(path)))
        } else {
            format!("pack or unpack `{}` separately, and pass that", printable(path))
        }
    };
    let mut first: Option<(bool, String)> = None;
    // Images in clear splits; folders inside them are not counted again.
    let (mut in_splits, mut counted_below): (usize, Option<&str>) = (0, None);
    for (above, siblings) in &levels {
        let Some((splits, is_certain)) = splits_among(siblings) else { continue };
        let is_counted =
            counted_below.is_some_and(|folder| folder.is_empty() || above.starts_with(&format!("{folder}/")));
        if is_certain && !is_counted {
            in_splits += splits.iter().map(|(_, images)| images).sum::<usize>();
            counted_below = Some(above.as_str());
        }
        if first.as_ref().is_none_or(|(was_certain, _)| is_certain && !was_certain) {
            let problem = format!(
                "contains several splits of a data set{}: {}; they would become one manifest, with the splits as folders in \
                 every id\n  help: {}; or label all of them with --all-splits",
                if above.is_empty() { String::new() } else { format!(" in `{above}`") },
                counted(&splits),
                advice(&deeper(above, &splits[0].0)),
            );
            first = Some((is_certain, problem));
        }
    }
    // Deep in a small part of the manifest they may be anything else.
    let is_certain = counted_below == Some("") || in_splits * 2 >= list.len().max(1);
    let found = first.map(|(_, problem)| SplitsFound { problem, is_certain });
    found.or_else(|| one_folder_around_all(&levels, list, advice, is_folder))
}

/// Detects a manifest in which all images have the same folder class, because one folder contains all others.
fn one_folder_around_all(
    levels: &BTreeMap<String, BTreeMap<&str, Sibling>>,
    list: &Manifest,
    advice: impl Fn(&str) -> String,
    is_folder: bool,
) -> Option<SplitsFound> {
    let mut around = String::new();
    let mut is_split = false;
    while let Some(siblings) = levels.get(&around) {
        let Some((name, only)) = siblings.first_key_value().filter(|_| siblings.len() == 1) else { break };
        if only.images < list.len() || only.folders.is_empty() {
            break;
        }
        is_split = split_of(name).is_some_and(|(_, rest)| rest.is_empty());
        around = if around.is_empty() { (*name).to_owned() } else { format!("{around}/{name}") };
        if is_split {
            break;
        }
    }
    let folders = levels.get(&around).map_or(0, BTreeMap::len);
    if around.is_empty() || folders < 2 {
        return None;
    }
    let problem = format!(
        "all {} images are in `{around}`, which has {} folders, so all would get the folder class `{}`\n  help: {}{}",
        thousands(list.len()),
        thousands(folders),
        around.split('/').next().unwrap_or(&around),
        advice(&around),
        if is_split && is_folder { "; or label it unchanged with --all-splits" } else { "" },
    );
    Some(SplitsFound { problem, is_certain: is_split && is_folder })
}

/// Returns the folders of a manifest by the folder that contains them, some levels deep.
fn levels_of(list: &Manifest) -> BTreeMap<String, BTreeMap<&str, Sibling>> {
    let mut by_folder: BTreeMap<&str, usize> = BTreeMap::new();
    let mut row = 0;
    while row < list.len() {
        // Images of a folder are mostly listed together.
        let folder = folder_of(list.path(row));
        let next = (row..list.len()).find(|&next| folder_of(list.path(next)) != folder).unwrap_or(list.len());
        *by_folder.entry(folder).or_default() += next - row;
        row = next;
    }
    let mut levels: BTreeMap<String, BTreeMap<&str, Sibling>> = BTreeMap::new();
    for (folder, images) in by_folder.into_iter().filter(|(folder, _)| !folder.is_empty()) {
        let parts: Vec<&str> = folder.split('/').collect();
        for (level, part) in parts.iter().enumerate().take(MAX_DEPTH) {
            let sibling = levels.entry(parts[..level].join("/")).or_default().entry(part).or_default();
            sibling.images += images;
            if let Some(deeper) = parts.get(level + 1)
                && !sibling.folders.contains(*deeper)
            {
                sibling.folders.insert((*deeper).to_owned());
            }
        }
    }
    levels
}

fn folder_of(path: &str) -> &str {
    path.rfind('/').map_or("", |slash| &path[..slash])
}

/// Detects splits from the names of archives, or of the folders that contain them.
pub(super) fn of_archives<'a>(given: &Path, archives: impl Iterator<Item = &'a Path>) -> Option<SplitsFound> {
    let archives: Vec<&Path> = archives.collect();
    let common = archives.first().and_then(|first| {
        let contains_all = |folder: &&Path| archives.iter().all(|archive| archive.starts_with(folder));
        first.ancestors().skip(1).find(contains_all)
    });
    // By name: number of archives, and a pattern for them.
    let mut by_name: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    for archive in &archives {
        let text = |name: Option<&'a std::ffi::OsStr>| name.and_then(|name| name.to_str()).unwrap_or_default();
        let stem = text(archive.file_stem());
        // A folder that contains all of them is the split that was requested.
        let mut folders = archive.ancestors().skip(1).take_while(|folder| Some(*folder) != common);
        let is_split = |folder: &&'a Path| split_of(text(folder.file_name())).is_some();
        let (name, pattern) = match folders.find(is_split) {
            Some(folder) if split_of(stem).is_none() => (text(folder.file_name()), printable_path(folder)),
            _ => {
                let fixed: String = stem.chars().take_while(|letter| !letter.is_numeric()).collect();
                (stem, format!("{}*", printable_path(&archive.with_file_name(fixed))))
            }
        };
        by_name.entry(name).or_insert((0, pattern)).0 += 1;
    }
    let mut by_split: BTreeMap<Split, (&str, usize, &str)> = BTreeMap::new();
    let mut others = 0;
    for (name, (files, pattern)) in &by_name {
        match split_of(name) {
            Some((split, _)) => by_split.entry(split).or_insert((name, 0, pattern)).1 += files,
            None => others += files,
        }
    }
    let in_splits: usize = by_split.values().map(|(_, files, _)| files).sum();
    if by_split.len() < 2 || others >= in_splits * MANY_OTHERS {
        return None;
    }
    let named: Vec<String> = by_split
        .values()
        .map(|(name, files, _)| {
            let s = if *files == 1 { "" } else { "s" };
            format!("{files} file{s} such as `{}`", printable(name))
        })
        .collect();
    let problem = format!(
        "contains several splits of a data set: {}; they would become one manifest\n  help: choose one, as in --in '{}'; or \
         label all of them with --all-splits",
        named.join(", "),
        by_split.values().next().map_or("", |(_, _, pattern)| pattern),
    );
    // Braces that list splits request each of them.
    let is_requested = given.to_str().is_some_and(lists_splits);
    Some(SplitsFound { problem, is_certain: others < in_splits && !is_requested })
}

/// Returns whether a pattern lists its splits: `data/{train,test}-*.parquet`.
fn lists_splits(pattern: &str) -> bool {
    pattern.split('{').skip(1).filter_map(|text| text.split_once('}')).any(|(inside, _)| {
        let splits: BTreeSet<Split> = inside.split(',').filter_map(split_of).map(|(split, _)| split).collect();
        splits.len() > 1
    })
}

/// Detects several splits from the values of a column `split`.
#[must_use]
pub fn splits_of_column(counts: &SplitCounts) -> Option<SplitsFound> {
    let splits: BTreeSet<Split> = counts.keys().filter_map(|value| split_of(value)).map(|(split, _)| split).collect();
    if splits.len() < 2 {
        return None;
    }
    let named: Vec<(String, usize)> = counts.iter().map(|(name, rows)| (name.clone(), *rows)).collect();
    let problem = format!(
        "column `split` contains several splits of a data set: {}; they would become one manifest\n  help: pass a list of one \
         split with --manifest; or label all of them with --all-splits",
        counted(&named)
    );
    Some(SplitsFound { problem, is_certain: true })
}

fn counted(splits: &[(String, usize)]) -> String {
    let one = |(name, images): &(String, usize)| {
        format!("`{}` ({} image{})", printable(name), thousands(*images), if *images == 1 { "" } else { "s" })
    };
    splits.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::manifest::ManifestEntry;

    fn list(folders: &[&str]) -> Manifest {
        let paths = folders.iter().flat_map(|folder| (0..3).map(move |number| format!("{folder}/{number}.jpg")));
        Manifest::from_entries(paths.map(|path| ManifestEntry { path, ..ManifestEntry::default() }).collect()).unwrap()
    }

    /// Whether it is certain; `None` if nothing is detected.
    fn clear(folders: &[&str]) -> Option<bool> {
        of_paths(&list(folders), Path::new("root"), true).map(|found| found.is_certain)
    }

    #[test]
    fn splits_below_one_root_are_detected() {
        for folders in [
            &["train/n01", "train/n02", "val/n01", "val/n02"][..],
            &["train/n01", "val"],
            &["Train", "Test"],
            &["training/a", "validation/a", "extra/b"],
            &["Data/CLS-LOC/train/n01", "Data/CLS-LOC/val", "Data/CLS-LOC/test"],
            &["train2017", "val2017", "test2017"],
            &["seg_train/seg_train/sea", "seg_test/seg_test/sea", "seg_pred/seg_pred"],
            &["bottle/train/good", "bottle/test/good", "cable/train/good", "cable/test/good"],
            &["train/a", "val/a", "o1/b", "o2/b", "o3/b", "o4/b", "o5/b", "o6/b", "o7/b", "o8/b", "o9/b"],
        ] {
            assert_eq!(clear(folders), Some(true), "{folders:?}");
        }
        let problem = of_paths(&list(&["ILSVRC/train/a", "ILSVRC/val/a"]), Path::new("root"), true).unwrap().problem;
        assert!(problem.contains("`train` (3 images), `val` (3 images)"), "{problem}");
        assert!(problem.contains("--in 'root/ILSVRC/train'"), "{problem}");
    }

    #[test]
    fn classes_with_names_of_splits_are_classes() {
        for folders in [
            &["bicycle", "bus", "car", "train", "truck"][..],
            &["bicycle/front", "bus/front", "car/front", "train/front"],
            &["n01/a", "n02/b", "n03/c"],
            &["bullet_train", "test_tube", "cat"],
            &["apple", "train", "cat", "car", "test", "bus", "dog", "elk", "fox", "gnu"],
            &["cat", "dog"],
        ] {
            assert_eq!(clear(folders), None, "{folders:?}");
        }
        assert_eq!(clear(&["apple", "train", "test", "pear"]), Some(false), "a warning");
    }

    #[test]
    fn a_folder_around_everything_is_detected() {
        assert_eq!(clear(&["train/n01", "train/n02"]), Some(true));
        assert_eq!(clear(&["imagenet/n01", "imagenet/n02"]), Some(false));
        assert_eq!(clear(&["train"]), None, "a class of trains");
        let packed = of_paths(&list(&["train/n01", "train/n02"]), Path::new("train.tar"), false).unwrap();
        assert!(!packed.is_certain && packed.problem.contains("unpack `train`"), "{packed:?}");
    }

    #[test]
    fn archives_of_several_splits_are_detected() {
        let clear = |given: &str, files: &[&str]| {
            of_archives(Path::new(given), files.iter().map(Path::new)).map(|found| found.is_certain)
        };
        let hub = ["data/train-00000-of-00002-a09b74b3ef9c3b56.parquet", "data/validation-00000-of-00001.parquet"];
        assert_eq!(clear("data/*.parquet", &hub), Some(true));
        assert_eq!(clear("data/{train,validation}-*.parquet", &hub), Some(false), "each is named");
        assert_eq!(clear("data", &["data/train-0.parquet", "data/train-1.parquet"]), None);
        assert_eq!(clear("i/*/*.parquet", &["i/train/0000.parquet", "i/test/0000.parquet"]), Some(true));
        assert_eq!(clear("train/*.tar", &["train/cat.tar", "train/test.tar"]), None, "a class of the training images");
        assert_eq!(
            clear("x/ILSVRC2012_img_*.tar", &["x/ILSVRC2012_img_train.tar", "x/ILSVRC2012_img_val.tar"]),
            Some(true)
        );
        let classes =
            ["c/bus.tar", "c/car.tar", "c/cat.tar", "c/dog.tar", "c/elk.tar", "c/fox.tar", "c/gnu.tar", "c/owl.tar"];
        assert_eq!(clear("c", &[&classes[..], &["c/test.tar", "c/train.tar"]].concat()), None);
        assert_eq!(clear("c", &[&classes[..], &["c/train.tar"]].concat()), None);
    }

    #[test]
    fn a_column_of_splits_is_detected() {
        let counts =
            |values: &[(&str, usize)]| values.iter().map(|(value, rows)| ((*value).to_owned(), *rows)).collect();
        let found = splits_of_column(&counts(&[("train", 5), ("test", 1)])).unwrap();
        assert!(found.is_certain && found.problem.contains("`test` (1 image), `train` (5 images)"), "{found:?}");
        assert_eq!(splits_of_column(&counts(&[("train", 5), ("", 1)])), None);
        assert_eq!(splits_of_column(&counts(&[("0", 5), ("1", 1)])), None);
    }
}
