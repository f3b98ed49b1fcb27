//! Reads the headers of one tar's members; their data is skipped.
//!
//! Any inconsistency is refused with its offset: after a wrong header, nothing that follows can be trusted, and an
//! incomplete manifest would be permanent.

use std::borrow::Cow;
use std::io;
use std::ops::Range;

use ::tar::{EntryType, GnuHeader, Header, PaxExtensions};

use crate::labelling::source::archives::ReadAt;
use crate::labelling::source::image_location::fingerprint;
use crate::shared::numbers::exact_bytes;
use crate::shared::printable::printable;

const BLOCK_BYTES: u64 = 512;

/// Bytes that are read at a time: the headers of small members are close together.
const READ_BYTES: u64 = 4096;

/// Longest name, or block of pax extensions, that is read.
const MAX_NAME_BYTES: u64 = 1 << 16;

/// Bytes after the end of a tar that are checked for further members.
const CHECKED_AFTER_END_BYTES: u64 = 1 << 16;

/// One member.
#[derive(Debug)]
pub(super) struct Member {
    /// Name as stored.
    pub(super) name: Vec<u8>,
    pub(super) kind: MemberKind,
    /// Offset of its header.
    pub(super) header_at: u64,
    /// Range of its data.
    pub(super) data: Range<u64>,
    /// Fingerprint of the header's name, size and type.
    pub(super) check: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum MemberKind {
    File,
    Folder,
    /// Another name for an earlier member.
    HardLink(Vec<u8>),
    /// A symbolic link, a device or a sparse file, which are not read.
    Other,
}

/// Damage of a tar, and its location.
#[derive(Debug, thiserror::Error)]
#[error(
    "at byte {offset}{}: {problem}; nothing was listed, since images would be missing\n  help: {}",
    member.as_ref().map_or(String::new(), |member| format!(" in `{}`", printable(member))),
    problem.help()
)]
pub struct TarDamage {
    /// Offset in bytes from the beginning of the archive.
    pub offset: u64,
    /// The member there, as far as it is known.
    pub member: Option<String>,
    /// Underlying error.
    #[source]
    pub problem: TarProblem,
}

/// Damage of a member of a tar.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TarProblem {
    /// The archive ends without the blocks that mark its end.
    #[error("the end-of-archive blocks are missing: the tar is cut off")]
    NoEnd,
    /// The archive ends inside a header.
    #[error("a header is cut off: {} are left, {BLOCK_BYTES} are needed", exact_bytes(*left_bytes))]
    HeaderCutOff {
        /// Bytes that are left.
        left_bytes: u64,
    },
    /// The archive ends inside a member's data.
    #[error(
        "its header declares {}, but only {} follow: the size is wrong, or the file is cut off",
        exact_bytes(*declared_bytes),
        exact_bytes(*left_bytes)
    )]
    DataCutOff {
        /// Bytes that the header declares.
        declared_bytes: u64,
        /// Bytes that are left.
        left_bytes: u64,
    },
    /// A block is not a header.
    #[error("this is not the header of a tar")]
    NotAHeader,
    /// A header was changed.
    #[error("the checksum of a header is {recorded}, but its bytes give {computed}")]
    Checksum {
        /// The recorded checksum.
        recorded: u32,
        /// The checksum of its bytes.
        computed: i64,
    },
    /// The size in a header is invalid.
    #[error("its size is not a number")]
    Size,
    /// The pax extensions are invalid.
    #[error("its pax extensions are invalid")]
    PaxExtensions,
    /// The size in pax extensions is invalid.
    #[error("its pax size is not a number")]
    PaxSize,
    /// A name is too long to be read.
    #[error("a name of {}; at most {} are read", exact_bytes(*bytes), exact_bytes(MAX_NAME_BYTES))]
    LongName {
        /// Length of the name.
        bytes: u64,
    },
    /// A name is not UTF-8.
    #[error("its name is not UTF-8")]
    NotUtf8,
    /// The archive cannot be read.
    #[error("read error: {0}")]
    Read(#[source] io::Error),
    /// The archive continues after its end.
    #[error("bytes follow its end")]
    BytesAfterEnd,
    /// Tars are nested too deeply.
    #[error("a tar inside a tar inside a tar is not read")]
    TooDeep,
    /// Two inner tars would be the same folder.
    #[error("its images would have the same names as those of `{}`", printable(other))]
    SameFolder {
        /// Name of the other inner tar.
        other: String,
    },
    /// Two images have the same path.
    #[error("an image of a different inner tar has the same path")]
    SamePath,
}

impl TarProblem {
    fn help(&self) -> &'static str {
        match self {
            Self::NotUtf8 => "pack the images again with other names",
            Self::Read(_) => "check the disk or network file system, and run again",
            Self::BytesAfterEnd => "if archives were concatenated, pass them one by one",
            Self::TooDeep => "unpack the outermost tar",
            Self::SameFolder { .. } | Self::SamePath => "rename one of the inner tars",
            _ => "download or copy the archive again",
        }
    }
}

impl TarDamage {
    /// Adds the name of the inner tar that is damaged.
    pub(super) fn inside(mut self, folder: &str) -> Self {
        let inner = format!("{folder}.tar");
        self.member = Some(self.member.map_or(inner.clone(), |member| format!("{inner}: {member}")));
        self
    }
}

/// Iterates over the members of a tar, or of an inner tar, which is a part of its archive.
pub(super) struct Members<'a, R> {
    tar: &'a R,
    at: u64,
    end: u64,
    /// The bytes that were read last, and their offset.
    ahead: Vec<u8>,
    ahead_at: u64,
    /// Name of the last member, for errors.
    last: Option<String>,
}

/// Extensions that precede a header and belong to it.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    bytes: Option<u64>,
    sparse: bool,
}

impl<'a, R: ReadAt> Members<'a, R> {
    pub(super) fn new(tar: &'a R, part: Range<u64>) -> Self {
        Self { tar, at: part.start, end: part.end, ahead: Vec::new(), ahead_at: 0, last: None }
    }

    /// Returns the next member; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Member>, TarDamage> {
        let mut extensions = Extensions::default();
        loop {
            let header_at = self.at;
            let Some(header) = self.header()? else { return Ok(None) };
            let own_bytes = header.entry_size().map_err(|_| self.damage(header_at, TarProblem::Size))?;
            let kind = header.entry_type();
            let for_next = kind.is_gnu_longname() || kind.is_gnu_longlink() || kind.is_pax_local_extensions();
            let bytes = if for_next { own_bytes } else { extensions.bytes.unwrap_or(own_bytes) };
            let data = self.data_range(header_at, &header, bytes)?;
            // Data is padded to full blocks.
            self.at = data.end.next_multiple_of(BLOCK_BYTES);
            if for_next {
                let text = self.read_text(&data)?;
                self.extend(&mut extensions, kind, text, header_at)?;
            } else if !kind.is_pax_global_extensions() {
                let member = Self::member(&header, extensions, header_at, data);
                self.last = Some(String::from_utf8_lossy(&member.name).into_owned());
                return Ok(Some(member));
            }
        }
    }

    fn member(header: &Header, extensions: Extensions, header_at: u64, data: Range<u64>) -> Member {
        let check = header_check(header);
        let link = extensions.link.or_else(|| header.link_name_bytes().map(Cow::into_owned)).unwrap_or_default();
        let name = extensions.name.unwrap_or_else(|| header.path_bytes().into_owned());
        let kind = match header.entry_type() {
            _ if extensions.sparse => MemberKind::Other,
            // Old tars have no type for folders, but names that end in a slash.
            EntryType::Regular | EntryType::Continuous if name.ends_with(b"/") => MemberKind::Folder,
            EntryType::Regular | EntryType::Continuous => MemberKind::File,
            EntryType::Directory => MemberKind::Folder,
            EntryType::Link => MemberKind::HardLink(link),
            _ => MemberKind::Other,
        };
        Member { name, kind, header_at, data, check }
    }

    /// Reads and checks the header at the current offset; returns `None` at the end of the tar.
    fn header(&mut self) -> Result<Option<Header>, TarDamage> {
        let at = self.at;
        if at >= self.end {
            return Err(self.damage(at, TarProblem::NoEnd));
        }
        let block = self.block(at)?;
        if block.iter().all(|&byte| byte == 0) {
            self.check_end(at)?;
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block).clone();
        let sums = checksums(&block);
        match header.cksum() {
            Ok(recorded) if sums.contains(&i64::from(recorded)) => Ok(Some(header)),
            Ok(recorded) => Err(self.damage(at, TarProblem::Checksum { recorded, computed: sums[0] })),
            Err(_) => Err(self.damage(at, TarProblem::NotAHeader)),
        }
    }

    /// Returns the range of a member's data.
    fn data_range(&mut self, header_at: u64, header: &Header, bytes: u64) -> Result<Range<u64>, TarDamage> {
        let mut start = header_at + BLOCK_BYTES;
        let mut more = header.entry_type().is_gnu_sparse() && header.as_gnu().is_some_and(GnuHeader::is_extended);
        while more {
            // The map of a sparse file continues in blocks whose last field tells whether one more follows.
            more = self.block(start)?[504] == 1;
            start += BLOCK_BYTES;
        }
        match start.checked_add(bytes) {
            Some(end) if end <= self.end => Ok(start..end),
            _ => {
                let name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
                let left_bytes = self.end.saturating_sub(start);
                let problem = TarProblem::DataCutOff { declared_bytes: bytes, left_bytes };
                Err(TarDamage { offset: header_at, member: Some(name), problem })
            }
        }
    }

    /// Adds an extension that precedes a header.
    fn extend(&self, to: &mut Extensions, kind: EntryType, text: Vec<u8>, at: u64) -> Result<(), TarDamage> {
        let until_nul = |mut text: Vec<u8>| {
            text.truncate(text.iter().position(|&byte| byte == 0).unwrap_or(text.len()));
            Some(text)
        };
        if kind.is_gnu_longname() {
            to.name = until_nul(text);
        } else if kind.is_gnu_longlink() {
            to.link = until_nul(text);
        } else {
            for extension in PaxExtensions::new(&text) {
                let extension = extension.map_err(|_| self.damage(at, TarProblem::PaxExtensions))?;
                let value = extension.value_bytes();
                match extension.key_bytes() {
                    b"path" => to.name = Some(value.to_vec()),
                    b"linkpath" => to.link = Some(value.to_vec()),
                    b"size" => {
                        let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                        to.bytes = Some(size.ok_or_else(|| self.damage(at, TarProblem::PaxSize))?);
                    }
                    key if key.starts_with(b"GNU.sparse.") => to.sparse = true,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Reads a name or a block of extensions.
    fn read_text(&self, data: &Range<u64>) -> Result<Vec<u8>, TarDamage> {
        let bytes = data.end - data.start;
        if bytes > MAX_NAME_BYTES {
            return Err(self.damage(data.start, TarProblem::LongName { bytes }));
        }
        let mut text = vec![0; bytes as usize];
        self.tar.read_at(&mut text, data.start).map_err(|error| self.damage(data.start, TarProblem::Read(error)))?;
        Ok(text)
    }

    fn block(&mut self, at: u64) -> Result<[u8; BLOCK_BYTES as usize], TarDamage> {
        let buffered = |ahead: &[u8], ahead_at: u64| {
            let start = usize::try_from(at.checked_sub(ahead_at)?).ok()?;
            ahead.get(start..)?.first_chunk().copied()
        };
        if let Some(block) = buffered(&self.ahead, self.ahead_at) {
            return Ok(block);
        }
        let left = self.end.saturating_sub(at);
        self.ahead.resize(left.min(READ_BYTES) as usize, 0);
        self.ahead_at = at;
        let read = self.tar.read_at(&mut self.ahead, at);
        read.map_err(|error| self.damage(at, TarProblem::Read(error)))?;
        buffered(&self.ahead, at).ok_or_else(|| self.damage(at, TarProblem::HeaderCutOff { left_bytes: left }))
    }

    /// Checks the bytes after the first empty block. Two empty blocks end a tar, and padding may follow; only some bytes are
    /// read, since a sparse file can have any length.
    fn check_end(&mut self, at: u64) -> Result<(), TarDamage> {
        let after = at + BLOCK_BYTES;
        let mut rest = vec![0; (self.end - after.min(self.end)).min(CHECKED_AFTER_END_BYTES) as usize];
        self.tar.read_at(&mut rest, after).map_err(|error| self.damage(after, TarProblem::Read(error)))?;
        match rest.iter().position(|&byte| byte != 0) {
            None => Ok(()),
            Some(first) => Err(self.damage(after + first as u64, TarProblem::BytesAfterEnd)),
        }
    }

    fn damage(&self, offset: u64, problem: TarProblem) -> TarDamage {
        TarDamage { offset, member: self.last.as_ref().map(|last| format!("{last}, or after it")), problem }
    }
}

/// Returns the valid checksums of a header: the sum of its bytes, with spaces in place of the checksum itself. Some old
/// programs add signed bytes.
fn checksums(block: &[u8; BLOCK_BYTES as usize]) -> [i64; 2] {
    let without_checksum =
        || block.iter().enumerate().map(|(at, &byte)| if (148..156).contains(&at) { b' ' } else { byte });
    [without_checksum().map(i64::from).sum(), without_checksum().map(|byte| i64::from(byte.cast_signed())).sum()]
}

/// Returns the fingerprint of a header's name, size and type.
fn header_check(header: &Header) -> u64 {
    let block = header.as_bytes();
    fingerprint(&[&block[..100], &block[124..136], &block[156..157], &block[345..500]])
}

/// Returns whether the header at an offset has this fingerprint, that is, the member is still the listed one.
pub(super) fn has_header(tar: &impl ReadAt, header_at: u64, check: u64) -> io::Result<bool> {
    let mut block = [0; BLOCK_BYTES as usize];
    tar.read_at(&mut block, header_at)?;
    Ok(header_check(Header::from_byte_slice(&block)) == check)
}

/// Reads the data of a plain file, which follows its header.
pub(super) fn read_data(tar: &impl ReadAt, header_at: u64, data: &mut [u8]) -> io::Result<()> {
    tar.read_at(data, header_at.saturating_add(BLOCK_BYTES))
}
