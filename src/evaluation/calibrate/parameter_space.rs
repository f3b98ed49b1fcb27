//! The parameters that are fitted, as coordinates without limits.

use crate::shared::pooling_parameters::PoolingParameters;
use crate::shared::tiles::Tiles;

/// The parameters that matter for the labels of a store. The others are fixed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ParameterSpace {
    /// Positions among the values of [`PoolingParameters`].
    free: Vec<usize>,
    has_map: bool,
    has_tile_maps: bool,
}

/// Positions among the values of [`PoolingParameters`].
const PREDICTION_TEMPERATURE: [usize; 2] = [2, 3];
const MAP_TEMPERATURE_AND_SHARE: [usize; 4] = [0, 1, 4, 5];
const OVERLAP_AND_TILE_BIAS: [usize; 2] = [6, 7];
const TILE_MAP_BIAS: usize = 8;

/// First changes of each parameter, toward the middle of its range. Temperatures are multiplied.
const STEPS: [f64; PoolingParameters::COUNT] = [1.6, 0.3, 1.3, 0.2, 1.5, 0.5, 4.0, 1.5, 1.5];

/// Share biases and tile biases from here on leave only one kind of source.
const LIMIT: f64 = 20.0;

/// Distance of coordinates from the ends of a range, as a fraction of it: at the end itself they would be infinite.
const MARGIN: f64 = 1e-4;

impl ParameterSpace {
    /// Returns the space of labels with these tiles, with or without label maps of the images.
    pub(super) fn new(has_map: bool, tiles: Option<&Tiles>) -> Self {
        let has_tile_maps = tiles.is_some_and(Tiles::with_maps);
        let mut free = PREDICTION_TEMPERATURE.to_vec();
        if has_map {
            free.extend(MAP_TEMPERATURE_AND_SHARE);
        }
        if tiles.is_some() {
            free.extend(OVERLAP_AND_TILE_BIAS);
        }
        if has_tile_maps {
            free.push(TILE_MAP_BIAS);
        }
        free.sort_unstable();
        Self { free, has_map, has_tile_maps }
    }

    /// Number of parameters that are fitted.
    pub(super) fn dimensions(&self) -> usize {
        self.free.len()
    }

    /// Returns the parameters that a fit starts from: each source alone, all predictions by overlap, and a mixture of everything.
    pub(super) fn starts(&self) -> Vec<PoolingParameters> {
        let mut starts = vec![IMAGE_PREDICTION, PoolingParameters::PREDICTIONS_BY_OVERLAP];
        if self.has_map {
            starts.extend([IMAGE_MAP, MIXTURE]);
        }
        if self.has_tile_maps {
            starts.push(MAPS_BY_OVERLAP);
        }
        let mut projected: Vec<PoolingParameters> = Vec::new();
        for start in starts.into_iter().map(|start| self.with_fixed(start)) {
            if !projected.contains(&start) {
                projected.push(start);
            }
        }
        projected
    }

    /// Returns parameters whose fixed ones have their fixed values, rounded to as many decimals as are stored.
    pub(super) fn rounded(&self, parameters: PoolingParameters) -> PoolingParameters {
        let rounded = parameters.values().map(|value| (value * DECIMALS).round() / DECIMALS);
        self.with_fixed(PoolingParameters::from_values(rounded))
    }

    /// Returns the coordinates of parameters and of their neighbours, one for each dimension.
    pub(super) fn simplex(&self, around: &PoolingParameters) -> Vec<Vec<f64>> {
        let neighbour = |&at: &usize| {
            let mut values = around.values();
            values[at] = stepped(at, values[at]);
            self.coordinates(&PoolingParameters::from_values(values))
        };
        std::iter::once(self.coordinates(around)).chain(self.free.iter().map(neighbour)).collect()
    }

    /// Returns the parameters with these coordinates.
    pub(super) fn parameters(&self, coordinates: &[f64]) -> PoolingParameters {
        let mut values = PoolingParameters::PREDICTIONS_BY_OVERLAP.values();
        for (&at, &coordinate) in self.free.iter().zip(coordinates) {
            let [low, high] = scaled_range(at);
            let range = PoolingParameters::RANGES[at];
            let scaled = low + (high - low) / (1.0 + (-coordinate).exp());
            values[at] = unscaled(at, scaled).clamp(range.low, range.high);
        }
        PoolingParameters::from_values(values)
    }

    fn coordinates(&self, parameters: &PoolingParameters) -> Vec<f64> {
        let values = parameters.values();
        let coordinate = |&at: &usize| {
            let [low, high] = scaled_range(at);
            let part = ((scaled(at, values[at]) - low) / (high - low)).clamp(MARGIN, 1.0 - MARGIN);
            (part / (1.0 - part)).ln()
        };
        self.free.iter().map(coordinate).collect()
    }

    fn with_fixed(&self, parameters: PoolingParameters) -> PoolingParameters {
        let (given, mut values) = (parameters.values(), PoolingParameters::PREDICTIONS_BY_OVERLAP.values());
        self.free.iter().for_each(|&at| values[at] = given[at]);
        PoolingParameters::from_values(values)
    }
}

/// Fitted values are multiples of its inverse.
const DECIMALS: f64 = 10_000.0;

/// The prediction of the image.
pub(super) const IMAGE_PREDICTION: PoolingParameters = PoolingParameters {
    overlap_sharpness: 0.0,
    tile_bias: -40.0,
    tile_map_bias: -40.0,
    ..PoolingParameters::PREDICTIONS_BY_OVERLAP
};

/// The label map of the image: LabelPooling.
pub(super) const IMAGE_MAP: PoolingParameters = PoolingParameters { map_share_bias: 40.0, ..IMAGE_PREDICTION };

/// The label maps of the image and its tiles.
const MAPS_BY_OVERLAP: PoolingParameters =
    PoolingParameters { map_share_bias: 40.0, ..PoolingParameters::PREDICTIONS_BY_OVERLAP };

/// All kinds of labels, softer than they are.
const MIXTURE: PoolingParameters = PoolingParameters {
    map_temperature: 1.5,
    map_temperature_exponent: -0.1,
    map_share_bias: -1.0,
    ..PoolingParameters::PREDICTIONS_BY_OVERLAP
};

fn stepped(at: usize, value: f64) -> f64 {
    let range = PoolingParameters::RANGES[at];
    let middle = unscaled(at, scaled_range(at).iter().sum::<f64>() / 2.0);
    let sign = if value > middle { -1.0 } else { 1.0 };
    if is_temperature(at) {
        value * STEPS[at].powf(sign)
    } else if range.high >= 2.0 * LIMIT && range.low < 0.0 && value.abs() >= LIMIT {
        STEPS[at] * value.signum()
    } else {
        value + sign * STEPS[at]
    }
}

fn is_temperature(at: usize) -> bool {
    PoolingParameters::RANGES[at].low > 0.0
}

/// Temperatures are fitted as logarithms.
fn scaled(at: usize, value: f64) -> f64 {
    if is_temperature(at) { value.ln() } else { value }
}

fn unscaled(at: usize, scaled: f64) -> f64 {
    if is_temperature(at) { scaled.exp() } else { scaled }
}

fn scaled_range(at: usize) -> [f64; 2] {
    let range = PoolingParameters::RANGES[at];
    [range.low, range.high].map(|side| scaled(at, side))
}
