//! Proves the rewrite in numbers, on random images: cells against the unmodified pooling and head applied to that cell,
//! the mean over cells against the teacher's own scores, and the whole-image prediction against theirs.
//!
//! The unmodified part is fed a map that shows one cell's vector everywhere. Whatever the pooling is, its average of
//! such a map is that vector, so that what comes out is the head applied at that cell.

mod cells;
mod fit;
mod images;
mod probabilities;

use std::path::Path;

use self::cells::{Place, Shown, TailRun, cells_of, sample};
use self::images::{Normalised, normalised, random_images, with_mirrors};
use self::probabilities::{Rows, check_order};
use super::device::Device;
use super::graph::{Graph, element};
use super::quantisation::{self, Cut, Quantiser};
use super::rewrite::{self, ImageInput, Sides};
use super::runtime::{Optimisation, Runtime, SessionOptions};
use super::tail::{CellGrid, Ending, Linearity, Pooling, Refusal, Tail};
use super::tensors::{Floats, run_floats, take};
use super::{BatchLabels, PixelBatch, TeacherCard, Views};
use crate::shared::error::Error;
use crate::shared::geometry::MapSize;

/// What the proof found. Differences are absolute, in units of the score.
#[derive(Clone, Debug)]
pub struct Proof {
    /// Random images that were compared.
    pub images: usize,
    /// Cells that these images have.
    pub cells: usize,
    /// Cells that were compared: all, or [`Proof::MOST_CELLS`] that are spread over the maps.
    pub compared_cells: usize,
    /// Largest score of any compared cell and class, as a scale for the differences.
    pub largest_score: f32,
    /// Largest difference between a kept score and the unmodified head's score of that class in that cell.
    pub cell_difference: f32,
    /// Largest difference between the mean over all cells and the teacher's own score, over all classes. It has to be
    /// small for a linear head; for another it only says how far apart the two are.
    pub mean_difference: f32,
    /// Largest difference between a kept image probability and the softmax of the teacher's own scores.
    pub image_difference: f32,
    /// Largest difference between a log-sum-exp and that of the unmodified head's scores; `None` where none is kept.
    pub lse_difference: Option<f32>,
    /// Largest difference of scores that is accepted.
    pub tolerance: f32,
    /// Whether the mean over cells has to be the image's score.
    pub linearity: Linearity,
    /// Largest difference between the rewrite's normalised pixels and `(x / 255 - mean) / std`.
    pub normalised_difference: f32,
    /// What a teacher that rounds to whole numbers is compared by besides.
    pub quantised: Option<QuantisedProof>,
    /// What is doubtful, one sentence each.
    pub warnings: Vec<String>,
}

/// A quantised teacher from pixels to labels. In two sessions ONNX Runtime fuses its nodes in two ways, and a difference
/// in the last bit becomes one of a whole step where values are rounded. So the heads are compared on the features of one
/// session, as strictly as those of any teacher, and the labels of the unmodified teacher's own features to this.
#[derive(Clone, Debug)]
pub struct QuantisedProof {
    /// Largest difference between a kept score and the unmodified teacher's from pixels on, or between a kept score and
    /// that of the session whose features are shown.
    pub score_difference: f32,
    /// Largest difference between a kept image probability and the unmodified teacher's.
    pub image_difference: f32,
    /// Largest difference of scores that is accepted.
    pub tolerance: f32,
}

impl Proof {
    /// Cells that are compared at most. Each is shown everywhere on a map of its own, so that the time for a cell grows
    /// with the number of cells, and that for all of them with its square.
    pub const MOST_CELLS: usize = 256;
    /// float32 sums in another order differ by a few parts in a million; a tenth of a thousandth leaves room.
    const RELATIVE_TOLERANCE: f32 = 1e-4;
    /// float16 has 11 bits.
    const RELATIVE_TOLERANCE_HALF: f32 = 1e-2;
    /// Eight bits, rounded in other places in two sessions.
    const RELATIVE_TOLERANCE_QUANTISED: f32 = 5e-2;
    /// Probabilities of the same.
    const PROBABILITY_TOLERANCE_QUANTISED: f32 = 5e-2;

    /// How much of the largest score a difference may be.
    #[must_use]
    pub fn relative_tolerance(&self) -> f32 {
        self.tolerance / self.largest_score.max(1.0)
    }

    /// Whether the head is linear.
    #[must_use]
    pub fn linear(&self) -> bool {
        self.linearity == Linearity::Linear
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
        if self.linear() && fails(self.mean_difference) {
            return Some(format!(
                "the mean over cells differs from the teacher's own scores by {:.3e}; {:.1e} is accepted",
                self.mean_difference, self.tolerance
            ));
        }
        if let Some(difference) = self.lse_difference.filter(|&difference| fails(difference)) {
            return Some(format!(
                "a cell's log-sum-exp differs from that of the unmodified head's scores by {difference:.3e}; {:.1e} is accepted",
                self.tolerance
            ));
        }
        if fails(self.image_difference) {
            return Some(format!(
                "the whole-image probabilities differ from the teacher's own by {:.3e}",
                self.image_difference
            ));
        }
        let quantised = self.quantised.as_ref()?;
        let far = !(quantised.score_difference <= quantised.tolerance)
            || !(quantised.image_difference <= Self::PROBABILITY_TOLERANCE_QUANTISED);
        far.then(|| {
            format!(
                "it is quantised, and from pixels on its scores differ from the unmodified teacher's by {:.3e} ({:.1e} is \
                 accepted), its image probabilities by {:.3e} ({:.1e} is accepted)",
                quantised.score_difference,
                quantised.tolerance,
                quantised.image_difference,
                Self::PROBABILITY_TOLERANCE_QUANTISED
            )
        })
    }
}

/// What the unmodified teacher says of random images: the ground truth of the proof.
pub(crate) struct Witness {
    pub(crate) pixels: PixelBatch,
    pub(crate) map_size: MapSize,
    pub(crate) class_count: usize,
    pub(crate) sides: Sides,
    /// The teacher's own scores, `[image, class]`.
    image_scores: Vec<f32>,
    /// The cells that are compared.
    places: Vec<Place>,
    /// The unmodified head at these, `[place, class]`.
    cell_scores: Vec<f32>,
    /// The mean of the copied head over all cells, `[image, class]`.
    mean_scores: Vec<f32>,
    /// Largest difference between the copied and the unmodified head at the compared cells, over all classes.
    copy_difference: f32,
    linearity: Linearity,
    half: bool,
    /// What the unmodified teacher is fed.
    input: Normalised,
    warnings: Vec<String>,
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
    pub(crate) views: Views,
    pub(crate) stop_requested: &'a dyn Fn() -> bool,
}

impl Witness {
    /// Runs the unmodified teacher, and its unmodified pooling and head at a sample of cells.
    /// With mirrored views it sees the images and, as images of their own, their mirror images.
    pub(crate) fn hear(
        runtime: &Runtime,
        subject: &Subject<'_>,
        grid: &CellGrid,
    ) -> Result<Result<Self, Refusal>, Error> {
        let (tail, views) = (subject.tail, subject.views.count());
        let images = subject.input.fixed_batch.map_or(2, |batch| batch / views);
        let pixels = random_images(images, subject.card.input_size);
        let shown = if views == 1 { pixels.clone() } else { with_mirrors(&pixels) };
        let model = rewrite::normalising_model(subject.graph, subject.input, subject.card);
        let normalised = Normalised::of(&mut subject.session(runtime, &model)?, &shown, subject.card, subject.input)?;
        if let Some(refusal) = normalised.failure() {
            return Ok(Err(refusal));
        }
        let mut names = vec![tail.logits.as_str(), tail.output.as_str()];
        if let Ending::Pooled(pooling) = &tail.ending {
            names.extend(pooling.shown());
        }
        let mut whole = subject.session(runtime, &rewrite::witness_model(subject.graph, tail, subject.input))?;
        let inputs = [(subject.input.name.as_str(), &normalised.floats)];
        let tensors = match run_floats(&mut whole, &inputs, &names) {
            Ok(tensors) => tensors,
            Err(error) => return fit::explain(runtime, subject, error).map(Err),
        };
        drop(whole);
        let mut tensors = tensors.into_iter();
        let [scores, own, features, pooled, values] =
            std::array::from_fn(|_| tensors.next().unwrap_or_else(Floats::empty));
        let parts: Vec<Floats> = tensors.collect();
        if !tail.left_out.is_empty()
            && let Err(refusal) = check_order(tail, grid.layout, &own, &scores)
        {
            return Ok(Err(refusal));
        }
        match &tail.ending {
            Ending::ScoreMap => Ok(Heard::of_score_map(&scores, images, grid).and_then(|heard| {
                heard.into_witness(pixels, subject, normalised, scores.element == element::FLOAT16, Vec::new())
            })),
            Ending::Pooled(pooling) => {
                let seen = Shown { features: &features, pooled: &pooled, values: &values, parts: &parts };
                Self::hear_head(runtime, (subject, grid), pooling, pixels, normalised, (&scores, &seen))
            }
        }
    }

    /// The same on what the rewritten teacher gives on the way: its features, or its score map.
    pub(crate) fn hear_on_shown(
        &self,
        runtime: &Runtime,
        subject: &Subject<'_>,
        grid: &CellGrid,
        shown: &Floats,
    ) -> Result<Result<Self, Refusal>, Error> {
        let (pixels, normalised) = (self.pixels.clone(), self.input.clone());
        match &subject.tail.ending {
            Ending::ScoreMap => Ok(Heard::of_score_map(shown, pixels.images(), grid).and_then(|heard| {
                heard.into_witness(pixels, subject, normalised, shown.element == element::FLOAT16, Vec::new())
            })),
            Ending::Pooled(pooling) => {
                let given = [(pooling.features.as_str(), shown)];
                let (model, wants_image) =
                    rewrite::tail_model(subject.graph, subject.tail, pooling, subject.input, &given);
                let model = quantisation::with_output(&model, &pooling.pooled)
                    .map_err(|error| Error::Inference { action: "build the proof", message: error.to_string() })?;
                let mut inputs = given.to_vec();
                inputs.extend(wants_image.then_some((subject.input.name.as_str(), &normalised.floats)));
                let mut tail = subject.session(runtime, &model)?;
                let names = [subject.tail.logits.as_str(), pooling.pooled.as_str()];
                let [scores, pooled] = take(run_floats(&mut tail, &inputs, &names)?);
                drop(tail);
                let seen = Shown { features: shown, pooled: &pooled, values: shown, parts: &[] };
                Self::hear_head(runtime, (subject, grid), pooling, pixels, normalised, (&scores, &seen))
            }
        }
    }

    /// Runs the unmodified pooling and head on features, and the copied head alone.
    fn hear_head(
        runtime: &Runtime,
        (subject, grid): (&Subject<'_>, &CellGrid),
        pooling: &Pooling,
        pixels: PixelBatch,
        normalised: Normalised,
        (scores, seen): (&Floats, &Shown<'_>),
    ) -> Result<Result<Self, Refusal>, Error> {
        let (views, images, features) = (subject.views.count(), pixels.images(), seen.features);
        let cells = match cells_of(pooling, seen, subject.card.input_size, grid) {
            Ok(cells) => cells,
            Err(refusal) => return Ok(Err(fit::advise(runtime, subject, pooling, refusal))),
        };
        let (map_size, sides) = (cells.map_size, cells.sides());
        let places = sample(images, map_size, Proof::MOST_CELLS / views);
        let shown_places = with_partners(&places, images, map_size, views);
        let mut given = vec![(pooling.features.as_str(), features)];
        given.extend(pooling.image_parts.iter().map(String::as_str).zip(seen.parts));
        let (model, wants_image) = rewrite::tail_model(subject.graph, subject.tail, pooling, subject.input, &given);
        let image = wants_image.then_some((subject.input.name.as_str(), &normalised.floats));
        let run = TailRun {
            logits: &subject.tail.logits,
            image,
            parts: &given[1..],
            fixed_batch: subject.input.fixed_batch,
            stop_requested: subject.stop_requested,
        };
        let mut tail = subject.session(runtime, &model)?;
        let cell_scores = cells.hear(&mut tail, pooling, &shown_places, &run)?;
        drop(tail);
        let copied = |tail: &Tail| -> Result<Vec<f32>, Error> {
            let Ending::Pooled(pooling) = &tail.ending else { return Ok(Vec::new()) };
            let (model, wants_image) =
                rewrite::copied_head_model(subject.graph, tail, pooling, subject.input, &given, sides, grid);
            let mut copy = subject.session(runtime, &model)?;
            let mut inputs = given.clone();
            inputs.extend(wants_image.then_some((subject.input.name.as_str(), &normalised.floats)));
            let [all_cells] = take(run_floats(&mut copy, &inputs, &[rewrite::port::ALL_SCORES])?);
            Ok(all_cells.values)
        };
        let class_count = scores.values.len() / (images * views);
        let all_cells = match copied(subject.tail) {
            Ok(all_cells) => all_cells,
            Err(Error::Inference { message, .. }) => return Ok(Err(head_fails_on_cells(&message))),
            Err(error) => return Err(error),
        };
        let wanted = images * views * map_size.cells() * class_count;
        if all_cells.len() != wanted || cell_scores.len() != shown_places.len() * class_count {
            let given = format!("it gives {} scores instead of {wanted}", all_cells.len());
            return Ok(Err(head_fails_on_cells(&given)));
        }
        let mut warnings = Self::beyond_ranges(runtime, subject, pooling, features, &normalised.floats)?;
        if let Some(head) = &subject.tail.quantised_head {
            let cut = Cut::of(&all_cells, &copied(&head.without)?, class_count);
            match cut.verdict(subject.graph, head) {
                Ok(warning) => warnings.extend(warning),
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        let heard = Heard {
            map_size,
            class_count,
            sides,
            places,
            shown_places,
            cell_scores,
            image_scores: scores.values.clone(),
            all_cells,
        };
        let half = [scores.element, features.element].contains(&element::FLOAT16);
        Ok(heard.into_witness(pixels, subject, normalised, half, warnings))
    }

    /// What is said of quantisers before the pooling whose range cells exceed.
    fn beyond_ranges(
        runtime: &Runtime,
        subject: &Subject<'_>,
        pooling: &Pooling,
        features: &Floats,
        input: &Floats,
    ) -> Result<Vec<String>, Error> {
        let quantisers = Quantiser::before(subject.graph, &pooling.features);
        if quantisers.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = quantisers.iter().map(|quantiser| quantiser.rounded.as_str()).collect();
        let model = rewrite::shown_model(subject.graph, subject.input, &names);
        let mut session = subject.session(runtime, &model)?;
        let rounded = run_floats(&mut session, &[(&subject.input.name, input)], &names)?;
        let channels = pooling.layout.channels_of(&features.dims);
        let cells = features.dims.iter().skip(1).product::<usize>() / channels.max(1);
        let last = pooling.layout.channels_last();
        let same = quantisers.iter().zip(&rounded).filter(|(_, values)| values.dims == features.dims);
        Ok(same.filter_map(|(quantiser, values)| quantiser.warning(&values.values, cells, channels, last)).collect())
    }

    /// Holds the labels that the rewritten teacher gave to the witness's images against what was heard.
    pub(crate) fn compare(&self, labels: &BatchLabels) -> Proof {
        let (images, classes) = (self.pixels.images(), self.class_count);
        let largest_score = self.cell_scores.iter().fold(0.0_f32, |largest, score| largest.max(score.abs()));
        let relative = if self.half { Proof::RELATIVE_TOLERANCE_HALF } else { Proof::RELATIVE_TOLERANCE };
        let mut cell_difference = Difference { largest: self.copy_difference };
        let mut mean_difference = Difference::default();
        let mut image_difference = Difference::default();
        let mut lse_difference = Difference::default();
        for (place, truth) in self.places.iter().zip(self.cell_scores.chunks_exact(classes)) {
            let at = place.at(self.map_size);
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
            if let Some(lse) = &labels.lse {
                lse_difference.see(lse[at], log_sum_exp(truth));
            }
        }
        for image in 0..images {
            let own = &self.image_scores[image * classes..][..classes];
            for (&mean, &score) in self.mean_scores[image * classes..][..classes].iter().zip(own) {
                mean_difference.see(mean, score);
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
            cells: images * self.map_size.cells(),
            compared_cells: self.places.len(),
            largest_score,
            cell_difference: cell_difference.largest,
            mean_difference: mean_difference.largest,
            image_difference: image_difference.largest,
            lse_difference: labels.lse.is_some().then_some(lse_difference.largest),
            tolerance: relative * largest_score.max(1.0),
            linearity: self.linearity.clone(),
            normalised_difference: self.input.difference,
            quantised: None,
            warnings: self.warnings.clone(),
        }
    }

    /// What a quantised teacher's labels are compared by besides: `labels` are those of the session that labels, `shown`
    /// what was found of the session whose features were shown.
    pub(crate) fn compare_from_pixels(&self, labels: &BatchLabels, shown: Proof) -> Proof {
        let own = self.compare(labels);
        let quantised = QuantisedProof {
            score_difference: own.cell_difference,
            image_difference: own.image_difference,
            tolerance: Proof::RELATIVE_TOLERANCE_QUANTISED * own.largest_score,
        };
        Proof { quantised: Some(quantised), ..shown }
    }
}

impl Subject<'_> {
    fn session(&self, runtime: &Runtime, model: &[u8]) -> Result<ort::session::Session, Error> {
        runtime.session(model, &self.session_options()?)
    }

    /// How a session for the unmodified graph is made, unless a stop was requested.
    pub(crate) fn session_options(&self) -> Result<SessionOptions<'_>, Error> {
        if (self.stop_requested)() {
            return Err(Error::Interrupted);
        }
        let (weights_folder, device, threads) = (self.weights_folder, self.device.plainly_fed(), self.threads);
        Ok(SessionOptions { weights_folder, device, threads, profile: None, optimisation: Optimisation::All })
    }

    /// Random images as the unmodified teacher takes them: as many as the batch, where that is fixed.
    pub(crate) fn random_input(&self, images: usize) -> Floats {
        let images = self.input.fixed_batch.unwrap_or(images);
        normalised(&random_images(images, self.card.input_size), self.card, self.input)
    }

    /// A session that gives one tensor of the unmodified graph.
    pub(crate) fn features_session(&self, runtime: &Runtime, tensor: &str) -> Result<ort::session::Session, Error> {
        self.session(runtime, &rewrite::shown_model(self.graph, self.input, &[tensor]))
    }

    /// Runs a session of [`Subject::features_session`].
    pub(crate) fn run_features(
        &self,
        session: &mut ort::session::Session,
        tensor: &str,
        batch: &PixelBatch,
    ) -> Result<Floats, Error> {
        if (self.stop_requested)() {
            return Err(Error::Interrupted);
        }
        let image = normalised(batch, self.card, self.input);
        let [features] = take(run_floats(session, &[(&self.input.name, &image)], &[tensor])?);
        Ok(features)
    }

    /// One tensor of the unmodified graph, for images that it takes as they are.
    pub(crate) fn features(&self, runtime: &Runtime, tensor: &str, image: &Floats) -> Result<Floats, Error> {
        let mut session = self.features_session(runtime, tensor)?;
        let [features] = take(run_floats(&mut session, &[(&self.input.name, image)], &[tensor])?);
        Ok(features)
    }
}

/// A head that runs on images and does not run on cells.
fn head_fails_on_cells(reason: &str) -> Refusal {
    Refusal::new(
        format!("what follows its pooling runs on one vector an image, and not on one a cell: {reason}"),
        "export it with a free batch (dynamic axes), or as a graph that ends in a score map [batch, class, y, x]",
    )
}

/// What the unmodified teacher said, every view an image of its own.
struct Heard {
    map_size: MapSize,
    class_count: usize,
    sides: Sides,
    places: Vec<Place>,
    /// The places, and behind them, with two views, the same places in the mirrored maps.
    shown_places: Vec<Place>,
    /// `[view of place, class]`
    cell_scores: Vec<f32>,
    /// `[view of image, class]`
    image_scores: Vec<f32>,
    /// The copied head's scores, `[view of image, cell, class]`.
    all_cells: Vec<f32>,
}

impl Heard {
    /// A score map says everything itself.
    fn of_score_map(scores: &Floats, images: usize, grid: &CellGrid) -> Result<Self, Refusal> {
        let (shown, class_count, map_size) =
            (scores.dims.first().copied().unwrap_or(0), grid.layout.channels_of(&scores.dims), grid.size);
        if scores.dims.len() != 4 || scores.values.len() != shown * class_count * map_size.cells() {
            return Err(Refusal::new(
                format!("its score map has the shape {:?}; {} was expected", scores.dims, grid.layout.in_words()),
                "export it so that its output is a score map [batch, class, y, x]",
            ));
        }
        let cells = map_size.cells();
        let all_cells = grid.in_order(grid.layout.cells_last(scores), class_count);
        let of_image = |image: &[f32]| -> Vec<f32> {
            (0..class_count).map(|class| mean(image.iter().skip(class).step_by(class_count).copied())).collect()
        };
        let image_scores = all_cells.chunks_exact(cells * class_count).flat_map(of_image).collect();
        let places = sample(images, map_size, usize::MAX);
        let shown_places = with_partners(&places, images, map_size, shown / images.max(1));
        let row = |place: &Place| &all_cells[place.at(map_size) * class_count..][..class_count];
        let cell_scores = shown_places.iter().flat_map(row).copied().collect();
        let sides = Sides { cells, channels: class_count, heads: 1, value_axes: 0 };
        Ok(Self { map_size, class_count, sides, places, shown_places, cell_scores, image_scores, all_cells })
    }

    /// Averages over views, unless the scores are probabilities.
    fn into_witness(
        self,
        pixels: PixelBatch,
        subject: &Subject<'_>,
        input: Normalised,
        half: bool,
        warnings: Vec<String>,
    ) -> Result<Witness, Refusal> {
        let (tail, views) = (subject.tail, subject.views.count());
        let half = half || subject.input.element == element::FLOAT16;
        for (of, values) in [("cell", &self.all_cells), ("image", &self.image_scores)] {
            Rows { of, values, classes: self.class_count, half }.refuse_probabilities(tail)?;
        }
        let classes = self.class_count;
        let mut copy_difference = Difference::default();
        for (place, truth) in self.shown_places.iter().zip(self.cell_scores.chunks_exact(classes)) {
            let copied = &self.all_cells[place.at(self.map_size) * classes..][..classes];
            copied.iter().zip(truth).for_each(|(&copied, &truth)| copy_difference.see(copied, truth));
        }
        let means = self
            .all_cells
            .chunks_exact(self.map_size.cells() * classes)
            .flat_map(|image| (0..classes).map(move |class| mean(image.iter().copied().skip(class).step_by(classes))));
        let means: Vec<f32> = means.collect();
        Ok(Witness {
            pixels,
            map_size: self.map_size,
            class_count: classes,
            sides: self.sides,
            image_scores: mean_of_views(&self.image_scores, views),
            places: self.places,
            cell_scores: mean_of_views(&self.cell_scores, views),
            mean_scores: mean_of_views(&means, views),
            copy_difference: copy_difference.largest,
            linearity: tail.linearity(),
            half,
            input,
            warnings,
        })
    }
}

/// The places, and behind them, with two views, the same places in the mirrored maps.
fn with_partners(places: &[Place], images: usize, map_size: MapSize, views: usize) -> Vec<Place> {
    let mirrored = places.iter().map(|place| place.mirrored(images, map_size));
    let mirrored = mirrored.take(if views == 2 { places.len() } else { 0 });
    places.iter().copied().chain(mirrored).collect()
}

/// The mean of the first half and the second half of the values, or the values themselves for one view.
fn mean_of_views(values: &[f32], views: usize) -> Vec<f32> {
    let length = values.len() / views;
    (0..length).map(|at| mean((0..views).map(|view| values[view * length + at]))).collect()
}

fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + f64::from(value), count + 1));
    (sum / count as f64) as f32
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

fn softmax(scores: &[f32]) -> Vec<f32> {
    let lse = f64::from(log_sum_exp(scores));
    scores.iter().map(|&score| (f64::from(score) - lse).exp() as f32).collect()
}

fn log_sum_exp(scores: &[f32]) -> f32 {
    let largest = f64::from(scores.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = scores.iter().map(|&score| (f64::from(score) - largest).exp()).sum();
    (largest + sum.ln()) as f32
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
    fn log_sum_exp_neither_overflows_nor_underflows() {
        assert!((log_sum_exp(&[1000.0, 1000.0]) - (1000.0 + 2.0_f32.ln())).abs() < 1e-3);
        assert!((log_sum_exp(&[-1000.0, -1000.0]) - (-1000.0 + 2.0_f32.ln())).abs() < 1e-3);
        assert!((softmax(&[0.0, 0.0])[0] - 0.5).abs() < 1e-6);
    }
}
