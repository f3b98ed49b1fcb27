//! Loads an ONNX classifier: read, recognise, hear the unmodified teacher, rewrite, prove, keep the session.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ort::session::{RunOptions, Session};
use ort::value::TensorRef;
use serde::Serialize;

use super::card::{self, CardFile, CardValues, GraphFacts, TeacherCard};
use super::device::Device;
use super::graph::{Graph, Port, element};
use super::proof::{Proof, Subject, Witness};
use super::rewrite::{ImageInput, InputLayout, Wanted, labelling_model, port};
use super::runtime::Runtime;
use super::tail::{self, Ending, Refusal, Tail};
use super::tensors::failed;
use super::{BatchLabels, PixelBatch, Teacher, TeacherShape};
use crate::digest::{Digest, digest_bytes, digest_file};
use crate::error::Error;

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
    /// Threads of each session.
    pub threads: usize,
}

/// A classifier that labels every cell, loaded and proved.
pub struct OnnxTeacher {
    session: Session,
    shape: TeacherShape,
    image_ranks: usize,
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
}

/// A file of external weights. It is part of what the teacher is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WeightsFile {
    /// Its path relative to the ONNX file.
    pub location: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
}

impl OnnxTeacher {
    /// Whole-image classes that are kept for counting top-5 agreement, even where fewer are stored.
    const AGREEMENT_RANKS: usize = 5;

    /// Loads, rewrites and proves a teacher, one session for each device.
    ///
    /// # Errors
    /// When the file is no ONNX model, ends in a way that gives no label maps, contradicts its card, cannot be loaded
    /// on a device, or when the rewrite does not hold ([`Error::Proof`]).
    pub fn load(
        runtime: &Runtime,
        request: &TeacherRequest,
        devices: &[Device],
    ) -> Result<(Vec<Self>, Description), Error> {
        let path = request.path.as_path();
        let refused = |refusal: Refusal| Error::Teacher {
            path: path.to_path_buf(),
            problem: refusal.problem,
            advice: refusal.advice,
        };
        let bytes = Bytes::from(std::fs::read(path).map_err(Error::file("read", path))?);
        let sha256 = digest_bytes(&bytes);
        let graph = Graph::parse(bytes).map_err(|problem| refused(no_model(problem)))?;
        let (input, facts) = image_input(&graph).map_err(refused)?;
        let card = card::settle(path, &request.flags, &request.card, &facts)?;
        let output = scores_output(&graph, card.output.as_deref()).map_err(refused)?;
        let rank = output.dims.as_ref().map(Vec::len);
        let tail = tail::recognise(&graph, &input.name, &output.name, rank).map_err(refused)?;
        let weights_folder = path.parent().unwrap_or(Path::new("."));
        let weights_files = weights_files(&graph, weights_folder).map_err(|error| match error {
            Ok(error) => error,
            Err(refusal) => refused(refusal),
        })?;

        let first = *devices.first().ok_or_else(|| Error::Usage("no device was named".to_owned()))?;
        let subject = Subject {
            graph: &graph,
            tail: &tail,
            input: &input,
            card: &card,
            weights_folder,
            device: first,
            threads: request.threads,
        };
        let witness = Witness::hear(runtime, &subject)?.map_err(|problem| refused(not_whole_map(problem)))?;
        let class_count = witness.class_count;
        let card = card::settle_classes(card, &request.flags, &request.card, &facts, class_count)?;
        if request.k == 0 || request.k > class_count {
            return Err(Error::Usage(format!(
                "--top-k {} cannot be had: the teacher has {class_count} classes",
                request.k
            )));
        }
        let wanted = Wanted {
            input_size: card.input_size,
            map_size: witness.map_size,
            k: request.k,
            image_ranks: request.k.max(Self::AGREEMENT_RANKS).min(class_count),
        };
        let shape = TeacherShape {
            input_size: card.input_size,
            map_size: witness.map_size,
            class_count,
            k: request.k,
            fixed_batch: input.fixed_batch,
        };
        let rewrite = in_words(&graph, &tail, &input, &card, &shape);
        let model = labelling_model(&graph, &tail, &input, &card, &wanted);
        let (opset, input_words, output_words) =
            (graph.opset(), port_in_words(&graph.inputs()[0]), port_in_words(&output));
        drop(graph);

        let load = |device| -> Result<Self, Error> {
            let session = runtime.session(&model, weights_folder, device, request.threads)?;
            let stop = Arc::new(RunOptions::new().map_err(failed("prepare a run"))?);
            Ok(Self { session, shape, image_ranks: wanted.image_ranks, stop })
        };
        let mut teachers = devices.iter().map(|&device| load(device)).collect::<Result<Vec<_>, _>>()?;
        let proof = witness.compare(&teachers[0].label(&witness.pixels)?);
        if let Some(problem) = proof.failure() {
            return Err(Error::Proof {
                path: path.to_path_buf(),
                problem,
                advice: "its ending is not what it looks like; export it again without optimisation, or as a graph that ends \
                         in a score map [batch, class, y, x]"
                    .to_owned(),
            });
        }
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
        };
        Ok((teachers, description))
    }

    /// Sizes of what it takes and gives.
    #[must_use]
    pub fn shape(&self) -> TeacherShape {
        self.shape
    }
}

impl Teacher for OnnxTeacher {
    fn label(&mut self, batch: &PixelBatch) -> Result<BatchLabels, Error> {
        let images = batch.images();
        let run_images = self.shape.fixed_batch.unwrap_or(images);
        let mut labels = BatchLabels { k: self.shape.k, image_ranks: self.image_ranks, ..BatchLabels::default() };
        for first in (0..images).step_by(run_images.max(1)) {
            self.run(batch, first, run_images, run_images.min(images - first), &mut labels)?;
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
        let input = TensorRef::from_array_view((shape, pixels)).map_err(failed("take pixels"))?;
        let outputs =
            self.session.run_with_options(ort::inputs![port::PIXELS => input], &*self.stop).map_err(|error| {
                if error.message().contains("terminate flag") {
                    Error::Interrupted
                } else {
                    failed("run the teacher")(error)
                }
            })?;
        let cells = self.shape.map_size.cells();
        let take = failed::<()>("give its labels");
        let floats = |name: &str| outputs[name].try_extract_tensor::<f32>().map(|(_, values)| values).map_err(&take);
        let ints = |name: &str| outputs[name].try_extract_tensor::<i32>().map(|(_, values)| values).map_err(&take);
        let (per_map, per_image) = (kept * cells * labels.k, kept * labels.image_ranks);
        labels.scores.extend_from_slice(&floats(port::SCORES)?[..per_map]);
        labels.classes.extend_from_slice(&ints(port::CLASSES)?[..per_map]);
        labels.image_probs.extend_from_slice(&floats(port::IMAGE_PROBS)?[..per_image]);
        labels.image_classes.extend_from_slice(&ints(port::IMAGE_CLASSES)?[..per_image]);
        Ok(())
    }
}

fn no_model(problem: String) -> Refusal {
    Refusal {
        problem,
        advice: "check that the file arrived whole and is an .onnx export; `models/README.md` has export commands"
            .to_owned(),
    }
}

fn not_whole_map(problem: String) -> Refusal {
    Refusal {
        problem,
        advice: "use a teacher that averages its features over the whole map before one linear layer, or another \
                 --input-size if the export fixed one"
            .to_owned(),
    }
}

/// The one image input, and what the graph fixes of it.
fn image_input(graph: &Graph) -> Result<(ImageInput, GraphFacts), Refusal> {
    let inputs = graph.inputs();
    let [input] = &inputs[..] else {
        let names: Vec<_> = inputs.iter().map(|input| input.name.as_str()).collect();
        return Err(Refusal {
            problem: format!("it has {} inputs ({}); a classifier of images has one", names.len(), names.join(", ")),
            advice: "export only the image classifier".to_owned(),
        });
    };
    let unexpected = |what: String| Refusal {
        problem: format!("its input {} {what}", port_in_words(input)),
        advice: "export a classifier that takes float images [batch, 3, height, width]".to_owned(),
    };
    if !matches!(input.element, element::FLOAT | element::FLOAT16) {
        return Err(unexpected("is neither float32 nor float16".to_owned()));
    }
    let dims = match &input.dims {
        Some(dims) if dims.len() == 4 => dims,
        None => &vec![None; 4],
        Some(dims) => return Err(unexpected(format!("has {} dimensions, not 4", dims.len()))),
    };
    let (layout, height, width) = match (dims[1], dims[3]) {
        (Some(3), _) => (InputLayout::Nchw, dims[2], dims[3]),
        (_, Some(3)) => (InputLayout::Nhwc, dims[1], dims[2]),
        (None, _) => (InputLayout::Nchw, dims[2], dims[3]),
        (Some(channels), _) => return Err(unexpected(format!("has {channels} channels, not 3"))),
    };
    let image = ImageInput { name: input.name.clone(), element: input.element, layout, fixed_batch: dims[0] };
    let facts = GraphFacts {
        metadata: card::values_from_metadata(graph.metadata()),
        fixed_height_pixels: height,
        fixed_width_pixels: width,
    };
    Ok((image, facts))
}

/// The output that holds the class scores.
fn scores_output(graph: &Graph, named: Option<&str>) -> Result<Port, Refusal> {
    let outputs = graph.outputs();
    let names = || outputs.iter().map(port_in_words).collect::<Vec<_>>().join(", ");
    match (named, &outputs[..]) {
        (Some(name), _) => outputs.iter().find(|output| output.name == name).cloned().ok_or_else(|| Refusal {
            problem: format!("it has no output `{name}`; there are {}", names()),
            advice: "name one of these as `output` in the card".to_owned(),
        }),
        (None, [one]) => Ok(one.clone()),
        (None, _) => Err(Refusal {
            problem: format!("it has {} outputs ({})", outputs.len(), names()),
            advice: "say which one holds the class scores: `output = \"...\"` in the card".to_owned(),
        }),
    }
}

/// The external weights, with digests: the same graph with other weights is another teacher. The bytes are hashed on
/// the way past and not kept; ONNX Runtime loads them by itself.
fn weights_files(graph: &Graph, folder: &Path) -> Result<Vec<WeightsFile>, Result<Error, Refusal>> {
    let mut files = Vec::new();
    for location in graph.external_files() {
        let relative = Path::new(&location);
        if relative
            .components()
            .any(|part| !matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir))
        {
            return Err(Err(Refusal {
                problem: format!("it asks for weights outside its own folder: {location}"),
                advice: "keep the weights beside the .onnx file and export it again".to_owned(),
            }));
        }
        let path = folder.join(relative);
        if !path.is_file() {
            return Err(Err(Refusal {
                problem: format!("its weights are missing: it keeps them in `{location}`, which is not beside it"),
                advice: format!("copy `{location}` into the folder of the .onnx file"),
            }));
        }
        let (sha256, bytes) = digest_file(&path).map_err(Ok)?;
        files.push(WeightsFile { location, bytes, sha256 });
    }
    Ok(files)
}

fn port_in_words(port: &Port) -> String {
    let dims = match &port.dims {
        None => "of unknown shape".to_owned(),
        Some(dims) => {
            let sides: Vec<_> = dims.iter().map(|dim| dim.map_or("any".to_owned(), |size| size.to_string())).collect();
            format!("[{}]", sides.join(", "))
        }
    };
    let kind = match port.element {
        element::FLOAT => "float32",
        element::FLOAT16 => "float16",
        element::UINT8 => "uint8",
        element::INT32 => "int32",
        element::INT64 => "int64",
        _ => "of another type",
    };
    format!("`{}` {dims} {kind}", port.name)
}

fn in_words(graph: &Graph, tail: &Tail, input: &ImageInput, card: &TeacherCard, shape: &TeacherShape) -> Vec<String> {
    let mut words = vec![format!(
        "pixels enter as u8 {} and become (x/255 - mean) / std inside{}",
        card.input_size,
        if input.element == element::FLOAT16 { ", then float16" } else { "" }
    )];
    match &tail.ending {
        Ending::Pooled(pooling) => {
            let node = graph.node(pooling.node);
            let head: Vec<_> = pooling.head.iter().map(|&index| graph.node(index).op_type()).collect();
            words.push(format!(
                "{} averages {} features {} over {} cells; a second copy of what follows it ({}) runs on every cell instead",
                node.op_type(),
                pooling.layout.in_words(),
                shape.map_size,
                shape.map_size.cells(),
                if head.is_empty() { "nothing".to_owned() } else { head.join(", ") }
            ));
        }
        Ending::ScoreMap => words.push(format!("the graph ends in a score map of {} cells already", shape.map_size)),
    }
    if let Some(activation) = &tail.final_activation {
        words.push(format!("its final {activation} is left out for the cells: scores are raw"));
    }
    words.push(format!(
        "the top {} of {} classes are taken inside; only they leave the device",
        shape.k, shape.class_count
    ));
    words
}
