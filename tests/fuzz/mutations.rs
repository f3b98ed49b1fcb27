//! Random changes of bytes.

use std::ops::Range;

use proptest::prelude::{Strategy, any};
use proptest::prop_oneof;
use proptest::sample::Index;

/// Longest range that is copied, moved or deleted.
const LONGEST_RANGE: usize = 600;

/// One change. Positions are drawn before the length is known.
#[derive(Clone, Debug)]
pub enum Mutation {
    FlipBit {
        at: Index,
        bit: u8,
    },
    Overwrite {
        at: Index,
        with: &'static [u8],
    },
    Byte {
        at: Index,
        byte: u8,
    },
    Truncate {
        at: Index,
    },
    Delete {
        from: Index,
        length: usize,
    },
    Duplicate {
        from: Index,
        length: usize,
        to: Index,
    },
    Swap {
        first: Index,
        second: Index,
        length: usize,
    },
    /// Inserts bytes of another file.
    Splice {
        from: Index,
        length: usize,
        to: Index,
    },
    /// The start of this file, then the end of another.
    Cross {
        at: Index,
        other: Index,
    },
}

/// Boundary values: zeros, ones, the longest varints, lengths of 2 GiB in both byte orders, octal and decimal digits, line
/// ends and quotes.
const BOUNDARY_VALUES: [&[u8]; 14] = [
    &[0],
    &[0xff],
    &[0; 8],
    &[0xff; 8],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0xfe, 0xff, 0xff, 0xff, 0x07],
    &[0, 0, 0, 0x80],
    &[0x7f, 0xff, 0xff, 0xff],
    b"77777777777\0",
    b"99999999999999999999",
    b"-1",
    b"\"\n",
    b"../",
];

pub fn mutation() -> impl Strategy<Value = Mutation> {
    let position = any::<Index>;
    let length = || 1..LONGEST_RANGE;
    prop_oneof![
        4 => (position(), 0..8_u8).prop_map(|(at, bit)| Mutation::FlipBit { at, bit }),
        4 => (position(), 0..BOUNDARY_VALUES.len()).prop_map(|(at, value)| Mutation::Overwrite { at, with: BOUNDARY_VALUES[value] }),
        4 => (position(), any::<u8>()).prop_map(|(at, byte)| Mutation::Byte { at, byte }),
        1 => position().prop_map(|at| Mutation::Truncate { at }),
        1 => (position(), length()).prop_map(|(from, length)| Mutation::Delete { from, length }),
        1 => (position(), length(), position()).prop_map(|(from, length, to)| Mutation::Duplicate { from, length, to }),
        1 => (position(), position(), length()).prop_map(|(first, second, length)| Mutation::Swap { first, second, length }),
        1 => (position(), length(), position()).prop_map(|(from, length, to)| Mutation::Splice { from, length, to }),
        1 => (position(), position()).prop_map(|(at, other)| Mutation::Cross { at, other }),
    ]
}

/// Applies all changes; splices come from `other`.
pub fn mutated(bytes: &[u8], other: &[u8], mutations: &[Mutation]) -> Vec<u8> {
    mutations.iter().fold(bytes.to_vec(), |bytes, mutation| mutation.apply(bytes, other))
}

impl Mutation {
    fn apply(&self, mut bytes: Vec<u8>, other: &[u8]) -> Vec<u8> {
        if bytes.is_empty() || other.is_empty() {
            return bytes;
        }
        let size = bytes.len();
        match self {
            Self::FlipBit { at, bit } => bytes[at.index(size)] ^= 1 << bit,
            Self::Overwrite { at, with } => {
                let range = range(*at, with.len(), size);
                let count = range.len();
                bytes[range].copy_from_slice(&with[..count]);
            }
            Self::Byte { at, byte } => bytes[at.index(size)] = *byte,
            Self::Truncate { at } => bytes.truncate(at.index(size)),
            Self::Delete { from, length } => drop(bytes.drain(range(*from, *length, size))),
            Self::Duplicate { from, length, to } => {
                let copy = bytes[range(*from, *length, size)].to_vec();
                let to = to.index(size);
                bytes.splice(to..to, copy);
            }
            Self::Swap { first, second, length } => {
                for at in 0..*length {
                    bytes.swap((first.index(size) + at) % size, (second.index(size) + at) % size);
                }
            }
            Self::Splice { from, length, to } => {
                let to = to.index(size);
                bytes.splice(to..to, other[range(*from, *length, other.len())].iter().copied());
            }
            Self::Cross { at, other: from } => {
                bytes.truncate(at.index(size));
                bytes.extend(&other[from.index(other.len())..]);
            }
        }
        bytes
    }
}

/// At most `length` bytes from a position, inside `size`.
fn range(from: Index, length: usize, size: usize) -> Range<usize> {
    let from = from.index(size);
    from..size.min(from + length)
}
