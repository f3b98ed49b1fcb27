//! Determines the image positions of cells.

use std::path::Path;

use super::grid::{check_card_grid, fits_input, no_positions, size_by_dims};
use super::probe::{self, ProbeResult};
use super::shapes::Shapes;
use super::structure::{self, Structure};
use super::traced::Traced;
use super::{probe_photographs, trace};
use crate::labelling::teacher::card::{LocalityCheck, ScoreMapLayout};
use crate::labelling::teacher::refusal::Refusal;
use crate::labelling::teacher::rewrite_check::ReferenceTeacher;
use crate::labelling::teacher::runtime::Runtime;
use crate::labelling::teacher::tail::{CellGrid, Ending, FeatureLayout, describe_node};
use crate::shared::error::Error;
use crate::shared::geometry::{InputSize, MapSize};

/// How it was verified that the cells of a teacher correspond to image positions.
#[derive(Clone, Debug, PartialEq)]
pub enum Locality {
    /// The structure of the graph determines the position of each cell.
    Structure,
    /// The structure is inconclusive; patches of photographs were changed, and the cells at their positions responded.
    Probe {
        /// Operator and name of the first node after which the structure is inconclusive.
        inconclusive_node: String,
        /// The measured responses.
        result: ProbeResult,
    },
    /// Not verified: the card waives the check (`locality = "unchecked"`).
    Unchecked,
}

impl Locality {
    /// Returns the name in stores and JSON documents: `structure`, `probe` or `unchecked`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Structure => "structure",
            Self::Probe { .. } => "probe",
            Self::Unchecked => "unchecked",
        }
    }
}

/// The cells of a teacher and how their positions were verified.
#[derive(Debug)]
pub(crate) struct LocatedCells {
    pub(crate) locality: Locality,
    pub(crate) grid: CellGrid,
}

/// Errors of locating cells.
pub(crate) enum LocalityError {
    /// The teacher is refused.
    Refused(Refusal),
    /// The check itself failed.
    Failed(Error),
}

impl LocalityError {
    /// Converts to an error, a refusal by `refused`.
    pub(crate) fn into_error(self, refused: impl Fn(Refusal) -> Error) -> Error {
        match self {
            Self::Refused(refusal) => refused(refusal),
            Self::Failed(error) => error,
        }
    }
}

impl From<Refusal> for LocalityError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for LocalityError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Inputs of [`locate_cells`] other than the teacher.
pub(crate) struct LocalityOptions<'a> {
    /// Contents of photograph files; if none can be decoded, built-in ones are used.
    pub(crate) photographs: &'a [Vec<u8>],
    /// Folder for a temporary file; without it the structure is not traced.
    pub(crate) scratch_folder: Option<&'a Path>,
    /// Number of classes of the list set in the card.
    pub(crate) named_classes: Option<usize>,
}

/// Determines the image position of every cell of a teacher.
pub(crate) fn locate_cells(
    runtime: &Runtime,
    teacher: &ReferenceTeacher<'_>,
    options: &LocalityOptions<'_>,
) -> Result<LocatedCells, LocalityError> {
    let (graph, tail, card) = (teacher.graph, teacher.tail, teacher.card);
    let features = tail.head_input();
    let image = teacher.random_input(1);
    let shapes = match options.scratch_folder {
        Some(folder) => {
            Shapes::observe(graph, features, (teacher.input, &image), runtime, teacher.session_options()?, folder)?
        }
        None => None,
    };
    let traced = shapes.and_then(|shapes| trace::trace(graph, teacher.input, features, &shapes));
    let dims = match traced.as_ref().filter(|traced| !traced.dims.is_empty()) {
        Some(traced) => traced.dims.clone(),
        None => teacher.features(runtime, features, &image)?.dims,
    };
    let layout = match &tail.ending {
        Ending::Pooled(pooling) => pooling.layout,
        Ending::ScoreMap => layout_of_score_map(teacher, &dims, traced.as_ref(), options.named_classes)?,
    };
    let cell_axes = layout.cell_axes();
    if dims.len() != layout.rank() {
        return Err(no_positions(format!("the features have shape {dims:?}, expected {layout}")).into());
    }
    let must_be_verified = card.locality == LocalityCheck::Required;
    let structure = traced.map(|traced| {
        structure::conclude(graph, &traced, layout, card.input_size, card.grid, &averaging(teacher, &dims, cell_axes))
    });
    let inconclusive_node = match structure {
        Some(Structure::Located(grid)) => {
            check_card_grid(card.grid, grid.size)?;
            return Ok(LocatedCells { locality: Locality::Structure, grid });
        }
        Some(Structure::Contradicts(refusal)) if must_be_verified => return Err(refusal.into()),
        Some(Structure::Inconclusive { after }) => after,
        _ => "the input".to_owned(),
    };

    let size = size_by_dims(layout, &dims, card.input_size, card.grid)?;
    let grid = CellGrid::raster(layout, size);
    if !must_be_verified {
        return Ok(LocatedCells { locality: Locality::Unchecked, grid });
    }
    if size.cells() == 1 {
        return Ok(LocatedCells { locality: Locality::Structure, grid });
    }
    let result = probe_photographs(runtime, teacher, features, layout, size, options.photographs)?;
    if result.passes() {
        return Ok(LocatedCells { locality: Locality::Probe { inconclusive_node, result }, grid });
    }
    Err(Refusal::new(
        format!(
            "cannot map cells to image positions: the structure of the graph is inconclusive after {inconclusive_node}, and {}",
            result.explain_failure(size)
        ),
        "use a teacher whose tokens stay in row-major order; if you know that they do (a probe shows nothing with random \
         weights), set `locality = \"unchecked\"` in the card, which the store records",
    )
    .into())
}

impl From<ScoreMapLayout> for FeatureLayout {
    fn from(layout: ScoreMapLayout) -> Self {
        match layout {
            ScoreMapLayout::Nchw => Self::Nchw,
            ScoreMapLayout::Nhwc => Self::Nhwc,
        }
    }
}

/// Describes what averages over which axes, for messages.
fn averaging(teacher: &ReferenceTeacher<'_>, dims: &[usize], cell_axes: &[usize]) -> String {
    let axes = match cell_axes {
        [axis] => format!("axis {axis}"),
        axes => format!("axes {}", axes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")),
    };
    match &teacher.tail.ending {
        Ending::Pooled(pooling) => {
            format!("{} averages over {axes} of features {dims:?}", describe_node(teacher.graph.node(pooling.node)))
        }
        Ending::ScoreMap => {
            format!("the score map `{}` has its cells along {axes} of {dims:?}", teacher.tail.logits)
        }
    }
}

/// Probes with two photographs, and with more if the result is not clear.
fn probe_photographs(
    runtime: &Runtime,
    teacher: &ReferenceTeacher<'_>,
    features: &str,
    layout: FeatureLayout,
    size: MapSize,
    files: &[Vec<u8>],
) -> Result<ProbeResult, Error> {
    let mut session = teacher.features_session(runtime, features)?;
    let batch_images = teacher.input.fixed_batch.unwrap_or(8);
    let mut run_probe = |most: usize| {
        let photographs = probe_photographs::decoded(files, teacher.card, most)?;
        probe::probe(&photographs, size, batch_images, teacher.input.fixed_batch.is_some(), &mut |batch| {
            let values = teacher.run_features(&mut session, features, batch)?;
            Ok(layout.cells_last(&values))
        })
    };
    let first = run_probe(2)?;
    if first.is_clear() { Ok(first) } else { run_probe(ProbeResult::PHOTOGRAPHS) }
}

/// Determines which axes of a score map are rows and columns, from the card, the structure, the number of classes or the
/// aspect ratio.
fn layout_of_score_map(
    teacher: &ReferenceTeacher<'_>,
    dims: &[usize],
    traced: Option<&Traced>,
    named_classes: Option<usize>,
) -> Result<FeatureLayout, Refusal> {
    if let Some(layout) = teacher.card.layout {
        return Ok(layout.into());
    }
    let &[_, a, b, c] = dims else { return Ok(FeatureLayout::Nchw) };
    if let Some(traced) = traced.filter(|traced| !traced.has_unknown()) {
        let axes: Vec<usize> = (1..4).filter(|&axis| traced.varies_along(axis)).collect();
        match axes[..] {
            [.., 3] => return Ok(FeatureLayout::Nchw),
            [1, ..] => return Ok(FeatureLayout::Nhwc),
            _ => {}
        }
    }
    layout_by_sizes([a, b, c], teacher.card.input_size, named_classes)
}

/// Determines the layout of a score map of shape `[batch, a, b, c]` from the number of classes or the aspect ratio.
pub(crate) fn layout_by_sizes(
    [a, b, c]: [usize; 3],
    input_size: InputSize,
    named_classes: Option<usize>,
) -> Result<FeatureLayout, Refusal> {
    match named_classes {
        Some(count) if a == count && c != count => return Ok(FeatureLayout::Nchw),
        Some(count) if c == count && a != count => return Ok(FeatureLayout::Nhwc),
        _ => {}
    }
    let fits = |rows, columns| MapSize::new(rows, columns).is_ok_and(|size| fits_input(size, input_size));
    match (fits(b, c), fits(a, b)) {
        (true, false) => Ok(FeatureLayout::Nchw),
        (false, true) => Ok(FeatureLayout::Nhwc),
        _ => Err(Refusal::new(
            format!(
                "cannot tell the layout of the score map of shape [batch, {a}, {b}, {c}]: [batch, class, y, x] and [batch, y, x, class] are \
                 both possible"
            ),
            "set `layout = \"nchw\"` or `layout = \"nhwc\"` in the card",
        )),
    }
}
