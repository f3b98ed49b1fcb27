//! Weights that an ONNX model keeps in separate files next to it.

use std::path::{Component, Path, PathBuf};

use super::onnx_proto::proto::StringStringEntryProto;
use super::onnx_proto::{TensorProto, bits_per_value, value_count};

/// Where a weight is stored: a range of bytes of a file next to the model.
pub(crate) struct ExternalData {
    /// Path of the file, relative to the model's folder.
    pub(crate) location: String,
    offset: u64,
    length: Option<u64>,
    /// Bytes that the weight's dimensions require.
    required_bytes: u64,
    weight: String,
}

/// Reason the external data of a weight was rejected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExternalDataError {
    /// The offset or the length is not a number.
    #[error("the weight `{weight}` has the {key} `{value}`, which is not a number")]
    NotANumber { weight: String, key: &'static str, value: String },
    /// No file is given.
    #[error("the weight `{weight}` is stored in a separate file, but no file is given")]
    NoLocation { weight: String },
    /// The element type is unknown, so the size is too.
    #[error("the weight `{weight}` has an unknown type, {data_type}")]
    UnknownType { weight: String, data_type: i32 },
    /// The file would be outside the model's folder.
    #[error("the model refers to weights outside its own folder: {}", .0.location)]
    Outside(#[from] OutsideFolder),
    /// The recorded length is not the length that the weight requires.
    #[error("the weight `{weight}` requires {required_bytes} bytes, but its recorded length is {length}")]
    WrongLength { weight: String, required_bytes: u64, length: u64 },
    /// The file ends before the weight does.
    #[error("the weight `{weight}` is stored in bytes {start} to {end} of `{location}`, which has {file_bytes} bytes")]
    FileTooShort { weight: String, start: u64, end: u128, location: String, file_bytes: u64 },
}

/// A path that resolves outside the folder it must be in.
#[derive(Debug, thiserror::Error)]
#[error("`{location}` is outside the folder")]
pub(crate) struct OutsideFolder {
    /// The path, shortened.
    location: String,
}

impl OutsideFolder {
    fn new(location: &str) -> Self {
        Self { location: location.chars().take(200).collect() }
    }
}

impl ExternalData {
    /// Reads the location from a tensor. Its path is checked; the file is not opened.
    pub(crate) fn from_tensor(tensor: &TensorProto) -> Result<Self, ExternalDataError> {
        let weight = tensor.name().to_owned();
        let entry =
            |key: &str| tensor.external_data.iter().find(|entry| entry.key() == key).map(StringStringEntryProto::value);
        let number = |key: &'static str| {
            let parse = |value: &str| {
                let not_a_number =
                    |_| ExternalDataError::NotANumber { weight: weight.clone(), key, value: value.to_owned() };
                value.parse::<u64>().map_err(not_a_number)
            };
            entry(key).map(parse).transpose()
        };
        let Some(location) = entry("location").filter(|location| !location.is_empty()) else {
            return Err(ExternalDataError::NoLocation { weight });
        };
        let location = location.to_owned();
        let stays =
            Path::new(&location).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        // ONNX Runtime reads its own memory under this name.
        if !stays || location.contains('\0') || location.contains("_ORT_MEM_ADDR_") {
            return Err(OutsideFolder::new(&location).into());
        }
        let data_type = tensor.data_type();
        let Some(bits) = bits_per_value(data_type) else {
            return Err(ExternalDataError::UnknownType { weight, data_type });
        };
        let required_bytes = value_count(tensor).map_or(0, |values| (values * u64::from(bits)).div_ceil(8));
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        Ok(Self { location, offset, length, required_bytes, weight })
    }

    /// Checks that a file of `file_bytes` bytes contains the weight.
    pub(crate) fn check_file_length(&self, file_bytes: u64) -> Result<(), ExternalDataError> {
        let length = self.length.unwrap_or(self.required_bytes);
        let weight = || self.weight.clone();
        if length != self.required_bytes {
            let required_bytes = self.required_bytes;
            return Err(ExternalDataError::WrongLength { weight: weight(), required_bytes, length });
        }
        match self.offset.checked_add(length) {
            Some(end) if end <= file_bytes => Ok(()),
            _ => Err(ExternalDataError::FileTooShort {
                weight: weight(),
                start: self.offset,
                end: u128::from(self.offset) + u128::from(length),
                location: self.location.clone(),
                file_bytes,
            }),
        }
    }
}

/// Returns the file at `location` in `folder`, links followed; `None` if it is not a regular file.
///
/// # Errors
/// Returns [`OutsideFolder`] if a link resolves outside the folder.
pub(crate) fn resolve_in_folder(folder: &Path, location: &str) -> Result<Option<PathBuf>, OutsideFolder> {
    let (Ok(folder), Ok(path)) = (
        std::fs::canonicalize(if folder.as_os_str().is_empty() { Path::new(".") } else { folder }),
        std::fs::canonicalize(folder.join(location)),
    ) else {
        return Ok(None);
    };
    if path.starts_with(&folder) { Ok(path.is_file().then_some(path)) } else { Err(OutsideFolder::new(location)) }
}
