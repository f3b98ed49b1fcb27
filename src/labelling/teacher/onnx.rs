//! Loads an ONNX classifier: read, recognise, hear the unmodified teacher, rewrite, prove, keep the session.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ort::session::{RunOptions, Session};
use ort::value::Tensor;

use super::card::{self, CardFile, CardValues, TeacherCard};
use super::device::Device;
use super::feed::{Feed, OutputShapes, values};
use super::graph::{Graph, element};
use super::locality::{self, Evidence, Locality, Settled};
use super::placement::{self, Placement};
use super::ports::{image_input, port_in_words, scores_output};
use super::proof::{Proof, Subject, Witness};
use super::quantisation;
use super::rewrite::{ImageInput, Sides, Wanted, copied_head_model, labelling_model, port, tail_model};
use super::runtime::{Optimisation, Runtime, SessionOptions};
use super::tail::{self, CellGrid, Ending, Layout, Linearity, Refusal, Tail};
use super::tensors::{Floats, failed};
use super::weights::{WeightsFile, weights_files};
use super::{BatchLabels, PixelBatch, Teacher, TeacherShape, Views, guard, integrity, wire};
use crate::shared::digest::{Digest, digest_bytes};
use crate::shared::error::Error;
use crate::shared::geometry::{InputSize, MapSize};

/// What is asked of a teacher.
#[derive(Clone, Debug)]
pub struct TeacherRequest {
    /// The ONNX file.
    pub path: PathBuf,
    /// The card, as it was found.
    pub card: CardFile,
    /// What the flags say; they win over the card.
    pub flags: CardValues,
    /// Classes to keep in each cell.
    pub k: usize,
    /// What of each image is shown to the teacher.
    pub views: Views,
    /// Whether the log-sum-exp of all classes is given for each cell.
    pub with_lse: bool,
    /// Threads, shared by the sessions on the processor.
    pub threads: usize,
    /// Files of photographs like those that will be labelled, whose patches are changed to see which cells answer, where
    /// the graph's structure does not tell where its cells lie. With none, the program's own are looked at.
    pub photographs: Vec<Vec<u8>>,
    /// A folder for short-lived files, from which the shapes of tensors are read, and which nodes run on another device than
    /// was asked for; `None` leaves both out, and cells are then proved to be places by changing photographs only.
    pub scratch_folder: Option<PathBuf>,
}

/// A classifier that labels every cell, loaded and proved.
pub struct OnnxTeacher {
    session: Session,
    feed: Feed,
    shape: TeacherShape,
    image_ranks: usize,
    with_lse: bool,
    stop: Arc<RunOptions>,
}

/// What a teacher is, how it is fed, what was rewritten, and what the proof found.
#[derive(Clone, Debug)]
pub struct Description {
    /// SHA-256 of the ONNX file.
    pub sha256: Digest,
    /// Files beside it that hold weights.
    pub weights_files: Vec<WeightsFile>,
    /// Version of the standard operators.
    pub opset: i64,
    /// The input, in words: name, shape, element type.
    pub input: String,
    /// The output, in words.
    pub output: String,
    /// The rewrite, one sentence a line.
    pub rewrite: Vec<String>,
    /// The card in force.
    pub card: TeacherCard,
    /// Sizes.
    pub shape: TeacherShape,
    /// The proof.
    pub proof: Proof,
    /// How cells were shown to be places of the image.
    pub locality: Locality,
    /// Where the nodes of the first session ran, if it could be seen.
    pub placement: Option<Placement>,
}

impl OnnxTeacher {
    /// Whole-image classes that are kept for counting top-5 agreement, even where fewer are stored.
    const AGREEMENT_RANKS: usize = 5;

    /// Loads, rewrites and proves a teacher, one session for each device. `stop_requested` is asked between the steps.
    ///
    /// # Errors
    /// When the file is no ONNX model, ends in a way that gives no label maps, contradicts its card, cannot be loaded
    /// on a device, when the rewrite does not hold ([`Error::Proof`]), or when a stop was requested
    /// ([`Error::Interrupted`]).
    pub fn load(
        runtime: &Runtime,
        request: &TeacherRequest,
        devices: &[Device],
        stop_requested: &dyn Fn() -> bool,
    ) -> Result<(Vec<Self>, Description), Error> {
        guard::catching("load the teacher", || Self::load_and_prove(runtime, request, devices, stop_requested))
    }

    fn load_and_prove(
        runtime: &Runtime,
        request: &TeacherRequest,
        devices: &[Device],
        stop_requested: &dyn Fn() -> bool,
    ) -> Result<(Vec<Self>, Description), Error> {
        let path = request.path.as_path();
        let refused = |refusal: Refusal| Error::Teacher {
            path: path.to_path_buf(),
            problem: refusal.problem.into(),
            advice: refusal.advice,
        };
        let bytes = read_model(path)?.map_err(refused)?;
        let sha256 = digest_bytes(&bytes);
        let mut graph = Graph::parse(bytes).map_err(refused)?;
        let (input, facts) = image_input(&graph).map_err(refused)?;
        let card = card::settle(path, &request.flags, &request.card, &facts)?;
        check_batch(&input, &card, request.views).map_err(refused)?;
        let output = scores_output(&graph, card.output.as_deref()).map_err(refused)?;
        let tail = tail::recognise(&mut graph, &input.name, &output.name, output.rank()).map_err(refused)?;
        let weights_folder = path.parent().unwrap_or(Path::new("."));
        let weights_files = weights_files(&graph, weights_folder).map_err(|error| match error {
            Ok(error) => error,
            Err(refusal) => refused(refusal),
        })?;

        let first = *devices.first().ok_or_else(|| Error::Usage("no device was named".to_owned()))?;
        devices.iter().try_for_each(|&device| runtime.try_device(device))?;
        let threads = request.threads;
        let subject = Subject {
            graph: &graph,
            tail: &tail,
            input: &input,
            card: &card,
            weights_folder,
            device: first,
            threads,
            views: request.views,
            stop_requested,
        };
        let evidence = Evidence {
            photographs: &request.photographs,
            scratch_folder: request.scratch_folder.as_deref(),
            named_classes: card::named_classes(&request.flags, &request.card, &facts),
        };
        let settled = locality::settle(runtime, &subject, &evidence);
        let Settled { locality, grid } = settled.map_err(|stop| stop.or_refused(refused))?;
        let witness = Witness::hear(runtime, &subject, &grid)?.map_err(refused)?;
        let class_count = witness.class_count;
        let card = card::settle_classes(card.clone(), &request.flags, &request.card, &facts, class_count)?;
        check_classifier(&graph, &tail, &card, class_count).map_err(refused)?;
        let wanted = Self::wanted(request, &witness, card.input_size, grid)?;
        let shape = TeacherShape {
            input_size: card.input_size,
            map_size: witness.map_size,
            class_count,
            k: request.k,
            fixed_batch: input.fixed_batch.map(|batch| batch / request.views.count()),
        };
        let rewrite = in_words(&graph, &tail, &input, &card, &wanted);
        let model = labelling_model(&graph, &tail, &input, &card, &wanted);
        let (opset, input_words, output_words) =
            (graph.opset(), port_in_words(&graph.inputs()[0]), port_in_words(&output));

        let on_cpu = devices.iter().filter(|&&device| device == Device::Cpu).count();
        let sessions = Sessions {
            runtime,
            model,
            weights_folder,
            threads: threads.div_ceil(on_cpu.max(1)),
            shape,
            image_ranks: wanted.image_ranks,
            with_lse: wanted.with_lse,
            stop_requested,
        };
        let shown = if tail.shows_all() && quantisation::is_quantised(&graph, tail.shown()) {
            Some(sessions.shown(&subject, &wanted.grid, &witness)?.map_err(refused)?)
        } else {
            None
        };
        drop(graph);
        let (teacher, proof, placement) = sessions.proved(first, &witness, shown, request.scratch_folder.as_deref())?;
        if let Some(problem) = proof.failure() {
            return Err(Error::Proof {
                path: path.to_path_buf(),
                problem: problem.into(),
                advice: "its ending is not what it looks like; export it again without optimisation, or as a graph that ends \
                         in a score map [batch, class, y, x]"
                    .to_owned(),
            });
        }
        let others = devices[1..].iter().map(|&device| sessions.load(device, None));
        let teachers = std::iter::once(Ok(teacher)).chain(others).collect::<Result<_, Error>>()?;
        let description = Description {
            sha256,
            weights_files,
            opset,
            input: input_words,
            output: output_words,
            rewrite,
            card,
            shape,
            proof,
            locality,
            placement,
        };
        Ok((teachers, description))
    }

    /// What the rewritten graph is to give.
    fn wanted(
        request: &TeacherRequest,
        witness: &Witness,
        input_size: InputSize,
        grid: CellGrid,
    ) -> Result<Wanted, Error> {
        let class_count = witness.class_count;
        if request.k == 0 || request.k > class_count {
            return Err(Error::Usage(format!(
                "--top-k {} is out of range: the teacher has {class_count} classes",
                request.k
            )));
        }
        Ok(Wanted {
            input_size,
            grid,
            k: request.k,
            image_ranks: request.k.max(Self::AGREEMENT_RANKS).min(class_count),
            class_count,
            sides: witness.sides,
            views: request.views,
            with_lse: request.with_lse,
        })
    }

    /// Sizes of what it takes and gives.
    #[must_use]
    pub fn shape(&self) -> TeacherShape {
        self.shape
    }
}

/// What makes one session like the other, but for the device.
struct Sessions<'a> {
    runtime: &'a Runtime,
    /// The teacher that labels, serialised.
    model: Vec<u8>,
    weights_folder: &'a Path,
    threads: usize,
    shape: TeacherShape,
    image_ranks: usize,
    with_lse: bool,
    stop_requested: &'a dyn Fn() -> bool,
}

impl Sessions<'_> {
    /// A session that has labelled the witness's images: with what the proof found, and where its nodes ran. `shown` is
    /// what was found of a quantised teacher's heads.
    fn proved(
        &self,
        device: Device,
        witness: &Witness,
        shown: Option<Proof>,
        scratch_folder: Option<&Path>,
    ) -> Result<(OnnxTeacher, Proof, Option<Placement>), Error> {
        let scratch = scratch_folder.and_then(placement::scratch);
        let mut teacher = self.load(device, scratch.as_ref().map(tempfile::TempDir::path))?;
        let labels = teacher.label(&witness.pixels)?;
        let proof = match shown {
            Some(shown) => witness.compare_from_pixels(&labels, shown),
            None => witness.compare(&labels),
        };
        let placement = match scratch {
            Some(_) => Placement::take_from(&mut teacher.session, device)?,
            None => None,
        };
        Ok((teacher, proof, placement))
    }

    /// Compares the heads of a quantised teacher on the features that the rewritten teacher itself makes and, for this
    /// once, shows.
    fn shown(
        &self,
        subject: &Subject<'_>,
        grid: &CellGrid,
        witness: &Witness,
    ) -> Result<Result<Proof, Refusal>, Error> {
        let shown = subject.tail.shown();
        let model = quantisation::with_output(&self.model, shown)
            .map_err(|error| Error::Inference { action: "build the proof", message: error.to_string() })?;
        let sessions = Sessions { model, ..*self };
        let mut teacher = sessions.load(subject.device.plainly_fed(), None)?;
        let (labels, features) = teacher.label_and_show(&witness.pixels, shown)?;
        let heard = witness.hear_on_shown(self.runtime, subject, grid, &features)?;
        Ok(heard.map(|heard| heard.compare(&labels)))
    }

    fn load(&self, device: Device, profile: Option<&Path>) -> Result<OnnxTeacher, Error> {
        if (self.stop_requested)() {
            return Err(Error::Interrupted);
        }
        let options = SessionOptions {
            weights_folder: self.weights_folder,
            device,
            threads: self.threads,
            profile,
            optimisation: Optimisation::All,
        };
        let session = self.runtime.session(&self.model, &options)?;
        let feed = Feed::new(&session, device)?;
        let stop = Arc::new(RunOptions::new().map_err(failed("prepare a run"))?);
        let (shape, image_ranks, with_lse) = (self.shape, self.image_ranks, self.with_lse);
        Ok(OnnxTeacher { session, feed, shape, image_ranks, with_lse, stop })
    }
}

impl Teacher for OnnxTeacher {
    fn label(&mut self, batch: &PixelBatch) -> Result<BatchLabels, Error> {
        let images = batch.images();
        let run_images = self.shape.fixed_batch.unwrap_or(images);
        let mut labels = BatchLabels {
            k: self.shape.k,
            image_ranks: self.image_ranks,
            lse: self.with_lse.then(Vec::new),
            ..BatchLabels::default()
        };
        for first in (0..images).step_by(run_images.max(1)) {
            let kept = run_images.min(images - first);
            guard::catching("run the teacher", || self.run(batch, first, run_images, kept, &mut labels))?;
        }
        Ok(labels)
    }

    fn stopper(&self) -> Box<dyn Fn() + Send + Sync> {
        let stop = Arc::clone(&self.stop);
        Box::new(move || {
            if let Err(error) = stop.terminate() {
                tracing::warn!("ONNX Runtime would not be stopped: {error}");
            }
        })
    }
}

impl OnnxTeacher {
    /// Labels a batch that fits in one run, and shows a tensor on the way, which is an output of this session.
    fn label_and_show(&mut self, batch: &PixelBatch, shown: &str) -> Result<(BatchLabels, Floats), Error> {
        let size = batch.size();
        let shape = [batch.images(), size.height_pixels() as usize, size.width_pixels() as usize, 3];
        let pixels = Tensor::from_array((shape, batch.data().to_vec())).map_err(failed("take pixels"))?;
        let inputs = vec![(port::PIXELS, pixels)];
        let outputs = self.session.run(inputs).map_err(failed("run the teacher"))?;
        let labels = BatchLabels {
            k: self.shape.k,
            scores: values(&outputs, port::SCORES)?,
            classes: values(&outputs, port::CLASSES)?,
            image_ranks: self.image_ranks,
            image_probs: values(&outputs, port::IMAGE_PROBS)?,
            image_classes: values(&outputs, port::IMAGE_CLASSES)?,
            lse: if self.with_lse { Some(values(&outputs, port::LSE)?) } else { None },
        };
        Ok((labels, Floats::from_value(shown, &outputs[shown])?))
    }

    /// Runs `run_images` images from `first` on, of which the first `kept` count; the rest fill a fixed batch.
    fn run(
        &mut self,
        batch: &PixelBatch,
        first: usize,
        run_images: usize,
        kept: usize,
        labels: &mut BatchLabels,
    ) -> Result<(), Error> {
        let size = batch.size();
        let image_bytes = size.rgb_bytes();
        let shape = [run_images, size.height_pixels() as usize, size.width_pixels() as usize, 3];
        let present = &batch.data()[first * image_bytes..(first + kept) * image_bytes];
        let mut filled;
        let pixels = if kept == run_images {
            present
        } else {
            filled = present.to_vec();
            filled.resize(run_images * image_bytes, 0);
            &filled
        };
        let (cells, ranks) = (self.shape.map_size.cells(), self.image_ranks);
        let (per_map, per_image) = (kept * cells * labels.k, kept * ranks);
        let outputs = OutputShapes {
            height_cells: self.shape.map_size.height_cells(),
            width_cells: self.shape.map_size.width_cells(),
            k: labels.k,
            image_ranks: ranks,
            with_lse: self.with_lse,
        };
        self.feed.run(&mut self.session, (shape, pixels), outputs, &self.stop, |outputs| {
            labels.scores.extend_from_slice(&values(outputs, port::SCORES)?[..per_map]);
            labels.classes.extend_from_slice(&values(outputs, port::CLASSES)?[..per_map]);
            labels.image_probs.extend_from_slice(&values(outputs, port::IMAGE_PROBS)?[..per_image]);
            labels.image_classes.extend_from_slice(&values(outputs, port::IMAGE_CLASSES)?[..per_image]);
            if let Some(lse) = &mut labels.lse {
                lse.extend_from_slice(&values(outputs, port::LSE)?[..kept * cells]);
            }
            Ok(())
        })
    }
}

/// What `relabel teacher` does first, on the bytes of an ONNX file: it is parsed, its ending is recognised and its
/// rewrite is built. No file is opened and ONNX Runtime has no part in it; this is the function for a fuzzer.
///
/// # Errors
/// Why the file is refused, in words.
pub fn check_onnx(bytes: Vec<u8>) -> Result<(), String> {
    let refused = |refusal: Refusal| format!("{}; {}", refusal.problem, refusal.advice);
    let mut graph = Graph::parse(Bytes::from(bytes)).map_err(refused)?;
    let (input, facts) = image_input(&graph).map_err(refused)?;
    let free = facts.fixed_height_pixels.is_none() || facts.fixed_width_pixels.is_none();
    let flags = CardValues {
        input_size: if free { InputSize::new(224, 224).ok() } else { None },
        mean: Some([0.5; 3]),
        std: Some([0.5; 3]),
        ..CardValues::default()
    };
    let card = card::settle(Path::new("teacher.onnx"), &flags, &CardFile::default(), &facts);
    let card = card.map_err(|error| error.to_string())?;
    let output = scores_output(&graph, None).map_err(refused)?;
    let tail = tail::recognise(&mut graph, &input.name, &output.name, output.rank()).map_err(refused)?;
    check_batch(&input, &card, Views::Image).map_err(refused)?;
    let sides = Sides { cells: 49, channels: 1, heads: 1, value_axes: 4 };
    for views in [Views::Image, Views::ImageAndMirror] {
        let wanted = Wanted {
            input_size: card.input_size,
            grid: CellGrid::raster(Layout::Nchw, MapSize::new(7, 7)?),
            k: 1,
            image_ranks: 1,
            class_count: 1,
            sides,
            views,
            with_lse: true,
        };
        labelling_model(&graph, &tail, &input, &card, &wanted);
    }
    if let Ending::Pooled(pooling) = &tail.ending {
        let features = Floats { dims: vec![1; 4], values: vec![], element: element::FLOAT };
        let given = [(pooling.features.as_str(), &features)];
        tail_model(&graph, &tail, pooling, &input, &given);
        let grid = CellGrid::raster(pooling.layout, MapSize::new(7, 7)?);
        copied_head_model(&graph, &tail, pooling, &input, &given, sides, &grid);
    }
    graph.external_weights().try_for_each(|weight| weight.map(|_| ()))
}

/// The bytes of an ONNX file, if they are no more than any is.
fn read_model(path: &Path) -> Result<Result<Bytes, Refusal>, Error> {
    let metadata = std::fs::metadata(path).map_err(Error::file("read", path))?;
    if !metadata.is_file() {
        return Ok(Err(integrity::damaged("it is not an ordinary file".to_owned())));
    }
    let length = metadata.len();
    if length > wire::MOST_BYTES {
        return Ok(Err(integrity::damaged(format!("it has {length} bytes; {} are accepted", wire::MOST_BYTES))));
    }
    Ok(Ok(Bytes::from(std::fs::read(path).map_err(Error::file("read", path))?)))
}

/// Refuses features that nobody called classes.
fn check_classifier(graph: &Graph, tail: &Tail, card: &TeacherCard, class_count: usize) -> Result<(), Refusal> {
    match &tail.ending {
        Ending::Pooled(pooling) if card.classes.is_unnamed() && !pooling.has_classifier(graph) => Err(Refusal::new(
            format!(
                "there are no weights between its pooling and its output: its {class_count} numbers are features, not scores of \
                 classes"
            ),
            "export it with its classifier; if these are classes, name them: `classes = \"my_classes.txt\"` in the card, one \
             class a line",
        )),
        _ => Ok(()),
    }
}

/// A batch that the graph fixes has to be one that can be made.
fn check_batch(input: &ImageInput, card: &TeacherCard, views: Views) -> Result<(), Refusal> {
    /// Bytes of one batch as float32.
    const MOST_BYTES: usize = 1 << 33;
    let Some(batch) = input.fixed_batch else { return Ok(()) };
    if !batch.is_multiple_of(views.count()) {
        return Err(Refusal::new(
            format!(
                "its batch is fixed at {batch}, and --flip-average shows each image beside its mirror image, so that a batch \
                 is even"
            ),
            "export it with a free batch or an even one, or leave --flip-average out",
        ));
    }
    match batch.checked_mul(card.input_size.rgb_bytes() * size_of::<f32>()) {
        Some(bytes) if bytes <= MOST_BYTES => Ok(()),
        _ => Err(Refusal::new(
            format!("its batch is fixed at {batch} images of {} pixels, which no memory holds", card.input_size),
            "export it with a free batch",
        )),
    }
}

/// The rewrite, one sentence a line.
fn in_words(graph: &Graph, tail: &Tail, input: &ImageInput, card: &TeacherCard, wanted: &Wanted) -> Vec<String> {
    let mut words = vec![format!(
        "pixels enter as u8 {} and become (x/255 - mean) / std inside{}",
        card.input_size,
        if input.element == element::FLOAT16 { ", then float16" } else { "" }
    )];
    match &tail.ending {
        Ending::Pooled(pooling) => {
            let node = graph.node(pooling.node);
            let head: Vec<_> = pooling.head.iter().map(|&index| graph.node(index).op_type()).collect();
            let verb = if pooling.attention_values.is_some() { "pools by a learned query" } else { "averages" };
            words.push(format!(
                "{} {verb} {} features {} over {} cells; a second copy of what follows it ({}) runs on every cell instead",
                node.op_type(),
                pooling.layout.in_words(),
                wanted.grid.size,
                wanted.grid.size.cells(),
                if head.is_empty() { "nothing".to_owned() } else { head.join(", ") }
            ));
            words.extend(pooling.remarks());
        }
        Ending::ScoreMap => words.push(format!(
            "the graph ends in a score map {} of {} cells already",
            wanted.grid.layout.in_words().replace("channel", "class"),
            wanted.grid.size
        )),
    }
    if let Linearity::NotLinear { because_of } = tail.linearity() {
        words.push(format!(
            "its head is not linear ({because_of}): the mean over cells is not the image's score, since what the head makes \
             of a mean is not the mean of what it makes of the cells"
        ));
    }
    if wanted.views == Views::ImageAndMirror {
        words.push(
            "each image is shown beside its mirror image; the mirror image's scores are mirrored back, and both are averaged \
             before they are ranked"
                .to_owned(),
        );
    }
    if wanted.with_lse {
        words.push("the log-sum-exp of all classes leaves the device too, one number a cell".to_owned());
    }
    if !tail.left_out.is_empty() {
        words.push(format!(
            "its scores are those before {}: they are raw, and so is what is kept",
            tail.left_out.join(", ")
        ));
    }
    words.push(format!(
        "the top {} of {} classes are taken inside; only they leave the device",
        wanted.k, wanted.class_count
    ));
    words.extend(order_in_words(&wanted.grid));
    words
}

/// How cells are put into the order of rows and columns, where they are not.
fn order_in_words(grid: &CellGrid) -> Option<String> {
    let order = grid.order.as_ref()?;
    let first: Vec<String> = order.iter().take(6).map(ToString::to_string).collect();
    Some(format!(
        "its cells are not in the order of rows and columns; the structure of the graph tells where each lies, and they are \
         put in order (row by row they are its vectors {}, ...)",
        first.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use ort::memory::Allocator;

    use super::*;
    use crate::labelling::teacher::RuntimeSearch;
    use crate::labelling::teacher::feed::BothMemories;

    /// On the processor the buffers of every way of feeding lie in its own memory; what is moved where is the same.
    #[test]
    fn labels_do_not_depend_on_how_pixels_are_fed() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let search = RuntimeSearch { python_environments: vec![here.join(".venv")], ..RuntimeSearch::default() };
        let runtime = Runtime::load(&search.find().unwrap()).unwrap();
        let path = here.join("models/efficientnet-lite0.onnx");
        let request = TeacherRequest {
            card: CardFile::find(&path, None).unwrap(),
            path,
            flags: CardValues { input_size: Some(InputSize::new(64, 96).unwrap()), ..CardValues::default() },
            k: 3,
            views: Views::Image,
            with_lse: true,
            threads: 1,
            photographs: Vec::new(),
            scratch_folder: Some(std::env::temp_dir()),
        };
        let (mut teachers, _) = OnnxTeacher::load(&runtime, &request, &[Device::Cpu], &|| false).unwrap();
        let teacher = &mut teachers[0];
        let size = teacher.shape.input_size;
        let batch = |images: usize, seed: usize| {
            let pixels = (0..images * size.rgb_bytes()).map(|at| (at.wrapping_mul(2_654_435_761 + seed) >> 13) as u8);
            PixelBatch::new(images, size, pixels.collect())
        };
        // Another number of images in between, and the first again with other pixels.
        let batches = [batch(3, 0), batch(2, 1), batch(3, 2)];
        let plain: Vec<_> = batches.iter().map(|batch| teacher.label(batch).unwrap()).collect();
        assert_ne!(plain[0].scores, plain[2].scores);
        let both = || BothMemories { locked: Allocator::default(), device: Allocator::default() };
        for feed in [Feed::pinned(Allocator::default()), Feed::bound(both(), false), Feed::bound(both(), true)] {
            teacher.feed = feed;
            for (batch, plain) in batches.iter().zip(&plain) {
                let labels = teacher.label(batch).unwrap();
                assert_eq!(labels.scores, plain.scores);
                assert_eq!(labels.classes, plain.classes);
                assert_eq!(labels.image_probs, plain.image_probs);
                assert_eq!(labels.image_classes, plain.image_classes);
                assert_eq!(labels.lse, plain.lse);
                assert_eq!(labels.lse.as_ref().map(Vec::len), Some(batch.images() * teacher.shape.map_size.cells()));
            }
            assert_eq!(kept_batches(&teacher.feed), 2, "one for each number of images");
            // As when the device's memory does not hold the batch: what was kept for it would take the smaller one's room.
            let (map_size, full) =
                (teacher.shape.map_size, || Error::DeviceMemory { action: "run", message: String::new() });
            let outputs = OutputShapes {
                height_cells: map_size.height_cells(),
                width_cells: map_size.width_cells(),
                k: 3,
                image_ranks: 5,
                with_lse: true,
            };
            let pixels = ([3, 64, 96, 3], batches[0].data());
            let result =
                teacher.feed.run(&mut teacher.session, pixels, outputs, &teacher.stop, |_| Err::<(), _>(full()));
            assert!(matches!(result, Err(Error::DeviceMemory { .. })));
            assert_eq!(kept_batches(&teacher.feed), 0);
        }
    }

    fn kept_batches(feed: &Feed) -> usize {
        match feed {
            Feed::Pageable => 0,
            Feed::Pinned { by_images, .. } => by_images.len(),
            Feed::Bound { by_images, .. } => by_images.len(),
        }
    }
}
