//! Reading of stores. Releases the interpreter's lock during every call of the library.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use half::f16;
use numpy::{IntoPyArray as _, PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use relabel::shared::geometry::MapSize;
use relabel::shared::manifest::NameKind;
use relabel::shared::remote::{Access, CachedFiles, RemoteFiles, RemoteSettings, is_address};
use relabel::training::cutmix::CutRect;
use relabel::training::labels::{CropPooling, MaskPooling, PastedBatch, RowStatus};
use relabel::training::pool::{MaskWeights, TargetValue};

use crate::errors::python;
use crate::masks::{self, MaskArgs};
use crate::options::{self, BatchArgs, FillArg, PoolingArgs};

#[pyclass(frozen, module = "relabel._relabel")]
pub(crate) struct Labels {
    labels: relabel::training::labels::Labels,
}

/// Number of classes of each target; class ids, probabilities and rests, flat.
type SparseArrays<'py> = (usize, Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<f32>>, Bound<'py, PyArray1<f32>>);

/// Status of each row as a number; row and reason of each failed image.
type StateArrays<'py> = (Bound<'py, PyArray1<u8>>, Vec<(usize, String)>);

/// Scores, class ids and log-sum-exp of a map, flat.
type MapArrays<'py> = (Bound<'py, PyArray1<f16>>, Bound<'py, PyArray1<i64>>, Option<Bound<'py, PyArray1<f16>>>);

/// Probabilities and class ids, flat.
type PredictionArrays<'py> = (Bound<'py, PyArray1<f16>>, Bound<'py, PyArray1<i64>>);

#[pymethods]
impl Labels {
    #[new]
    fn new(py: Python<'_>, path: PathBuf, variables: Vec<(String, String)>, cache: Option<PathBuf>) -> PyResult<Self> {
        let Some(address) = path.to_str().filter(|path| is_address(path)) else {
            return Ok(Self { labels: relabel::training::labels::Labels::open(&path).map_err(python)? });
        };
        let settings = RemoteSettings { variables, access: Access::Read, stop: Some(Arc::new(interrupted)) };
        let open = || {
            let files = CachedFiles::new(RemoteFiles::open(address, settings)?, cache);
            relabel::training::labels::Labels::open_files(Arc::new(files))
        };
        Ok(Self { labels: py.detach(open).map_err(python)? })
    }

    /// Returns the store's metadata as JSON.
    fn info(&self) -> PyResult<String> {
        serde_json::to_string(self.labels.info()).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    fn rows<'py>(&self, py: Python<'py>, ids: Vec<String>) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let rows = py.detach(|| self.labels.rows(&ids)).map_err(python)?;
        Ok(rows.into_iter().map(|row| row as i64).collect::<Vec<_>>().into_pyarray(py))
    }

    /// Returns row numbers, -1 for ids that are missing in the store.
    fn find_rows<'py>(&self, py: Python<'py>, ids: Vec<String>) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let rows = py.detach(|| self.labels.find_rows(&ids)).map_err(python)?;
        let number = |row: Option<usize>| row.map_or(-1, |row| row as i64);
        Ok(rows.into_iter().map(number).collect::<Vec<_>>().into_pyarray(py))
    }

    /// Returns row numbers of paths, or of ids or paths; -1 for names that are missing in the store.
    fn find_names<'py>(
        &self,
        py: Python<'py>,
        names: Vec<String>,
        are_paths: bool,
    ) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let kind = if are_paths { NameKind::Path } else { NameKind::IdOrPath };
        let rows = py.detach(|| self.labels.find_names(&names, kind)).map_err(python)?;
        let number = |row: Option<usize>| row.map_or(-1, |row| row as i64);
        Ok(rows.into_iter().map(number).collect::<Vec<_>>().into_pyarray(py))
    }

    /// Returns the path of every row below the source.
    fn paths(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let manifest = py.detach(|| self.labels.manifest()).map_err(python)?;
        Ok((0..manifest.len()).map(|row| manifest.path(row).to_owned()).collect())
    }

    /// Returns the lengths of the labelled files in bytes, 0 if unknown.
    fn file_bytes<'py>(
        &self,
        py: Python<'py>,
        rows: PyReadonlyArray1<'py, i64>,
    ) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let rows = options::rows(&rows)?;
        let manifest = py.detach(|| self.labels.manifest()).map_err(python)?;
        let bytes = |row: usize| if row < manifest.len() { manifest.bytes(row) as i64 } else { 0 };
        Ok(rows.into_iter().map(bytes).collect::<Vec<_>>().into_pyarray(py))
    }

    fn ids(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let manifest = py.detach(|| self.labels.manifest()).map_err(python)?;
        Ok((0..manifest.len()).map(|row| manifest.id(row).to_owned()).collect())
    }

    /// Returns the folder class of each row as a class index, -1 if the teacher has no such class.
    fn folder_classes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let manifest = py.detach(|| self.labels.manifest()).map_err(python)?;
        let list: relabel::shared::classes::ClassList = (&self.labels.info().classes).into();
        let by_label = list.by_folder_class();
        let class = |row| {
            manifest.folder_class(row).and_then(|label| by_label.get(label)).map_or(-1, |&class| i64::from(class))
        };
        Ok((0..manifest.len()).map(class).collect::<Vec<_>>().into_pyarray(py))
    }

    /// Returns the state of each row (0 to do, 1 labelled, 2 failed), and (row, reason) of failed images.
    fn states<'py>(&self, py: Python<'py>) -> PyResult<StateArrays<'py>> {
        let states = py.detach(|| self.labels.row_statuses()).map_err(python)?;
        let number = |state: &RowStatus| match state {
            RowStatus::ToDo => 0,
            RowStatus::Labelled => 1,
            RowStatus::Failed => 2,
        };
        let numbers: Vec<u8> = states.statuses.iter().map(number).collect();
        let failed = states.failed.into_iter().map(|failed| (failed.row, failed.error.to_string())).collect();
        Ok((numbers.into_pyarray(py), failed))
    }

    fn pool<'py>(
        &self,
        py: Python<'py>,
        batch: BatchArgs<'py>,
        pooling: PoolingArgs,
        dtype: &str,
        threads: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (pooling, threads) = (options::pooling(py, &self.labels, pooling)?, options::threads(threads)?);
        match dtype {
            "float32" => self.pool_as::<f32>(py, &batch, pooling, threads),
            "float64" => self.pool_as::<f64>(py, &batch, pooling, threads),
            "float16" => self.pool_as::<f16>(py, &batch, pooling, threads),
            other => {
                Err(PyValueError::new_err(format!("dtype is `{other}`\n  help: pass float32, float16 or float64")))
            }
        }
    }

    fn pool_sparse<'py>(
        &self,
        py: Python<'py>,
        batch: BatchArgs<'py>,
        top: Option<NonZeroUsize>,
        pooling: PoolingArgs,
        threads: usize,
    ) -> PyResult<SparseArrays<'py>> {
        let (rows, crops) = options::batch(&batch)?;
        let (pooling, threads) = (options::pooling(py, &self.labels, pooling)?, options::threads(threads)?);
        let pool = || self.labels.pool_padded(&rows, &crops, pooling, top, threads);
        let targets = py.detach(pool).map_err(python)?;
        let (classes, probs, rests) = (targets.classes, targets.probs, targets.rests);
        Ok((targets.width, classes.into_pyarray(py), probs.into_pyarray(py), rests.into_pyarray(py)))
    }

    /// Returns the targets of masks, flattened.
    fn pool_masks<'py>(
        &self,
        py: Python<'py>,
        rows: PyReadonlyArray1<'py, i64>,
        masks: Vec<MaskArgs<'py>>,
        resize: &str,
        options: (FillArg, f32),
        dtype: &str,
        threads: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (rows, threads) = (options::rows(&rows)?, options::threads(threads)?);
        let pooling = masks::pooling(options)?;
        let masks = masks::weights(&masks, self.labels.map_size("pool label maps").map_err(python)?, resize)?;
        match dtype {
            "float32" => self.pool_masks_as::<f32>(py, &rows, &masks, pooling, threads),
            "float64" => self.pool_masks_as::<f64>(py, &rows, &masks, pooling, threads),
            "float16" => self.pool_masks_as::<f16>(py, &rows, &masks, pooling, threads),
            other => {
                Err(PyValueError::new_err(format!("dtype is `{other}`\n  help: pass float32, float16 or float64")))
            }
        }
    }

    /// Returns targets of CutMix by region, flattened. `rects` are `x0, y0, x1, y1` in pixels of an input of (height, width).
    fn cutmix<'py>(
        &self,
        py: Python<'py>,
        batch: BatchArgs<'py>,
        partners: PyReadonlyArray1<'py, i64>,
        rects: PyReadonlyArray2<'py, u32>,
        input: (u32, u32),
        pooling: PoolingArgs,
        threads: usize,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let (rows, crops) = options::batch(&batch)?;
        let (partners, input) = (options::rows(&partners)?, options::input_size(input.0, input.1)?);
        let (pooling, threads) = (options::pooling(py, &self.labels, pooling)?, options::threads(threads)?);
        let rect = |(at, [x0, y0, x1, y1]): (usize, [u32; 4])| {
            let rect = CutRect::new(input, x0, y0, x1, y1);
            rect.map_err(|problem| options::value_error(format!("row {at} of rects: {problem}")))
        };
        let rects: Vec<_> = options::quadruples(rects.as_array())?.enumerate().map(rect).collect::<PyResult<_>>()?;
        let mut targets = vec![0.0; rows.len() * self.labels.class_count()];
        let pasted = PastedBatch { rows: &rows, crops: &crops, partners: &partners, rects: &rects };
        py.detach(|| self.labels.cutmix_into(&pasted, pooling, threads, &mut targets)).map_err(python)?;
        Ok(targets.into_pyarray(py))
    }

    fn image_targets<'py>(
        &self,
        py: Python<'py>,
        rows: PyReadonlyArray1<'py, i64>,
        threads: usize,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let (rows, threads) = (options::rows(&rows)?, options::threads(threads)?);
        let mut targets = vec![0.0; rows.len() * self.labels.class_count()];
        py.detach(|| self.labels.image_targets_into(&rows, threads, &mut targets)).map_err(python)?;
        Ok(targets.into_pyarray(py))
    }

    /// Returns the parameters of calibrated pooling as JSON, or `None` if the store has none.
    fn calibrated_parameters(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let parameters = py.detach(|| self.labels.calibrated_parameters()).map_err(python)?;
        let json = parameters.map(|parameters| serde_json::to_string(&parameters)).transpose();
        json.map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Returns probabilities and class ids of the tiles of an image, flat.
    fn tile_predictions<'py>(&self, py: Python<'py>, row: usize) -> PyResult<PredictionArrays<'py>> {
        let predictions = py.detach(|| self.labels.tile_predictions(row)).map_err(python)?;
        let probs: Vec<f16> = predictions.iter().flat_map(|tile| tile.probs().iter().copied()).collect();
        let classes: Vec<i64> =
            predictions.iter().flat_map(|tile| tile.classes().iter().map(|&id| i64::from(id))).collect();
        Ok((probs.into_pyarray(py), classes.into_pyarray(py)))
    }

    fn map<'py>(&self, py: Python<'py>, row: usize) -> PyResult<MapArrays<'py>> {
        let map = py.detach(|| self.labels.map(row)).map_err(python)?;
        let (scores, classes) = map.rank_planes();
        let classes: Vec<i64> = classes.into_iter().map(i64::from).collect();
        let lse = map.lse().map(|lse| lse.to_vec().into_pyarray(py));
        Ok((scores.into_pyarray(py), classes.into_pyarray(py), lse))
    }

    /// Returns the scores of label maps, flat, and their class ids as int16, or as int32 if there are too many classes.
    fn maps<'py>(
        &self,
        py: Python<'py>,
        rows: PyReadonlyArray1<'py, i64>,
        threads: usize,
    ) -> PyResult<(Bound<'py, PyArray1<f16>>, Bound<'py, PyAny>)> {
        let (rows, threads) = (options::rows(&rows)?, options::threads(threads)?);
        if self.labels.class_count() <= 1 + i16::MAX as usize {
            self.maps_as::<i16>(py, &rows, threads)
        } else {
            self.maps_as::<i32>(py, &rows, threads)
        }
    }
}

/// Returns whether Ctrl-C was pressed while waiting for the network.
fn interrupted() -> bool {
    Python::attach(|py| py.check_signals().is_err())
}

impl Labels {
    fn pool_as<'py, T: TargetValue + numpy::Element>(
        &self,
        py: Python<'py>,
        batch: &BatchArgs<'py>,
        pooling: CropPooling,
        threads: NonZeroUsize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (rows, crops) = options::batch(batch)?;
        let mut targets = vec![T::default(); rows.len() * self.labels.class_count() * pooling.parts()];
        py.detach(|| self.labels.pool_into(&rows, &crops, pooling, threads, &mut targets)).map_err(python)?;
        Ok(targets.into_pyarray(py).into_any())
    }

    fn maps_as<'py, C: TryFrom<u32> + Copy + Default + numpy::Element>(
        &self,
        py: Python<'py>,
        rows: &[usize],
        threads: NonZeroUsize,
    ) -> PyResult<(Bound<'py, PyArray1<f16>>, Bound<'py, PyAny>)> {
        let info = self.labels.info();
        let values = rows.len() * info.k * info.map_size.map_or(0, MapSize::cells);
        let (mut scores, mut classes) = (vec![f16::ZERO; values], vec![C::default(); values]);
        py.detach(|| self.labels.maps_into(rows, threads, &mut scores, &mut classes)).map_err(python)?;
        Ok((scores.into_pyarray(py), classes.into_pyarray(py).into_any()))
    }

    fn pool_masks_as<'py, T: TargetValue + numpy::Element>(
        &self,
        py: Python<'py>,
        rows: &[usize],
        masks: &[MaskWeights],
        pooling: MaskPooling,
        threads: NonZeroUsize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut targets = vec![T::default(); rows.len() * self.labels.class_count()];
        py.detach(|| self.labels.pool_masks_into(rows, masks, pooling, threads, &mut targets)).map_err(python)?;
        Ok(targets.into_pyarray(py).into_any())
    }
}

/// Returns the rectangle of CutMix, `x0, y0, x1, y1` in pixels, and λ from its clipped area.
#[pyfunction]
pub(crate) fn cut_rect(
    height: u32,
    width: u32,
    lambda: f64,
    centre_x: u32,
    centre_y: u32,
) -> PyResult<([u32; 4], f64)> {
    let input = options::input_size(height, width)?;
    let rect = CutRect::around(input, lambda, centre_x, centre_y).map_err(options::value_error)?;
    Ok((rect.sides(), rect.lambda()))
}

/// Returns whether a location is a URL, not a path.
#[pyfunction]
pub(crate) fn is_url(location: &str) -> bool {
    is_address(location)
}
