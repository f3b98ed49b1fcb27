//! Sizes, one type for each space.
//!
//! Four spaces exist: `image` (pixels of the decoded file), `input` (pixels that the teacher sees), `map` (cells of
//! the label map) and `unit` (0..1 of the image). The whole image is squashed to the input, so that a `unit`
//! coordinate means the same place in all of them. Heights come before widths, as in an array shape.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Size of the teacher's input in pixels. Both sides are at least 1 and at most [`InputSize::MAX_SIDE_PIXELS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "[u32; 2]", into = "[u32; 2]")]
pub struct InputSize {
    height_pixels: u32,
    width_pixels: u32,
}

impl InputSize {
    /// Largest side that is accepted. Teachers stay far below; a slip in a card must not ask for terabytes.
    pub const MAX_SIDE_PIXELS: u32 = 8192;

    /// A size of `height_pixels` by `width_pixels`.
    ///
    /// # Errors
    /// When a side is 0 or larger than [`InputSize::MAX_SIDE_PIXELS`].
    pub fn new(height_pixels: u32, width_pixels: u32) -> Result<Self, String> {
        let sides = 1..=Self::MAX_SIDE_PIXELS;
        if sides.contains(&height_pixels) && sides.contains(&width_pixels) {
            Ok(Self { height_pixels, width_pixels })
        } else {
            Err(format!(
                "an input of {height_pixels}x{width_pixels} pixels is out of range: each side is 1 to {}",
                Self::MAX_SIDE_PIXELS
            ))
        }
    }

    /// Height in input pixels.
    #[must_use]
    pub const fn height_pixels(self) -> u32 {
        self.height_pixels
    }

    /// Width in input pixels.
    #[must_use]
    pub const fn width_pixels(self) -> u32 {
        self.width_pixels
    }

    /// Bytes of one RGB image of this size, `[y, x, channel]` u8.
    #[must_use]
    pub const fn rgb_bytes(self) -> usize {
        self.height_pixels as usize * self.width_pixels as usize * 3
    }
}

impl fmt::Display for InputSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height_pixels, self.width_pixels)
    }
}

/// Reads `475` (square) or `475x640` (height x width).
impl FromStr for InputSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |part: &str| {
            part.trim()
                .parse::<u32>()
                .map_err(|_| format!("`{text}` is not an input size: write 475 or 475x640 (height x width, in pixels)"))
        };
        match text.split_once('x') {
            None => Self::new(side(text)?, side(text)?),
            Some((height, width)) => Self::new(side(height)?, side(width)?),
        }
    }
}

impl TryFrom<[u32; 2]> for InputSize {
    type Error = String;

    fn try_from([height, width]: [u32; 2]) -> Result<Self, String> {
        Self::new(height, width)
    }
}

impl From<InputSize> for [u32; 2] {
    fn from(size: InputSize) -> Self {
        [size.height_pixels, size.width_pixels]
    }
}

/// Size of a label map in cells. Both sides are at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "[usize; 2]", into = "[usize; 2]")]
pub struct MapSize {
    height_cells: usize,
    width_cells: usize,
}

impl MapSize {
    /// A map of `height_cells` by `width_cells`.
    ///
    /// # Errors
    /// When a side is 0.
    pub fn new(height_cells: usize, width_cells: usize) -> Result<Self, String> {
        if height_cells == 0 || width_cells == 0 {
            return Err(format!("a label map of {height_cells}x{width_cells} cells has no cells"));
        }
        Ok(Self { height_cells, width_cells })
    }

    /// Rows of cells.
    #[must_use]
    pub const fn height_cells(self) -> usize {
        self.height_cells
    }

    /// Columns of cells.
    #[must_use]
    pub const fn width_cells(self) -> usize {
        self.width_cells
    }

    /// Number of cells.
    #[must_use]
    pub const fn cells(self) -> usize {
        self.height_cells * self.width_cells
    }

    /// Centre of cell (`y`, `x`) in `unit` coordinates, as (x, y).
    #[must_use]
    pub fn unit_from_cell(self, y: usize, x: usize) -> (f64, f64) {
        ((x as f64 + 0.5) / self.width_cells as f64, (y as f64 + 0.5) / self.height_cells as f64)
    }
}

impl fmt::Display for MapSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height_cells, self.width_cells)
    }
}

impl TryFrom<[usize; 2]> for MapSize {
    type Error = String;

    fn try_from([height, width]: [usize; 2]) -> Result<Self, String> {
        Self::new(height, width)
    }
}

impl From<MapSize> for [usize; 2] {
    fn from(size: MapSize) -> Self {
        [size.height_cells, size.width_cells]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_sizes_are_read_as_height_by_width() {
        assert_eq!("475".parse(), InputSize::new(475, 475));
        assert_eq!("475x640".parse(), InputSize::new(475, 640));
        for bad in ["", "x", "475x", "4.5", "-1", "0", "475x0", "9000", "475x640x3"] {
            assert!(bad.parse::<InputSize>().is_err(), "{bad}");
        }
    }

    #[test]
    fn cell_centres_lie_inside_the_unit_square() {
        let map = MapSize::new(2, 4).unwrap();
        assert_eq!(map.unit_from_cell(0, 0), (0.125, 0.25));
        assert_eq!(map.unit_from_cell(1, 3), (0.875, 0.75));
    }
}
