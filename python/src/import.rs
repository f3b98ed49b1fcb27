//! Import of published files: takes their values, writes shards.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use numpy::{PyReadonlyArray1, PyUntypedArrayMethods as _};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use relabel::shared::digest::digest_bytes;
use relabel::shared::error::{ImageError, ImageErrorKind};
use relabel::shared::store::{CellOrder, ClassesInfo, ImportedDtype, RankAxis, StoreStatus};
use relabel::training::exchange::{self, FileLayout, PublishedFiles};
use serde::Deserialize;

use crate::errors::python;
use crate::options::value_error;

#[pyclass(frozen, module = "relabel._relabel")]
pub(crate) struct Import {
    import: exchange::Import,
    values: usize,
}

/// [`PublishedFiles`] as the JSON that Python passes.
#[derive(Deserialize)]
struct Description {
    teacher_name: String,
    /// Digest of the files, which identifies them.
    fingerprint: String,
    lengths: [usize; 3],
    rank_axis: RankAxis,
    orientation: CellOrder,
    dtype: ImportedDtype,
    classes: ClassesInfo,
    origins: BTreeMap<String, String>,
    source: String,
    shard_images: usize,
}

#[pymethods]
impl Import {
    #[new]
    fn new(
        py: Python<'_>,
        out: PathBuf,
        description: &str,
        paths: Vec<String>,
        lengths: Vec<u64>,
        holder: String,
    ) -> PyResult<Self> {
        let description: Description = serde_json::from_str(description).map_err(not_json)?;
        let Description { rank_axis, orientation, .. } = description;
        let layout = FileLayout::new(description.lengths, rank_axis, orientation).map_err(value_error)?;
        let published = PublishedFiles {
            teacher_name: description.teacher_name,
            files_sha256: digest_bytes(description.fingerprint.as_bytes()),
            layout,
            dtype: description.dtype,
            classes: description.classes,
            origins: description.origins,
            source: description.source,
            shard_images: description.shard_images,
        };
        let import = py.detach(|| {
            let files = exchange::list_files(paths.iter().map(String::as_str).zip(lengths))?;
            exchange::Import::open(&out, &published, files, holder)
        });
        Ok(Self { import: import.map_err(python)?, values: layout.values() })
    }

    fn is_new(&self) -> bool {
        self.import.is_new()
    }

    /// Returns the shards to do: number, first row, and end of the half-open range of rows.
    fn to_do(&self) -> Vec<(usize, usize, usize)> {
        let info = self.import.store().info();
        let of = |&shard: &usize| (shard, info.shard_rows(shard).start, info.shard_rows(shard).end);
        self.import.to_do().iter().map(of).collect()
    }

    /// Commits a shard. `values` are those of its files in order, with arbitrary values for failed files. `failures` are
    /// row, kind and reason.
    fn commit(
        &self,
        py: Python<'_>,
        shard: usize,
        values: PyReadonlyArray1<'_, f32>,
        failures: Vec<(usize, String, String)>,
    ) -> PyResult<()> {
        let rows = self.import.store().info().shard_rows(shard).len();
        if values.len() != rows * self.values {
            let (len, of) = (values.len(), self.values);
            return Err(PyValueError::new_err(format!("{len} values for {rows} files of {of} values each")));
        }
        let failure = |(row, kind, reason): (usize, String, String)| {
            let kind: ImageErrorKind = serde_json::from_value(kind.into()).map_err(not_json)?;
            Ok((row, ImageError { kind, reason }))
        };
        let failures = failures.into_iter().map(failure).collect::<PyResult<HashMap<_, _>>>()?;
        let values = values.as_slice().map_err(|error| PyValueError::new_err(error.to_string()))?.to_vec();
        py.detach(|| self.import.commit(shard, &values, &failures)).map_err(python)?;
        Ok(())
    }

    /// Returns the status of the store as JSON.
    fn status(&self, py: Python<'_>) -> PyResult<String> {
        let (_, status) = py.detach(|| StoreStatus::read(self.import.store().path())).map_err(python)?;
        serde_json::to_string(&status).map_err(not_json)
    }

    /// Writes the note of a run, a JSON object.
    fn note(&self, py: Python<'_>, name: &str, note: &str) -> PyResult<()> {
        let note = serde_json::from_str(note).map_err(not_json)?;
        py.detach(|| self.import.store().write_run_note(name, note)).map_err(python)
    }
}

/// Returns a class list as JSON.
#[pyfunction]
pub(crate) fn class_list(py: Python<'_>, name: &str) -> PyResult<String> {
    let list = py.detach(|| exchange::class_list(name)).map_err(python)?;
    serde_json::to_string(&ClassesInfo::from(&list)).map_err(not_json)
}

// By value, for use with `map_err`.
fn not_json(error: serde_json::Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}
