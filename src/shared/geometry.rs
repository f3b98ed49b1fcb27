//! Sizes and boxes, one type for each space.
//!
//! There are four spaces: `image` (pixels of the decoded file), `input` (pixels of the teacher's input), `map` (cells of
//! the label map) and `unit` (0..1 of the image). The entire image is resized to the input, so a `unit`
//! coordinate refers to the same position in all of them. Heights come before widths, as in an array shape.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A size or box that is out of range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GeometryError {
    /// A side of an input is 0 or too large.
    #[error(
        "an input of {height_pixels}x{width_pixels} pixels is out of range: each side must be 1 to {}",
        InputSize::MAX_SIDE_PIXELS
    )]
    InputSize {
        /// Height in pixels.
        height_pixels: u32,
        /// Width in pixels.
        width_pixels: u32,
    },
    /// A string is not an input size.
    #[error("`{text}` is not an input size\n  help: write 475 or 475x640 (height x width, in pixels)")]
    InputSizeText {
        /// The rejected string.
        text: String,
    },
    /// A label map has no cells.
    #[error("a label map of {height_cells}x{width_cells} cells is empty")]
    EmptyMap {
        /// Rows of cells.
        height_cells: usize,
        /// Columns of cells.
        width_cells: usize,
    },
    /// A side of a label map is too large.
    #[error(
        "a label map of {height_cells}x{width_cells} cells is out of range: each side must be 1 to {}",
        MapSize::MAX_SIDE_CELLS
    )]
    MapSize {
        /// Rows of cells.
        height_cells: usize,
        /// Columns of cells.
        width_cells: usize,
    },
    /// A coordinate of a box is NaN or infinite.
    #[error("a coordinate of the box is not a finite number: {}", sides(.0))]
    NotFinite([f64; 4]),
    /// A box is far outside of the image.
    #[error(
        "the box is far outside of the image, which is 0..1 in both directions: {}\n  help: if these are pixels, divide x \
         by the image's width and y by its height",
        sides(.0)
    )]
    FarOutside([f64; 4]),
    /// No part of a box is inside the image.
    #[error(
        "the box does not overlap the image, which is 0..1 in both directions: {}\n  help: pass x0, y0, x1, y1, each divided by \
         the image's width (x) or height (y)",
        sides(.0)
    )]
    OutsideImage([f64; 4]),
    /// Two opposite sides of a box are the same.
    #[error("the box is empty, {axis}0 and {axis}1 are the same: {}", sides(sides_of_box))]
    EmptyBox {
        /// `x` or `y`.
        axis: char,
        /// The box, `x0, y0, x1, y1`.
        sides_of_box: [f64; 4],
    },
    /// Two opposite sides of a box are swapped.
    #[error(
        "the box is reversed, {axis}0 is larger than {axis}1: {}\n  help: pass x0, y0, x1, y1, not left, upper, width, height",
        sides(sides_of_box)
    )]
    ReversedBox {
        /// `x` or `y`.
        axis: char,
        /// The box, `x0, y0, x1, y1`.
        sides_of_box: [f64; 4],
    },
}

fn sides([x0, y0, x1, y1]: &[f64; 4]) -> String {
    format!("x0 = {x0}, y0 = {y0}, x1 = {x1}, y1 = {y1}")
}

/// Size of the teacher's input in pixels. Both sides are at least 1 and at most [`InputSize::MAX_SIDE_PIXELS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "[u32; 2]", into = "[u32; 2]")]
pub struct InputSize {
    height_pixels: u32,
    width_pixels: u32,
}

impl InputSize {
    /// Largest side that is accepted. Teachers stay far below it; a typing error in a card must not allocate terabytes.
    pub const MAX_SIDE_PIXELS: u32 = 8192;

    /// Returns a size of `height_pixels` by `width_pixels`.
    ///
    /// # Errors
    /// Returns [`GeometryError::InputSize`] if a side is 0 or larger than [`InputSize::MAX_SIDE_PIXELS`].
    pub fn new(height_pixels: u32, width_pixels: u32) -> Result<Self, GeometryError> {
        let sides = 1..=Self::MAX_SIDE_PIXELS;
        if sides.contains(&height_pixels) && sides.contains(&width_pixels) {
            Ok(Self { height_pixels, width_pixels })
        } else {
            Err(GeometryError::InputSize { height_pixels, width_pixels })
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

/// Parses `475` (square) or `475x640` (height x width).
impl FromStr for InputSize {
    type Err = GeometryError;

    fn from_str(text: &str) -> Result<Self, GeometryError> {
        let side =
            |part: &str| part.trim().parse::<u32>().map_err(|_| GeometryError::InputSizeText { text: text.to_owned() });
        match text.split_once('x') {
            None => Self::new(side(text)?, side(text)?),
            Some((height, width)) => Self::new(side(height)?, side(width)?),
        }
    }
}

impl TryFrom<[u32; 2]> for InputSize {
    type Error = GeometryError;

    fn try_from([height, width]: [u32; 2]) -> Result<Self, GeometryError> {
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

    /// Returns a map of `height_cells` by `width_cells`.
    ///
    /// # Errors
    /// Returns [`GeometryError::EmptyMap`] if a side is 0, and [`GeometryError::MapSize`] if one is larger than
    /// [`MapSize::MAX_SIDE_CELLS`].
    pub fn new(height_cells: usize, width_cells: usize) -> Result<Self, GeometryError> {
        if height_cells == 0 || width_cells == 0 {
            return Err(GeometryError::EmptyMap { height_cells, width_cells });
        }
        if height_cells.max(width_cells) > Self::MAX_SIDE_CELLS {
            return Err(GeometryError::MapSize { height_cells, width_cells });
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

    /// Returns the cells that share a side with cell number `cell`; cells are counted row by row.
    pub fn neighbours(self, cell: usize) -> impl Iterator<Item = usize> {
        let (y, x) = (cell / self.width_cells, cell % self.width_cells);
        let neighbours = [
            (y > 0).then(|| cell - self.width_cells),
            (x > 0).then(|| cell - 1),
            (x + 1 < self.width_cells).then_some(cell + 1),
            (y + 1 < self.height_cells).then_some(cell + self.width_cells),
        ];
        neighbours.into_iter().flatten()
    }

    /// Returns the centre of cell (`y`, `x`) in `unit` coordinates, as (x, y).
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

/// Returns `15x15`, or `no` for a teacher without cells, for texts like `15x15 cells`.
#[must_use]
pub fn map_size_text(size: Option<MapSize>) -> String {
    size.map_or_else(|| "no".to_owned(), |size| size.to_string())
}

impl TryFrom<[usize; 2]> for MapSize {
    type Error = GeometryError;

    fn try_from([height, width]: [usize; 2]) -> Result<Self, GeometryError> {
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
/// It records whether it was given in float32 or float64: `RoIAlign` takes as many samples as a side has cells, rounded
/// up, so for a side of an integral number of cells the last bit decides. Results equal those of torchvision if the box
/// is scaled in the precision in which it was given (`docs/label-pooling.md`, LabelPooling).
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
    /// The entire image.
    pub const WHOLE: Self = Self { x0: 0.0, y0: 0.0, x1: 1.0, y1: 1.0, given_in: Precision::Float64 };

    /// Largest absolute coordinate that is accepted as one in `unit` space. Pixel coordinates are mostly larger.
    pub const MAX_COORDINATE: f64 = 16.0;

    /// Returns the box with this left, upper, right and lower side.
    ///
    /// # Errors
    /// Returns [`GeometryError`] if a coordinate is not finite or beyond [`UnitBox::MAX_COORDINATE`], or the box is empty or
    /// reversed.
    pub fn new(x0: f64, y0: f64, x1: f64, y1: f64) -> Result<Self, GeometryError> {
        Self { x0, y0, x1, y1, given_in: Precision::Float64 }.checked()
    }

    /// Returns the box with this left, upper, right and lower side, given in float32.
    ///
    /// # Errors
    /// See [`UnitBox::new`].
    pub fn from_float32(sides: [f32; 4]) -> Result<Self, GeometryError> {
        let [x0, y0, x1, y1] = sides.map(f64::from);
        Self { x0, y0, x1, y1, given_in: Precision::Float32 }.checked()
    }

    fn checked(self) -> Result<Self, GeometryError> {
        let Self { x0, y0, x1, y1, .. } = self;
        let sides = [x0, y0, x1, y1];
        if sides.iter().any(|side| !side.is_finite()) {
            return Err(GeometryError::NotFinite(sides));
        }
        if sides.iter().any(|side| side.abs() > Self::MAX_COORDINATE) {
            return Err(GeometryError::FarOutside(sides));
        }
        for (axis, low, high) in [('x', x0, x1), ('y', y0, y1)] {
            if high - low == 0.0 {
                return Err(GeometryError::EmptyBox { axis, sides_of_box: sides });
            }
            if low > high {
                return Err(GeometryError::ReversedBox { axis, sides_of_box: sides });
            }
        }
        Ok(self)
    }

    /// Returns the box unchanged if a part of it is inside the image. Boxes that are relative to another box need not overlap the
    /// image.
    ///
    /// # Errors
    /// Returns [`GeometryError::OutsideImage`] if it is outside, or only touches the edge.
    pub fn overlapping_image(self) -> Result<Self, GeometryError> {
        let overlaps = |low: f64, high: f64| low < 1.0 && high > 0.0;
        if overlaps(self.x0, self.x1) && overlaps(self.y0, self.y1) {
            Ok(self)
        } else {
            Err(GeometryError::OutsideImage(self.sides()))
        }
    }

    /// Left, upper, right and lower side.
    #[must_use]
    pub const fn sides(self) -> [f64; 4] {
        [self.x0, self.y0, self.x1, self.y1]
    }

    /// Returns the area of the part that is inside the image, as a fraction of the image.
    #[must_use]
    pub fn area(self) -> f64 {
        let [x0, y0, x1, y1] = self.sides().map(|side| side.clamp(0.0, 1.0));
        (x1 - x0) * (y1 - y0)
    }

    /// Returns the intersection over union of the parts that are inside the image, 0 to 1.
    #[must_use]
    pub fn overlap(self, other: Self) -> f64 {
        let ([x0, y0, x1, y1], [other_x0, other_y0, other_x1, other_y1]) = (self.sides(), other.sides());
        let side = |low: f64, high: f64| (high.clamp(0.0, 1.0) - low.clamp(0.0, 1.0)).max(0.0);
        let common = side(x0.max(other_x0), x1.min(other_x1)) * side(y0.max(other_y0), y1.min(other_y1));
        let union = self.area() + other.area() - common;
        if union > 0.0 { common / union } else { 0.0 }
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

    /// Returns the left and right side in `map` coordinates, with cell centres on integers, of a map with `width_cells` columns.
    #[must_use]
    pub fn map_x_from_unit(self, width_cells: usize) -> [f32; 2] {
        [self.x0, self.x1].map(|side| self.given_in.map_from_unit(side, width_cells))
    }

    /// Returns the upper and lower side in `map` coordinates, of a map with `height_cells` rows.
    #[must_use]
    pub fn map_y_from_unit(self, height_cells: usize) -> [f32; 2] {
        [self.y0, self.y1].map(|side| self.given_in.map_from_unit(side, height_cells))
    }

    /// Returns the part of this box at `inside`, which is given in 0..1 of this box.
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

    /// Returns the part of this box that is inside another one, in 0..1 of that; `None` if it is empty. The inverse of
    /// [`UnitBox::part`].
    #[must_use]
    pub fn within(self, outer: Self) -> Option<Self> {
        let along = |side: f64, low: f64, high: f64| ((side - low) / (high - low)).clamp(0.0, 1.0);
        let x = |side: f64| along(side, outer.x0, outer.x1);
        let y = |side: f64| along(side, outer.y0, outer.y1);
        Self::new(x(self.x0), y(self.y0), x(self.x1), y(self.y1)).ok()
    }

    /// Returns the same box in an image that is mirrored left to right.
    #[must_use]
    pub fn mirrored(self) -> Self {
        Self { x0: 1.0 - self.x1, x1: 1.0 - self.x0, ..self }
    }

    /// Returns the box with x and y swapped.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { x0: self.y0, y0: self.x0, x1: self.y1, y1: self.x1, ..self }
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

/// A crop of an image: its box, and whether it is mirrored left to right afterwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crop {
    /// Box of the image that is cut out.
    pub unit_box: UnitBox,
    /// Whether the crop is mirrored after that.
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
    fn input_sizes_are_parsed_as_height_by_width() {
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
    fn neighbours_share_a_side() {
        let map = MapSize::new(2, 3).unwrap();
        let neighbours = |cell| map.neighbours(cell).collect::<Vec<_>>();
        assert_eq!([neighbours(0), neighbours(4), neighbours(5)], [vec![1, 3], vec![1, 3, 5], vec![2, 4]]);
        assert_eq!(MapSize::new(1, 1).unwrap().neighbours(0).count(), 0);
    }

    #[test]
    fn invalid_boxes_are_refused_with_the_reason() {
        for (sides, reason) in [
            ([f64::NAN, 0.0, 1.0, 1.0], "not a finite number"),
            ([0.0, 0.0, f64::INFINITY, 1.0], "not a finite number"),
            ([0.5, 0.0, 0.5, 1.0], "empty"),
            ([0.5, 0.7, 0.9, 0.2], "reversed, y0"),
            ([0.0, 0.0, 224.0, 224.0], "pixels"),
        ] {
            let [x0, y0, x1, y1] = sides;
            let refusal = UnitBox::new(x0, y0, x1, y1).unwrap_err().to_string();
            assert!(refusal.contains(reason), "{refusal}");
        }
        assert!(UnitBox::new(-0.25, -0.5, 1.5, 3.0).is_ok(), "a box may cross the edge");
    }

    #[test]
    fn boxes_without_a_part_inside_the_image_are_recognised() {
        let checked = |[x0, y0, x1, y1]: [f64; 4]| UnitBox::new(x0, y0, x1, y1).unwrap().overlapping_image();
        for outside in [
            [1.0, 0.0, 1.5, 1.0],
            [-0.5, 0.0, 0.0, 1.0],
            [0.0, 1.2, 1.0, 1.4],
            [0.0, -2.0, 1.0, -1.0],
            [2.0, 3.0, 9.0, 8.0],
        ] {
            assert_eq!(checked(outside), Err(GeometryError::OutsideImage(outside)));
        }
        for partly in
            [[-0.5, -0.5, 0.001, 0.001], [0.999, 0.999, 3.0, 3.0], [-1.0, -1.0, 2.0, 2.0], [0.0, 0.0, 1.0, 1.0]]
        {
            assert!(checked(partly).is_ok(), "{partly:?}");
        }
    }

    #[test]
    fn boxes_are_scaled_in_the_precision_in_which_they_were_given() {
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
        let outer = UnitBox::new(0.5, 0.25, 1.0, 0.75).unwrap();
        let lower_left = UnitBox::new(0.0, 0.5, 0.5, 1.0).unwrap();
        assert_eq!(outer.part(lower_left), UnitBox::new(0.5, 0.5, 0.75, 0.75).unwrap());
        assert_eq!(outer.part(lower_left).within(outer), Some(lower_left));
        assert_eq!(UnitBox::WHOLE.within(outer), Some(UnitBox::WHOLE));
        assert_eq!(UnitBox::new(0.0, 0.25, 0.5, 0.75).unwrap().within(outer), None, "they only touch");
        assert_eq!(lower_left.mirrored(), UnitBox::new(0.5, 0.5, 1.0, 1.0).unwrap());
        assert_eq!(outer.transposed(), UnitBox::new(0.25, 0.5, 0.75, 1.0).unwrap());
    }
}
