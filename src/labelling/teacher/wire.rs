//! Checks the bytes of an ONNX file against limits before it is decoded. Decoding allocates a few hundred bytes for each
//! message, however small it is in the file, so a small file could exhaust all memory. Counts, depths and lengths
//! are therefore checked here first, without allocating.

/// Longest file that is read. Protobuf itself ends at 2 GiB; larger weights are stored in separate files.
const MAX_BYTES: u64 = (1 << 31) - 1;
/// Messages and strings in a file. The largest classifiers have a tenth of it.
const MAX_PARTS: usize = 1_000_000;
/// Numbers that are encoded one by one, such as dimensions, and bytes that grow when they are decoded.
const MAX_NUMBERS: usize = 1 << 25;
/// Depth of nested graphs (`If`, `Loop`); exporters write two or three levels.
pub(crate) const MAX_NESTED_GRAPHS: usize = 8;
/// Bytes of a name. Those of PyTorch's dynamo exporter are a few hundred long.
const MAX_NAME_BYTES: usize = 1 << 16;

/// Reason the bytes of a file are not decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// The file is longer than [`MAX_BYTES`].
    #[error("the file has {bytes} bytes; the limit is {MAX_BYTES}")]
    TooLong { bytes: u64 },
    /// Graphs are nested deeper than [`MAX_NESTED_GRAPHS`].
    #[error("the graphs are nested more than {MAX_NESTED_GRAPHS} deep")]
    NestedTooDeep,
    /// A name is longer than [`MAX_NAME_BYTES`].
    #[error("the model has a name of {bytes} bytes; the limit is {MAX_NAME_BYTES}")]
    NameTooLong { bytes: usize },
    /// More messages and strings than [`MAX_PARTS`].
    #[error("the model has more than {MAX_PARTS} parts (nodes, names, attributes, ...)")]
    TooManyParts,
    /// More numbers than [`MAX_NUMBERS`] that are encoded one by one.
    #[error("the model encodes more than {MAX_NUMBERS} numbers one by one that should be raw data")]
    TooManyNumbers,
    /// Protobuf has no such wire type.
    #[error("not an ONNX model: it has a field of the unknown wire type {wire_type}")]
    UnknownWireType { wire_type: u64 },
    /// A varint does not end.
    #[error("not an ONNX model: it has a number of more than ten bytes")]
    VarintTooLong,
    /// The bytes end within a field.
    #[error("not an ONNX model, or an incomplete one: it ends in the middle of a field")]
    EndsEarly,
}

/// The messages of `onnx.proto` that can contain many others.
#[derive(Clone, Copy)]
enum MessageKind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    ValueInfo,
    Function,
    Training,
    /// Two strings, or a string and a number.
    Entry,
}

/// Content of a field of a message.
enum FieldKind {
    Message(MessageKind),
    Name,
    /// Grows when it is decoded; its bytes are counted, and not parsed.
    Growing,
    /// Bytes that stay slices of the file, packed floats, or free text.
    Data,
}

impl MessageKind {
    /// Fields of wire type 2 by number, as in `onnx.proto`.
    fn field(self, number: u64) -> FieldKind {
        use FieldKind::{Data, Growing, Message, Name};
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
            // Varints, types, and annotations of devices and quantisation.
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
/// Returns a [`WireError`] if the bytes are not protobuf, or if a limit is exceeded.
pub(crate) fn check(bytes: &[u8]) -> Result<(), WireError> {
    check_length(bytes.len() as u64)?;
    let mut counts = Counts { parts: 0, numbers: 0 };
    check_message(bytes, MessageKind::Model, 0, &mut counts)
}

/// Checks the length of a file.
pub(crate) fn check_length(bytes: u64) -> Result<(), WireError> {
    if bytes > MAX_BYTES { Err(WireError::TooLong { bytes }) } else { Ok(()) }
}

struct Counts {
    parts: usize,
    numbers: usize,
}

fn check_message(mut bytes: &[u8], kind: MessageKind, graphs: usize, counts: &mut Counts) -> Result<(), WireError> {
    if graphs > MAX_NESTED_GRAPHS {
        return Err(WireError::NestedTooDeep);
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
                let content = take(&mut bytes, usize::try_from(length).unwrap_or(usize::MAX))?;
                counts.parts += 1;
                match kind.field(key >> 3) {
                    FieldKind::Message(inner) => {
                        let graphs = graphs + usize::from(matches!(inner, MessageKind::Graph));
                        check_message(content, inner, graphs, counts)?;
                    }
                    FieldKind::Name if content.len() > MAX_NAME_BYTES => {
                        return Err(WireError::NameTooLong { bytes: content.len() });
                    }
                    FieldKind::Growing => counts.numbers += content.len(),
                    FieldKind::Name | FieldKind::Data => {}
                }
            }
            wire_type => return Err(WireError::UnknownWireType { wire_type }),
        }
        if counts.parts > MAX_PARTS {
            return Err(WireError::TooManyParts);
        }
        if counts.numbers > MAX_NUMBERS {
            return Err(WireError::TooManyNumbers);
        }
    }
    Ok(())
}

fn varint(bytes: &mut &[u8]) -> Result<u64, WireError> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let Some((&byte, rest)) = bytes.split_first() else { return Err(WireError::EndsEarly) };
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(WireError::VarintTooLong)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], WireError> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or(WireError::EndsEarly)?;
    *bytes = rest;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of wire type 2.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2];
        let mut length = content.len();
        while length >= 0x80 {
            bytes.push(length as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend_from_slice(content);
        bytes
    }

    #[test]
    fn many_small_messages_are_refused_before_they_are_decoded() {
        let nodes = field(1, &[]).repeat(MAX_PARTS + 1);
        assert_eq!(check(&field(7, &nodes)), Err(WireError::TooManyParts));
    }

    #[test]
    fn deep_graphs_long_names_and_numbers_that_are_not_raw_data_are_refused() {
        let mut graph = field(2, b"innermost");
        for _ in 0..MAX_NESTED_GRAPHS {
            graph = field(1, &field(5, &field(6, &graph)));
        }
        assert_eq!(check(&field(7, &graph)), Err(WireError::NestedTooDeep));
        let name = field(7, &field(1, &field(1, &vec![b'a'; MAX_NAME_BYTES + 1])));
        assert_eq!(check(&name), Err(WireError::NameTooLong { bytes: 65_537 }));
        let integers = field(7, &field(5, &field(7, &vec![1; MAX_NUMBERS + 1])));
        assert_eq!(check(&integers), Err(WireError::TooManyNumbers));
    }

    #[test]
    fn incomplete_files_and_other_formats_are_refused() {
        let complete = field(7, &field(2, b"tiny"));
        assert_eq!(check(&complete), Ok(()));
        for end in 1..complete.len() {
            assert!(check(&complete[..end]).is_err(), "{end} bytes of {}", complete.len());
        }
        assert!(check(&[0xff; 11]).is_err());
        assert!(check(b"not a model").is_err());
    }
}
