//! Sizes and boxes, one type for each space.
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

/// Size of a label map in cells. Both sides are at least 1 and at most [`MapSize::MAX_SIDE_CELLS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "[usize; 2]", into = "[usize; 2]")]
pub struct MapSize {
    height_cells: usize,
    width_cells: usize,
}

impl MapSize {
    /// Largest side that is accepted: no teacher has more cells than its largest input has pixels.
    pub const MAX_SIDE_CELLS: usize = InputSize::MAX_SIDE_PIXELS as usize;

    /// A map of `height_cells` by `width_cells`.
    ///
    /// # Errors
    /// When a side is 0 or larger than [`MapSize::MAX_SIDE_CELLS`].
    pub fn new(height_cells: usize, width_cells: usize) -> Result<Self, String> {
        if height_cells == 0 || width_cells == 0 {
            return Err(format!("a label map of {height_cells}x{width_cells} cells has no cells"));
        }
        if height_cells.max(width_cells) > Self::MAX_SIDE_CELLS {
            return Err(format!(
                "a label map of {height_cells}x{width_cells} cells is out of range: each side is 1 to {}",
                Self::MAX_SIDE_CELLS
            ));
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

    /// The cells that share a side with cell number `cell`; cells are counted row by row.
    pub fn beside(self, cell: usize) -> impl Iterator<Item = usize> {
        let (y, x) = (cell / self.width_cells, cell % self.width_cells);
        let beside = [
            (y > 0).then(|| cell - self.width_cells),
            (x > 0).then(|| cell - 1),
            (x + 1 < self.width_cells).then_some(cell + 1),
            (y + 1 < self.height_cells).then_some(cell + self.width_cells),
        ];
        beside.into_iter().flatten()
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

/// A box in `unit` coordinates: 0..1 of the image, `x0, y0, x1, y1`, half-open. It may touch or cross the image's edge.
///
/// It remembers whether it was given in float32 or float64: `RoIAlign` takes as many samples as a side has cells, rounded
/// up, so that the last bit of a side of a whole number of cells decides. Results are those of torchvision when the box
/// is scaled in the numbers in which it was given (`docs/label-pooling.md`, LabelPooling).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnitBox {
    x0: f64,
    y0: f64,
    x1: f64,
    y1: f64,
    given_in: Precision,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Precision {
    Float32,
    Float64,
}

impl UnitBox {
    /// The whole image.
    pub const WHOLE: Self = Self { x0: 0.0, y0: 0.0, x1: 1.0, y1: 1.0, given_in: Precision::Float64 };

    /// Largest coordinate, to either side, that is taken for one in `unit` space. Pixels are mostly larger.
    pub const MAX_COORDINATE: f64 = 16.0;

    /// A box from its left, upper, right and lower side.
    ///
    /// # Errors
    /// When a coordinate is not finite or beyond [`UnitBox::MAX_COORDINATE`], or the box is empty or reversed.
    pub fn new(x0: f64, y0: f64, x1: f64, y1: f64) -> Result<Self, String> {
        Self { x0, y0, x1, y1, given_in: Precision::Float64 }.checked()
    }

    /// A box from its left, upper, right and lower side, given in float32.
    ///
    /// # Errors
    /// As for [`UnitBox::new`].
    pub fn from_float32(sides: [f32; 4]) -> Result<Self, String> {
        let [x0, y0, x1, y1] = sides.map(f64::from);
        Self { x0, y0, x1, y1, given_in: Precision::Float32 }.checked()
    }

    fn checked(self) -> Result<Self, String> {
        let Self { x0, y0, x1, y1, .. } = self;
        let corners = format!("x0 = {x0}, y0 = {y0}, x1 = {x1}, y1 = {y1}");
        let sides = [x0, y0, x1, y1];
        if sides.iter().any(|side| !side.is_finite()) {
            return Err(format!("a coordinate of the box is no finite number: {corners}"));
        }
        if sides.iter().any(|side| side.abs() > Self::MAX_COORDINATE) {
            return Err(format!(
                "the box lies far outside of the image, which is 0..1 in both directions: {corners}. Are these pixels? \
                 Divide x by the image's width and y by its height"
            ));
        }
        for (name, low, high) in [("x", x0, x1), ("y", y0, y1)] {
            if high - low == 0.0 {
                return Err(format!("the box is empty, {name}0 and {name}1 are the same: {corners}"));
            }
            if low > high {
                return Err(format!(
                    "the box is reversed, {name}0 is larger than {name}1: {corners}. The order is x0, y0, x1, y1, not \
                     left, upper, width, height"
                ));
            }
        }
        Ok(self)
    }

    /// Left side.
    #[must_use]
    pub const fn x0(self) -> f64 {
        self.x0
    }

    /// Upper side.
    #[must_use]
    pub const fn y0(self) -> f64 {
        self.y0
    }

    /// Right side, outside of the box.
    #[must_use]
    pub const fn x1(self) -> f64 {
        self.x1
    }

    /// Lower side, outside of the box.
    #[must_use]
    pub const fn y1(self) -> f64 {
        self.y1
    }

    /// Left and right side in `map` coordinates, cell centres lying on whole numbers, of a map with so many columns.
    #[must_use]
    pub fn map_x_from_unit(self, width_cells: usize) -> [f32; 2] {
        [self.x0, self.x1].map(|side| self.given_in.map_from_unit(side, width_cells))
    }

    /// Upper and lower side in `map` coordinates, of a map with so many rows.
    #[must_use]
    pub fn map_y_from_unit(self, height_cells: usize) -> [f32; 2] {
        [self.y0, self.y1].map(|side| self.given_in.map_from_unit(side, height_cells))
    }

    /// The part of this box that `inside` names in 0..1 of the box itself.
    #[must_use]
    pub fn part(self, inside: Self) -> Self {
        let (width, height) = (self.x1 - self.x0, self.y1 - self.y0);
        Self {
            x0: self.x0 + width * inside.x0,
            y0: self.y0 + height * inside.y0,
            x1: self.x0 + width * inside.x1,
            y1: self.y0 + height * inside.y1,
            given_in: Precision::Float64,
        }
    }

    /// The same box in an image that is mirrored left to right.
    #[must_use]
    pub fn mirrored(self) -> Self {
        Self { x0: 1.0 - self.x1, x1: 1.0 - self.x0, ..self }
    }
}

impl Precision {
    fn map_from_unit(self, side: f64, cells: usize) -> f32 {
        match self {
            Self::Float32 => side as f32 * cells as f32 - 0.5,
            Self::Float64 => (side * cells as f64 - 0.5) as f32,
        }
    }
}

/// A crop of an image: its box, and whether it was mirrored left to right afterwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crop {
    /// Where it was cut out of the image.
    pub unit_box: UnitBox,
    /// Whether it was mirrored after that.
    pub is_flipped: bool,
}

impl From<UnitBox> for Crop {
    fn from(unit_box: UnitBox) -> Self {
        Self { unit_box, is_flipped: false }
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

    #[test]
    fn cells_beside_share_a_side() {
        let map = MapSize::new(2, 3).unwrap();
        let beside = |cell| map.beside(cell).collect::<Vec<_>>();
        assert_eq!([beside(0), beside(4), beside(5)], [vec![1, 3], vec![1, 3, 5], vec![2, 4]]);
        assert_eq!(MapSize::new(1, 1).unwrap().beside(0).count(), 0);
    }

    #[test]
    fn boxes_that_are_none_are_refused_with_the_reason() {
        for (sides, reason) in [
            ([f64::NAN, 0.0, 1.0, 1.0], "no finite number"),
            ([0.0, 0.0, f64::INFINITY, 1.0], "no finite number"),
            ([0.5, 0.0, 0.5, 1.0], "empty"),
            ([0.5, 0.7, 0.9, 0.2], "reversed, y0"),
            ([0.0, 0.0, 224.0, 224.0], "pixels"),
        ] {
            let [x0, y0, x1, y1] = sides;
            let refusal = UnitBox::new(x0, y0, x1, y1).unwrap_err();
            assert!(refusal.contains(reason), "{refusal}");
        }
        assert!(UnitBox::new(-0.25, -0.5, 1.5, 3.0).is_ok(), "a box may cross the edge");
    }

    #[test]
    fn boxes_are_scaled_in_the_numbers_in_which_they_were_given() {
        // 0.7 of 15 cells is 10.5 in float64 after rounding to float32; in float32 the product is rounded by itself.
        let sides = [0.1_f32, 0.3, 0.7, 0.9];
        let single = UnitBox::from_float32(sides).unwrap();
        let bits = |sides: [f32; 2]| sides.map(f32::to_bits);
        assert_eq!(bits(single.map_x_from_unit(15)), bits([0.1_f32 * 15.0 - 0.5, 0.7_f32 * 15.0 - 0.5]));
        let double = UnitBox::new(0.1, 0.3, 0.7, 0.9).unwrap();
        let wanted = [(0.3_f64 * 15.0 - 0.5) as f32, (0.9_f64 * 15.0 - 0.5) as f32];
        assert_eq!(bits(double.map_y_from_unit(15)), bits(wanted));
    }

    #[test]
    fn parts_of_boxes_and_mirrored_boxes() {
        let whole = UnitBox::new(0.5, 0.25, 1.0, 0.75).unwrap();
        let lower_left = UnitBox::new(0.0, 0.5, 0.5, 1.0).unwrap();
        assert_eq!(whole.part(lower_left), UnitBox::new(0.5, 0.5, 0.75, 0.75).unwrap());
        assert_eq!(lower_left.mirrored(), UnitBox::new(0.5, 0.5, 1.0, 1.0).unwrap());
    }
}
