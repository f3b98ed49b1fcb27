//! Parameters of calibrated pooling, which mixes several labels of a crop. `docs/calibrated-pooling.md` has the formula.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Parameters of the mixture. They are finite and within [`ParameterRange`].
///
/// Sources are the label maps and the predictions of the image and of its tiles. `area` is the area of the crop as a fraction
/// of the image, and `overlap` the intersection over union of the crop with the image or a tile.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolingParameters {
    /// Divisor of pooled scores for a crop of the entire image.
    pub map_temperature: f64,
    /// The divisor of a crop is `map_temperature * area ** map_temperature_exponent`.
    pub map_temperature_exponent: f64,
    /// Divisor of the logarithms of predicted probabilities for a crop of the entire image.
    pub prediction_temperature: f64,
    /// The divisor of a crop is `prediction_temperature * area ** prediction_temperature_exponent`.
    pub prediction_temperature_exponent: f64,
    /// Label maps together have the share `1 / (1 + exp(-(map_share_bias + map_share_slope * ln(area))))`, predictions the rest.
    pub map_share_bias: f64,
    /// See [`PoolingParameters::map_share_bias`].
    pub map_share_slope: f64,
    /// Predictions, and likewise maps, are weighted by softmax of `overlap_sharpness * overlap + bias`.
    pub overlap_sharpness: f64,
    /// Bias of the prediction of a tile; that of the image is 0.
    pub tile_bias: f64,
    /// Bias of the map of a tile; that of the image is 0.
    pub tile_map_bias: f64,
}

impl PoolingParameters {
    /// Number of parameters.
    pub const COUNT: usize = 9;

    /// Parameters that were not fitted: predictions weighted by overlap, without label maps.
    pub const PREDICTIONS_BY_OVERLAP: Self = Self {
        map_temperature: 1.0,
        map_temperature_exponent: 0.0,
        prediction_temperature: 1.0,
        prediction_temperature_exponent: 0.0,
        map_share_bias: -40.0,
        map_share_slope: 0.0,
        overlap_sharpness: 8.0,
        tile_bias: 0.0,
        tile_map_bias: 0.0,
    };

    /// Names of the parameters, with their ranges, in the order of [`PoolingParameters::values`].
    pub const RANGES: [ParameterRange; Self::COUNT] = [
        ParameterRange::new("map_temperature", 0.05, 50.0),
        ParameterRange::new("map_temperature_exponent", -3.0, 3.0),
        ParameterRange::new("prediction_temperature", 0.05, 50.0),
        ParameterRange::new("prediction_temperature_exponent", -3.0, 3.0),
        ParameterRange::new("map_share_bias", -40.0, 40.0),
        ParameterRange::new("map_share_slope", -20.0, 20.0),
        ParameterRange::new("overlap_sharpness", 0.0, 100.0),
        ParameterRange::new("tile_bias", -40.0, 40.0),
        ParameterRange::new("tile_map_bias", -40.0, 40.0),
    ];

    /// Creates parameters from their values, in the order of [`PoolingParameters::RANGES`].
    #[must_use]
    pub fn from_values(values: [f64; Self::COUNT]) -> Self {
        let [
            map_temperature,
            map_temperature_exponent,
            prediction_temperature,
            prediction_temperature_exponent,
            map_share_bias,
            map_share_slope,
            overlap_sharpness,
            tile_bias,
            tile_map_bias,
        ] = values;
        Self {
            map_temperature,
            map_temperature_exponent,
            prediction_temperature,
            prediction_temperature_exponent,
            map_share_bias,
            map_share_slope,
            overlap_sharpness,
            tile_bias,
            tile_map_bias,
        }
    }

    /// Returns the values, in the order of [`PoolingParameters::RANGES`].
    #[must_use]
    pub fn values(&self) -> [f64; Self::COUNT] {
        [
            self.map_temperature,
            self.map_temperature_exponent,
            self.prediction_temperature,
            self.prediction_temperature_exponent,
            self.map_share_bias,
            self.map_share_slope,
            self.overlap_sharpness,
            self.tile_bias,
            self.tile_map_bias,
        ]
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// Returns the first that is not.
    pub fn check(&self) -> Result<(), ParameterError> {
        let bad =
            Self::RANGES.iter().zip(self.values()).find(|(range, value)| !(range.low..=range.high).contains(value));
        bad.map_or(Ok(()), |(&range, value)| Err(ParameterError { range, value }))
    }
}

/// Range of one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParameterRange {
    /// Name of the parameter.
    pub name: &'static str,
    /// Smallest value.
    pub low: f64,
    /// Largest value.
    pub high: f64,
}

impl ParameterRange {
    const fn new(name: &'static str, low: f64, high: f64) -> Self {
        Self { name, low, high }
    }
}

/// A parameter is out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[error("{} is {value}, expected {} to {}", .range.name, .range.low, .range.high)]
pub struct ParameterError {
    /// The parameter.
    pub range: ParameterRange,
    /// Its value.
    pub value: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_names_have_the_same_order() {
        let parameters = PoolingParameters::from_values(std::array::from_fn(|at| at as f64 / 8.0 + 0.5));
        let json = serde_json::to_value(parameters).unwrap();
        for (range, value) in PoolingParameters::RANGES.iter().zip(parameters.values()) {
            assert_eq!(json[range.name], value, "{}", range.name);
        }
        assert_eq!(json.as_object().unwrap().len(), PoolingParameters::COUNT);
        parameters.check().unwrap();
        PoolingParameters::PREDICTIONS_BY_OVERLAP.check().unwrap();
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        for (at, bad) in [(0, 0.0), (4, f64::NAN), (6, -1.0), (8, f64::INFINITY)] {
            let mut values = PoolingParameters::PREDICTIONS_BY_OVERLAP.values();
            values[at] = bad;
            let message = PoolingParameters::from_values(values).check().unwrap_err().to_string();
            assert!(message.starts_with(PoolingParameters::RANGES[at].name), "{message}");
        }
    }
}
