//! Positions of cells as determined by the structure of the graph.

use super::coordinate::{Coordinate, distinct};
use super::grid::{aspect_ratio_differs, fits_input, no_positions};
use super::traced::Traced;
use crate::labelling::teacher::graph::Graph;
use crate::labelling::teacher::refusal::Refusal;
use crate::labelling::teacher::tail::{CellGrid, FeatureLayout, describe_node};
use crate::shared::geometry::{InputSize, MapSize};

/// Conclusion from the structure of a graph.
pub(super) enum Structure {
    /// The position of every cell is known.
    Located(CellGrid),
    /// The vectors are not cells.
    Contradicts(Refusal),
    /// Positions are lost after this node, given by operator and name.
    Inconclusive { after: String },
}

/// Largest distance of a cell from the centre of its row and column, in cells. Strides and paddings of convolutions move
/// positions by up to half a cell, and networks without padding (Inception) leave out as much at the edges.
const MAX_SHIFT_CELLS: f32 = 1.0;
/// Largest part of the image that may be cut away, in cells.
const MAX_CUT_CELLS: f32 = 0.75;
/// Positions closer than this fraction of the image belong to one row or column.
const SAME_POSITION: f32 = 1e-4;

/// Draws a conclusion from the positions of the averaged features. `card_grid` is the grid of the card; `averaging` describes
/// what averages over which axes, for messages.
pub(super) fn conclude(
    graph: &Graph,
    traced: &Traced,
    layout: FeatureLayout,
    input_size: InputSize,
    card_grid: Option<MapSize>,
    averaging: &str,
) -> Structure {
    if traced.has_unknown() {
        let after =
            traced.inconclusive_node.map_or_else(|| averaging.to_owned(), |index| describe_node(graph.node(index)));
        return Structure::Inconclusive { after };
    }
    let (dims, cell_axes) = (&traced.dims, layout.cell_axes());
    let other_axes: Vec<usize> = (0..dims.len()).filter(|axis| !cell_axes.contains(axis)).collect();
    let contradicts = |problem: String| Structure::Contradicts(no_positions(problem));
    let cells: usize = cell_axes.iter().map(|&axis| dims[axis]).product();
    if let Some(&axis) = other_axes.iter().find(|&&axis| traced.y.varies_along(axis) || traced.x.varies_along(axis)) {
        return contradicts(format!(
            "{averaging}, but image positions vary along axis {axis}: the averaged vectors are not the cells of a map"
        ));
    }
    if cells == 1 {
        let size = MapSize::new(1, 1).map_err(no_positions);
        return size.map_or_else(Structure::Contradicts, |size| Structure::Located(CellGrid::raster(layout, size)));
    }
    let (Some(y), Some(x)) = (per_cell(&traced.y, dims, &other_axes), per_cell(&traced.x, dims, &other_axes)) else {
        return Structure::Inconclusive { after: averaging.to_owned() };
    };
    let located = y.iter().zip(&x).filter(|(y, x)| y.is_finite() && x.is_finite()).count();
    if located == 0 {
        return contradicts(format!(
            "{averaging}, and none of the averaged vectors has an image position (means, heads, views or learned queries)"
        ));
    }
    if located < cells {
        return contradicts(format!(
            "{averaging}, and {} of the {cells} vectors have no image position (class or register tokens)",
            cells - located
        ));
    }
    let (rows, columns) = (distinct(y.clone(), SAME_POSITION), distinct(x.clone(), SAME_POSITION));
    let nearest =
        |positions: &[f32], position: f32| positions.partition_point(|&other| other < position - SAME_POSITION);
    let mut order = vec![usize::MAX; rows.len() * columns.len()];
    for (at, (&y, &x)) in y.iter().zip(&x).enumerate() {
        if let Some(cell) = order.get_mut(nearest(&rows, y) * columns.len() + nearest(&columns, x)) {
            *cell = at;
        }
    }
    if order.len() != cells || order.contains(&usize::MAX) {
        return contradicts(format!(
            "{averaging}, and the {cells} vectors, in {} rows and {} columns of the image, do not form a complete grid: some \
             positions occur several times (views, overlapping tiles) or not at all",
            rows.len(),
            columns.len()
        ));
    }
    let Ok(size) = MapSize::new(rows.len(), columns.len()) else {
        return contradicts(format!("{averaging}, and there are no cells"));
    };
    for (at, (what, positions)) in [("rows", &rows), ("columns", &columns)].into_iter().enumerate() {
        let count = positions.len() as f32;
        if traced.lost[at] * count > MAX_CUT_CELLS {
            let by =
                traced.cut_by.map_or_else(String::new, |index| format!(" by {}", describe_node(graph.node(index))));
            return contradicts(format!(
                "the {what} of the map cover only part of the image: {:.0} % is cut away{by}",
                traced.lost[at] * 100.0
            ));
        }
        let shift = |(at, &position): (usize, &f32)| (position - (at as f32 + 0.5) / count).abs() * count;
        let most = positions.iter().enumerate().map(shift).fold(0.0, f32::max);
        if most > MAX_SHIFT_CELLS {
            return contradicts(format!(
                "the {} {what} of the map are not evenly spread over the image: one is {most:.1} cells from its expected \
                 position",
                positions.len()
            ));
        }
    }
    // A card may declare that cells are not square.
    if card_grid.is_none() && !fits_input(size, input_size) {
        return Structure::Contradicts(aspect_ratio_differs(size, input_size));
    }
    let raster = order.iter().enumerate().all(|(cell, &at)| cell == at);
    Structure::Located(CellGrid { layout, size, order: (!raster).then_some(order) })
}

/// One value for each cell, in the order of the features.
fn per_cell(side: &Coordinate, dims: &[usize], other_axes: &[usize]) -> Option<Vec<f32>> {
    let ones: Vec<usize> =
        dims.iter().enumerate().map(|(axis, &length)| if other_axes.contains(&axis) { 1 } else { length }).collect();
    Some(side.dense(&ones)?.values().to_vec())
}
