//! Options of pooling. The defaults are those of the paper.

use super::pool_error::PoolError;

/// Options of pooling.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PoolOptions {
    /// Parts into which the crop is divided.
    pub output: OutputSize,
    /// Score of a class that a cell does not have.
    pub fill: Fill,
    /// Divisor of pooled scores before softmax.
    pub temperature: Temperature,
    /// Assignment of the box's sides to the axes of the map.
    pub convention: Convention,
}

/// Rows and columns of parts into which a crop is divided. Each part has its own target: 1×1 is the target of the crop,
/// p×p are token labels (*All Tokens Matter*, arXiv 2104.10858).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputSize {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl OutputSize {
    /// Largest number of rows or columns, so that a typing error does not allocate terabytes.
    pub const MAX_SIDE: usize = 256;

    /// Creates an output of `rows` × `columns` parts.
    ///
    /// # Errors
    /// Returns [`PoolError::OutputSize`] if a number is 0 or larger than [`OutputSize::MAX_SIDE`].
    pub fn new(rows: usize, columns: usize) -> Result<Self, PoolError> {
        let sides = 1..=Self::MAX_SIDE;
        if sides.contains(&rows) && sides.contains(&columns) {
            Ok(Self { rows, columns })
        } else {
            Err(PoolError::OutputSize { rows, columns, max_side: Self::MAX_SIDE })
        }
    }

    /// Number of parts.
    #[must_use]
    pub const fn parts(self) -> usize {
        self.rows * self.columns
    }
}

impl Default for OutputSize {
    fn default() -> Self {
        Self { rows: 1, columns: 1 }
    }
}

/// Score of a class that a cell does not have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fill {
    /// The same score everywhere; 0 in the paper.
    Constant(f32),
    /// The score at which the absent classes of a cell together have the probability that the teacher predicted for them in
    /// this cell, in equal shares. Only for stores with log-sum-exp.
    Rest,
}

impl Default for Fill {
    fn default() -> Self {
        Self::Constant(0.0)
    }
}

/// Divisor of pooled scores before softmax: targets get softer above 1, harder below 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Temperature(f32);

impl Temperature {
    /// Creates a temperature.
    ///
    /// # Errors
    /// Returns [`PoolError::Temperature`] if it is not a finite number above 0.
    pub fn new(temperature: f32) -> Result<Self, PoolError> {
        if temperature.is_finite() && temperature > 0.0 {
            Ok(Self(temperature))
        } else {
            Err(PoolError::Temperature(temperature))
        }
    }

    pub(super) fn get(self) -> f64 {
        f64::from(self.0)
    }
}

impl Default for Temperature {
    fn default() -> Self {
        Self(1.0)
    }
}

/// Assignment of the box's sides to the axes of the map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Convention {
    /// x along the map's columns, y along its rows: the part of the image that the box contains.
    #[default]
    XFirst,
    /// The convention of the public readers of *Re-labeling ImageNet* and `TokenLabeling`: they pass (top, left, bottom,
    /// right) to `roi_align`, which takes (x0, y0, x1, y1), and scale all four by the map's width, so the box is
    /// mirrored at the image's diagonal. Only for reproducing their results.
    Naver,
}
