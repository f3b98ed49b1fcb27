//! Conversion of Python's options to those of the library.

use std::num::NonZeroUsize;

use numpy::ndarray::ArrayView2;
use numpy::{PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use relabel::shared::geometry::{Crop, GeometryError, InputSize, UnitBox};
use relabel::training::labels::{CropPooling, Labels, PoolingKind};
use relabel::training::pool::{Convention, Fill, OutputSize, PoolOptions, Temperature};

use crate::errors::python;

/// Score of classes outside the top-k: a number, or `"rest"`.
#[derive(FromPyObject)]
pub(crate) enum FillArg {
    Constant(f32),
    Named(String),
}

/// Kind of pooling (`None`: that of the store), output size (rows, columns), fill, temperature, convention.
pub(crate) type PoolingArgs = (Option<String>, (usize, usize), FillArg, f32, String);

/// Returns the pooling of a store. Options of LabelPooling are refused with other kinds.
pub(crate) fn pooling(
    py: Python<'_>,
    labels: &Labels,
    (kind, size, fill, temperature, convention): PoolingArgs,
) -> PyResult<CropPooling> {
    let kind = kind.map_or(Ok(labels.default_pooling()), |name| name.parse().map_err(value_error))?;
    let options = label_pooling(size, fill, temperature, &convention)?;
    if kind == PoolingKind::Paper {
        return Ok(options.into());
    }
    let defaults = PoolOptions::default();
    let changed = [
        ("output_size", options.output != defaults.output),
        ("fill", options.fill != defaults.fill),
        ("temperature", options.temperature != defaults.temperature),
        ("convention", options.convention != defaults.convention),
    ];
    if let Some((name, _)) = changed.iter().find(|(_, is_changed)| *is_changed) {
        return Err(PyValueError::new_err(format!(
            "{name} does not apply to pooling=\"{kind}\"\n  help: leave it out, or pass pooling=\"paper\""
        )));
    }
    py.detach(|| labels.pooling(kind)).map_err(python)
}

pub(crate) fn label_pooling(
    (rows, columns): (usize, usize),
    fill: FillArg,
    temperature: f32,
    convention: &str,
) -> PyResult<PoolOptions> {
    let fill = match fill {
        FillArg::Constant(score) if score.is_finite() => Fill::Constant(score),
        FillArg::Constant(score) => {
            return Err(PyValueError::new_err(format!("fill is {score}\n  help: pass a finite score")));
        }
        FillArg::Named(name) if name == "rest" => Fill::Rest,
        FillArg::Named(name) => {
            return Err(PyValueError::new_err(format!("fill is `{name}`\n  help: pass a score or \"rest\"")));
        }
    };
    let convention = match convention {
        "relabel" => Convention::XFirst,
        "naver" => Convention::Naver,
        name => {
            return Err(PyValueError::new_err(format!(
                "convention is `{name}`\n  help: pass \"relabel\" or \"naver\""
            )));
        }
    };
    Ok(PoolOptions {
        output: OutputSize::new(rows, columns).map_err(value_error)?,
        fill,
        temperature: Temperature::new(temperature).map_err(value_error)?,
        convention,
    })
}

/// Boxes `[image, (x0, y0, x1, y1)]` in their original dtype.
#[derive(FromPyObject)]
pub(crate) enum Boxes<'py> {
    Float32(PyReadonlyArray2<'py, f32>),
    Float64(PyReadonlyArray2<'py, f64>),
}

/// Crops of a batch: row numbers, boxes, and whether each was mirrored.
pub(crate) type BatchArgs<'py> = (PyReadonlyArray1<'py, i64>, Boxes<'py>, PyReadonlyArray1<'py, bool>);

/// Converts a batch to rows and crops.
pub(crate) fn batch((row_numbers, boxes, flipped): &BatchArgs<'_>) -> PyResult<(Vec<usize>, Vec<Crop>)> {
    Ok((rows(row_numbers)?, crops(boxes, flipped)?))
}

fn crops(boxes: &Boxes<'_>, flipped: &PyReadonlyArray1<'_, bool>) -> PyResult<Vec<Crop>> {
    let unit_boxes: Vec<Result<UnitBox, GeometryError>> = match boxes {
        Boxes::Float32(boxes) => {
            quadruples(boxes.as_array())?.map(|[x0, y0, x1, y1]| UnitBox::from_float32([x0, y0, x1, y1])).collect()
        }
        Boxes::Float64(boxes) => {
            quadruples(boxes.as_array())?.map(|[x0, y0, x1, y1]| UnitBox::new(x0, y0, x1, y1)).collect()
        }
    };
    let flipped = flipped.as_array();
    if unit_boxes.len() != flipped.len() {
        let message = format!("the numbers of boxes and of flips differ: {} and {}", unit_boxes.len(), flipped.len());
        return Err(PyValueError::new_err(message));
    }
    let crop = |(at, (unit_box, &is_flipped)): (usize, (Result<UnitBox, GeometryError>, &bool))| {
        let unit_box = unit_box.map_err(|problem| PyValueError::new_err(format!("row {at} of boxes: {problem}")))?;
        Ok(Crop { unit_box, is_flipped })
    };
    unit_boxes.into_iter().zip(flipped).enumerate().map(crop).collect()
}

/// Returns an iterator over the rows of an array with four columns.
pub(crate) fn quadruples<T: Copy>(array: ArrayView2<'_, T>) -> PyResult<impl Iterator<Item = [T; 4]>> {
    if array.ncols() != 4 {
        return Err(PyValueError::new_err(format!("a box has 4 numbers, x0, y0, x1, y1; got {}", array.ncols())));
    }
    Ok((0..array.nrows()).map(move |row| [0, 1, 2, 3].map(|side| array[[row, side]])))
}

/// Converts row numbers, which must not be negative.
pub(crate) fn rows(rows: &PyReadonlyArray1<'_, i64>) -> PyResult<Vec<usize>> {
    let row = |&row: &i64| {
        usize::try_from(row)
            .map_err(|_| PyValueError::new_err(format!("row {row} does not exist; rows are counted from 0")))
    };
    rows.as_array().iter().map(row).collect()
}

pub(crate) fn threads(threads: usize) -> PyResult<NonZeroUsize> {
    NonZeroUsize::new(threads).ok_or_else(|| PyValueError::new_err("threads is 0\n  help: pass at least 1"))
}

pub(crate) fn input_size(height: u32, width: u32) -> PyResult<InputSize> {
    InputSize::new(height, width).map_err(|problem| PyValueError::new_err(problem.to_string()))
}

/// Converts any error to a `ValueError`, for `map_err`.
#[allow(clippy::needless_pass_by_value)]
pub(crate) fn value_error(problem: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(problem.to_string())
}
