//! Numbers as text, like `PpmPlainDecoder`, which reads blocks and removes comments from them.

use super::super::image_error::broken;
use super::{Scale, integer, is_space, no_end};
use crate::shared::error::ImageError;

/// `ImageFile.SAFEBLOCK`. Blocks that end inside a comment or number matter for PIL.
const BLOCK: usize = 1 << 20;
const MAX_NUMBER_LENGTH: usize = 10;

/// Converts black and white, one character per pixel, to RGB.
pub(super) fn bits(text: &[u8], pixels: usize) -> Result<Vec<u8>, ImageError> {
    let mut values = Vec::new();
    let mut blocks = Blocks::new(text);
    while values.len() < pixels {
        let Some(block) = blocks.next() else { return Err(no_end()) };
        for byte in block.into_iter().filter(|byte| !is_space(*byte)) {
            values.push(match byte {
                b'0' => 255,
                b'1' => 0,
                _ => return Err(broken("PBM: pixel is neither 0 nor 1")),
            });
        }
    }
    values.truncate(pixels);
    Ok(values.into_iter().flat_map(|value| [value; 3]).collect())
}

/// Reads and scales numbers separated by spaces.
pub(super) fn numbers(text: &[u8], samples: usize, scale: Scale) -> Result<Vec<u8>, ImageError> {
    let mut values = Vec::new();
    let mut blocks = Blocks::new(text);
    let mut partial = Vec::new();
    while values.len() < samples {
        let mut block = match blocks.next() {
            Some(block) => block,
            None if partial.is_empty() => return Err(no_end()),
            None => b" ".to_vec(),
        };
        if !partial.is_empty() {
            partial.append(&mut block);
            block = std::mem::take(&mut partial);
        }
        let mut tokens: Vec<&[u8]> = block.split(|byte| is_space(*byte)).filter(|token| !token.is_empty()).collect();
        if block.last().is_some_and(|byte| !is_space(*byte)) {
            partial = tokens.pop().unwrap_or_default().to_vec();
            check_length(&partial)?;
        }
        for token in tokens.into_iter().take(samples - values.len()) {
            check_length(token)?;
            let value = integer(token)?;
            match u64::try_from(value) {
                Ok(value) if value <= u64::from(scale.largest) => values.push(scale.apply(value)),
                _ => return Err(broken(format!("PNM: value {value} exceeds the maximum {}", scale.largest))),
            }
        }
    }
    Ok(values)
}

fn check_length(token: &[u8]) -> Result<(), ImageError> {
    if token.len() > MAX_NUMBER_LENGTH {
        return Err(broken("PNM: number of more than 10 characters"));
    }
    Ok(())
}

/// Blocks of a text, without comments.
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

    /// Reads the next block; `None` at the end of the text.
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
