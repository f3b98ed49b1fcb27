//! Decompression, filters and interlacing row by row, like Pillow's `ZipDecode.c`.

use flate2::{Decompress, FlushDecompress, Status};

use super::super::image_error::broken;
use super::super::samples::{Palette, SampleLayout};
use crate::shared::error::ImageError;

const OFFSET: [u32; 7] = [7, 3, 3, 1, 1, 0, 0];
const STARTING_COL: [u32; 7] = [0, 4, 0, 2, 0, 1, 0];
const STARTING_ROW: [u32; 7] = [0, 0, 4, 0, 2, 0, 1];
const COL_INCREMENT: [u32; 7] = [8, 8, 4, 4, 2, 2, 1];
const ROW_INCREMENT: [u32; 7] = [8, 8, 8, 4, 4, 2, 2];

/// The part of the image that the rows cover, in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameArea {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) image_width: u32,
}

/// Decompresses rows and writes them as RGB into an image.
pub(super) struct PixelInflater<'a> {
    layout: SampleLayout,
    area: FrameArea,
    palette: &'a Palette,
    rgb: &'a mut [u8],
    zlib: Decompress,
    /// Filter byte and samples of the current and the previous row.
    row: Vec<u8>,
    previous: Vec<u8>,
    filled: usize,
    y: u32,
    /// Pass of Adam7, if interlaced.
    pass: Option<usize>,
}

impl<'a> PixelInflater<'a> {
    pub(super) fn new(
        layout: SampleLayout,
        area: FrameArea,
        interlaced: bool,
        palette: &'a Palette,
        rgb: &'a mut [u8],
    ) -> Self {
        let row = vec![0; layout.row_bytes(area.width) as usize + 1];
        let pass = interlaced.then_some(0);
        let zlib = Decompress::new(true);
        Self { layout, area, palette, rgb, zlib, previous: row.clone(), row, filled: 0, y: 0, pass }
    }

    /// Decompresses a block of the stream and returns whether the image is complete. Rows missing after a complete stream are
    /// left unchanged: PIL does not require them.
    ///
    /// # Errors
    /// Returns an error of kind `Broken` if the stream or a filter is invalid.
    pub(super) fn inflate(&mut self, mut block: &[u8]) -> Result<bool, ImageError> {
        while !block.is_empty() {
            let row_length = self.row_bytes() + 1;
            let (read, written) = (self.zlib.total_in(), self.zlib.total_out());
            let free = &mut self.row[self.filled..row_length];
            let status = self.zlib.decompress(block, free, FlushDecompress::None);
            let status = status.map_err(|error| broken(format!("PNG: invalid zlib data: {error}")))?;
            block = &block[(self.zlib.total_in() - read) as usize..];
            self.filled += (self.zlib.total_out() - written) as usize;
            if status == Status::BufError {
                return Err(broken("PNG: invalid zlib data"));
            }
            if self.filled < row_length {
                return Ok(false);
            }
            self.undo_filter(row_length)?;
            self.write_row();
            self.filled = 0;
            if self.y >= self.area.height || status == Status::StreamEnd {
                return Ok(true);
            }
            std::mem::swap(&mut self.row, &mut self.previous);
        }
        Ok(false)
    }

    /// Pixels per row of the current pass.
    fn row_pixels(&self) -> u32 {
        self.pass.map_or(self.area.width, |pass| (self.area.width + OFFSET[pass]) / COL_INCREMENT[pass])
    }

    fn row_bytes(&self) -> usize {
        self.layout.row_bytes(self.row_pixels()) as usize
    }

    fn undo_filter(&mut self, row_length: usize) -> Result<(), ImageError> {
        let pixel = self.layout.bits().div_ceil(8) as usize;
        let (row, above) = (&mut self.row[..row_length], &self.previous[..row_length]);
        match row[0] {
            0 => {}
            1 => (pixel + 1..row_length).for_each(|i| row[i] = row[i].wrapping_add(row[i - pixel])),
            2 => (1..row_length).for_each(|i| row[i] = row[i].wrapping_add(above[i])),
            3 => {
                for i in 1..row_length {
                    let left = if i > pixel { row[i - pixel] } else { 0 };
                    row[i] = row[i].wrapping_add(u8::midpoint(left, above[i]));
                }
            }
            4 => {
                for i in 1..row_length {
                    let (left, corner) = if i > pixel { (row[i - pixel], above[i - pixel]) } else { (0, 0) };
                    row[i] = row[i].wrapping_add(paeth(left, above[i], corner));
                }
            }
            other => return Err(broken(format!("PNG: unknown filter {other}"))),
        }
        Ok(())
    }

    fn write_row(&mut self) {
        let samples = &self.row[1..];
        let line = self.area.image_width as usize * 3;
        let Some(pass) = self.pass else {
            let start = (self.area.top + self.y) as usize * line + self.area.left as usize * 3;
            let out = &mut self.rgb[start..start + self.area.width as usize * 3];
            self.layout.unpack(samples, self.palette, out);
            self.y += 1;
            return;
        };
        // PIL ignores the offset of the frame in an interlaced image.
        let start = self.y as usize * line;
        for x in 0..self.row_pixels() {
            let at = start + (STARTING_COL[pass] + x * COL_INCREMENT[pass]) as usize * 3;
            self.rgb[at..at + 3].copy_from_slice(&self.layout.pixel(samples, x as usize, self.palette));
        }
        self.next_interlaced_row(pass);
    }

    fn next_interlaced_row(&mut self, mut pass: usize) {
        self.y += ROW_INCREMENT[pass];
        while self.y >= self.area.height || self.row_bytes() == 0 {
            pass += 1;
            if pass == 7 {
                self.y = self.area.height;
                return;
            }
            self.pass = Some(pass);
            self.y = STARTING_ROW[pass];
            self.row.fill(0);
        }
    }
}

/// The Paeth predictor.
fn paeth(left: u8, above: u8, corner: u8) -> u8 {
    let [a, b, c] = [left, above, corner].map(i16::from);
    let (to_left, to_above, to_corner) = ((b - c).abs(), (a - c).abs(), (a + b - 2 * c).abs());
    if to_left <= to_above && to_left <= to_corner {
        left
    } else if to_above <= to_corner {
        above
    } else {
        corner
    }
}
