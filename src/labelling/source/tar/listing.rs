//! From members to images: which there are, under which path, and what is passed over.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use super::members::{Damage, Member, MemberKind, Members};
use crate::labelling::source::archives::ReadAt;
use crate::labelling::source::is_image_name;
use crate::labelling::source::places::{Label, Place, PlacedImage};

/// Longest text of a class that is read from a `.cls` member.
const MAX_LABEL_BYTES: u64 = 256;

/// A tar inside a tar.
#[derive(Debug)]
pub(super) struct InnerTar {
    /// Its path.
    pub(super) name: String,
    /// Its path without `.tar`: the folder that its images are in.
    pub(super) folder: String,
    pub(super) part: Range<u64>,
}

/// What one tar holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// In the order in which they stand.
    pub(super) images: Vec<PlacedImage>,
    pub(super) inner: Vec<InnerTar>,
    /// Texts of `.cls` members by the path before `.cls`.
    pub(super) labels: HashMap<String, String>,
    pub(super) passed_over: PassedOver,
}

/// Members that are called like images and are not read.
#[derive(Debug, Default)]
pub(super) struct PassedOver {
    pub(super) count: usize,
    /// The first, and why.
    pub(super) first: Option<(String, &'static str)>,
}

impl PassedOver {
    pub(super) fn see(&mut self, name: &str, why: &'static str) {
        self.count += 1;
        self.first.get_or_insert_with(|| (name.to_owned(), why));
    }

    pub(super) fn add(&mut self, other: Self) {
        self.count += other.count;
        self.first = self.first.take().or(other.first);
    }

    /// Says once what was passed over.
    pub(super) fn warn(&self, source: &Path) {
        if let Some((first, why)) = &self.first {
            let (source, count) = (source.display(), self.count);
            tracing::warn!(
                "{source}: {count} members that are called like images are not read, first `{first}`: {why}"
            );
        }
    }
}

impl Contents {
    /// Puts a folder before every path.
    pub(super) fn put_into_folder(&mut self, folder: &str) {
        for image in &mut self.images {
            image.path = format!("{folder}/{}", image.path);
        }
    }
}

/// Lists a tar and the tars inside it, each of which is a folder. Returns also how many these are.
pub(super) fn list_with_inner(tar: &impl ReadAt, part: Range<u64>, archive: u32) -> Result<(Contents, usize), Damage> {
    let mut contents = list(tar, part, archive)?;
    let inner_tars = last_of_each_name(std::mem::take(&mut contents.inner))?;
    let count = inner_tars.len();
    let list_inner = |inner: InnerTar| {
        let in_inner = |damage: Damage| damage.inside(&inner.folder);
        let mut contents = list(tar, inner.part.clone(), archive).map_err(in_inner)?;
        if let Some(third) = contents.inner.first() {
            return Err(in_inner(Damage {
                offset: third.part.start,
                member: Some(format!("{}.tar", third.folder)),
                problem: "a tar inside a tar inside a tar is not read; unpack the outermost one".to_owned(),
            }));
        }
        contents.put_into_folder(&inner.folder);
        Ok(contents)
    };
    let found: Vec<Contents> = inner_tars.into_par_iter().map(list_inner).collect::<Result<_, _>>()?;
    if count > 0 {
        check_apart(std::iter::once(&contents).chain(&found))?;
    }
    for inner in found {
        contents.images.extend(inner.images);
        contents.passed_over.add(inner.passed_over);
    }
    Ok((contents, count))
}

/// Inner tars as unpacking would leave them: of several with one name the last. Two names of one folder are refused.
fn last_of_each_name(inner_tars: Vec<InnerTar>) -> Result<Vec<InnerTar>, Damage> {
    let mut last: HashMap<String, usize> = HashMap::new();
    for (at, inner) in inner_tars.iter().enumerate() {
        let Some(earlier) = last.insert(inner.folder.clone(), at) else { continue };
        let (earlier, name) = (&inner_tars[earlier].name, &inner.name);
        if earlier != name {
            return Err(Damage {
                offset: inner.part.start,
                member: Some(name.clone()),
                problem: format!("its images would have the same names as those of `{earlier}`; give one another name"),
            });
        }
    }
    Ok(inner_tars
        .into_iter()
        .enumerate()
        .filter(|(at, inner)| last[&inner.folder] == *at)
        .map(|(_, inner)| inner)
        .collect())
}

/// Checks that no image of one tar has the path of an image of another: unpacking would overwrite it.
fn check_apart<'a>(tars: impl Iterator<Item = &'a Contents>) -> Result<(), Damage> {
    let mut tar_of_path: HashMap<&str, usize> = HashMap::new();
    for (number, tar) in tars.enumerate() {
        for image in &tar.images {
            if tar_of_path.insert(&image.path, number).is_some_and(|other| other != number) {
                return Err(Damage {
                    offset: image.place.offset,
                    member: Some(image.path.clone()),
                    problem: "an image of another tar inside it has the same path, and they would be one; give one of the tars \
                              another name"
                        .to_owned(),
                });
            }
        }
    }
    Ok(())
}

/// Lists one tar, or the part of one in which an inner tar lies.
fn list(tar: &impl ReadAt, part: Range<u64>, archive: u32) -> Result<Contents, Damage> {
    let mut contents = Contents::default();
    // Other files that a hard link to an image may mean, by their names as they stand.
    let mut files: HashMap<String, Place> = HashMap::new();
    // The first links make a table of the images before them; most tars have none.
    let mut images_in_table = 0;
    let mut members = Members::new(tar, part);
    while let Some(member) = members.next()? {
        let is_image = is_image_name(&member.name);
        let name = match named(&member.name) {
            Named::Path(name) => name,
            Named::NotUtf8 if is_image || member.name.ends_with(b".tar") => return Err(not_utf8(&member)),
            Named::Hidden | Named::NotUtf8 => continue,
            Named::Unsafe(why) => {
                if is_image && member.kind != MemberKind::Folder {
                    contents.passed_over.see(&String::from_utf8_lossy(&member.name), why);
                }
                continue;
            }
        };
        let place = Place {
            archive,
            offset: member.header_at,
            bytes: member.data.end - member.data.start,
            check: member.check,
        };
        match &member.kind {
            MemberKind::File if is_image => {
                contents.images.push(PlacedImage { path: name, label: Label::Folder, place });
            }
            MemberKind::File => other_file(tar, &member, name, place, &mut contents, &mut files)?,
            MemberKind::HardLink(target) if is_image => {
                for image in &contents.images[images_in_table..] {
                    files.insert(image.path.clone(), image.place);
                }
                images_in_table = contents.images.len();
                let target = match named(target) {
                    Named::Path(target) => files.get(&target).copied(),
                    Named::Hidden | Named::NotUtf8 | Named::Unsafe(_) => None,
                };
                match target {
                    Some(place) => contents.images.push(PlacedImage { path: name, label: Label::Folder, place }),
                    None => contents.passed_over.see(&name, "it is a link to what is not there"),
                }
            }
            MemberKind::Other if is_image => contents.passed_over.see(&name, "it is a link, a device or a sparse file"),
            MemberKind::Folder | MemberKind::HardLink(_) | MemberKind::Other => {}
        }
    }
    Ok(contents)
}

/// A file that is no image: an inner tar, a label, or something that a hard link may mean.
fn other_file(
    tar: &impl ReadAt,
    member: &Member,
    name: String,
    place: Place,
    contents: &mut Contents,
    files: &mut HashMap<String, Place>,
) -> Result<(), Damage> {
    let ending = |ending: &str| {
        let at = name.len().checked_sub(ending.len()).filter(|&at| at > 0 && name.is_char_boundary(at))?;
        name[at..].eq_ignore_ascii_case(ending).then(|| name[..at].to_owned())
    };
    if let Some(folder) = ending(".tar") {
        contents.inner.push(InnerTar { folder, part: member.data.clone(), name });
    } else if let Some(key) = ending(".cls") {
        if place.bytes <= MAX_LABEL_BYTES {
            let mut text = vec![0; place.bytes as usize];
            tar.read_at(&mut text, member.data.start).map_err(|error| Damage {
                offset: member.data.start,
                member: Some(name.clone()),
                problem: error.to_string(),
            })?;
            contents.labels.insert(key, String::from_utf8_lossy(&text).trim().to_owned());
        }
    } else {
        files.insert(name, place);
    }
    Ok(())
}

/// What a member's name is good for.
enum Named {
    /// A path, without `./` and doubled slashes.
    Path(String),
    /// Passed over as in a folder: a part of it begins with a dot.
    Hidden,
    NotUtf8,
    /// Never used as a path, and why.
    Unsafe(&'static str),
}

fn named(name: &[u8]) -> Named {
    let parts = || name.split(|&byte| byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    if name.starts_with(b"/") {
        return Named::Unsafe("its name is absolute");
    }
    if name.contains(&0) {
        return Named::Unsafe("its name holds a zero byte");
    }
    if parts().any(|part| part == b"..") {
        return Named::Unsafe("its name leads out of the archive");
    }
    if parts().any(|part| part.starts_with(b".")) {
        return Named::Hidden;
    }
    match String::from_utf8(parts().collect::<Vec<_>>().join(&b'/')) {
        Ok(path) if path.is_empty() => Named::Hidden,
        Ok(path) => Named::Path(path),
        Err(_) => Named::NotUtf8,
    }
}

fn not_utf8(member: &Member) -> Damage {
    Damage {
        offset: member.header_at,
        member: Some(String::from_utf8_lossy(&member.name).into_owned()),
        problem: "its name is not UTF-8; pack the images anew with other names".to_owned(),
    }
}
