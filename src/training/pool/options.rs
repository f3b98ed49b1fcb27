//! What can be chosen about pooling. The defaults are the paper's.

/// How label maps are pooled.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pooling {
    /// Parts into which the crop is divided.
    pub output: OutputSize,
    /// What stands for the score of a class that a cell does not hold.
    pub fill: Fill,
    /// By what pooled scores are divided before softmax.
    pub temperature: Temperature,
    /// Which side of the box goes along which axis of the map.
    pub convention: Convention,
}

/// Rows and columns of parts into which a crop is divided, each with a label of its own. 1×1 is the label of the crop,
/// p×p are token labels (*All Tokens Matter*, arXiv 2104.10858).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputSize {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl OutputSize {
    /// Largest number of rows or columns that is accepted, so that a slip does not ask for terabytes.
    pub const MAX_SIDE: usize = 256;

    /// So many rows and columns.
    ///
    /// # Errors
    /// When a number is 0 or larger than [`OutputSize::MAX_SIDE`].
    pub fn new(rows: usize, columns: usize) -> Result<Self, String> {
        let sides = 1..=Self::MAX_SIDE;
        if sides.contains(&rows) && sides.contains(&columns) {
            Ok(Self { rows, columns })
        } else {
            Err(format!("an output of {rows}x{columns} parts is out of range: each side is 1 to {}", Self::MAX_SIDE))
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

/// What stands for the score of a class that a cell does not hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fill {
    /// The same score everywhere. 0 is the paper's.
    Constant(f32),
    /// The score at which the absent classes of a cell together have the probability that the teacher gave to them
    /// there, in equal shares. Only for stores with log-sum-exp.
    Rest,
}

impl Default for Fill {
    fn default() -> Self {
        Self::Constant(0.0)
    }
}

/// By what pooled scores are divided before softmax: above 1 labels get softer, below 1 harder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Temperature(f32);

impl Temperature {
    /// A temperature.
    ///
    /// # Errors
    /// When it is not a finite number above 0.
    pub fn new(temperature: f32) -> Result<Self, String> {
        if temperature.is_finite() && temperature > 0.0 {
            Ok(Self(temperature))
        } else {
            Err(format!("a temperature of {temperature} cannot be: it is a finite number above 0"))
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

/// Which side of the box goes along which axis of the map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Convention {
    /// x along the map's columns, y along its rows: the part of the image that the box shows.
    #[default]
    XFirst,
    /// What the public reader of *Re-labeling ImageNet* and `TokenLabeling`'s do: they hand (top, left, bottom, right) to
    /// `roi_align`, which takes (x0, y0, x1, y1), and scale all four by the map's width. They so pool the box mirrored at
    /// the image's diagonal. Only for repeating their results.
    Naver,
}
