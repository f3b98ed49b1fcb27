//! The tiles of a store in a release.

use serde_json::{Value, json};

use super::private_text::redacted;
use crate::shared::geometry::UnitBox;
use crate::shared::tiles::Tiles;

/// The tiles of a release.
pub(super) struct PublishedTiles {
    /// Boxes and settings.
    pub(super) tiles: Tiles,
    /// Name of the covering, without private text.
    pub(super) covering: String,
}

impl PublishedTiles {
    pub(super) fn new(tiles: &Tiles) -> Self {
        Self { tiles: tiles.clone(), covering: redacted(tiles.covering()) }
    }

    /// Describes the tiles and their order.
    pub(super) fn sentence(&self) -> String {
        let sides = |unit_box: &UnitBox| format!("[{}]", sides_text(*unit_box));
        let boxes: Vec<String> = self.tiles.boxes().iter().map(sides).collect();
        format!("tiles of the covering {}, in order, as x0, y0, x1, y1 in 0..1: {}", self.covering, boxes.join(", "))
    }

    /// Returns the entry of `provenance.json`.
    pub(super) fn provenance(&self) -> Value {
        let boxes: Vec<[f64; 4]> = self.tiles.boxes().iter().map(|unit_box| unit_box.sides()).collect();
        json!({ "covering": self.covering, "boxes": boxes, "k": self.tiles.k(), "maps": self.tiles.with_maps() })
    }
}

/// Returns the sides of a box with at most four decimals: `0, 0.25, 0.5, 0.75`.
pub(super) fn sides_text(unit_box: UnitBox) -> String {
    let side = |side: f64| {
        let text = format!("{side:.4}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    unit_box.sides().map(side).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::tiles::Covering;

    #[test]
    fn boxes_are_listed_in_order() {
        let tiles = Tiles::new("4".into(), Covering::Four.boxes(), 5, false).unwrap();
        let sentence = PublishedTiles::new(&tiles).sentence();
        assert!(sentence.ends_with(
            "[0, 0, 0.6667, 0.6667], [0.3333, 0, 1, 0.6667], [0, 0.3333, 0.6667, 1], [0.3333, 0.3333, 1, 1]"
        ));
    }
}
