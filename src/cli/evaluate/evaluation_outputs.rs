//! The files that `relabel evaluate` writes.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use relabel::evaluation::charts::charts;
use relabel::evaluation::crop_fidelity::CropTable;
use relabel::evaluation::evaluation_file::Evaluation;
use relabel::shared::atomic_file::{AtomicFile, refuse_inside};
use relabel::shared::error::Error;
use relabel::shared::printable::printable_path;

use crate::cli::args::EvaluateArguments;

/// Requested files, by what they contain.
pub struct EvaluationOutputs<'a> {
    evaluation: Option<&'a Path>,
    crops: Option<&'a Path>,
    charts: Option<&'a Path>,
}

/// Temporary files of the outputs.
pub struct EvaluationDrafts<'a> {
    evaluation: Option<AtomicFile>,
    /// Taken by the comparison of crops, which writes it.
    pub crops: Option<CropTable>,
    crops_path: Option<&'a Path>,
    store: &'a Path,
    charts: Option<&'a Path>,
}

impl<'a> EvaluationOutputs<'a> {
    /// Recognises the files by their extensions.
    ///
    /// # Errors
    /// Returns [`Error::Usage`] if an extension is unknown, two files have the same content, or a table of crops is requested
    /// without crops.
    pub fn new(arguments: &'a EvaluateArguments) -> Result<Self, Error> {
        let mut outputs = Self { evaluation: None, crops: None, charts: arguments.charts.as_deref() };
        let twice = |content: &str, one: &Path, other: &Path| {
            Error::Usage(format!(
                "two files for {content}: {} and {}\n  help: pass one of them",
                printable_path(one),
                printable_path(other)
            ))
        };
        for path in &arguments.out {
            let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
            let (content, slot) = match extension.as_str() {
                "json" => ("the evaluation", &mut outputs.evaluation),
                "parquet" | "csv" => ("the table of crops", &mut outputs.crops),
                _ => {
                    return Err(Error::Usage(format!(
                        "cannot write {}: unknown extension\n  help: use .json for the evaluation, .parquet or .csv for the \
                         table of crops",
                        printable_path(path)
                    )));
                }
            };
            if let Some(other) = slot.replace(path) {
                return Err(twice(content, other, path));
            }
        }
        if let Some(path) = outputs.crops.filter(|_| arguments.crops.is_none() && arguments.boxes.is_none()) {
            return Err(Error::Usage(format!(
                "{} is a table of crops, but no crops are evaluated\n  help: add --crops N, or use .json for the evaluation",
                printable_path(path)
            )));
        }
        Ok(outputs)
    }

    /// Creates the temporary files and the folder of the charts, so that a folder that cannot be written to is detected
    /// before work begins.
    ///
    /// # Errors
    /// Returns [`Error::File`] if a file cannot be written, and [`Error::Usage`] if it is inside the store.
    pub fn create(&self, store: &'a Path) -> Result<EvaluationDrafts<'a>, Error> {
        if let Some(folder) = self.charts {
            refuse_inside(store, folder)?;
            std::fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
        }
        Ok(EvaluationDrafts {
            evaluation: self.evaluation.map(|path| AtomicFile::create_outside(store, path)).transpose()?,
            crops: self.crops.map(|path| CropTable::create(path, store)).transpose()?,
            crops_path: self.crops,
            store,
            charts: self.charts,
        })
    }
}

impl EvaluationDrafts<'_> {
    /// Writes all files and returns their paths.
    ///
    /// # Errors
    /// Returns [`Error::File`] if a file cannot be written.
    pub fn write(self, evaluation: &Evaluation) -> Result<Vec<PathBuf>, Error> {
        let mut written: Vec<PathBuf> = self.crops_path.map(Path::to_path_buf).into_iter().collect();
        if let Some(folder) = self.charts {
            let drawn = charts(evaluation)
                .map_err(|problem| Error::Internal { action: "draw the charts".to_owned(), problem: problem.into() })?;
            for chart in drawn {
                let mut file = AtomicFile::create_outside(self.store, &folder.join(&chart.file_name))?;
                let path = file.path().to_path_buf();
                file.file().write_all(&chart.png).map_err(Error::file("write", &path))?;
                file.commit()?;
                written.push(path);
            }
        }
        if let Some(mut file) = self.evaluation {
            let path = file.path().to_path_buf();
            file.file().write_all(&evaluation.to_json_bytes()).map_err(Error::file("write", &path))?;
            file.commit()?;
            written.push(path);
        }
        Ok(written)
    }
}
