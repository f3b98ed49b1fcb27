//! A loaded teacher, with label maps or with predictions only.

use std::path::PathBuf;

use relabel::labelling::pipeline::Preprocessing;
use relabel::labelling::pixels::Decoder;
use relabel::labelling::teacher::{
    CardFile, Device, PredictionDescription, Teacher, TeacherCard, TeacherDescription, WeightsFile,
};
use relabel::shared::digest::Digest;
use relabel::shared::geometry::MapSize;

/// A verified teacher with one session per device.
pub struct LoadedTeacher {
    pub teachers: Vec<Box<dyn Teacher>>,
    pub description: LoadedDescription,
    /// Number of classes kept in each cell, or of an image without cells.
    pub k: usize,
    pub devices: Vec<Device>,
    pub card: CardFile,
    pub library: PathBuf,
    pub threads: usize,
    pub decoder: Decoder,
}

/// Description of a teacher, by what it returns.
pub enum LoadedDescription {
    /// Label maps and predictions.
    Maps(Box<TeacherDescription>),
    /// Predictions only.
    Predictions(Box<PredictionDescription>),
}

impl LoadedTeacher {
    /// Returns the names of the devices.
    pub fn device_names(&self) -> Vec<String> {
        self.devices.iter().map(ToString::to_string).collect()
    }

    /// Returns how images become input pixels.
    pub fn preprocessing(&self) -> Preprocessing {
        let card = self.description.card();
        Preprocessing { input_size: card.input_size, filter: card.filter, exif_orientation: card.exif_orientation }
    }
}

impl LoadedDescription {
    /// The card in force.
    pub fn card(&self) -> &TeacherCard {
        match self {
            Self::Maps(description) => &description.card,
            Self::Predictions(description) => &description.classifier.card,
        }
    }

    /// Opset version of the standard operators.
    pub fn opset(&self) -> i64 {
        match self {
            Self::Maps(description) => description.opset,
            Self::Predictions(description) => description.classifier.opset,
        }
    }

    /// Name, shape and element type of the input, and of the output.
    pub fn ports(&self) -> [&str; 2] {
        match self {
            Self::Maps(description) => [&description.input, &description.output],
            Self::Predictions(description) => [&description.classifier.input, &description.classifier.output],
        }
    }

    /// SHA-256 of the ONNX file.
    pub fn sha256(&self) -> &Digest {
        match self {
            Self::Maps(description) => &description.sha256,
            Self::Predictions(description) => &description.classifier.sha256,
        }
    }

    /// Separate files with weights.
    pub fn weights_files(&self) -> &[WeightsFile] {
        match self {
            Self::Maps(description) => &description.weights_files,
            Self::Predictions(description) => &description.classifier.weights_files,
        }
    }

    /// Rows and columns of cells; `None` without label maps.
    pub fn map_size(&self) -> Option<MapSize> {
        match self {
            Self::Maps(description) => Some(description.shape.map_size),
            Self::Predictions(_) => None,
        }
    }

    /// Number of classes.
    pub fn class_count(&self) -> usize {
        match self {
            Self::Maps(description) => description.shape.class_count,
            Self::Predictions(description) => description.classifier.class_count,
        }
    }

    /// Number of images per run, if the graph fixes it.
    pub fn fixed_batch(&self) -> Option<usize> {
        match self {
            Self::Maps(description) => description.shape.fixed_batch,
            Self::Predictions(description) => description.classifier.fixed_batch,
        }
    }

    /// Name of the method by which cells were located; `None` without cells.
    pub fn locality(&self) -> Option<&'static str> {
        match self {
            Self::Maps(description) => Some(description.locality.name()),
            Self::Predictions(_) => None,
        }
    }

    /// Largest difference between labels that a different device may cause, relative to the largest score of a map.
    pub fn relative_tolerance(&self) -> f32 {
        match self {
            Self::Maps(description) => description.rewrite_check.relative_tolerance(),
            // Without maps, the largest score counts as 1.
            Self::Predictions(description) => description.tolerance,
        }
    }
}
