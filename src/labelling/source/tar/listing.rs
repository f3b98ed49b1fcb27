//! Lists the images of a tar: their paths, and the members that are ignored.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use super::members::{Member, MemberKind, Members, TarDamage, TarProblem};
use crate::labelling::source::archives::ReadAt;
use crate::labelling::source::image_location::{ArchivedImage, FolderClass, ImageLocation};
use crate::labelling::source::image_name::is_image_name;
use crate::shared::numbers::thousands;
use crate::shared::printable::{printable, printable_path};

/// Length of the longest class that is read from a `.cls` member.
const MAX_CLASS_BYTES: u64 = 256;

/// A tar inside a tar.
#[derive(Debug)]
pub(super) struct InnerTar {
    /// Path in the archive.
    pub(super) name: String,
    /// Path without `.tar`: the folder of its images.
    pub(super) folder: String,
    pub(super) part: Range<u64>,
}

/// The contents of one tar.
#[derive(Debug, Default)]
pub(super) struct TarContents {
    /// In stored order.
    pub(super) images: Vec<ArchivedImage>,
    pub(super) inner: Vec<InnerTar>,
    /// Texts of `.cls` members by the path without `.cls`.
    pub(super) classes: HashMap<String, String>,
    pub(super) ignored: IgnoredMembers,
}

/// Members that have names of images and are not read.
#[derive(Debug, Default)]
pub(super) struct IgnoredMembers {
    pub(super) count: usize,
    /// The first, and why.
    pub(super) first: Option<(String, &'static str)>,
}

impl IgnoredMembers {
    pub(super) fn add(&mut self, name: &str, why: &'static str) {
        self.count += 1;
        self.first.get_or_insert_with(|| (name.to_owned(), why));
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.first = self.first.take().or(other.first);
    }

    /// Logs one warning for all of them.
    pub(super) fn warn(&self, source: &Path) {
        if let Some((first, why)) = &self.first {
            tracing::warn!(
                "{}: {} members with names of images are not read, the first is `{}`: {why}",
                printable_path(source),
                thousands(self.count),
                printable(first)
            );
        }
    }
}

impl TarContents {
    /// Puts a folder before every path.
    pub(super) fn move_into_folder(&mut self, folder: &str) {
        for image in &mut self.images {
            image.path = format!("{folder}/{}", image.path);
        }
    }
}

/// Lists a tar and the tars inside it, each of which is a folder. Also returns the number of inner tars.
pub(super) fn list_with_inner(
    tar: &impl ReadAt,
    part: Range<u64>,
    archive: u32,
) -> Result<(TarContents, usize), TarDamage> {
    let mut contents = list(tar, part, archive)?;
    let inner_tars = last_of_each_name(std::mem::take(&mut contents.inner))?;
    let count = inner_tars.len();
    let list_inner = |inner: InnerTar| {
        let in_inner = |damage: TarDamage| damage.inside(&inner.folder);
        let mut contents = list(tar, inner.part.clone(), archive).map_err(in_inner)?;
        if let Some(third) = contents.inner.first() {
            return Err(in_inner(TarDamage {
                offset: third.part.start,
                member: Some(format!("{}.tar", third.folder)),
                problem: TarProblem::TooDeep,
            }));
        }
        contents.move_into_folder(&inner.folder);
        Ok(contents)
    };
    let found: Vec<TarContents> = inner_tars.into_par_iter().map(list_inner).collect::<Result<_, _>>()?;
    if count > 0 {
        check_distinct_paths(std::iter::once(&contents).chain(&found))?;
    }
    for inner in found {
        contents.images.extend(inner.images);
        contents.ignored.merge(inner.ignored);
    }
    Ok((contents, count))
}

/// Keeps the inner tars that unpacking would leave: the last of several with the same name. Two names of one folder are
/// refused.
fn last_of_each_name(inner_tars: Vec<InnerTar>) -> Result<Vec<InnerTar>, TarDamage> {
    let mut last: HashMap<String, usize> = HashMap::new();
    for (at, inner) in inner_tars.iter().enumerate() {
        let Some(earlier) = last.insert(inner.folder.clone(), at) else { continue };
        let (earlier, name) = (&inner_tars[earlier].name, &inner.name);
        if earlier != name {
            return Err(TarDamage {
                offset: inner.part.start,
                member: Some(name.clone()),
                problem: TarProblem::SameFolder { other: earlier.clone() },
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

/// Checks that no image of one tar has the path of an image of a different one, which unpacking would overwrite.
fn check_distinct_paths<'a>(tars: impl Iterator<Item = &'a TarContents>) -> Result<(), TarDamage> {
    let mut tar_of_path: HashMap<&str, usize> = HashMap::new();
    for (number, tar) in tars.enumerate() {
        for image in &tar.images {
            if tar_of_path.insert(&image.path, number).is_some_and(|other| other != number) {
                return Err(TarDamage {
                    offset: image.location.offset,
                    member: Some(image.path.clone()),
                    problem: TarProblem::SamePath,
                });
            }
        }
    }
    Ok(())
}

/// Lists one tar, or an inner tar, which is a part of its archive.
fn list(tar: &impl ReadAt, part: Range<u64>, archive: u32) -> Result<TarContents, TarDamage> {
    let mut contents = TarContents::default();
    // Files that a hard link may refer to, by name.
    let mut files: HashMap<String, ImageLocation> = HashMap::new();
    // Images are added to the table by the first link after them; most tars have no links.
    let mut images_in_table = 0;
    let mut members = Members::new(tar, part);
    while let Some(member) = members.next()? {
        let is_image = is_image_name(&member.name);
        let name = match path_from_name(&member.name) {
            MemberPath::Path(name) => name,
            MemberPath::NotUtf8 if is_image || member.name.ends_with(b".tar") => return Err(not_utf8(&member)),
            MemberPath::Hidden | MemberPath::NotUtf8 => continue,
            MemberPath::Unsafe(why) => {
                if is_image && member.kind != MemberKind::Folder {
                    contents.ignored.add(&String::from_utf8_lossy(&member.name), why);
                }
                continue;
            }
        };
        let location = ImageLocation {
            archive,
            offset: member.header_at,
            bytes: member.data.end - member.data.start,
            check: member.check,
        };
        match &member.kind {
            MemberKind::File if is_image => {
                contents.images.push(ArchivedImage { path: name, folder_class: FolderClass::FromPath, location });
            }
            MemberKind::File => add_other_file(tar, &member, name, location, &mut contents, &mut files)?,
            MemberKind::HardLink(target) if is_image => {
                for image in &contents.images[images_in_table..] {
                    files.insert(image.path.clone(), image.location);
                }
                images_in_table = contents.images.len();
                let target = match path_from_name(target) {
                    MemberPath::Path(target) => files.get(&target).copied(),
                    MemberPath::Hidden | MemberPath::NotUtf8 | MemberPath::Unsafe(_) => None,
                };
                match target {
                    Some(location) => {
                        contents.images.push(ArchivedImage {
                            path: name,
                            folder_class: FolderClass::FromPath,
                            location,
                        });
                    }
                    None => contents.ignored.add(&name, "link to a missing file"),
                }
            }
            MemberKind::Other if is_image => contents.ignored.add(&name, "link, device or sparse file"),
            MemberKind::Folder | MemberKind::HardLink(_) | MemberKind::Other => {}
        }
    }
    Ok(contents)
}

/// Adds a file that is not an image: an inner tar, a class, or a file that a hard link may refer to.
fn add_other_file(
    tar: &impl ReadAt,
    member: &Member,
    name: String,
    location: ImageLocation,
    contents: &mut TarContents,
    files: &mut HashMap<String, ImageLocation>,
) -> Result<(), TarDamage> {
    let without_extension = |extension: &str| {
        let at = name.len().checked_sub(extension.len()).filter(|&at| at > 0 && name.is_char_boundary(at))?;
        name[at..].eq_ignore_ascii_case(extension).then(|| name[..at].to_owned())
    };
    if let Some(folder) = without_extension(".tar") {
        contents.inner.push(InnerTar { folder, part: member.data.clone(), name });
    } else if let Some(key) = without_extension(".cls") {
        if location.bytes <= MAX_CLASS_BYTES {
            let mut text = vec![0; location.bytes as usize];
            tar.read_at(&mut text, member.data.start).map_err(|error| TarDamage {
                offset: member.data.start,
                member: Some(name.clone()),
                problem: TarProblem::Read(error),
            })?;
            contents.classes.insert(key, String::from_utf8_lossy(&text).trim().to_owned());
        }
    } else {
        files.insert(name, location);
    }
    Ok(())
}

/// The path that a member's name gives.
enum MemberPath {
    /// A path, without `./` and doubled slashes.
    Path(String),
    /// Ignored as in a folder: a part of it begins with a dot.
    Hidden,
    NotUtf8,
    /// Never used as a path, with the reason.
    Unsafe(&'static str),
}

fn path_from_name(name: &[u8]) -> MemberPath {
    let parts = || name.split(|&byte| byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    if name.starts_with(b"/") {
        return MemberPath::Unsafe("its name is absolute");
    }
    if name.contains(&0) {
        return MemberPath::Unsafe("its name contains a zero byte");
    }
    if parts().any(|part| part == b"..") {
        return MemberPath::Unsafe("its path resolves outside the archive");
    }
    if parts().any(|part| part.starts_with(b".")) {
        return MemberPath::Hidden;
    }
    match String::from_utf8(parts().collect::<Vec<_>>().join(&b'/')) {
        Ok(path) if path.is_empty() => MemberPath::Hidden,
        Ok(path) => MemberPath::Path(path),
        Err(_) => MemberPath::NotUtf8,
    }
}

fn not_utf8(member: &Member) -> TarDamage {
    TarDamage {
        offset: member.header_at,
        member: Some(String::from_utf8_lossy(&member.name).into_owned()),
        problem: TarProblem::NotUtf8,
    }
}
