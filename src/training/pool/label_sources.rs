//! The labels that are mixed in the target of a crop, and their shares.

use crate::shared::geometry::UnitBox;
use crate::shared::pooling_parameters::PoolingParameters;
use crate::shared::tiles::Tiles;

/// Kinds of labels that the images of a store have: the prediction of the image, and optionally its label map, predictions of
/// tiles, and label maps of tiles.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelSources {
    has_map: bool,
    has_tile_maps: bool,
    /// Number of each tile in the order of the store, and its box.
    tiles: Vec<(usize, UnitBox)>,
}

impl LabelSources {
    /// Creates the sources of a store with these tiles, with or without label maps of the images.
    #[must_use]
    pub fn new(has_map: bool, tiles: Option<&Tiles>) -> Self {
        let boxes = tiles.map_or(&[][..], Tiles::boxes);
        Self {
            has_map,
            has_tile_maps: tiles.is_some_and(Tiles::with_maps),
            tiles: boxes.iter().copied().enumerate().collect(),
        }
    }

    /// Returns the sources without label maps.
    #[must_use]
    pub fn without_maps(self) -> Self {
        Self { has_map: false, has_tile_maps: false, ..self }
    }

    /// Returns the sources without label maps of tiles.
    #[must_use]
    pub fn without_tile_maps(self) -> Self {
        Self { has_tile_maps: false, ..self }
    }

    /// Returns the sources with only these of the tiles, by number in the order of the store.
    #[must_use]
    pub fn with_tiles(mut self, numbers: &[usize]) -> Self {
        self.tiles.retain(|(number, _)| numbers.contains(number));
        self
    }

    /// Finds the sources of a crop's target. `hidden` is the part of the crop, in 0..1 of it, over which maps are not pooled.
    pub(super) fn locate(&self, crop: UnitBox, hidden: Option<UnitBox>, located: &mut CropSources) {
        let region = MapRegion { unit_box: crop, hidden };
        let image = |label| CropSource { tile: None, overlap: crop.overlap(UnitBox::WHOLE), label };
        located.ln_area = crop.area().max(SMALLEST_AREA).ln();
        located.sources.clear();
        if self.has_map {
            located.sources.push(image(SourceLabel::Map(region)));
        }
        if self.has_tile_maps {
            located.sources.extend(self.tiles.iter().filter_map(|&(tile, unit_box)| {
                let label = SourceLabel::Map(region.in_tile(unit_box)?);
                Some(CropSource { tile: Some(tile), overlap: crop.overlap(unit_box), label })
            }));
        }
        located.maps = located.sources.len();
        located.sources.push(image(SourceLabel::Prediction));
        located.sources.extend(self.tiles.iter().map(|&(tile, unit_box)| CropSource {
            tile: Some(tile),
            overlap: crop.overlap(unit_box),
            label: SourceLabel::Prediction,
        }));
    }
}

/// Smallest area that parameters depend on, as a fraction of the image. Crops outside of the image have the area 0.
const SMALLEST_AREA: f64 = 1.0 / 1024.0;

/// Smallest share of a source in a target; smaller ones are left out.
const SMALLEST_SHARE: f64 = 1e-6;

/// The sources of one crop's target, first all maps, then all predictions.
#[derive(Clone, Debug, Default)]
pub(super) struct CropSources {
    ln_area: f64,
    sources: Vec<CropSource>,
    maps: usize,
}

/// One source of a crop's target.
#[derive(Clone, Copy, Debug)]
pub(super) struct CropSource {
    /// Number of the tile; `None` for the entire image.
    pub(super) tile: Option<usize>,
    /// Intersection over union of the crop with the image or the tile.
    overlap: f64,
    pub(super) label: SourceLabel,
}

/// Label of a source.
#[derive(Clone, Copy, Debug)]
pub(super) enum SourceLabel {
    /// A label map, pooled over a region.
    Map(MapRegion),
    Prediction,
}

/// Part of a label map that is pooled.
#[derive(Clone, Copy, Debug)]
pub(super) struct MapRegion {
    /// The box, in 0..1 of the image or tile that the map describes.
    pub(super) unit_box: UnitBox,
    /// The part that is left out, in 0..1 of the box.
    pub(super) hidden: Option<UnitBox>,
}

impl CropSources {
    pub(super) fn sources(&self) -> &[CropSource] {
        &self.sources
    }

    /// Computes the share of each source in the target. They sum to 1; sources with negligible shares have 0.
    pub(super) fn shares(&self, parameters: &PoolingParameters, shares: &mut Vec<f64>) {
        shares.clear();
        shares.extend(self.sources.iter().map(|source| {
            let bias = match (source.tile, source.label) {
                (None, _) => 0.0,
                (Some(_), SourceLabel::Map(_)) => parameters.tile_map_bias,
                (Some(_), SourceLabel::Prediction) => parameters.tile_bias,
            };
            parameters.overlap_sharpness * source.overlap + bias
        }));
        let (maps, predictions) = shares.split_at_mut(self.maps);
        let log_odds = parameters.map_share_bias + parameters.map_share_slope * self.ln_area;
        // 1 - share would lose the digits of a small share of the predictions.
        let [map_share, prediction_share] =
            if maps.is_empty() { [0.0, 1.0] } else { [log_odds, -log_odds].map(|odds| 1.0 / (1.0 + (-odds).exp())) };
        distribute(map_share, maps);
        distribute(prediction_share, predictions);
        let is_kept = |share: &f64| *share >= SMALLEST_SHARE;
        let kept: f64 = shares.iter().filter(|share| is_kept(share)).sum();
        for share in shares {
            *share = if is_kept(share) { *share / kept } else { 0.0 };
        }
    }

    /// Returns the divisor of a source's scores.
    pub(super) fn temperature(&self, source: &CropSource, parameters: &PoolingParameters) -> f64 {
        let (temperature, exponent) = match source.label {
            SourceLabel::Map(_) => (parameters.map_temperature, parameters.map_temperature_exponent),
            SourceLabel::Prediction => (parameters.prediction_temperature, parameters.prediction_temperature_exponent),
        };
        temperature * (exponent * self.ln_area).exp()
    }
}

/// Replaces exponents with their softmax, times `total`.
fn distribute(total: f64, exponents: &mut [f64]) {
    let top = exponents.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for exponent in exponents.iter_mut() {
        *exponent = (*exponent - top).exp();
    }
    let sum: f64 = exponents.iter().sum();
    for weight in exponents {
        *weight *= total / sum;
    }
}

impl MapRegion {
    /// Returns the part of this region of an image that is inside a tile, in coordinates of the tile; `None` if such a
    /// part does not exist, or nothing of it is visible.
    fn in_tile(self, tile: UnitBox) -> Option<Self> {
        let unit_box = self.unit_box.within(tile)?;
        let hidden = self.hidden.and_then(|hidden| {
            let hidden = self.unit_box.part(hidden).within(tile)?;
            hidden.within(unit_box)
        });
        let is_visible = hidden.is_none_or(|hidden| hidden.area() < 1.0 - 1e-9);
        is_visible.then_some(Self { unit_box, hidden })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit_box([x0, y0, x1, y1]: [f64; 4]) -> UnitBox {
        UnitBox::new(x0, y0, x1, y1).unwrap()
    }

    /// Two tiles, the left and the right half.
    fn halves(with_maps: bool) -> Tiles {
        let boxes = [[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]].map(unit_box);
        Tiles::new("halves.csv".into(), boxes.to_vec(), 5, with_maps).unwrap()
    }

    fn shares(sources: &LabelSources, crop: [f64; 4], parameters: &PoolingParameters) -> Vec<f64> {
        let (mut located, mut shares) = (CropSources::default(), Vec::new());
        sources.locate(unit_box(crop), None, &mut located);
        located.shares(parameters, &mut shares);
        shares
    }

    fn assert_close(found: &[f64], wanted: &[f64]) {
        assert_eq!(found.len(), wanted.len(), "{found:?}");
        assert!(found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-12), "{found:?} {wanted:?}");
    }

    #[test]
    fn sources_are_weighted_by_overlap_within_their_group() {
        // The left half: its overlap with the image is 1/2, with the left tile 1, with the right tile 0.
        let half = [0.0, 0.0, 0.5, 1.0];
        let parameters = PoolingParameters {
            map_share_bias: 1.0,
            map_share_slope: 2.0,
            overlap_sharpness: 2.0,
            tile_bias: 0.5,
            tile_map_bias: -1.0,
            ..PoolingParameters::PREDICTIONS_BY_OVERLAP
        };
        let map_share = 1.0 / (1.0 + (-(1.0 + 2.0 * 0.5_f64.ln())).exp());
        let maps = [1.0_f64, 1.0].map(f64::exp);
        let predictions = [1.0_f64, 2.5, 0.5].map(f64::exp);
        let map_shares = maps.map(|weight| map_share * weight / maps.iter().sum::<f64>());
        let prediction_shares = predictions.map(|weight| (1.0 - map_share) * weight / predictions.iter().sum::<f64>());
        let all = LabelSources::new(true, Some(&halves(true)));
        // The right tile has no map of the crop.
        assert_close(&shares(&all, half, &parameters), &[&map_shares[..], &prediction_shares].concat());
        let one_map = shares(&all.clone().without_tile_maps(), half, &parameters);
        assert_close(&one_map, &[&[map_share][..], &prediction_shares].concat());
    }

    #[test]
    fn the_share_of_missing_sources_goes_to_the_others() {
        let parameters = PoolingParameters { map_share_bias: 0.0, ..PoolingParameters::PREDICTIONS_BY_OVERLAP };
        let crop = [0.0, 0.0, 0.5, 1.0];
        let by_overlap = [4.0_f64, 8.0, 0.0].map(|weight| weight.exp() / (4.0_f64.exp() + 8.0_f64.exp() + 1.0));
        let all = LabelSources::new(true, Some(&halves(false)));
        assert_close(&shares(&all, crop, &parameters), &[&[0.5][..], &by_overlap.map(|share| share / 2.0)].concat());
        assert_close(&shares(&all.clone().without_maps(), crop, &parameters), &by_overlap);
        assert_close(&shares(&all.clone().with_tiles(&[]), crop, &parameters), &[0.5, 0.5]);
        let left = [4.0_f64, 8.0].map(|weight| weight.exp() / (4.0_f64.exp() + 8.0_f64.exp()) / 2.0);
        assert_close(&shares(&all.with_tiles(&[0]), crop, &parameters), &[&[0.5][..], &left].concat());
        assert_close(&shares(&LabelSources::new(false, None), crop, &parameters), &[1.0]);
    }

    #[test]
    fn negligible_shares_are_left_out_and_the_others_sum_to_1() {
        let mut parameters =
            PoolingParameters { overlap_sharpness: 100.0, ..PoolingParameters::PREDICTIONS_BY_OVERLAP };
        let all = LabelSources::new(true, Some(&halves(true)));
        let sharp = shares(&all, [0.0, 0.0, 0.5, 1.0], &parameters);
        assert_close(&sharp, &[0.0, 0.0, 0.0, 1.0, 0.0]);
        parameters.map_share_bias = 40.0;
        let sharp = shares(&all, [0.0, 0.0, 0.5, 1.0], &parameters);
        assert_close(&sharp, &[0.0, 1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn areas_are_limited() {
        let parameters = PoolingParameters {
            map_temperature: 2.0,
            map_temperature_exponent: -0.5,
            ..PoolingParameters::PREDICTIONS_BY_OVERLAP
        };
        let sources = LabelSources::new(true, None);
        let temperature = |crop: [f64; 4]| {
            let mut located = CropSources::default();
            sources.locate(unit_box(crop), None, &mut located);
            [0, 1].map(|source| located.temperature(&located.sources()[source], &parameters))
        };
        assert_close(&temperature([-0.5, -1.0, 3.0, 1.5]), &[2.0, 1.0]);
        assert_close(&temperature([0.0, 0.0, 0.5, 0.5]), &[4.0, 1.0]);
        for outside in [[1.5, 0.0, 2.0, 1.0], [0.5, 0.5, 0.500_001, 0.500_001]] {
            assert_close(&temperature(outside), &[64.0, 1.0]);
        }
    }

    #[test]
    fn regions_are_cut_to_a_tile() {
        let left = unit_box([0.0, 0.0, 0.5, 1.0]);
        let in_tile = |region: [f64; 4], hidden: Option<[f64; 4]>| {
            MapRegion { unit_box: unit_box(region), hidden: hidden.map(unit_box) }.in_tile(left)
        };
        let cut = in_tile([0.25, -0.5, 0.75, 0.5], None).unwrap();
        assert_eq!((cut.unit_box.sides(), cut.hidden), ([0.5, 0.0, 1.0, 0.5], None));
        assert!(in_tile([0.5, 0.0, 1.0, 1.0], None).is_none(), "they only touch");
        // The hidden box is the middle half of the crop's width; of the crop, the left half is in the tile.
        let cut = in_tile([0.0, 0.0, 1.0, 1.0], Some([0.25, 0.0, 0.75, 0.5])).unwrap();
        assert_eq!((cut.unit_box.sides(), cut.hidden.unwrap().sides()), ([0.0, 0.0, 1.0, 1.0], [0.5, 0.0, 1.0, 0.5]));
        let cut = in_tile([0.0, 0.0, 1.0, 1.0], Some([0.5, 0.0, 1.0, 1.0])).unwrap();
        assert!(cut.hidden.is_none());
        assert!(in_tile([0.0, 0.0, 1.0, 1.0], Some([0.0, 0.0, 0.5, 1.0])).is_none(), "all of the tile is hidden");
    }
}
