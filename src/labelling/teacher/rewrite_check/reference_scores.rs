//! Runs the reference on random images.

use super::cell_vectors::{PoolingTensors, TailInputs, cell_vectors};
use super::differences::{LargestDifference, RewriteCheck};
use super::images::{NormalisedImages, random_images};
use super::pooling_window;
use super::probabilities::{ScoreRows, check_order};
use super::reference_teacher::ReferenceTeacher;
use super::sampled_cells::{SampledCell, sample, with_mirrored_cells};
use super::view_scores::{ViewScores, mean, mean_of_views};
use crate::labelling::teacher::PixelBatch;
use crate::labelling::teacher::graph::element;
use crate::labelling::teacher::quantisation::{self, HeadClipping, Quantiser};
use crate::labelling::teacher::refusal::Refusal;
use crate::labelling::teacher::rewrite::{self, HeadDims};
use crate::labelling::teacher::runtime::Runtime;
use crate::labelling::teacher::tail::{CellGrid, Ending, Linearity, Pooling, Tail};
use crate::labelling::teacher::tensors::{FloatTensor, run_floats, take};
use crate::shared::error::Error;
use crate::shared::geometry::MapSize;

/// Scores of the reference for random images: the ground truth of the verification.
pub(crate) struct ReferenceScores {
    pub(crate) pixels: PixelBatch,
    pub(crate) map_size: MapSize,
    pub(crate) class_count: usize,
    pub(crate) head_dims: HeadDims,
    /// The teacher's own scores, `[image, class]`.
    pub(super) image_scores: Vec<f32>,
    /// The cells compared.
    pub(super) cells: Vec<SampledCell>,
    /// Scores of the reference head at these, `[cell, class]`.
    pub(super) cell_scores: Vec<f32>,
    /// The mean of the copied head over all cells, `[image, class]`.
    pub(super) mean_scores: Vec<f32>,
    /// Largest difference between the copied and the reference head at the compared cells, over all classes.
    pub(super) copy_difference: f32,
    pub(super) linearity: Linearity,
    /// Whether float16 is involved.
    pub(super) half: bool,
    pub(super) input: NormalisedImages,
    pub(super) warnings: Vec<String>,
}

/// Images and what the comparison needs to know of them.
struct ImageRun {
    pixels: PixelBatch,
    normalised: NormalisedImages,
}

impl ReferenceScores {
    /// Runs the reference, and its pooling and head at a sample of cells. With mirrored views, mirror images count as images
    /// of their own.
    pub(crate) fn compute(
        runtime: &Runtime,
        teacher: &ReferenceTeacher<'_>,
        grid: &CellGrid,
    ) -> Result<Result<Self, Refusal>, Error> {
        let (tail, views) = (teacher.tail, teacher.views.count());
        let images = teacher.input.fixed_batch.map_or(2, |batch| batch / views);
        let pixels = random_images(images, teacher.card.input_size);
        let all_views = if views == 1 { pixels.clone() } else { pixels.with_mirrors() };
        let model = rewrite::normalising_model(teacher.graph, teacher.input, teacher.card);
        let mut session = teacher.session(runtime, &model)?;
        let normalised = NormalisedImages::run(&mut session, &all_views, teacher.card, teacher.input)?;
        drop(session);
        if let Some(refusal) = normalised.failure() {
            return Ok(Err(refusal));
        }
        let mut names = vec![tail.logits.as_str(), tail.output.as_str()];
        if let Ending::Pooled(pooling) = &tail.ending {
            names.extend(pooling.inspected_tensors());
        }
        let mut session = teacher.session(runtime, &rewrite::reference_model(teacher.graph, tail, teacher.input))?;
        let inputs = [(teacher.input.name.as_str(), &normalised.floats)];
        let tensors = match run_floats(&mut session, &inputs, &names) {
            Ok(tensors) => tensors,
            Err(error) => return pooling_window::explain_error(runtime, teacher, error).map(Err),
        };
        drop(session);
        let mut tensors = tensors.into_iter();
        let [scores, own, features, pooled, values] =
            std::array::from_fn(|_| tensors.next().unwrap_or_else(FloatTensor::empty));
        let parts: Vec<FloatTensor> = tensors.collect();
        let map = matches!(tail.ending, Ending::ScoreMap).then_some(grid.layout);
        if !tail.left_out.is_empty()
            && let Err(refusal) = check_order(&tail.left_out, map, &own, &scores)
        {
            return Ok(Err(refusal));
        }
        let run = ImageRun { pixels, normalised };
        match &tail.ending {
            Ending::ScoreMap => Ok(Self::from_score_map(run, teacher, grid, &scores)),
            Ending::Pooled(pooling) => {
                let tensors = PoolingTensors { features: &features, pooled: &pooled, values: &values, parts: &parts };
                Self::run_head(runtime, (teacher, grid), pooling, run, (&scores, &tensors))
            }
        }
    }

    /// Runs the head of the reference on a tensor that the rewritten teacher computed: its features, or its score map.
    pub(crate) fn compute_from_features(
        &self,
        runtime: &Runtime,
        teacher: &ReferenceTeacher<'_>,
        grid: &CellGrid,
        features: &FloatTensor,
    ) -> Result<Result<Self, Refusal>, Error> {
        let run = ImageRun { pixels: self.pixels.clone(), normalised: self.input.clone() };
        match &teacher.tail.ending {
            Ending::ScoreMap => Ok(Self::from_score_map(run, teacher, grid, features)),
            Ending::Pooled(pooling) => {
                let given = [(pooling.features.as_str(), features)];
                let (model, takes_image) =
                    rewrite::tail_model(teacher.graph, teacher.tail, pooling, teacher.input, &given);
                let model = quantisation::with_output(&model, &pooling.pooled).map_err(|error| Error::Internal {
                    action: "build the model that verifies the head".to_owned(),
                    problem: error.into(),
                })?;
                let mut inputs = given.to_vec();
                inputs.extend(takes_image.then_some((teacher.input.name.as_str(), &run.normalised.floats)));
                let mut session = teacher.session(runtime, &model)?;
                let names = [teacher.tail.logits.as_str(), pooling.pooled.as_str()];
                let [scores, pooled] = take(run_floats(&mut session, &inputs, &names)?);
                drop(session);
                let tensors = PoolingTensors { features, pooled: &pooled, values: features, parts: &[] };
                Self::run_head(runtime, (teacher, grid), pooling, run, (&scores, &tensors))
            }
        }
    }

    fn from_score_map(
        run: ImageRun,
        teacher: &ReferenceTeacher<'_>,
        grid: &CellGrid,
        scores: &FloatTensor,
    ) -> Result<Self, Refusal> {
        let views = ViewScores::from_score_map(scores, run.pixels.images(), grid)?;
        Self::from_views(views, run, teacher, scores.element == element::FLOAT16, Vec::new())
    }

    /// Runs the pooling and head of the reference on features, and the copied head alone.
    fn run_head(
        runtime: &Runtime,
        (teacher, grid): (&ReferenceTeacher<'_>, &CellGrid),
        pooling: &Pooling,
        run: ImageRun,
        (scores, tensors): (&FloatTensor, &PoolingTensors<'_>),
    ) -> Result<Result<Self, Refusal>, Error> {
        let (views, images, features) = (teacher.views.count(), run.pixels.images(), tensors.features);
        let vectors = match cell_vectors(pooling, tensors, teacher.card.input_size, grid) {
            Ok(vectors) => vectors,
            Err(refusal) => return Ok(Err(pooling_window::explain_refusal(runtime, teacher, pooling, refusal))),
        };
        let (map_size, head_dims) = (vectors.map_size, vectors.head_dims);
        let cells = sample(images, map_size, RewriteCheck::MAX_CELLS / views);
        let cells_of_views = with_mirrored_cells(&cells, images, map_size, views);
        let mut given = vec![(pooling.features.as_str(), features)];
        given.extend(pooling.image_parts.iter().map(String::as_str).zip(tensors.parts));
        let (model, takes_image) = rewrite::tail_model(teacher.graph, teacher.tail, pooling, teacher.input, &given);
        let image = (teacher.input.name.as_str(), &run.normalised.floats);
        let tail_inputs = TailInputs {
            logits: &teacher.tail.logits,
            image: takes_image.then_some(image),
            parts: &given[1..],
            fixed_batch: teacher.input.fixed_batch,
            stop_requested: teacher.stop_requested,
        };
        let mut session = teacher.session(runtime, &model)?;
        let cell_scores = vectors.reference_scores(&mut session, pooling, &cells_of_views, &tail_inputs)?;
        drop(session);
        let run_copied_head = |tail: &Tail| -> Result<Vec<f32>, Error> {
            let Ending::Pooled(pooling) = &tail.ending else { return Ok(Vec::new()) };
            let (model, takes_image) =
                rewrite::copied_head_model(teacher.graph, tail, pooling, teacher.input, &given, head_dims, grid);
            let mut session = teacher.session(runtime, &model)?;
            let mut inputs = given.clone();
            inputs.extend(takes_image.then_some(image));
            let [all_cells] = take(run_floats(&mut session, &inputs, &[rewrite::port::ALL_SCORES])?);
            Ok(all_cells.values)
        };
        let class_count = scores.values.len() / (images * views);
        let all_cells = match run_copied_head(teacher.tail) {
            Ok(all_cells) => all_cells,
            Err(Error::Inference { message, .. }) => return Ok(Err(head_fails_on_cells(&message))),
            Err(error) => return Err(error),
        };
        let expected = images * views * map_size.cells() * class_count;
        if all_cells.len() != expected || cell_scores.len() != cells_of_views.len() * class_count {
            return Ok(Err(head_fails_on_cells(&format!("got {} scores, expected {expected}", all_cells.len()))));
        }
        let mut warnings = Self::range_warnings(runtime, teacher, pooling, features, &run.normalised.floats)?;
        if let Some(head) = &teacher.tail.quantised_head {
            let clipping = HeadClipping::compare(&all_cells, &run_copied_head(&head.without)?, class_count);
            match clipping.verdict(teacher.graph, head) {
                Ok(warning) => warnings.extend(warning),
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        let view_scores = ViewScores {
            map_size,
            class_count,
            head_dims,
            cells,
            cells_of_views,
            cell_scores,
            image_scores: scores.values.clone(),
            all_cells,
        };
        let half = [scores.element, features.element].contains(&element::FLOAT16);
        Ok(Self::from_views(view_scores, run, teacher, half, warnings))
    }

    /// Warnings about quantisers before the pooling whose range cells exceed.
    fn range_warnings(
        runtime: &Runtime,
        teacher: &ReferenceTeacher<'_>,
        pooling: &Pooling,
        features: &FloatTensor,
        input: &FloatTensor,
    ) -> Result<Vec<String>, Error> {
        let quantisers = Quantiser::find_before(teacher.graph, &pooling.features);
        if quantisers.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = quantisers.iter().map(|quantiser| quantiser.rounded.as_str()).collect();
        let model = rewrite::model_with_outputs(teacher.graph, teacher.input, &names);
        let mut session = teacher.session(runtime, &model)?;
        let rounded = run_floats(&mut session, &[(&teacher.input.name, input)], &names)?;
        let channels = pooling.layout.channels_of(&features.dims);
        let cells = features.dims.iter().skip(1).product::<usize>() / channels.max(1);
        let last = pooling.layout.channels_last();
        let same = quantisers.iter().zip(&rounded).filter(|(_, values)| values.dims == features.dims);
        Ok(same.filter_map(|(quantiser, values)| quantiser.warning(&values.values, cells, channels, last)).collect())
    }

    /// Averages over views, unless the scores are probabilities.
    fn from_views(
        scores: ViewScores,
        run: ImageRun,
        teacher: &ReferenceTeacher<'_>,
        half: bool,
        warnings: Vec<String>,
    ) -> Result<Self, Refusal> {
        let (tail, views, classes) = (teacher.tail, teacher.views.count(), scores.class_count);
        let half = half || teacher.input.element == element::FLOAT16;
        for (unit, values) in [("cell", &scores.all_cells), ("image", &scores.image_scores)] {
            ScoreRows { unit, values, classes, half }.refuse_probabilities(&tail.output)?;
        }
        let mut copy_difference = LargestDifference::default();
        for (cell, truth) in scores.cells_of_views.iter().zip(scores.cell_scores.chunks_exact(classes)) {
            let copied = &scores.all_cells[cell.index(scores.map_size) * classes..][..classes];
            copied.iter().zip(truth).for_each(|(&copied, &truth)| copy_difference.add(copied, truth));
        }
        let means = scores
            .all_cells
            .chunks_exact(scores.map_size.cells() * classes)
            .flat_map(|image| (0..classes).map(move |class| mean(image.iter().copied().skip(class).step_by(classes))));
        let means: Vec<f32> = means.collect();
        Ok(Self {
            pixels: run.pixels,
            map_size: scores.map_size,
            class_count: classes,
            head_dims: scores.head_dims,
            image_scores: mean_of_views(&scores.image_scores, views),
            cells: scores.cells,
            cell_scores: mean_of_views(&scores.cell_scores, views),
            mean_scores: mean_of_views(&means, views),
            copy_difference: copy_difference.0,
            linearity: tail.linearity(),
            half,
            input: run.normalised,
            warnings,
        })
    }
}

/// The refusal of a head that runs on images but not on cells.
fn head_fails_on_cells(reason: &str) -> Refusal {
    Refusal::new(
        format!("cannot run the head on cells: it runs on one vector per image, but not on one per cell: {reason}"),
        "export it with a dynamic batch axis, or as a graph whose output is a score map [batch, class, y, x]",
    )
}
