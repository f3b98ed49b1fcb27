//! Stores by path or by address, and what the environment says of reaching them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use relabel::shared::error::Error;
use relabel::shared::remote::{Access, CachedFiles, RemoteFiles, RemoteSettings, StopCheck, is_address};
use relabel::shared::store::{Part, StoreInfo, StoreReader, StoreStatus};

use super::output::say;

/// Opens a store in a folder, or a store or release at an address. Warns where its cells may be no places of the image.
pub fn open_store(store: &Path) -> Result<StoreReader, Error> {
    let reader = match address(store) {
        None => StoreReader::open(store),
        Some(address) => {
            let remote = RemoteFiles::open(address, settings(Access::Read))?;
            StoreReader::open_files(Arc::new(CachedFiles::new(remote, cache_folder())))
        }
    }?;
    warn_of(reader.info());
    Ok(reader)
}

/// Warns of a store whose cells were not shown to be places of the image.
pub fn warn_of(info: &StoreInfo) {
    if let Some(warning) = info.locality_warning() {
        say(&format!("warning: {warning}"));
    }
}

/// How far a store is, wherever it lies.
pub fn status(store: &Path) -> Result<(StoreInfo, StoreStatus), Error> {
    if address(store).is_none() {
        return StoreStatus::read(store);
    }
    let reader = open_store(store)?;
    let status = StoreStatus::from_records(reader.info(), Part::WHOLE, &reader.records()?);
    Ok((reader.info().clone(), status))
}

/// The address that was given where a path may be.
pub fn address(place: &Path) -> Option<&str> {
    place.to_str().filter(|text| is_address(text))
}

/// What is known of reaching places in the network.
pub fn settings(access: Access) -> RemoteSettings {
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let flag = super::stop_flag();
    let stop: StopCheck = Arc::new(move || super::raised(&flag));
    RemoteSettings { variables: variables.collect(), access, stop: Some(stop) }
}

/// Where copies of remote files are kept, the same folder that the Python package uses: `RELABEL_CACHE`, or `relabel` in
/// the user's folder for caches.
pub fn cache_folder() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("RELABEL_CACHE")
        .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("relabel")))
        .or_else(|| Some(folder("HOME")?.join(".cache/relabel")))
}
