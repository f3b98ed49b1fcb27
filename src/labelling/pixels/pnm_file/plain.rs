//! Numbers as text: `PpmPlainDecoder`, which reads blocks and cuts comments out of them.

use super::super::broken;
use super::{Scale, integer, is_space, no_end};
use crate::shared::error::ImageError;

/// `ImageFile.SAFEBLOCK`. Where a block ends inside a comment or a number matters to PIL.
const BLOCK: usize = 1 << 20;
const LONGEST_NUMBER: usize = 10;

/// Black and white, one character a pixel, to RGB.
pub(super) fn bits(text: &[u8], pixels: usize) -> Result<Vec<u8>, ImageError> {
    let mut values = Vec::new();
    let mut blocks = Blocks::new(text);
    while values.len() < pixels {
        let Some(block) = blocks.next() else { return Err(no_end()) };
        for byte in block.into_iter().filter(|byte| !is_space(*byte)) {
            values.push(match byte {
                b'0' => 255,
                b'1' => 0,
                _ => return Err(broken("PBM: a pixel that is neither 0 nor 1".to_owned())),
            });
        }
    }
    values.truncate(pixels);
    Ok(values.into_iter().flat_map(|value| [value; 3]).collect())
}

/// Numbers between spaces, scaled.
pub(super) fn numbers(text: &[u8], samples: usize, scale: Scale) -> Result<Vec<u8>, ImageError> {
    let mut values = Vec::new();
    let mut blocks = Blocks::new(text);
    let mut half = Vec::new();
    while values.len() < samples {
        let mut block = match blocks.next() {
            Some(block) => block,
            None if half.is_empty() => return Err(no_end()),
            None => b" ".to_vec(),
        };
        if !half.is_empty() {
            half.append(&mut block);
            block = std::mem::take(&mut half);
        }
        let mut tokens: Vec<&[u8]> = block.split(|byte| is_space(*byte)).filter(|token| !token.is_empty()).collect();
        if block.last().is_some_and(|byte| !is_space(*byte)) {
            half = tokens.pop().unwrap_or_default().to_vec();
            check_length(&half)?;
        }
        for token in tokens.into_iter().take(samples - values.len()) {
            check_length(token)?;
            let value = integer(token)?;
            match u64::try_from(value) {
                Ok(value) if value <= u64::from(scale.largest) => values.push(scale.apply(value)),
                _ => return Err(broken(format!("PNM: the value {value}, of at most {}", scale.largest))),
            }
        }
    }
    Ok(values)
}

fn check_length(token: &[u8]) -> Result<(), ImageError> {
    if token.len() > LONGEST_NUMBER {
        return Err(broken("PNM: a number of more than 10 characters".to_owned()));
    }
    Ok(())
}

/// The blocks of a text, without their comments.
struct Blocks<'a> {
    rest: &'a [u8],
    in_comment: bool,
}

impl<'a> Blocks<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Self { rest, in_comment: false }
    }

    fn read(&mut self) -> Option<&'a [u8]> {
        let (block, rest) = self.rest.split_at(self.rest.len().min(BLOCK));
        self.rest = rest;
        (!block.is_empty()).then_some(block)
    }

    /// The next block; none at the end of the text.
    fn next(&mut self) -> Option<Vec<u8>> {
        let mut block = self.read()?;
        while self.in_comment {
            if let Some(end) = line_end(block) {
                block = &block[end + 1..];
                self.in_comment = false;
            } else if let Some(next) = self.read() {
                block = next;
            } else {
                self.in_comment = false;
                block = &[];
            }
        }
        let mut text = Vec::with_capacity(block.len());
        while let Some(start) = block.iter().position(|byte| *byte == b'#') {
            text.extend_from_slice(&block[..start]);
            let Some(end) = line_end(&block[start..]) else {
                self.in_comment = true;
                return Some(text);
            };
            block = &block[start + end + 1..];
        }
        text.extend_from_slice(block);
        Some(text)
    }
}

fn line_end(text: &[u8]) -> Option<usize> {
    text.iter().position(|byte| matches!(byte, b'\r' | b'\n'))
}
