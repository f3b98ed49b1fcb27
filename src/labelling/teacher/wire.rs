//! Looks over the bytes of an ONNX file before anything is made of them. Decoding allocates a few hundred bytes for each
//! message, however small it is in the file, so that a small file could ask for all memory; counts, depths and lengths
//! are therefore checked here first, without allocating.

/// Longest file that is read. Protobuf itself ends at 2 GiB; larger weights lie in files of their own.
pub(crate) const MOST_BYTES: u64 = (1 << 31) - 1;
/// Messages and texts in a file. The largest classifiers have a tenth of it.
const MOST_PARTS: usize = 1_000_000;
/// Numbers that are written one by one, such as dimensions, and bytes that grow when they are decoded.
const MOST_NUMBERS: usize = 1 << 25;
/// Graphs inside graphs (`If`, `Loop`); exporters write two or three.
pub(crate) const MOST_NESTED_GRAPHS: usize = 8;
/// Bytes of a name. Dynamo's are a few hundred long.
const LONGEST_NAME_BYTES: usize = 1 << 16;

/// The messages of `onnx.proto` that can hold many others.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    ValueInfo,
    Function,
    Training,
    /// Two texts, or a text and a number.
    Entry,
}

/// What a field of a message holds.
enum Field {
    Message(Kind),
    Name,
    /// Something that grows when it is decoded, and is not looked into: its bytes are counted.
    Growing,
    /// Bytes that stay slices of the file, packed floats, or text for people.
    Data,
}

impl Kind {
    /// Fields of wire type 2 by number, as `onnx.proto` has them.
    fn field(self, number: u64) -> Field {
        use Field::{Data, Growing, Message, Name};
        match (self, number) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) | (Self::Training, 1 | 2) => Message(Self::Graph),
            (Self::Model, 20) => Message(Self::Training),
            (Self::Model, 25) => Message(Self::Function),
            (Self::Graph, 1) | (Self::Function, 7) => Message(Self::Node),
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::SparseTensor, 1 | 2) => Message(Self::Tensor),
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Message(Self::SparseTensor),
            (Self::Node, 5) | (Self::Function, 11) => Message(Self::Attribute),
            (Self::Graph, 11..=13) | (Self::Function, 12) => Message(Self::ValueInfo),
            (Self::Model, 8 | 14)
            | (Self::Graph, 16)
            | (Self::Node, 9)
            | (Self::Tensor, 13 | 16)
            | (Self::ValueInfo, 4)
            | (Self::Training, 3 | 4)
            | (Self::Function, 9 | 14) => Message(Self::Entry),
            // Numbers in as few bytes as they need, types, and notes on devices and quantisation.
            (Self::Tensor, 1 | 5 | 7 | 11)
            | (Self::Attribute, 8 | 14 | 15)
            | (Self::SparseTensor, 3)
            | (Self::ValueInfo, 2)
            | (Self::Graph, 14)
            | (Self::Node, 10)
            | (Self::Model, 26) => Growing,
            (Self::Node, 1..=4 | 7 | 8)
            | (Self::Graph, 2)
            | (Self::Tensor, 8)
            | (Self::Attribute | Self::ValueInfo | Self::Entry, 1)
            | (Self::Attribute, 21)
            | (Self::Function, 1 | 4 | 5 | 6 | 10 | 13)
            | (Self::Model, 2..=4) => Name,
            _ => Data,
        }
    }
}

/// Checks a serialised `ModelProto`.
///
/// # Errors
/// In words: where the bytes are no protobuf, or what there is too much of.
pub(crate) fn check(bytes: &[u8]) -> Result<(), String> {
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!(
            "it has {} bytes; {MOST_BYTES} are accepted. Keep weights in a file beside it",
            bytes.len()
        ));
    }
    let mut counts = Counts { parts: 0, numbers: 0 };
    message(bytes, Kind::Model, 0, &mut counts)
}

struct Counts {
    parts: usize,
    numbers: usize,
}

fn message(mut bytes: &[u8], kind: Kind, graphs: usize, counts: &mut Counts) -> Result<(), String> {
    if graphs > MOST_NESTED_GRAPHS {
        return Err(format!("its graphs lie inside each other more than {MOST_NESTED_GRAPHS} deep"));
    }
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        match key & 7 {
            0 => {
                varint(&mut bytes)?;
                counts.numbers += 1;
            }
            1 => {
                take(&mut bytes, 8)?;
                counts.numbers += 1;
            }
            5 => {
                take(&mut bytes, 4)?;
                counts.numbers += 1;
            }
            2 => {
                let length = varint(&mut bytes)?;
                let inside = take(&mut bytes, usize::try_from(length).unwrap_or(usize::MAX))?;
                counts.parts += 1;
                match kind.field(key >> 3) {
                    Field::Message(inner) => {
                        message(inside, inner, graphs + usize::from(matches!(inner, Kind::Graph)), counts)?;
                    }
                    Field::Name if inside.len() > LONGEST_NAME_BYTES => {
                        return Err(format!(
                            "it has a name of {} bytes; {LONGEST_NAME_BYTES} are accepted",
                            inside.len()
                        ));
                    }
                    Field::Growing => counts.numbers += inside.len(),
                    Field::Name | Field::Data => {}
                }
            }
            other => return Err(format!("it is no ONNX model: it has a field of the unknown wire type {other}")),
        }
        if counts.parts > MOST_PARTS {
            return Err(format!("it has more than {MOST_PARTS} parts (nodes, names, attributes, ...)"));
        }
        if counts.numbers > MOST_NUMBERS {
            return Err(format!("it spells out more than {MOST_NUMBERS} numbers that should be raw data"));
        }
    }
    Ok(())
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let Some((&byte, rest)) = bytes.split_first() else { return Err(ends_early()) };
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("it is no ONNX model: it has a number of more than ten bytes".to_owned())
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or_else(ends_early)?;
    *bytes = rest;
    Ok(taken)
}

fn ends_early() -> String {
    "it is no ONNX model, or only the beginning of one: it ends in the middle of a field".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of wire type 2.
    fn field(number: u8, inside: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2];
        let mut length = inside.len();
        while length >= 0x80 {
            bytes.push(length as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend_from_slice(inside);
        bytes
    }

    #[test]
    fn many_small_messages_are_refused_before_they_are_decoded() {
        let nodes = field(1, &[]).repeat(MOST_PARTS + 1);
        assert!(check(&field(7, &nodes)).unwrap_err().contains("parts"));
    }

    #[test]
    fn deep_graphs_long_names_and_spelled_out_numbers_are_refused() {
        let mut graph = field(2, b"innermost");
        for _ in 0..MOST_NESTED_GRAPHS {
            graph = field(1, &field(5, &field(6, &graph)));
        }
        assert!(check(&field(7, &graph)).unwrap_err().contains("inside each other"));
        let name = field(7, &field(1, &field(1, &vec![b'a'; LONGEST_NAME_BYTES + 1])));
        assert!(check(&name).unwrap_err().contains("name of 65537 bytes"));
        let integers = field(7, &field(5, &field(7, &vec![1; MOST_NUMBERS + 1])));
        assert!(check(&integers).unwrap_err().contains("numbers"));
    }

    #[test]
    fn what_ends_early_or_is_no_protobuf_is_refused() {
        let whole = field(7, &field(2, b"tiny"));
        assert_eq!(check(&whole), Ok(()));
        for end in 1..whole.len() {
            assert!(check(&whole[..end]).is_err(), "{end} bytes of {}", whole.len());
        }
        assert!(check(&[0xff; 11]).is_err());
        assert!(check(b"this is no model").is_err());
    }
}
