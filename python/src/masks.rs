//! Conversion of Python's masks to weights of cells.

use numpy::{PyReadonlyArray1, PyUntypedArrayMethods as _};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use relabel::shared::geometry::MapSize;
use relabel::training::labels::MaskPooling;
use relabel::training::pool::{CocoRle, MaskError, MaskResize, MaskSize, MaskWeights, PixelMask, PixelOrder};

use crate::options::{FillArg, label_pooling};

/// Content of a mask.
#[derive(FromPyObject)]
pub(crate) enum MaskContent<'py> {
    /// Compressed counts of COCO's run-length encoding.
    Compressed(PyBackedBytes),
    /// Its counts.
    Counts(PyReadonlyArray1<'py, i64>),
    /// All pixels; 0 is outside.
    Pixels(PyReadonlyArray1<'py, u8>),
}

/// Height, width, whether pixels are in the order of columns, and content.
pub(crate) type MaskArgs<'py> = (usize, usize, bool, MaskContent<'py>);

/// Resizes masks to the cells of maps.
pub(crate) fn weights(masks: &[MaskArgs<'_>], map_size: MapSize, resize: &str) -> PyResult<Vec<MaskWeights>> {
    let resize = match resize {
        "linear" => MaskResize::Linear,
        "area" => MaskResize::Area,
        other => {
            return Err(PyValueError::new_err(format!("resize is `{other}`\n  help: pass \"linear\" or \"area\"")));
        }
    };
    let of = |(at, mask): (usize, &MaskArgs<'_>)| {
        weights_of(mask, map_size, resize).map_err(|problem| PyValueError::new_err(format!("mask {at}: {problem}")))
    };
    masks.iter().enumerate().map(of).collect()
}

fn weights_of(
    (height, width, is_by_columns, content): &MaskArgs<'_>,
    map_size: MapSize,
    resize: MaskResize,
) -> Result<MaskWeights, MaskError> {
    let size = MaskSize::new(*height, *width)?;
    let rle = match content {
        MaskContent::Compressed(text) => CocoRle::from_compressed(size, text)?,
        MaskContent::Counts(counts) => CocoRle::from_counts(size, &counts.as_array().to_vec())?,
        MaskContent::Pixels(pixels) => {
            let order = if *is_by_columns { PixelOrder::Columns } else { PixelOrder::Rows };
            // Python passes contiguous arrays. The interpreter's lock is held, so that no thread changes the pixels.
            let pixels = pixels.as_slice().map_err(|_| MaskError::PixelCount { found: pixels.len(), size })?;
            let mask = PixelMask::new(size, pixels, order)?;
            return Ok(MaskWeights::from_pixels(&mask, map_size, resize));
        }
    };
    Ok(MaskWeights::from_coco_rle(&rle, map_size, resize))
}

/// Returns the options of pooling under masks.
pub(crate) fn pooling((fill, temperature): (FillArg, f32)) -> PyResult<MaskPooling> {
    let options = label_pooling((1, 1), fill, temperature, "relabel")?;
    Ok(MaskPooling { fill: options.fill, temperature: options.temperature })
}
