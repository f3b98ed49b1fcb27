//! Proves the rewrite in numbers, on random images: every cell against the unmodified pooling and head applied to
//! that cell, the mean over cells against the teacher's own scores, and the whole-image prediction against theirs.
//!
//! The unmodified part is fed a map that shows one cell's vector everywhere. Whatever the pooling is, its average of
//! such a map is that vector, so that what comes out is the head applied at that cell.

use std::path::Path;

use ort::session::Session;

use super::device::Device;
use super::graph::{Graph, element};
use super::rewrite::{ImageInput, InputLayout, tail_model, witness_model};
use super::runtime::Runtime;
use super::tail::{Ending, Layout, Pooling, Tail};
use super::tensors::{Floats, run_floats};
use super::{BatchLabels, PixelBatch, TeacherCard};
use crate::error::Error;
use crate::geometry::{InputSize, MapSize};

/// What the proof found. Differences are absolute, in units of the score.
#[derive(Clone, Debug)]
pub struct Proof {
    /// Random images that were compared.
    pub images: usize,
    /// Cells that were compared.
    pub cells: usize,
    /// Largest score of any cell and class, as a scale for the differences.
    pub largest_score: f32,
    /// Largest difference between a kept score and the unmodified head's score of that class in that cell.
    pub cell_difference: f32,
    /// Largest difference between the mean over cells and the teacher's own score, over all classes.
    pub mean_difference: f32,
    /// Largest difference between a kept image probability and the softmax of the teacher's own scores.
    pub image_difference: f32,
    /// Largest difference of scores that is accepted.
    pub tolerance: f32,
}

impl Proof {
    /// float32 sums in another order differ by a few parts in a million; a tenth of a thousandth leaves room.
    const RELATIVE_TOLERANCE: f32 = 1e-4;
    /// float16 has 11 bits.
    const RELATIVE_TOLERANCE_HALF: f32 = 1e-2;

    /// How much of the largest score a difference may be.
    #[must_use]
    pub fn relative_tolerance(&self) -> f32 {
        self.tolerance / self.largest_score.max(1.0)
    }

    /// The comparison that failed, in words, or nothing.
    pub(crate) fn failure(&self) -> Option<String> {
        let fails = |difference: f32| !(difference <= self.tolerance);
        if fails(self.cell_difference) {
            return Some(format!(
                "a cell's score differs from the unmodified head applied to that cell by {:.3e}; {:.1e} is accepted",
                self.cell_difference, self.tolerance
            ));
        }
        if fails(self.mean_difference) {
            return Some(format!(
                "the mean over cells differs from the teacher's own scores by {:.3e}; {:.1e} is accepted",
                self.mean_difference, self.tolerance
            ));
        }
        fails(self.image_difference).then(|| {
            format!("the whole-image probabilities differ from the teacher's own by {:.3e}", self.image_difference)
        })
    }
}

/// What the unmodified teacher says of random images: the ground truth of the proof.
pub(crate) struct Witness {
    pub(crate) pixels: PixelBatch,
    pub(crate) map_size: MapSize,
    pub(crate) class_count: usize,
    /// The teacher's own scores, `[image, class]`.
    image_scores: Vec<f32>,
    /// The unmodified head at every cell, `[image, cell, class]`.
    cell_scores: Vec<f32>,
    half: bool,
}

/// Everything that the proof needs to know of a teacher.
pub(crate) struct Subject<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) tail: &'a Tail,
    pub(crate) input: &'a ImageInput,
    pub(crate) card: &'a TeacherCard,
    pub(crate) weights_folder: &'a Path,
    pub(crate) device: Device,
    pub(crate) threads: usize,
}

impl Witness {
    /// Runs the unmodified teacher, and its unmodified pooling and head at every cell.
    /// Errors are plain words: the caller knows the teacher's path.
    pub(crate) fn hear(runtime: &Runtime, subject: &Subject<'_>) -> Result<Result<Self, String>, Error> {
        let images = subject.input.fixed_batch.unwrap_or(2);
        let pixels = random_images(images, subject.card.input_size);
        let input = normalised(&pixels, subject);
        let session = |model: &[u8]| runtime.session(model, subject.weights_folder, subject.device, subject.threads);

        let mut whole = session(&witness_model(subject.graph, subject.tail, subject.input))?;
        let logits = subject.tail.logits.as_str();
        let heard = match &subject.tail.ending {
            Ending::ScoreMap => {
                let [scores] = take(run_floats(&mut whole, &[(&subject.input.name, &input)], &[logits])?);
                Self::of_score_map(pixels, &scores)
            }
            Ending::Pooled(pooling) => {
                let names = [logits, pooling.features.as_str(), pooling.pooled.as_str()];
                let [scores, features, pooled] =
                    take(run_floats(&mut whole, &[(&subject.input.name, &input)], &names)?);
                drop(whole);
                let cells = match cells_of(pooling, &features, &pooled, subject.card.input_size) {
                    Ok(cells) => cells,
                    Err(problem) => return Ok(Err(problem)),
                };
                let (model, wants_image) = tail_model(
                    subject.graph,
                    subject.tail,
                    pooling,
                    subject.input,
                    features.element,
                    features.dims.len(),
                );
                let mut tail = session(&model)?;
                let image = wants_image.then_some((subject.input.name.as_str(), &input));
                let cell_scores =
                    head_at_every_cell(&mut tail, &cells, pooling, image, logits, subject.input.fixed_batch)?;
                let class_count = scores.values.len() / images;
                Ok(Self {
                    pixels,
                    map_size: cells.map_size,
                    class_count,
                    image_scores: scores.values,
                    cell_scores,
                    half: features.element == element::FLOAT16 || subject.input.element == element::FLOAT16,
                })
            }
        };
        Ok(heard)
    }

    fn of_score_map(pixels: PixelBatch, scores: &Floats) -> Result<Self, String> {
        let [images, classes, height, width] = scores.dims[..] else {
            return Err(format!("its score map has the shape {:?}; [batch, class, y, x] was expected", scores.dims));
        };
        let map_size = MapSize::new(height, width)?;
        let cells = map_size.cells();
        let mut cell_scores = vec![0.0; scores.values.len()];
        let mut image_scores = vec![0.0; images * classes];
        for image in 0..images {
            for class in 0..classes {
                let plane = &scores.values[(image * classes + class) * cells..][..cells];
                for (cell, &score) in plane.iter().enumerate() {
                    cell_scores[(image * cells + cell) * classes + class] = score;
                }
                image_scores[image * classes + class] = plane.iter().sum::<f32>() / cells as f32;
            }
        }
        let half = scores.element == element::FLOAT16;
        Ok(Self { pixels, map_size, class_count: classes, image_scores, cell_scores, half })
    }

    /// Holds the labels that the rewritten teacher gave to the witness's images against what was heard.
    pub(crate) fn compare(&self, labels: &BatchLabels) -> Proof {
        let (images, cells, classes) = (self.pixels.images(), self.map_size.cells(), self.class_count);
        let largest_score = self.cell_scores.iter().fold(0.0_f32, |largest, score| largest.max(score.abs()));
        let relative = if self.half { Proof::RELATIVE_TOLERANCE_HALF } else { Proof::RELATIVE_TOLERANCE };
        let mut cell_difference = Difference::default();
        let mut mean_difference = Difference::default();
        let mut image_difference = Difference::default();
        for (at, truth) in self.cell_scores.chunks_exact(classes).enumerate() {
            let mut ranked: Vec<f32> = truth.to_vec();
            ranked.sort_by(|a, b| b.total_cmp(a));
            let k = labels.k;
            for (rank, &ranked_score) in ranked.iter().enumerate().take(k) {
                let (score, class) = (labels.scores[at * k + rank], labels.classes[at * k + rank]);
                // Classes whose scores are equal to within rounding may trade places: both the value at this rank and
                // the value of this class have to be right.
                cell_difference.see(score, ranked_score);
                cell_difference.see(score, truth.get(class as usize).copied().unwrap_or(f32::NAN));
            }
        }
        for image in 0..images {
            let own = &self.image_scores[image * classes..][..classes];
            for (class, &score) in own.iter().enumerate() {
                let column =
                    self.cell_scores[image * cells * classes..][..cells * classes].iter().skip(class).step_by(classes);
                let mean = column.map(|&score| f64::from(score)).sum::<f64>() / cells as f64;
                mean_difference.see(mean as f32, score);
            }
            let probs = softmax(own);
            for rank in 0..labels.image_ranks {
                let at = image * labels.image_ranks + rank;
                let truth = probs.get(labels.image_classes[at] as usize).copied().unwrap_or(f32::NAN);
                image_difference.see(labels.image_probs[at], truth);
            }
        }
        Proof {
            images,
            cells: images * cells,
            largest_score,
            cell_difference: cell_difference.largest,
            mean_difference: mean_difference.largest,
            image_difference: image_difference.largest,
            tolerance: relative * largest_score.max(1.0),
        }
    }
}

/// The largest difference seen. One that is no number stays: NaN never passes a comparison.
#[derive(Default)]
struct Difference {
    largest: f32,
}

impl Difference {
    fn see(&mut self, a: f32, b: f32) {
        let difference = (a - b).abs();
        if !(difference <= self.largest) {
            self.largest = if self.largest.is_nan() { self.largest } else { difference };
        }
    }
}

/// The features as one vector a cell.
struct Cells {
    map_size: MapSize,
    images: usize,
    channels: usize,
    /// `[image, cell, channel]`
    vectors: Vec<f32>,
    dims: Vec<usize>,
    element: i32,
}

fn cells_of(pooling: &Pooling, features: &Floats, pooled: &Floats, input_size: InputSize) -> Result<Cells, String> {
    let dims = features.dims.clone();
    let unexpected = || {
        format!("the features before its pooling have the shape {dims:?}; {} was expected", pooling.layout.in_words())
    };
    let (images, channels, map_size) = match (pooling.layout, &dims[..]) {
        (Layout::Nchw, &[n, c, y, x]) | (Layout::Nhwc, &[n, y, x, c]) => (n, c, MapSize::new(y, x)?),
        (Layout::Tokens, &[n, t, c]) | (Layout::ChannelTokens, &[n, c, t]) => (n, c, grid_of(t, input_size)?),
        _ => return Err(unexpected()),
    };
    if pooled.values.len() != images * channels {
        return Err(format!(
            "its last pooling does not cover the whole map: {dims:?} becomes {:?}, and the head mixes what is left of the map",
            pooled.dims
        ));
    }
    let cells = map_size.cells();
    let channel_last = matches!(pooling.layout, Layout::Nhwc | Layout::Tokens);
    let vectors = if channel_last {
        features.values.clone()
    } else {
        let mut vectors = vec![0.0; features.values.len()];
        for (at, plane) in features.values.chunks_exact(cells).enumerate() {
            let (image, channel) = (at / channels, at % channels);
            for (cell, &value) in plane.iter().enumerate() {
                vectors[(image * cells + cell) * channels + channel] = value;
            }
        }
        vectors
    };
    Ok(Cells { map_size, images, channels, vectors, dims, element: features.element })
}

/// The grid of `tokens` cells that has the input's proportions.
fn grid_of(tokens: usize, input_size: InputSize) -> Result<MapSize, String> {
    let (height, width) = (input_size.height_pixels() as usize, input_size.width_pixels() as usize);
    (1..=tokens)
        .filter(|rows| tokens.is_multiple_of(*rows))
        .find(|&rows| rows * width == tokens / rows * height)
        .ok_or_else(|| format!("its {tokens} tokens form no grid in the proportions of the input, {input_size} pixels"))
        .and_then(|rows| MapSize::new(rows, tokens / rows))
}

fn head_at_every_cell(
    tail: &mut Session,
    cells: &Cells,
    pooling: &Pooling,
    image: Option<(&str, &Floats)>,
    logits: &str,
    fixed_batch: Option<usize>,
) -> Result<Vec<f32>, Error> {
    let count = cells.images * cells.map_size.cells();
    // With the image's shape in play, the batch has to be the image's own.
    let batch = fixed_batch.or(image.map(|_| cells.images)).unwrap_or(8).min(count.max(1));
    let mut dims = cells.dims.clone();
    dims[0] = batch;
    let mut scores = Vec::new();
    for first in (0..count).step_by(batch) {
        let mut values = Vec::with_capacity(dims.iter().product());
        for slot in 0..batch {
            // The last run repeats its last cell to fill the batch.
            let cell = (first + slot).min(count - 1);
            let vector = &cells.vectors[cell * cells.channels..][..cells.channels];
            match pooling.layout {
                Layout::Nhwc | Layout::Tokens => {
                    (0..cells.map_size.cells()).for_each(|_| values.extend_from_slice(vector));
                }
                Layout::Nchw | Layout::ChannelTokens => {
                    for &value in vector {
                        values.resize(values.len() + cells.map_size.cells(), value);
                    }
                }
            }
        }
        let everywhere = Floats { dims: dims.clone(), values, element: cells.element };
        let mut inputs = vec![(pooling.features.as_str(), &everywhere)];
        inputs.extend(image);
        let [heard] = take(run_floats(tail, &inputs, &[logits])?);
        let classes = heard.values.len() / batch;
        scores.extend_from_slice(&heard.values[..classes * batch.min(count - first)]);
    }
    Ok(scores)
}

/// Images with large and small structures, so that cells differ: 4 x 4 blocks of random colour, and noise.
fn random_images(images: usize, size: InputSize) -> PixelBatch {
    let (height, width) = (size.height_pixels() as usize, size.width_pixels() as usize);
    let mut random = SplitMix(0x7265_6c61_6265_6c00);
    let mut data = Vec::with_capacity(images * size.rgb_bytes());
    for _ in 0..images {
        let blocks: Vec<u8> = (0..4 * 4 * 3).map(|_| random.next_byte()).collect();
        for y in 0..height {
            for x in 0..width {
                let block = ((y * 4 / height) * 4 + x * 4 / width) * 3;
                data.extend(
                    (0..3).map(|channel| (blocks[block + channel] / 4 * 3).saturating_add(random.next_byte() / 4)),
                );
            }
        }
    }
    PixelBatch::new(images, size, data)
}

/// Sebastiano Vigna's `SplitMix64`: the same images on every machine, without a dependency.
struct SplitMix(u64);

impl SplitMix {
    fn next_byte(&mut self) -> u8 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 56) as u8
    }
}

/// `(x / 255 - mean) / std` on the host, as the contract says it, for the unmodified teacher.
fn normalised(pixels: &PixelBatch, subject: &Subject<'_>) -> Floats {
    let card = subject.card;
    let size = card.input_size;
    let (height, width) = (size.height_pixels() as usize, size.width_pixels() as usize);
    let source_channel = |channel: usize| match card.channel_order {
        super::card::ChannelOrder::Rgb => channel,
        super::card::ChannelOrder::Bgr => 2 - channel,
    };
    let value = |image: usize, channel: usize, at: usize| {
        let byte = pixels.image(image)[at * 3 + source_channel(channel)];
        ((f64::from(byte) / 255.0 - card.mean[channel]) / card.std[channel]) as f32
    };
    let images = pixels.images();
    let mut values = Vec::with_capacity(images * size.rgb_bytes());
    let dims = match subject.input.layout {
        InputLayout::Nchw => {
            for image in 0..images {
                for channel in 0..3 {
                    values.extend((0..height * width).map(|at| value(image, channel, at)));
                }
            }
            vec![images, 3, height, width]
        }
        InputLayout::Nhwc => {
            for image in 0..images {
                values.extend((0..height * width * 3).map(|at| value(image, at % 3, at / 3)));
            }
            vec![images, height, width, 3]
        }
    };
    Floats { dims, values, element: subject.input.element }
}

fn softmax(scores: &[f32]) -> Vec<f32> {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f64> = scores.iter().map(|&score| f64::from(score - largest).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.iter().map(|value| (value / sum) as f32).collect()
}

/// As many tensors as were asked for.
fn take<const N: usize>(tensors: Vec<Floats>) -> [Floats; N] {
    let empty = || Floats { dims: vec![], values: vec![], element: element::FLOAT };
    let mut tensors = tensors.into_iter();
    std::array::from_fn(|_| tensors.next().unwrap_or_else(empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_that_is_no_number_never_passes() {
        let mut difference = Difference::default();
        difference.see(1.0, f32::NAN);
        difference.see(1.0, 1.5);
        assert!(difference.largest.is_nan());
    }

    #[test]
    fn token_grids_have_the_inputs_proportions() {
        let grid =
            |tokens, height, width| grid_of(tokens, InputSize::new(height, width).unwrap()).map(<[usize; 2]>::from);
        assert_eq!(grid(196, 224, 224), Ok([14, 14]));
        assert_eq!(grid(98, 112, 224), Ok([7, 14]));
        assert!(grid(197, 224, 224).is_err());
    }

    #[test]
    fn random_images_are_the_same_every_time_and_not_flat() {
        let size = InputSize::new(16, 24).unwrap();
        let (a, b) = (random_images(2, size), random_images(2, size));
        assert_eq!(a.data(), b.data());
        assert_ne!(a.image(0), a.image(1));
        assert!(a.data().iter().max() > a.data().iter().min());
    }
}
