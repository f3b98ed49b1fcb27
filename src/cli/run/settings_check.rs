//! Checks that an existing store has the settings of this run.

use std::path::Path;

use relabel::labelling::source::ImageReader;
use relabel::shared::error::Error;
use relabel::shared::manifest::Manifest;
use relabel::shared::store::StoreInfo;

use crate::cli::args::RunArguments;
use crate::cli::output::thousands;

/// Refuses to resume a store whose settings differ.
///
/// # Errors
/// Returns [`Error::SettingsDiffer`] if there are differences.
pub fn refuse_differences(out: &Path, differences: Vec<String>) -> Result<(), Error> {
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::SettingsDiffer {
        path: out.to_path_buf(),
        differences,
        advice: "pass the flags that the store was created with, or another --out",
    })
}

/// Returns the differences between a store and the flags that are known without the teacher.
///
/// # Errors
/// Returns an error if the manifest or the source cannot be read.
pub fn early_differences(
    arguments: &RunArguments,
    existing: &StoreInfo,
    source_name: &str,
    images: &dyn ImageReader,
    manifest: &Manifest,
) -> Result<Vec<String>, Error> {
    let mut differences = Vec::new();
    if let Some(path) = &arguments.manifest {
        let mut given = Manifest::read(path)?;
        if let Some(limit) = arguments.limit {
            given.truncate(limit);
        }
        differences.extend(manifest.difference(&given).map(|line| format!("manifest: {line}")));
    } else if existing.limit != arguments.limit {
        let limit = |limit: Option<usize>| limit.map_or("none".to_owned(), |limit| limit.to_string());
        differences.push(difference("limit", limit(existing.limit), limit(arguments.limit)));
    }
    if let Some(given) = arguments.shard_size.filter(|&given| given.min(existing.images) != existing.shard_images) {
        differences.push(difference("shard size", existing.shard_images, given));
    }
    if let Some(given) = arguments.batch.filter(|&given| given != existing.batch_images) {
        differences.push(difference("batch", existing.batch_images, given));
    }
    differences.extend(source_difference(source_name, images, manifest)?);
    Ok(differences)
}

fn difference(setting: &str, in_store: impl std::fmt::Display, given: impl std::fmt::Display) -> String {
    format!("{setting}: {in_store} in the store, {given} requested")
}

/// Returns a difference if less than half of a sample of the manifest's images is in the source.
fn source_difference(
    source_name: &str,
    images: &dyn ImageReader,
    manifest: &Manifest,
) -> Result<Option<String>, Error> {
    const SAMPLE: usize = 64;
    let step = manifest.len().div_ceil(SAMPLE).max(1);
    let rows: Vec<usize> = (0..manifest.len()).step_by(step).collect();
    let mut found = 0;
    for &row in &rows {
        found += usize::from(images.looks_as_listed(row)?);
    }
    Ok((found * 2 < rows.len()).then(|| {
        format!(
            "manifest: of a sample of {} images, {} are in {source_name} with the listed size (first: `{}`)",
            thousands(rows.len()),
            thousands(found),
            manifest.path(rows[0])
        )
    }))
}
