//! LZW codes to palette indices, like Pillow's `GifDecode.c`.

const MAX_TABLE: usize = 4096;
const MAX_CODE_BITS: u32 = 12;

/// Position and size of a frame on the screen, in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameRect {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) interlaced: bool,
}

/// State after a block of data.
pub(super) enum LzwProgress {
    /// This many bytes were used; more are needed.
    NeedsMore(usize),
    /// The last row is complete.
    Complete,
    /// The codes are invalid.
    Broken,
}

/// State of the decoder between two blocks of data.
pub(super) struct Lzw {
    frame: FrameRect,
    screen_width: u32,
    x: u32,
    y: u32,
    /// Pass 1 to 3 of an interlaced frame, else 0.
    interlace: u8,
    step: u32,
    clear: u32,
    next: usize,
    code_bits: u32,
    first_bits: u32,
    stage: Stage,
    bits: u32,
    bit_count: u32,
    block_left: usize,
    last_data: u8,
    last_code: u32,
    data: Vec<u8>,
    link: Vec<u16>,
    /// A string of indices, last one first.
    string: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Clear,
    First,
    Following,
}

impl Lzw {
    pub(super) fn new(bits: u8, frame: FrameRect, screen_width: u32) -> Self {
        let first_bits = u32::from(bits);
        Self {
            frame,
            screen_width,
            x: 0,
            y: 0,
            interlace: u8::from(frame.interlaced),
            step: if frame.interlaced { 8 } else { 1 },
            clear: 1 << first_bits.min(MAX_CODE_BITS),
            next: 0,
            code_bits: 0,
            first_bits,
            stage: Stage::Clear,
            bits: 0,
            bit_count: 0,
            block_left: 0,
            last_data: 0,
            last_code: 0,
            data: vec![0; MAX_TABLE],
            link: vec![0; MAX_TABLE],
            string: Vec::with_capacity(MAX_TABLE),
        }
    }

    /// Decodes the complete sub-blocks of `block`. PIL also returns at an end code, and continues after it if rows are
    /// missing.
    pub(super) fn decode(&mut self, block: &[u8], indices: &mut [u8]) -> LzwProgress {
        if self.first_bits > MAX_CODE_BITS {
            return LzwProgress::Broken;
        }
        let mut at = 0;
        loop {
            if self.stage == Stage::Clear {
                self.next = self.clear as usize + 2;
                self.code_bits = self.first_bits + 1;
                self.stage = Stage::First;
            }
            while self.bit_count < self.code_bits {
                let Some(&byte) = block.get(at) else { return LzwProgress::NeedsMore(at) };
                if self.block_left > 0 {
                    self.bits |= u32::from(byte) << self.bit_count;
                    self.bit_count += 8;
                    self.block_left -= 1;
                } else if block.len() - at <= usize::from(byte) {
                    return LzwProgress::NeedsMore(at);
                } else {
                    self.block_left = usize::from(byte);
                }
                at += 1;
            }
            let code = self.bits & ((1 << self.code_bits) - 1);
            self.bits >>= self.code_bits;
            self.bit_count -= self.code_bits;
            if code == self.clear {
                if self.stage == Stage::Following {
                    self.stage = Stage::Clear;
                }
                continue;
            }
            if code == self.clear + 1 {
                return LzwProgress::NeedsMore(at);
            }
            if !self.expand(code) {
                return LzwProgress::Broken;
            }
            if self.write_string(indices) {
                return LzwProgress::Complete;
            }
        }
    }

    /// Sets the string of a code; returns false for an invalid code.
    fn expand(&mut self, code: u32) -> bool {
        self.string.clear();
        if self.stage == Stage::First {
            if code > self.clear {
                return false;
            }
            self.last_data = code as u8;
            self.last_code = code;
            self.string.push(self.last_data);
            self.stage = Stage::Following;
            return true;
        }
        let mut rest = code;
        if code as usize > self.next {
            return false;
        }
        if code as usize == self.next {
            self.string.push(self.last_data);
            rest = self.last_code;
        }
        while rest >= self.clear {
            let entry = rest as usize;
            if self.string.len() >= MAX_TABLE || entry >= MAX_TABLE {
                return false;
            }
            self.string.push(self.data[entry]);
            rest = u32::from(self.link[entry]);
        }
        self.last_data = rest as u8;
        self.string.push(self.last_data);
        if self.next < MAX_TABLE {
            self.data[self.next] = self.last_data;
            self.link[self.next] = self.last_code as u16;
            if self.next == (1 << self.code_bits) - 1 && self.code_bits < MAX_CODE_BITS {
                self.code_bits += 1;
            }
            self.next += 1;
        }
        self.last_code = code;
        true
    }

    /// Writes the string; returns whether the last row is complete.
    fn write_string(&mut self, indices: &mut [u8]) -> bool {
        while let Some(index) = self.string.pop() {
            let row = (self.frame.top + self.y) as usize * self.screen_width as usize;
            indices[row + (self.frame.left + self.x) as usize] = index;
            self.x += 1;
            if self.x >= self.frame.width {
                self.x = 0;
                if self.next_row() {
                    return true;
                }
            }
        }
        false
    }

    /// Moves to the next row; returns whether there is none.
    fn next_row(&mut self) -> bool {
        self.y += self.step;
        while self.y >= self.frame.height {
            (self.y, self.step, self.interlace) = match self.interlace {
                1 => (4, 8, 2),
                2 => (2, 4, 3),
                3 => (1, 2, 0),
                _ => return true,
            };
        }
        false
    }
}
