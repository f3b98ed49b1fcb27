//! What the structure of a graph tells of its cells: where each of the vectors that its pooling averages lies.

use super::coordinate::{Coordinate, distinct};
use super::in_proportion;
use super::trace::Traced;
use crate::labelling::teacher::graph::Graph;
use crate::labelling::teacher::tail::{CellGrid, Layout, Refusal, in_words};
use crate::shared::geometry::{InputSize, MapSize};

/// What the structure tells.
pub(super) enum Structure {
    /// The place of every cell.
    Settled(CellGrid),
    /// That the vectors are not cells.
    Contradicts(Refusal),
    /// Nothing, because of this node: its operator and name.
    Unsettled { by: String },
}

/// How far a cell's place may be from where its row and column say, in cells. Strides and paddings of convolutions move
/// places by up to half a cell, and networks without padding (Inception) spare the edges by as much.
const MOST_SHIFT_CELLS: f32 = 1.0;
/// How much of the image may be cut away, in cells.
const MOST_CUT_CELLS: f32 = 0.75;
/// Places closer than this part of the image are in one row or column.
const SAME_PLACE: f32 = 1e-4;

/// Concludes from the places of the features that are averaged over the cells' axes.
/// `stated` is the card's grid; `over` tells what averages over what, for messages.
pub(super) fn conclude(
    graph: &Graph,
    traced: &Traced,
    layout: Layout,
    input_size: InputSize,
    stated: Option<MapSize>,
    over: &str,
) -> Structure {
    if traced.has_unknown() {
        let by = traced.unsettled_by.map_or_else(|| over.to_owned(), |index| in_words(graph.node(index)));
        return Structure::Unsettled { by };
    }
    let (dims, cell_axes) = (&traced.dims, layout.cell_axes());
    let other_axes: Vec<usize> = (0..dims.len()).filter(|axis| !cell_axes.contains(axis)).collect();
    let contradicts = |problem: String| Structure::Contradicts(no_cells(problem));
    let cells: usize = cell_axes.iter().map(|&axis| dims[axis]).product();
    if let Some(&axis) = other_axes.iter().find(|&&axis| traced.y.varies_along(axis) || traced.x.varies_along(axis)) {
        return contradicts(format!(
            "{over}, but places of the image lie along axis {axis}: what is averaged are not the cells of a map"
        ));
    }
    if cells == 1 {
        return MapSize::new(1, 1).map_or_else(contradicts, |size| Structure::Settled(CellGrid::raster(layout, size)));
    }
    let (Some(y), Some(x)) = (per_cell(&traced.y, dims, &other_axes), per_cell(&traced.x, dims, &other_axes)) else {
        return Structure::Unsettled { by: over.to_owned() };
    };
    let placed = y.iter().zip(&x).filter(|(y, x)| y.is_finite() && x.is_finite()).count();
    if placed == 0 {
        return contradicts(format!(
            "{over}, along which nothing lies at a place of the image (means, heads, views or learned queries): there are no \
             cells"
        ));
    }
    if placed < cells {
        return contradicts(format!(
            "{over}: {cells} vectors, of which {} lie at no place of the image (class or register tokens)",
            cells - placed
        ));
    }
    let (rows, columns) = (distinct(y.clone(), SAME_PLACE), distinct(x.clone(), SAME_PLACE));
    let nearest = |places: &[f32], place: f32| places.partition_point(|&other| other < place - SAME_PLACE);
    let mut order = vec![usize::MAX; rows.len() * columns.len()];
    for (at, (&y, &x)) in y.iter().zip(&x).enumerate() {
        if let Some(cell) = order.get_mut(nearest(&rows, y) * columns.len() + nearest(&columns, x)) {
            *cell = at;
        }
    }
    if order.len() != cells || order.contains(&usize::MAX) {
        return contradicts(format!(
            "{over}: {cells} vectors, which lie in {} rows and {} columns of the image and do not fill them \
             once each: several show the same place (views, overlapping tiles), or none shows some",
            rows.len(),
            columns.len()
        ));
    }
    let Ok(size) = MapSize::new(rows.len(), columns.len()) else {
        return contradicts(format!("{over}: there are no cells"));
    };
    for (at, (what, places)) in [("rows", &rows), ("columns", &columns)].into_iter().enumerate() {
        let count = places.len() as f32;
        if traced.lost[at] * count > MOST_CUT_CELLS {
            let by = traced.cut_by.map_or_else(String::new, |index| format!(" by {}", in_words(graph.node(index))));
            return contradicts(format!(
                "the {what} of its map show only a part of the image: {:.0} % of it are cut away{by}",
                traced.lost[at] * 100.0
            ));
        }
        let shift = |(at, &place): (usize, &f32)| (place - (at as f32 + 0.5) / count).abs() * count;
        let most = places.iter().enumerate().map(shift).fold(0.0, f32::max);
        if most > MOST_SHIFT_CELLS {
            return contradicts(format!(
                "the {} {what} of its map are not spread evenly over the image: one is {most:.1} cells away from where it \
                 should be",
                places.len()
            ));
        }
    }
    // A card may state that cells are not square.
    if stated.is_none() && !in_proportion(size, input_size) {
        return Structure::Contradicts(super::out_of_proportion(size, input_size));
    }
    let raster = order.iter().enumerate().all(|(cell, &at)| cell == at);
    Structure::Settled(CellGrid { layout, size, order: (!raster).then_some(order) })
}

/// One value for each cell, row by row as the features have them.
fn per_cell(side: &Coordinate, dims: &[usize], other_axes: &[usize]) -> Option<Vec<f32>> {
    let ones: Vec<usize> =
        dims.iter().enumerate().map(|(axis, &length)| if other_axes.contains(&axis) { 1 } else { length }).collect();
    Some(side.dense(&ones)?.values().to_vec())
}

pub(super) fn no_cells(problem: String) -> Refusal {
    Refusal::new(
        problem,
        "use a teacher whose last pooling averages over the places of the image (rows and columns, or tokens in the order of \
         rows and columns)",
    )
}
