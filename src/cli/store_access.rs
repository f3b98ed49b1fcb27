//! Opening stores by path or URL, with the environment's network settings.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use relabel::shared::error::Error;
use relabel::shared::remote::{Access, CachedFiles, RemoteFiles, RemoteSettings, StopCheck, is_address};
use relabel::shared::store::{Part, StoreInfo, StoreReader, StoreStatus};

use super::output::warning;

/// Opens a store in a folder, or a store or release at a URL. Warns if its cells were not checked to match image positions.
pub fn open_store(store: &Path) -> Result<StoreReader, Error> {
    let reader = match url(store) {
        None => StoreReader::open(store),
        Some(url) => {
            let remote = RemoteFiles::open(url, network_settings(Access::Read))?;
            StoreReader::open_files(Arc::new(CachedFiles::new(remote, cache_folder())))
        }
    }?;
    warn_if_unchecked(reader.info());
    Ok(reader)
}

/// Warns if the cells of a store were not checked to match image positions.
pub fn warn_if_unchecked(info: &StoreInfo) {
    if let Some(text) = info.locality_warning() {
        warning(text);
    }
}

/// Reads the progress of a store at a path or URL.
pub fn read_status(store: &Path) -> Result<(StoreInfo, StoreStatus), Error> {
    if url(store).is_none() {
        return StoreStatus::read(store);
    }
    let reader = open_store(store)?;
    let status = StoreStatus::from_records(reader.info(), Part::WHOLE, &reader.records()?);
    Ok((reader.info().clone(), status))
}

/// Returns the URL, if the path is one.
pub fn url(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| is_address(text))
}

/// Returns credentials and settings from the environment, and the flag that stops transfers.
pub fn network_settings(access: Access) -> RemoteSettings {
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let flag = super::stop_flag();
    let stop: StopCheck = Arc::new(move || super::raised(&flag));
    RemoteSettings { variables: variables.collect(), access, stop: Some(stop) }
}

/// Returns the cache folder of remote files, which the Python package shares: `RELABEL_CACHE`, or `relabel` in the user's
/// cache folder.
pub fn cache_folder() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("RELABEL_CACHE")
        .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("relabel")))
        .or_else(|| Some(folder("HOME")?.join(".cache/relabel")))
}
