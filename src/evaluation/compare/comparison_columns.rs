//! Columns of the tables of a comparison: their names, order and values. `docs/guide/compare.md` explains each.

use super::cell_figures::CellFigures;
use super::compared_image::ComparedImage;
use super::comparison::Comparison;
use super::folder_class_comparison::FolderClassComparison;
use crate::inspection::table::{ColumnValues, TableColumn};

/// A row of the table of images.
pub(super) struct ComparedRow<'a> {
    comparison: &'a Comparison<'a>,
    rank: usize,
    image: &'a ComparedImage,
    looks_like: Option<String>,
}

impl<'a> ComparedRow<'a> {
    /// Creates the row of the image at position `rank` of the comparison, from 0.
    pub(super) fn new(comparison: &'a Comparison<'a>, rank: usize) -> Self {
        let image = &comparison.images[rank];
        Self { comparison, rank, image, looks_like: comparison.likeness_text(image) }
    }

    fn cells(&self, value: fn(&CellFigures) -> f64) -> Option<f32> {
        self.image.cells.as_ref().map(|cells| value(cells) as f32)
    }
}

/// Returns the columns of the table of images.
pub(super) fn image_columns<'a>() -> Vec<TableColumn<ComparedRow<'a>>> {
    use ColumnValues::{Integers, Reals, Texts};

    vec![
        TableColumn::required("rank", Integers(|row| Some(row.rank))),
        TableColumn::required("row_a", Integers(|row| Some(row.image.row_a))),
        TableColumn::required("row_b", Integers(|row| Some(row.image.row_b))),
        TableColumn::required("id", Texts(|row| Some(row.comparison.sides[0].manifest.id(row.image.row_a)))),
        TableColumn::nullable("label", Texts(|row| row.comparison.sides[0].manifest.folder_class(row.image.row_a))),
        TableColumn::required("identical", Integers(|row| Some(row.image.is_identical.into()))),
        TableColumn::required("agreement", Reals(|row| Some(row.image.agreement() as f32))),
        TableColumn::nullable("same_best_cells", Reals(|row| row.cells(CellFigures::same_best_share))),
        TableColumn::nullable("rank_overlap", Reals(|row| row.cells(CellFigures::rank_overlap))),
        TableColumn::nullable("only_in_one", Reals(|row| row.cells(CellFigures::only_one_share))),
        TableColumn::nullable(
            "score_difference",
            Reals(|row| row.image.cells.as_ref().and_then(CellFigures::score_mean).map(|mean| mean as f32)),
        ),
        TableColumn::nullable(
            "max_score_difference",
            Reals(|row| row.image.cells.as_ref().filter(|cells| cells.shared > 0).map(|cells| cells.score_max)),
        ),
        TableColumn::required("same_prediction", Integers(|row| Some(row.image.same_prediction.into()))),
        TableColumn::required("prediction_distance", Reals(|row| Some(row.image.prediction_distance))),
        TableColumn::required("same_target", Reals(|row| Some(row.image.crops.same_best))),
        TableColumn::required("target_distance", Reals(|row| Some(row.image.crops.mean_distance))),
        TableColumn::required("max_target_distance", Reals(|row| Some(row.image.crops.max_distance))),
        TableColumn::nullable("same_tiles", Reals(|row| row.image.tiles.map(|tiles| tiles.same_best))),
        TableColumn::nullable("tile_distance", Reals(|row| row.image.tiles.map(|tiles| tiles.mean_distance))),
        TableColumn::nullable("max_tile_distance", Reals(|row| row.image.tiles.map(|tiles| tiles.max_distance))),
        TableColumn::nullable("looks_like", Texts(|row| row.looks_like.as_deref())),
    ]
}

/// Returns the columns of the table of folder classes.
pub(super) fn folder_class_columns() -> Vec<TableColumn<FolderClassComparison>> {
    use ColumnValues::{Integers, Reals, Texts};

    vec![
        TableColumn::required("label", Texts(|row| Some(&row.folder))),
        TableColumn::nullable("class", Integers(|row| row.class.map(|class| class as usize))),
        TableColumn::nullable("name", Texts(|row| row.name.as_deref())),
        TableColumn::required("images", Integers(|row| Some(row.images))),
        TableColumn::required("identical", Integers(|row| Some(row.identical))),
        TableColumn::required("agreement", Reals(|row| Some(row.agreement))),
        TableColumn::nullable("rank_overlap", Reals(|row| row.rank_overlap)),
        TableColumn::nullable("only_in_one", Reals(|row| row.only_in_one)),
        TableColumn::nullable("score_difference", Reals(|row| row.score_difference)),
        TableColumn::nullable("max_score_difference", Reals(|row| row.max_score_difference)),
        TableColumn::required("same_prediction", Reals(|row| Some(row.same_prediction))),
        TableColumn::required("prediction_distance", Reals(|row| Some(row.prediction_distance))),
        TableColumn::required("same_target", Reals(|row| Some(row.same_target))),
        TableColumn::required("target_distance", Reals(|row| Some(row.target_distance))),
        TableColumn::required("max_target_distance", Reals(|row| Some(row.max_target_distance))),
    ]
}
