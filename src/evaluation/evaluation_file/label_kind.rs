//! Kinds of labels that are compared with the teacher's prediction for a crop.

/// A kind of label of a crop. `docs/crop-fidelity.md` defines each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelKind {
    /// The target with the settings of the paper: LabelPooling of the crop.
    Pooled,
    /// LabelPooling with `fill="rest"`, for stores with `lse`.
    Rest,
    /// The target with the parameters of the store's `pooling.json`.
    Calibrated,
    /// The target with parameters that were fitted without tiles.
    CalibratedWithoutTiles,
    /// LabelPooling of the crop in the label map of the tile, or of the image, that has the largest overlap with the crop.
    TileMap,
    /// The predictions for the image and its tiles, weighted by their overlap with the crop.
    Tiles,
    /// The prediction for the tile, or for the image, that has the largest overlap with the crop.
    Tile,
    /// The teacher's prediction for the entire image.
    Image,
    /// The folder class, one-hot.
    Folder,
    /// LabelPooling with x and y swapped, which must be worse.
    Swapped,
}

impl LabelKind {
    /// Number of kinds.
    pub const COUNT: usize = 10;

    /// All kinds, in the order of tables and charts.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Pooled,
        Self::Rest,
        Self::Calibrated,
        Self::CalibratedWithoutTiles,
        Self::TileMap,
        Self::Tiles,
        Self::Tile,
        Self::Image,
        Self::Folder,
        Self::Swapped,
    ];

    /// Key of documents, and beginning of the names of columns.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pooled => "pooled",
            Self::Rest => "rest",
            Self::Calibrated => "calibrated",
            Self::CalibratedWithoutTiles => "calibrated_without_tiles",
            Self::TileMap => "tile_map",
            Self::Tiles => "tiles",
            Self::Tile => "tile",
            Self::Image => "image",
            Self::Folder => "folder",
            Self::Swapped => "swapped",
        }
    }

    /// Name in charts and tables.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Pooled => "Target of the crop",
            Self::Rest => "Target of the crop, fill=\"rest\"",
            Self::Calibrated => "Calibrated target of the crop",
            Self::CalibratedWithoutTiles => "Calibrated target of the crop, without tiles",
            Self::TileMap => "Target of the crop from the map of the closest tile",
            Self::Tiles => "Predictions for image and tiles, by overlap",
            Self::Tile => "Prediction for the closest tile",
            Self::Image => "Prediction for the entire image",
            Self::Folder => "Folder class",
            Self::Swapped => "Target with x and y swapped (must be worse)",
        }
    }

    /// Name in the text of the command.
    #[must_use]
    pub fn short_title(self) -> &'static str {
        match self {
            Self::Pooled => "target",
            Self::Rest => "target, fill rest",
            Self::Calibrated => "target, calibrated",
            Self::CalibratedWithoutTiles => "calibrated, no tiles",
            Self::TileMap => "target, tile map",
            Self::Tiles => "predictions, tiles",
            Self::Tile => "prediction, tile",
            Self::Image => "prediction, image",
            Self::Folder => "folder class",
            Self::Swapped => "target, swapped",
        }
    }

    /// Whether divergences from the teacher's prediction are finite.
    #[must_use]
    pub fn has_divergence(self) -> bool {
        self != Self::Folder
    }

    /// Whether the kind is a baseline or a check, not a label that training would use.
    #[must_use]
    pub fn is_baseline(self) -> bool {
        matches!(self, Self::Folder | Self::Swapped)
    }

    /// Returns the kind with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_listed_once_at_its_position() {
        for (at, kind) in LabelKind::ALL.into_iter().enumerate() {
            assert_eq!((kind as usize, LabelKind::from_name(kind.name())), (at, Some(kind)));
            assert!(kind.short_title().chars().count() <= 20, "{}", kind.short_title());
        }
        assert_eq!(LabelKind::from_name("Pooled"), None);
    }
}
