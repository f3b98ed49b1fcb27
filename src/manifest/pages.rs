//! What the pages of a Parquet column say that they become when they are decompressed. The footer says it too, but it is
//! the pages' own headers that the reader makes room by.

/// Returns the sum over all pages of a column chunk; `None` where their headers cannot be read.
pub(super) fn uncompressed_bytes(chunk: &[u8]) -> Option<u64> {
    let (mut thrift, mut sum) = (Thrift { bytes: chunk, at: 0 }, 0_u64);
    while thrift.at < chunk.len() {
        let header = thrift.page_header()?;
        sum = sum.checked_add(header.uncompressed_bytes)?;
        thrift.advance(header.compressed_bytes)?;
    }
    Some(sum)
}

struct PageHeader {
    uncompressed_bytes: u64,
    compressed_bytes: u64,
}

/// Thrift's compact protocol, as far as a page header needs it: two numbers, and skipping everything else.
struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Kinds of values.
const STOP: u8 = 0;
const I32: u8 = 5;
const STRUCT: u8 = 12;
/// Structs in structs; a page header has two levels.
const DEEPEST: usize = 8;

impl Thrift<'_> {
    fn page_header(&mut self) -> Option<PageHeader> {
        let (mut uncompressed, mut compressed, mut id) = (None, None, 0);
        loop {
            let kind;
            (id, kind) = self.field(id)?;
            match (id, kind) {
                (_, STOP) => break,
                (2, I32) => uncompressed = Some(self.number()?),
                (3, I32) => compressed = Some(self.number()?),
                _ => self.skip(kind, 0)?,
            }
        }
        let length = |number: Option<i64>| u64::try_from(number?).ok();
        Some(PageHeader { uncompressed_bytes: length(uncompressed)?, compressed_bytes: length(compressed)? })
    }

    /// Number and kind of the next field of a struct; the kind [`STOP`] at its end.
    fn field(&mut self, last: i64) -> Option<(i64, u8)> {
        let header = self.byte()?;
        if header == 0 {
            return Some((last, STOP));
        }
        let id = if header >> 4 == 0 { self.number()? } else { last.checked_add(i64::from(header >> 4))? };
        Some((id, header & 15))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            // A truth value is in its kind.
            1 | 2 => Some(()),
            3 => self.advance(1),
            4..=6 => self.varint().map(drop),
            7 => self.advance(8),
            8 => {
                let length = self.varint()?;
                self.advance(length)
            }
            9 | 10 => {
                let header = self.byte()?;
                let count = if header >> 4 == 15 { self.varint()? } else { u64::from(header >> 4) };
                // In a list, a truth value is a byte.
                let kind = if header & 15 <= 2 { 3 } else { header & 15 };
                (0..count).try_for_each(|_| self.skip(kind, depth))
            }
            STRUCT if depth < DEEPEST => {
                let mut id = 0;
                loop {
                    let kind;
                    (id, kind) = self.field(id)?;
                    if kind == STOP {
                        return Some(());
                    }
                    self.skip(kind, depth + 1)?;
                }
            }
            // Maps are in no page header.
            _ => None,
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn advance(&mut self, bytes: u64) -> Option<()> {
        let at = self.at.checked_add(usize::try_from(bytes).ok()?)?;
        self.at = at;
        (at <= self.bytes.len()).then_some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// A signed number.
    fn number(&mut self) -> Option<i64> {
        let number = self.varint()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_summed_up_and_anything_else_is_refused() {
        // Kind of page 0, 300 bytes that are stored as 3; a struct with a list of two texts in it, which is skipped.
        let page = [0x15, 0, 0x15, 0xd8, 0x04, 0x15, 6, 0x2c, 0x19, 0x28, 1, b'a', 0, 0, 0, b'x', b'y', b'z'];
        assert_eq!(uncompressed_bytes(&page), Some(300));
        assert_eq!(uncompressed_bytes(&page.repeat(3)), Some(900));
        for cut in 1..page.len() {
            assert_eq!(uncompressed_bytes(&page[..cut]), None, "{cut}");
        }
        let negative = [0x15, 0, 0x15, 1, 0x15, 0, 0];
        assert_eq!(uncompressed_bytes(&negative), None);
        assert_eq!(uncompressed_bytes(&[0x1c; 100]), None, "structs without end");
    }
}
