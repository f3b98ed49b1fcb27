//! Tiles: parts of every image on which the teacher is run as well, so that a small crop has labels of its own scale.

mod box_list;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::geometry::{GeometryError, UnitBox};

pub use box_list::read_tile_boxes;

/// The tiles of a store. The boxes are different, inside the image and not the entire image, and there is at least one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "TilesJson", into = "TilesJson")]
pub struct Tiles {
    covering: String,
    boxes: Vec<UnitBox>,
    k: usize,
    with_maps: bool,
}

impl Tiles {
    /// Largest number of tiles.
    pub const MAX_TILES: usize = 64;

    /// Smallest side of a tile, as a fraction of the image.
    pub const MIN_SIDE: f64 = 1.0 / 64.0;

    /// Creates tiles, `k` classes of whose predictions are kept. `covering` is the name of a [`Covering`] or of the file with the
    /// boxes.
    ///
    /// # Errors
    /// Returns [`TilesError`] if there are too many or no boxes, or one is outside the image, too small, the entire image, or
    /// the same as another.
    pub fn new(covering: String, boxes: Vec<UnitBox>, k: usize, with_maps: bool) -> Result<Self, TilesError> {
        if boxes.is_empty() || boxes.len() > Self::MAX_TILES {
            return Err(TilesError::Count { count: boxes.len(), max: Self::MAX_TILES });
        }
        for (tile, unit_box) in boxes.iter().enumerate() {
            let sides = unit_box.sides();
            let [x0, y0, x1, y1] = sides;
            if sides.iter().any(|side| !(0.0..=1.0).contains(side)) {
                return Err(TilesError::Outside { tile, sides });
            }
            if x1 - x0 < Self::MIN_SIDE || y1 - y0 < Self::MIN_SIDE {
                return Err(TilesError::TooSmall { tile, sides });
            }
            if *unit_box == UnitBox::WHOLE {
                return Err(TilesError::EntireImage { tile });
            }
            if let Some(other) = boxes[..tile].iter().position(|other| other == unit_box) {
                return Err(TilesError::Repeated { tile, other });
            }
        }
        Ok(Self { covering, boxes, k, with_maps })
    }

    /// Name of the covering, or of the file with the boxes.
    #[must_use]
    pub fn covering(&self) -> &str {
        &self.covering
    }

    /// Boxes of the tiles, in the order of the arrays.
    #[must_use]
    pub fn boxes(&self) -> &[UnitBox] {
        &self.boxes
    }

    /// Number of tiles.
    #[must_use]
    pub fn count(&self) -> usize {
        self.boxes.len()
    }

    /// Number of classes kept of the prediction of each tile.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// Whether the label maps of the tiles are stored, in addition to their predictions.
    #[must_use]
    pub fn with_maps(&self) -> bool {
        self.with_maps
    }

    /// Returns the tiles without their name, on which no label depends.
    #[must_use]
    pub fn unnamed(&self) -> Self {
        Self { covering: String::new(), ..self.clone() }
    }

    /// Returns the positions of a covering's tiles among these; `None` if any is missing.
    #[must_use]
    pub fn positions_of(&self, covering: Covering) -> Option<Vec<usize>> {
        let position = |tile: &UnitBox| self.boxes.iter().position(|there| there == tile);
        covering.boxes().iter().map(position).collect()
    }
}

impl fmt::Display for Tiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let maps = if self.with_maps { " with maps" } else { "" };
        write!(f, "{} ({} tiles{maps}, top {})", self.covering, self.boxes.len(), self.k)
    }
}

/// A named set of tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covering {
    /// Four tiles of two thirds of each side, in the corners.
    Four,
    /// Five tiles of half of each side: the corners and the middle.
    Five,
    /// Nine tiles of half of each side, at 0, 1/4 and 1/2.
    Nine,
    /// [`Covering::Four`] and [`Covering::Nine`].
    FourAndNine,
}

impl Covering {
    /// All coverings, by name.
    pub const ALL: [(&'static str, Self); 4] =
        [("4", Self::Four), ("5", Self::Five), ("9", Self::Nine), ("4+9", Self::FourAndNine)];

    /// Name of the covering.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, covering)| *covering == self).map_or("", |(name, _)| name)
    }

    /// Boxes of the tiles, row by row.
    #[must_use]
    pub fn boxes(self) -> Vec<UnitBox> {
        match self {
            Self::Four => grid(&[0.0, 1.0 / 3.0], 2.0 / 3.0),
            Self::Five => {
                let mut boxes = grid(&[0.0, 0.5], 0.5);
                boxes.extend(grid(&[0.25], 0.5));
                boxes
            }
            Self::Nine => grid(&[0.0, 0.25, 0.5], 0.5),
            Self::FourAndNine => [Self::Four.boxes(), Self::Nine.boxes()].concat(),
        }
    }
}

/// Returns the squares of this side at all pairs of offsets, row by row.
fn grid(offsets: &[f64], side: f64) -> Vec<UnitBox> {
    let end = |offset: f64| (offset + side).min(1.0);
    let square = |(y, x): (f64, f64)| UnitBox::new(x, y, end(x), end(y)).unwrap_or(UnitBox::WHOLE);
    offsets.iter().flat_map(|&y| offsets.iter().map(move |&x| (y, x))).map(square).collect()
}

impl FromStr for Covering {
    type Err = TilesError;

    fn from_str(text: &str) -> Result<Self, TilesError> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        found.map(|(_, covering)| *covering).ok_or_else(|| TilesError::UnknownCovering { name: text.to_owned() })
    }
}

/// Reason that boxes are not the tiles of a store.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum TilesError {
    /// Not the name of a covering.
    #[error("`{name}` is not a covering; expected {}", Covering::ALL.map(|(name, _)| name).join(", "))]
    UnknownCovering {
        /// The name.
        name: String,
    },
    /// No tiles, or more than are accepted.
    #[error("{count} tiles, expected 1 to {max}")]
    Count {
        /// Number of tiles.
        count: usize,
        /// Largest number.
        max: usize,
    },
    /// A box is not a box.
    #[error("tile {tile}: {source}")]
    NotABox {
        /// Number of the tile, from 0.
        tile: usize,
        /// The problem.
        source: GeometryError,
    },
    /// A tile extends past the image.
    #[error("tile {tile} ({sides:?}) extends past the image; its sides must be between 0 and 1")]
    Outside {
        /// Number of the tile, from 0.
        tile: usize,
        /// `x0, y0, x1, y1`.
        sides: [f64; 4],
    },
    /// A tile is too small.
    #[error("tile {tile} ({sides:?}) has a side below 1/64 of the image")]
    TooSmall {
        /// Number of the tile, from 0.
        tile: usize,
        /// `x0, y0, x1, y1`.
        sides: [f64; 4],
    },
    /// The entire image is always labelled.
    #[error("tile {tile} is the entire image, which is labelled anyway")]
    EntireImage {
        /// Number of the tile, from 0.
        tile: usize,
    },
    /// Two tiles are the same.
    #[error("tile {tile} is the same as tile {other}")]
    Repeated {
        /// Number of the tile, from 0.
        tile: usize,
        /// Number of the first one.
        other: usize,
    },
}

/// Tiles as `zarr.json` has them.
#[derive(Serialize, Deserialize)]
struct TilesJson {
    covering: String,
    boxes: Vec<[f64; 4]>,
    k: usize,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    maps: bool,
}

impl TryFrom<TilesJson> for Tiles {
    type Error = TilesError;

    fn try_from(json: TilesJson) -> Result<Self, TilesError> {
        let boxes = json.boxes.iter().enumerate().map(|(tile, &[x0, y0, x1, y1])| {
            UnitBox::new(x0, y0, x1, y1).map_err(|source| TilesError::NotABox { tile, source })
        });
        Self::new(json.covering, boxes.collect::<Result<_, _>>()?, json.k, json.maps)
    }
}

impl From<Tiles> for TilesJson {
    fn from(tiles: Tiles) -> Self {
        let boxes = tiles.boxes.iter().map(|unit_box| unit_box.sides()).collect();
        Self { covering: tiles.covering, boxes, k: tiles.k, maps: tiles.with_maps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiles(boxes: &[[f64; 4]]) -> Result<Tiles, TilesError> {
        let unit_box = |&[x0, y0, x1, y1]: &[f64; 4]| UnitBox::new(x0, y0, x1, y1).unwrap();
        Tiles::new("boxes.csv".into(), boxes.iter().map(unit_box).collect(), 5, false)
    }

    #[test]
    fn coverings_have_the_tiles_of_their_names() {
        for (name, count) in [("4", 4), ("5", 5), ("9", 9), ("4+9", 13)] {
            let covering: Covering = name.parse().unwrap();
            let tiles = Tiles::new(name.into(), covering.boxes(), 5, false).unwrap();
            assert_eq!((covering.name(), tiles.count()), (name, count));
            let json = serde_json::to_string(&tiles).unwrap();
            assert_eq!(serde_json::from_str::<Tiles>(&json).unwrap(), tiles, "{json}");
        }
        let all = Tiles::new("4+9".into(), Covering::FourAndNine.boxes(), 5, false).unwrap();
        assert_eq!(all.positions_of(Covering::Five), Some(vec![4, 6, 10, 12, 8]));
        assert_eq!(tiles(&[[0.0, 0.0, 0.5, 0.5]]).unwrap().positions_of(Covering::Five), None);
        assert!("7".parse::<Covering>().unwrap_err().to_string().contains("expected 4, 5, 9, 4+9"));
    }

    #[test]
    fn unusable_tiles_are_refused() {
        let half = [0.0, 0.0, 0.5, 0.5];
        for (boxes, expected) in [
            (vec![], "0 tiles, expected 1 to 64"),
            (vec![half; 65], "65 tiles"),
            (vec![half, [0.5, 0.5, 1.1, 1.0]], "tile 1 ([0.5, 0.5, 1.1, 1.0]) extends past the image"),
            (vec![[0.0, 0.0, 0.01, 1.0]], "below 1/64"),
            (vec![[0.0, 0.0, 1.0, 1.0]], "entire image"),
            (vec![half, [0.0, 0.0, 0.5, 1.0], half], "tile 2 is the same as tile 0"),
        ] {
            let message = tiles(&boxes).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        for json in [r#"{"covering":"","boxes":[[0.5,0,0.5,1]],"k":5}"#, r#"{"covering":"","boxes":[[0,0,1]],"k":5}"#] {
            assert!(serde_json::from_str::<Tiles>(json).is_err(), "{json}");
        }
    }
}
