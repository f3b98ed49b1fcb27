//! Proves that a cell is a place in the image: by following the image's axes through the graph, or, where that settles
//! nothing, by changing patches of photographs and looking which cells answer.

mod coordinate;
mod geometry;
mod photographs;
mod probe;
mod shapes;
mod structure;
mod trace;

use std::path::Path;

pub use probe::ProbeResult;

use self::shapes::Shapes;
use self::structure::Structure;
use super::card::{LocalityCheck, ScoreMapLayout};
use super::proof::Subject;
use super::runtime::Runtime;
use super::tail::{CellGrid, Ending, Layout, Refusal, Tail, in_words};
use crate::shared::error::Error;
use crate::shared::geometry::{InputSize, MapSize};

/// How it was shown that a teacher's cells are places of the image.
#[derive(Clone, Debug, PartialEq)]
pub enum Locality {
    /// The structure of the graph tells where each cell lies.
    Structure,
    /// The structure settles nothing; patches of photographs were changed, and the cells at these places answered.
    Probe {
        /// The first node behind which the structure tells nothing: operator and name.
        unsettled_by: String,
        /// What was seen.
        result: ProbeResult,
    },
    /// It was not shown: the card asks to do without (`locality = "unchecked"`).
    Unchecked,
}

impl Locality {
    /// `structure`, `probe` or `unchecked`, as stores and JSON documents have it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Structure => "structure",
            Self::Probe { .. } => "probe",
            Self::Unchecked => "unchecked",
        }
    }
}

/// What is known of a teacher's cells.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) locality: Locality,
    pub(crate) grid: CellGrid,
}

/// Why nothing is known.
pub(crate) enum Stop {
    Refused(Refusal),
    Failed(Error),
}

impl Stop {
    /// As an error, where a refusal becomes one by `refused`.
    pub(crate) fn or_refused(self, refused: impl Fn(Refusal) -> Error) -> Error {
        match self {
            Self::Refused(refusal) => refused(refusal),
            Self::Failed(error) => error,
        }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What the proof of locality needs besides the teacher.
pub(crate) struct Evidence<'a> {
    /// Files of photographs; where none can be decoded, the program's own are looked at.
    pub(crate) photographs: &'a [Vec<u8>],
    /// A folder for a short-lived file; without one the structure is not followed.
    pub(crate) scratch_folder: Option<&'a Path>,
    /// How many classes the card names.
    pub(crate) named_classes: Option<usize>,
}

/// Settles where the cells of a teacher lie.
pub(crate) fn settle(runtime: &Runtime, subject: &Subject<'_>, evidence: &Evidence<'_>) -> Result<Settled, Stop> {
    let (graph, tail, card) = (subject.graph, subject.tail, subject.card);
    let features = features_of(tail);
    let image = subject.random_input(1);
    let shapes = match evidence.scratch_folder {
        Some(folder) => {
            Shapes::seen(graph, features, (subject.input, &image), runtime, subject.session_options()?, folder)?
        }
        None => None,
    };
    let traced = shapes.and_then(|shapes| trace::trace(graph, subject.input, features, &shapes));
    let dims = match traced.as_ref().filter(|traced| !traced.dims.is_empty()) {
        Some(traced) => traced.dims.clone(),
        None => subject.features(runtime, features, &image)?.dims,
    };
    let layout = match &tail.ending {
        Ending::Pooled(pooling) => pooling.layout,
        Ending::ScoreMap => layout_of_score_map(subject, &dims, traced.as_ref(), evidence.named_classes)?,
    };
    let cell_axes = layout.cell_axes();
    if dims.len() != layout.rank() {
        return Err(structure::no_cells(format!(
            "its features have the shape {dims:?}; {} was expected",
            layout.in_words()
        ))
        .into());
    }
    let proved = card.locality == LocalityCheck::Proved;
    let structure = traced.map(|traced| {
        structure::conclude(graph, &traced, layout, card.input_size, card.grid, &averaging(subject, &dims, cell_axes))
    });
    let unsettled_by = match structure {
        Some(Structure::Settled(grid)) => {
            check_card_grid(card.grid, grid.size)?;
            return Ok(Settled { locality: Locality::Structure, grid });
        }
        Some(Structure::Contradicts(refusal)) if proved => return Err(refusal.into()),
        Some(Structure::Unsettled { by }) => by,
        _ => "the whole graph".to_owned(),
    };

    let size = size_by_dims(layout, &dims, card.input_size, card.grid)?;
    let grid = CellGrid::raster(layout, size);
    if !proved {
        return Ok(Settled { locality: Locality::Unchecked, grid });
    }
    if size.cells() == 1 {
        return Ok(Settled { locality: Locality::Structure, grid });
    }
    let result = probe(runtime, subject, features, layout, size, evidence.photographs)?;
    if result.holds() {
        return Ok(Settled { locality: Locality::Probe { unsettled_by, result }, grid });
    }
    Err(Refusal::new(
        format!(
            "its cells are not shown to be places of the image. Its structure tells nothing behind {unsettled_by}, and {}",
            result.in_words(size)
        ),
        "use a teacher whose tokens keep the order of rows and columns; if you know that they do (with random weights nothing \
         shows), write `locality = \"unchecked\"` into the card: the store will record it",
    )
    .into())
}

impl From<ScoreMapLayout> for Layout {
    fn from(layout: ScoreMapLayout) -> Self {
        match layout {
            ScoreMapLayout::Nchw => Self::Nchw,
            ScoreMapLayout::Nhwc => Self::Nhwc,
        }
    }
}

fn features_of(tail: &Tail) -> &str {
    match &tail.ending {
        Ending::Pooled(pooling) => &pooling.features,
        Ending::ScoreMap => &tail.logits,
    }
}

/// What averages over which axes, for messages.
fn averaging(subject: &Subject<'_>, dims: &[usize], cell_axes: &[usize]) -> String {
    let axes = match cell_axes {
        [axis] => format!("axis {axis}"),
        axes => format!("axes {}", axes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")),
    };
    match &subject.tail.ending {
        Ending::Pooled(pooling) => {
            format!("{} averages over {axes} of features {dims:?}", in_words(subject.graph.node(pooling.node)))
        }
        Ending::ScoreMap => {
            format!("its score map `{}` has its cells along {axes} of {dims:?}", subject.tail.logits)
        }
    }
}

/// Photographs are changed and looked at: two, and where these leave a doubt, more.
fn probe(
    runtime: &Runtime,
    subject: &Subject<'_>,
    features: &str,
    layout: Layout,
    size: MapSize,
    files: &[Vec<u8>],
) -> Result<ProbeResult, Error> {
    let mut session = subject.features_session(runtime, features)?;
    let batch_images = subject.input.fixed_batch.unwrap_or(8);
    let mut look = |most: usize| {
        let photographs = photographs::decoded(files, subject.card, most)?;
        probe::look(&photographs, size, batch_images, subject.input.fixed_batch.is_some(), &mut |batch| {
            let seen = subject.run_features(&mut session, features, batch)?;
            Ok(layout.cells_last(&seen))
        })
    };
    let first = look(2)?;
    if first.is_clear() { Ok(first) } else { look(ProbeResult::PHOTOGRAPHS) }
}

/// Which axes of a score map are rows and columns: as the structure, the card, the number of classes or the proportions
/// tell.
fn layout_of_score_map(
    subject: &Subject<'_>,
    dims: &[usize],
    traced: Option<&trace::Traced>,
    named_classes: Option<usize>,
) -> Result<Layout, Refusal> {
    if let Some(layout) = subject.card.layout {
        return Ok(layout.into());
    }
    let &[_, a, b, c] = dims else { return Ok(Layout::Nchw) };
    if let Some(traced) = traced.filter(|traced| !traced.has_unknown()) {
        let axes: Vec<usize> = (1..4).filter(|&axis| traced.varies_along(axis)).collect();
        match axes[..] {
            [.., 3] => return Ok(Layout::Nchw),
            [1, ..] => return Ok(Layout::Nhwc),
            _ => {}
        }
    }
    match named_classes {
        Some(count) if a == count && c != count => return Ok(Layout::Nchw),
        Some(count) if c == count && a != count => return Ok(Layout::Nhwc),
        _ => {}
    }
    let fits =
        |rows, columns| MapSize::new(rows, columns).is_ok_and(|size| in_proportion(size, subject.card.input_size));
    match (fits(b, c), fits(a, b)) {
        (true, false) => Ok(Layout::Nchw),
        (false, true) => Ok(Layout::Nhwc),
        _ => Err(Refusal::new(
            format!(
                "its score map of shape {dims:?} may be [batch, class, y, x] or [batch, y, x, class], and nothing tells which"
            ),
            "write `layout = \"nchw\"` or `layout = \"nhwc\"` into the card",
        )),
    }
}

fn check_card_grid(wanted: Option<MapSize>, size: MapSize) -> Result<(), Refusal> {
    match wanted.filter(|wanted| *wanted != size) {
        Some(wanted) => Err(Refusal::new(
            format!("its card has grid = {wanted}, but its features are a map of {size} cells"),
            "take `grid` out of the card: it is for teachers whose features are a sequence of tokens",
        )),
        None => Ok(()),
    }
}

/// Rows and columns where the structure does not tell them: those of the tensor, of the card, or those of a sequence that
/// have the proportions of the input.
fn size_by_dims(
    layout: Layout,
    dims: &[usize],
    input_size: InputSize,
    grid: Option<MapSize>,
) -> Result<MapSize, Refusal> {
    let sides: Vec<usize> = layout.cell_axes().iter().map(|&axis| dims[axis]).collect();
    match sides[..] {
        // A sequence, or one under two axes, as newer exporters write AdaptiveAvgPool1d.
        [cells] | [1, cells] | [cells, 1] if cells > 1 || sides.len() == 1 => {
            let as_it_is = sides.len() == 2 && grid.is_none();
            let size = as_it_is.then(|| MapSize::new(sides[0], sides[1]).ok()).flatten();
            match size.filter(|size| in_proportion(*size, input_size)) {
                Some(size) => Ok(size),
                None => grid_of(cells, input_size, grid),
            }
        }
        [rows, columns] => {
            let size = MapSize::new(rows, columns).map_err(structure::no_cells)?;
            check_card_grid(grid, size)?;
            if in_proportion(size, input_size) { Ok(size) } else { Err(out_of_proportion(size, input_size)) }
        }
        _ => Err(structure::no_cells(format!("its features have the shape {dims:?}"))),
    }
}

/// The grid of `tokens` cells: the card's, or the one that has the input's proportions.
fn grid_of(tokens: usize, input_size: InputSize, grid: Option<MapSize>) -> Result<MapSize, Refusal> {
    if let Some(grid) = grid {
        return if grid.cells() == tokens {
            Ok(grid)
        } else {
            Err(Refusal::new(
                format!(
                    "its card has grid = {grid}, which is {} cells, but it averages over {tokens} tokens",
                    grid.cells()
                ),
                "correct `grid = [rows, columns]` in the card, or export it so that only the tokens of the image are averaged",
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
                format!("its {tokens} tokens form no grid in the proportions of the input, {input_size} pixels"),
                "where class or register tokens are averaged with those of the image, export it so that they are left out; \
                 where its cells are not square, name rows and columns: `grid = [rows, columns]` in the card",
            )
        })
}

/// Whether a map can be what one stride makes of both sides of an input, each rounded up or down.
fn in_proportion(size: MapSize, input: InputSize) -> bool {
    let (rows, columns) = (size.height_cells(), size.width_cells());
    let (height, width) = (input.height_pixels(), input.width_pixels());
    // The same stride and padding make the longer side the longer one.
    if rows.cmp(&columns) as i8 * (height.cmp(&width) as i8) < 0 || (height == width && rows != columns) {
        return false;
    }
    // Strides that give so many cells, with one cell more or less for padding.
    let strides = |cells: usize, pixels: u32| {
        let most = if cells > 1 { f64::from(pixels) / (cells - 1) as f64 } else { f64::INFINITY };
        (f64::from(pixels) / (cells + 1) as f64, most)
    };
    let (down, across) = (strides(rows, height), strides(columns, width));
    down.0 <= across.1 && across.0 <= down.1
}

fn out_of_proportion(size: MapSize, input: InputSize) -> Refusal {
    structure::no_cells(format!(
        "its map of {size} cells (rows x columns) contradicts its input of {input} pixels (height x width)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(height: u32, width: u32) -> InputSize {
        InputSize::new(height, width).unwrap()
    }

    #[test]
    fn token_grids_have_the_inputs_proportions_or_the_cards() {
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
    fn rows_and_columns_that_contradict_the_input_are_seen() {
        let fits =
            |rows, columns, height, width| in_proportion(MapSize::new(rows, columns).unwrap(), input(height, width));
        assert!(fits(7, 7, 224, 224) && fits(8, 8, 299, 299) && fits(6, 10, 96, 160) && fits(15, 20, 475, 640));
        assert!(fits(1, 1, 32, 32) && fits(1, 4, 32, 128) && fits(4, 6, 97, 161));
        assert!(!fits(10, 6, 96, 160) && !fits(1, 64, 32, 32) && !fits(2, 3, 64, 64) && !fits(7, 7, 224, 448));
    }
}
