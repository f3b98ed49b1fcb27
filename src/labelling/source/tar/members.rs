//! The members of one tar, header by header; what they hold is stepped over.
//!
//! Anything that does not add up is refused with its place: after a header that lies, nothing that follows can be
//! trusted, and a list with holes would be frozen.

use std::borrow::Cow;
use std::ops::Range;

use ::tar::{EntryType, GnuHeader, Header, PaxExtensions};

use crate::labelling::source::archives::ReadAt;
use crate::labelling::source::index::short_digest;

const BLOCK_BYTES: u64 = 512;

/// Bytes that are read at a time: the headers of small members stand close together.
const READ_BYTES: u64 = 4096;

/// Longest name, or block of pax extensions, that is read.
const MAX_NAME_BYTES: u64 = 1 << 16;

/// Bytes behind the end of a tar that are looked at for further members.
const LOOKED_AT_BEHIND_END_BYTES: u64 = 1 << 16;

/// One member.
#[derive(Debug)]
pub(super) struct Member {
    /// Its name as it stands there.
    pub(super) name: Vec<u8>,
    pub(super) kind: MemberKind,
    /// Where its header begins.
    pub(super) header_at: u64,
    /// Where its data lie.
    pub(super) data: Range<u64>,
    /// Stands for the header's name, size and type.
    pub(super) check: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum MemberKind {
    File,
    Folder,
    /// Another name for an earlier member.
    HardLink(Vec<u8>),
    /// A symbolic link, a device, a sparse file: nothing that is read.
    Other,
}

/// What is wrong with a tar, and where.
#[derive(Debug)]
pub struct Damage {
    /// Offset in bytes from the beginning of the archive.
    pub offset: u64,
    /// The member there, as far as it is known.
    pub member: Option<String>,
    /// What is wrong.
    pub problem: String,
}

impl Damage {
    /// The same, of a tar inside the archive.
    pub(super) fn inside(mut self, folder: &str) -> Self {
        let inner = format!("{folder}.tar");
        self.member = Some(self.member.map_or(inner.clone(), |member| format!("{inner}: {member}")));
        self
    }

    /// In words, for an archive that was to be listed.
    #[must_use]
    pub fn words(&self) -> String {
        let member = self.member.as_ref().map_or(String::new(), |member| format!(" in `{member}`"));
        format!("at byte {}{member}: {}. Nothing was listed, since images would be missing", self.offset, self.problem)
    }
}

/// Walks a tar, or the part of one in which an inner tar lies.
pub(super) struct Members<'a, R> {
    tar: &'a R,
    at: u64,
    end: u64,
    /// What was read last, and where it stood.
    ahead: Vec<u8>,
    ahead_at: u64,
    /// The last member, to name a place by.
    last: Option<String>,
}

/// What stands before a header and belongs to it.
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

    /// The next member; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Member>, Damage> {
        let mut extensions = Extensions::default();
        loop {
            let header_at = self.at;
            let Some(header) = self.header()? else { return Ok(None) };
            let written_bytes =
                header.entry_size().map_err(|_| self.damage(header_at, "its size is no number".to_owned()))?;
            let kind = header.entry_type();
            let for_next = kind.is_gnu_longname() || kind.is_gnu_longlink() || kind.is_pax_local_extensions();
            let bytes = if for_next { written_bytes } else { extensions.bytes.unwrap_or(written_bytes) };
            let data = self.data(header_at, &header, bytes)?;
            // Data fill whole blocks.
            self.at = data.end.next_multiple_of(BLOCK_BYTES);
            if for_next {
                let text = self.small(&data)?;
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
            // Tars older than the type of folders end their names in a slash.
            EntryType::Regular | EntryType::Continuous if name.ends_with(b"/") => MemberKind::Folder,
            EntryType::Regular | EntryType::Continuous => MemberKind::File,
            EntryType::Directory => MemberKind::Folder,
            EntryType::Link => MemberKind::HardLink(link),
            _ => MemberKind::Other,
        };
        Member { name, kind, header_at, data, check }
    }

    /// The header at the current place, checked; `None` at the end of the tar.
    fn header(&mut self) -> Result<Option<Header>, Damage> {
        let at = self.at;
        if at >= self.end {
            return Err(self.damage(at, "it ends without the empty blocks that end a tar, so it is cut off".to_owned()));
        }
        let block = self.block(at)?;
        if block.iter().all(|&byte| byte == 0) {
            self.check_end(at)?;
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block).clone();
        let sums = checksums(&block);
        match header.cksum() {
            Ok(written) if sums.contains(&i64::from(written)) => Ok(Some(header)),
            Ok(written) => {
                Err(self.damage(at, format!("a header's checksum is {written}, but its bytes give {}", sums[0])))
            }
            Err(_) => Err(self.damage(at, "there is no header of a tar".to_owned())),
        }
    }

    /// Where a member's data lie.
    fn data(&mut self, header_at: u64, header: &Header, bytes: u64) -> Result<Range<u64>, Damage> {
        let mut start = header_at + BLOCK_BYTES;
        let mut more = header.entry_type().is_gnu_sparse() && header.as_gnu().is_some_and(GnuHeader::is_extended);
        while more {
            // The map of a sparse file goes on in blocks whose last fields say whether there is one more.
            more = self.block(start)?[504] == 1;
            start += BLOCK_BYTES;
        }
        match start.checked_add(bytes) {
            Some(end) if end <= self.end => Ok(start..end),
            _ => {
                let name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
                let left = self.end.saturating_sub(start);
                let problem =
                    format!("its header says {bytes} bytes, but only {left} follow: a size that lies, or a cut");
                Err(Damage { offset: header_at, member: Some(name), problem })
            }
        }
    }

    /// Takes in what stands before a header and belongs to it.
    fn extend(&self, to: &mut Extensions, kind: EntryType, text: Vec<u8>, at: u64) -> Result<(), Damage> {
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
                let extension = extension.map_err(|_| self.damage(at, "its pax extensions are no such".to_owned()))?;
                let value = extension.value_bytes();
                match extension.key_bytes() {
                    b"path" => to.name = Some(value.to_vec()),
                    b"linkpath" => to.link = Some(value.to_vec()),
                    b"size" => {
                        let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                        to.bytes = Some(size.ok_or_else(|| self.damage(at, "its pax size is no number".to_owned()))?);
                    }
                    key if key.starts_with(b"GNU.sparse.") => to.sparse = true,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// A name or a block of extensions.
    fn small(&self, data: &Range<u64>) -> Result<Vec<u8>, Damage> {
        let bytes = data.end - data.start;
        if bytes > MAX_NAME_BYTES {
            let problem = format!("a name of {bytes} bytes; at most {MAX_NAME_BYTES} are read");
            return Err(self.damage(data.start, problem));
        }
        let mut text = vec![0; bytes as usize];
        self.tar.read_at(&mut text, data.start).map_err(|error| self.damage(data.start, error.to_string()))?;
        Ok(text)
    }

    fn block(&mut self, at: u64) -> Result<[u8; BLOCK_BYTES as usize], Damage> {
        let there = |ahead: &[u8], ahead_at: u64| {
            let start = usize::try_from(at.checked_sub(ahead_at)?).ok()?;
            ahead.get(start..)?.first_chunk().copied()
        };
        if let Some(block) = there(&self.ahead, self.ahead_at) {
            return Ok(block);
        }
        let left = self.end.saturating_sub(at);
        self.ahead.resize(left.min(READ_BYTES) as usize, 0);
        self.ahead_at = at;
        let read = self.tar.read_at(&mut self.ahead, at);
        read.map_err(|error| self.damage(at, format!("it cannot be read there: {error}")))?;
        there(&self.ahead, at)
            .ok_or_else(|| self.damage(at, format!("a header is cut off: {left} bytes are left, 512 are needed")))
    }

    /// Looks at what follows the first empty block. Two end a tar, and padding may follow; never more is read than a
    /// little, since a sparse file can pretend to any length.
    fn check_end(&mut self, at: u64) -> Result<(), Damage> {
        let behind = at + BLOCK_BYTES;
        let mut rest = vec![0; (self.end - behind.min(self.end)).min(LOOKED_AT_BEHIND_END_BYTES) as usize];
        self.tar.read_at(&mut rest, behind).map_err(|error| self.damage(behind, error.to_string()))?;
        match rest.iter().position(|&byte| byte != 0) {
            None => Ok(()),
            Some(first) => Err(self.damage(
                behind + first as u64,
                "bytes follow its end. If archives were put one behind the other, name them one by one".to_owned(),
            )),
        }
    }

    fn damage(&self, offset: u64, problem: String) -> Damage {
        Damage { offset, member: self.last.as_ref().map(|last| format!("{last}, or behind it")), problem }
    }
}

/// What a header's checksum may be: the sum of its bytes, the checksum itself counting as spaces. Some old programs
/// took bytes for signed.
fn checksums(block: &[u8; BLOCK_BYTES as usize]) -> [i64; 2] {
    let without_checksum =
        || block.iter().enumerate().map(|(at, &byte)| if (148..156).contains(&at) { b' ' } else { byte });
    [without_checksum().map(i64::from).sum(), without_checksum().map(|byte| i64::from(byte.cast_signed())).sum()]
}

/// Stands for a header's name, size and type.
fn header_check(header: &Header) -> u64 {
    let block = header.as_bytes();
    short_digest(&[&block[..100], &block[124..136], &block[156..157], &block[345..500]])
}

/// Whether a header that was listed still stands where it stood.
pub(super) fn is_still_there(tar: &impl ReadAt, header_at: u64, check: u64) -> std::io::Result<bool> {
    let mut block = [0; BLOCK_BYTES as usize];
    tar.read_at(&mut block, header_at)?;
    Ok(header_check(Header::from_byte_slice(&block)) == check)
}

/// Reads the data of a plain file, which follow its header.
pub(super) fn read_data(tar: &impl ReadAt, header_at: u64, data: &mut [u8]) -> std::io::Result<()> {
    tar.read_at(data, header_at.saturating_add(BLOCK_BYTES))
}
