//! Rows and columns of a map, and their consistency with the input and the card.

use crate::labelling::teacher::refusal::Refusal;
use crate::labelling::teacher::tail::FeatureLayout;
use crate::shared::geometry::{InputSize, MapSize};

/// Checks the grid of the card against that of the features.
pub(super) fn check_card_grid(wanted: Option<MapSize>, size: MapSize) -> Result<(), Refusal> {
    match wanted.filter(|wanted| *wanted != size) {
        Some(wanted) => Err(Refusal::new(
            format!("the card sets grid = {wanted}, but the features are a map of {size} cells"),
            "remove `grid` from the card: it is only for features that are a sequence of tokens",
        )),
        None => Ok(()),
    }
}

/// Rows and columns where the structure does not determine them: those of the tensor, of the card, or of a grid with the
/// aspect ratio of the input.
pub(super) fn size_by_dims(
    layout: FeatureLayout,
    dims: &[usize],
    input_size: InputSize,
    grid: Option<MapSize>,
) -> Result<MapSize, Refusal> {
    let sides: Vec<usize> = layout.cell_axes().iter().map(|&axis| dims[axis]).collect();
    match sides[..] {
        // A sequence, possibly with an axis of length 1, as newer exporters write AdaptiveAvgPool1d.
        [cells] | [1, cells] | [cells, 1] if cells > 1 || sides.len() == 1 => {
            let is_map = sides.len() == 2 && grid.is_none();
            let size = is_map.then(|| MapSize::new(sides[0], sides[1]).ok()).flatten();
            match size.filter(|size| fits_input(*size, input_size)) {
                Some(size) => Ok(size),
                None => grid_of(cells, input_size, grid),
            }
        }
        [rows, columns] => {
            let size = MapSize::new(rows, columns).map_err(no_positions)?;
            check_card_grid(grid, size)?;
            if fits_input(size, input_size) { Ok(size) } else { Err(aspect_ratio_differs(size, input_size)) }
        }
        _ => Err(no_positions(format!("the features have shape {dims:?}"))),
    }
}

/// The grid of `tokens` cells: that of the card, or the one with the aspect ratio of the input.
fn grid_of(tokens: usize, input_size: InputSize, grid: Option<MapSize>) -> Result<MapSize, Refusal> {
    if let Some(grid) = grid {
        return if grid.cells() == tokens {
            Ok(grid)
        } else {
            Err(Refusal::new(
                format!(
                    "the card sets grid = {grid}, which is {} cells, but the pooling averages over {tokens} tokens",
                    grid.cells()
                ),
                "correct `grid = [rows, columns]` in the card, or export it so that only image tokens are averaged",
            ))
        };
    }
    let (height, width) = (input_size.height_pixels() as usize, input_size.width_pixels() as usize);
    (1..=tokens)
        .filter(|rows| tokens.is_multiple_of(*rows))
        .find(|&rows| rows * width == tokens / rows * height)
        .and_then(|rows| MapSize::new(rows, tokens / rows).ok())
        .ok_or_else(|| {
            Refusal::new(
                format!(
                    "cannot arrange {tokens} tokens in a grid with the aspect ratio of the input, {input_size} pixels"
                ),
                "if class or register tokens are averaged with the image tokens, export it without them; if cells are not \
                 square, set `grid = [rows, columns]` in the card",
            )
        })
}

/// Whether one stride can turn both sides of the input into those of the map, each rounded up or down.
pub(super) fn fits_input(size: MapSize, input: InputSize) -> bool {
    let (rows, columns) = (size.height_cells(), size.width_cells());
    let (height, width) = (input.height_pixels(), input.width_pixels());
    // With the same stride and padding, the longer side stays the longer one.
    if rows.cmp(&columns) as i8 * (height.cmp(&width) as i8) < 0 || (height == width && rows != columns) {
        return false;
    }
    // Strides that give this number of cells, plus or minus one cell for padding.
    let strides = |cells: usize, pixels: u32| {
        let most = if cells > 1 { f64::from(pixels) / (cells - 1) as f64 } else { f64::INFINITY };
        (f64::from(pixels) / (cells + 1) as f64, most)
    };
    let (down, across) = (strides(rows, height), strides(columns, width));
    down.0 <= across.1 && across.0 <= down.1
}

/// The refusal of a map whose aspect ratio does not fit the input.
pub(super) fn aspect_ratio_differs(size: MapSize, input: InputSize) -> Refusal {
    no_positions(format!(
        "the map of {size} cells (rows x columns) contradicts the input of {input} pixels (height x width)"
    ))
}

/// The refusal of features that do not correspond to image positions.
pub(super) fn no_positions(problem: impl std::fmt::Display) -> Refusal {
    Refusal::new(
        format!("cannot map cells to image positions: {problem}"),
        "use a teacher whose last pooling averages over image positions (rows and columns, or tokens in row-major order)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(height: u32, width: u32) -> InputSize {
        InputSize::new(height, width).unwrap()
    }

    #[test]
    fn token_grids_have_the_aspect_ratio_of_the_input_or_come_from_the_card() {
        let grid = |tokens, height, width, card: Option<[usize; 2]>| {
            let card = card.map(|sides| MapSize::try_from(sides).unwrap());
            grid_of(tokens, input(height, width), card).map(<[usize; 2]>::from).ok()
        };
        assert_eq!(grid(196, 224, 224, None), Some([14, 14]));
        assert_eq!(grid(98, 112, 224, None), Some([7, 14]));
        assert_eq!(grid(197, 224, 224, None), None);
        assert_eq!(grid(98, 224, 224, Some([7, 14])), Some([7, 14]));
        assert_eq!(grid(98, 224, 224, Some([7, 7])), None);
    }

    #[test]
    fn maps_that_contradict_the_input_are_recognised() {
        let fits =
            |rows, columns, height, width| fits_input(MapSize::new(rows, columns).unwrap(), input(height, width));
        assert!(fits(7, 7, 224, 224) && fits(8, 8, 299, 299) && fits(6, 10, 96, 160) && fits(15, 20, 475, 640));
        assert!(fits(1, 1, 32, 32) && fits(1, 4, 32, 128) && fits(4, 6, 97, 161));
        assert!(!fits(10, 6, 96, 160) && !fits(1, 64, 32, 32) && !fits(2, 3, 64, 64) && !fits(7, 7, 224, 448));
    }
}
