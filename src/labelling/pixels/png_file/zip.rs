//! Inflating, filters and interlacing: Pillow's `ZipDecode.c`, row by row.

use flate2::{Decompress, FlushDecompress, Status};

use super::super::broken;
use super::super::samples::{Layout, Palette};
use crate::shared::error::ImageError;

const OFFSET: [u32; 7] = [7, 3, 3, 1, 1, 0, 0];
const STARTING_COL: [u32; 7] = [0, 4, 0, 2, 0, 1, 0];
const STARTING_ROW: [u32; 7] = [0, 0, 4, 0, 2, 0, 1];
const COL_INCREMENT: [u32; 7] = [8, 8, 4, 4, 2, 2, 1];
const ROW_INCREMENT: [u32; 7] = [8, 8, 8, 4, 4, 2, 2];

/// The part of the image that the rows fill, in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) image_width: u32,
}

/// The state of inflating; RGB rows are written to where they belong.
pub(super) struct Inflated<'a> {
    layout: Layout,
    area: Area,
    palette: &'a Palette,
    rgb: &'a mut [u8],
    inflate: Decompress,
    /// Filter byte and samples of this row and of the one before.
    row: Vec<u8>,
    previous: Vec<u8>,
    filled: usize,
    y: u32,
    /// Which of Adam7's passes, if interlaced.
    pass: Option<usize>,
}

impl<'a> Inflated<'a> {
    pub(super) fn new(layout: Layout, area: Area, interlaced: bool, palette: &'a Palette, rgb: &'a mut [u8]) -> Self {
        let row = vec![0; layout.row_bytes(area.width) as usize + 1];
        let pass = interlaced.then_some(0);
        let inflate = Decompress::new(true);
        Self { layout, area, palette, rgb, inflate, previous: row.clone(), row, filled: 0, y: 0, pass }
    }

    /// Takes a piece of the stream; whether that was all. Rows that are missing behind a complete stream stay as they
    /// are: PIL does not ask for them.
    ///
    /// # Errors
    /// Returns `Broken` for what zlib or a filter refuses.
    pub(super) fn take(&mut self, mut piece: &[u8]) -> Result<bool, ImageError> {
        while !piece.is_empty() {
            let wanted = self.row_bytes() + 1;
            let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
            let room = &mut self.row[self.filled..wanted];
            let status = self.inflate.decompress(piece, room, FlushDecompress::None);
            let status = status.map_err(|error| broken(format!("PNG: zlib finds its pixels broken: {error}")))?;
            piece = &piece[(self.inflate.total_in() - read) as usize..];
            self.filled += (self.inflate.total_out() - written) as usize;
            if status == Status::BufError {
                return Err(broken("PNG: zlib finds its pixels broken".to_owned()));
            }
            if self.filled < wanted {
                return Ok(false);
            }
            self.undo_filter(wanted)?;
            self.place();
            self.filled = 0;
            if self.y >= self.area.height || status == Status::StreamEnd {
                return Ok(true);
            }
            std::mem::swap(&mut self.row, &mut self.previous);
        }
        Ok(false)
    }

    /// Pixels of a row of this pass.
    fn row_pixels(&self) -> u32 {
        self.pass.map_or(self.area.width, |pass| (self.area.width + OFFSET[pass]) / COL_INCREMENT[pass])
    }

    fn row_bytes(&self) -> usize {
        self.layout.row_bytes(self.row_pixels()) as usize
    }

    fn undo_filter(&mut self, wanted: usize) -> Result<(), ImageError> {
        let pixel = self.layout.bits().div_ceil(8) as usize;
        let (row, above) = (&mut self.row[..wanted], &self.previous[..wanted]);
        match row[0] {
            0 => {}
            1 => (pixel + 1..wanted).for_each(|i| row[i] = row[i].wrapping_add(row[i - pixel])),
            2 => (1..wanted).for_each(|i| row[i] = row[i].wrapping_add(above[i])),
            3 => {
                for i in 1..wanted {
                    let left = if i > pixel { row[i - pixel] } else { 0 };
                    row[i] = row[i].wrapping_add(u8::midpoint(left, above[i]));
                }
            }
            4 => {
                for i in 1..wanted {
                    let (left, corner) = if i > pixel { (row[i - pixel], above[i - pixel]) } else { (0, 0) };
                    row[i] = row[i].wrapping_add(paeth(left, above[i], corner));
                }
            }
            other => return Err(broken(format!("PNG: no filter has the number {other}"))),
        }
        Ok(())
    }

    fn place(&mut self) {
        let samples = &self.row[1..];
        let line = self.area.image_width as usize * 3;
        let Some(pass) = self.pass else {
            let start = (self.area.top + self.y) as usize * line + self.area.left as usize * 3;
            let out = &mut self.rgb[start..start + self.area.width as usize * 3];
            self.layout.unpack(samples, self.palette, out);
            self.y += 1;
            return;
        };
        // PIL forgets the frame's place in an interlaced image.
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

/// The neighbour closest to their slope, of left, above and corner.
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
