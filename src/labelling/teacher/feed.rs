//! How pixels get to the device, and labels back.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Debug;

use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, RunOptions, Session, SessionOutputs};
use ort::value::{PrimitiveTensorElementType, Tensor, TensorRef, TensorValueType};

use super::cuda::Feeding;
use super::device::Device;
use super::rewrite::port;
use super::tensors::failed;
use crate::shared::error::Error;

/// Runs a labelling session on pixels in one of the ways of [`Feeding`]. The labels are the same in each.
pub(super) enum Feed {
    /// ONNX Runtime takes them from where they lie, and brings the labels back.
    Pageable,
    /// They are moved to page-locked memory first; one piece of it for each number of images.
    Pinned { memory: Allocator, by_images: HashMap<usize, Tensor<u8>> },
    /// From there they are copied into buffers on the device; one set for each number of images.
    Bound { memory: BothMemories, recorded: bool, by_images: HashMap<usize, Buffers> },
}

/// Page-locked memory of the host, and the device's own.
pub(super) struct BothMemories {
    pub(super) locked: Allocator,
    pub(super) device: Allocator,
}

/// What leaves the graph for one image.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutputShapes {
    pub(super) height_cells: usize,
    pub(super) width_cells: usize,
    pub(super) k: usize,
    pub(super) image_ranks: usize,
    pub(super) with_lse: bool,
}

/// Input and outputs of so many images, where they stay.
pub(super) struct Buffers {
    /// On the host. Pixels are not copied to the device from where they lie, since ort 2.0.0-rc.15 copies what is only lent
    /// to it once more, and waits for itself where both ends are on the host.
    locked: Tensor<u8>,
    pixels: Tensor<u8>,
    binding: IoBinding,
    /// Those of a run that is recorded; it cannot be stopped half way, and does not take long.
    recording: Option<RunOptions>,
}

impl Feed {
    /// The way that the device's tuning asks for; on the processor there is nothing to move.
    pub(super) fn new(session: &Session, device: Device) -> Result<Self, Error> {
        let Device::Cuda { index, tuning } = device else { return Ok(Self::Pageable) };
        let memory = |device, memory_type| {
            MemoryInfo::new(device, index as i32, AllocatorType::Device, memory_type)
                .and_then(|memory| Allocator::new(session, memory))
                .map_err(failed("find the device's memory"))
        };
        let locked = || memory(AllocationDevice::CUDA_PINNED, MemoryType::CPUInput);
        let both = || -> Result<_, Error> {
            Ok(BothMemories { locked: locked()?, device: memory(AllocationDevice::CUDA, MemoryType::Default)? })
        };
        Ok(match tuning.feeding {
            Feeding::Pageable => Self::Pageable,
            Feeding::Pinned => Self::pinned(locked()?),
            Feeding::Bound => Self::bound(both()?, false),
            Feeding::Graph => Self::bound(both()?, true),
        })
    }

    pub(super) fn pinned(memory: Allocator) -> Self {
        Self::Pinned { memory, by_images: HashMap::new() }
    }

    pub(super) fn bound(memory: BothMemories, recorded: bool) -> Self {
        Self::Bound { memory, recorded, by_images: HashMap::new() }
    }

    /// Runs the session on pixels of `shape`, `[batch, y, x, channel]`, and shows its outputs to `take`.
    pub(super) fn run<R>(
        &mut self,
        session: &mut Session,
        pixels: ([usize; 4], &[u8]),
        outputs: OutputShapes,
        stop: &RunOptions,
        take: impl FnOnce(&SessionOutputs<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let result = self.try_run(session, pixels, outputs, stop, take);
        if matches!(result, Err(Error::DeviceMemory { .. })) {
            self.free_buffers();
        }
        result
    }

    /// What was kept for a batch that did not fit would take its room from the smaller one that is tried next.
    fn free_buffers(&mut self) {
        match self {
            Self::Pageable => {}
            Self::Pinned { by_images, .. } => by_images.clear(),
            Self::Bound { by_images, .. } => by_images.clear(),
        }
    }

    fn try_run<R>(
        &mut self,
        session: &mut Session,
        (shape, pixels): ([usize; 4], &[u8]),
        outputs: OutputShapes,
        stop: &RunOptions,
        take: impl FnOnce(&SessionOutputs<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let images = shape[0];
        match self {
            Self::Pageable => {
                let from = TensorRef::from_array_view((shape, pixels)).map_err(failed("take pixels"))?;
                let inputs = ort::inputs![port::PIXELS => from];
                take(&session.run_with_options(inputs, stop).map_err(stopped_or_failed)?)
            }
            Self::Pinned { memory, by_images } => {
                let locked = match by_images.entry(images) {
                    Entry::Occupied(there) => there.into_mut(),
                    Entry::Vacant(free) => free.insert(tensor(memory, &shape)?),
                };
                fill(locked, pixels)?;
                let inputs = ort::inputs![port::PIXELS => &*locked];
                take(&session.run_with_options(inputs, stop).map_err(stopped_or_failed)?)
            }
            Self::Bound { memory, recorded, by_images } => {
                let buffers = match by_images.entry(images) {
                    Entry::Occupied(there) => there.into_mut(),
                    Entry::Vacant(free) => free.insert(Buffers::new(session, memory, shape, outputs, *recorded)?),
                };
                fill(&mut buffers.locked, pixels)?;
                buffers.locked.copy_into(&mut buffers.pixels).map_err(failed("take pixels"))?;
                let options = buffers.recording.as_ref().unwrap_or(stop);
                take(&session.run_binding_with_options(&buffers.binding, options).map_err(stopped_or_failed)?)
            }
        }
    }
}

impl Buffers {
    fn new(
        session: &Session,
        memory: &BothMemories,
        shape: [usize; 4],
        outputs: OutputShapes,
        recorded: bool,
    ) -> Result<Self, Error> {
        let bound = failed::<()>("bind its buffers");
        let images = shape[0];
        let locked = tensor::<u8>(&memory.locked, &shape)?;
        let memory = &memory.device;
        let pixels = tensor::<u8>(memory, &shape)?;
        let mut binding = session.create_binding().map_err(&bound)?;
        binding.bind_input(port::PIXELS, &pixels).map_err(&bound)?;
        let cells = [images, outputs.height_cells, outputs.width_cells];
        let map = [&cells[..], &[outputs.k]].concat();
        let ranks = [images, outputs.image_ranks];
        binding.bind_output(port::SCORES, tensor::<f32>(memory, &map)?).map_err(&bound)?;
        binding.bind_output(port::CLASSES, tensor::<i32>(memory, &map)?).map_err(&bound)?;
        binding.bind_output(port::IMAGE_PROBS, tensor::<f32>(memory, &ranks)?).map_err(&bound)?;
        binding.bind_output(port::IMAGE_CLASSES, tensor::<i32>(memory, &ranks)?).map_err(&bound)?;
        if outputs.with_lse {
            binding.bind_output(port::LSE, tensor::<f32>(memory, &cells)?).map_err(&bound)?;
        }
        let recording = recorded.then(|| recording_of(images)).transpose()?;
        Ok(Self { locked, pixels, binding, recording })
    }
}

/// Each number of images has a CUDA graph of its own, since a graph's sizes are fixed.
fn recording_of(images: usize) -> Result<RunOptions, Error> {
    let mut options = RunOptions::new().map_err(failed("prepare a run"))?;
    options.set("gpu_graph_id", images.to_string()).map_err(failed("prepare a run"))?;
    Ok(options)
}

fn fill(locked: &mut Tensor<u8>, pixels: &[u8]) -> Result<(), Error> {
    locked.try_extract_tensor_mut().map_err(failed("take pixels"))?.1.copy_from_slice(pixels);
    Ok(())
}

fn tensor<T: PrimitiveTensorElementType + Debug>(memory: &Allocator, shape: &[usize]) -> Result<Tensor<T>, Error> {
    let shape: Vec<i64> = shape.iter().map(|&side| side as i64).collect();
    Tensor::new(memory, shape).map_err(failed("make room on the device"))
}

fn stopped_or_failed(error: ort::Error) -> Error {
    if error.message().contains("terminate flag") { Error::Interrupted } else { failed("run the teacher")(error) }
}

/// The values of an output, brought to the host if they lie elsewhere.
pub(super) fn values<T: PrimitiveTensorElementType + Clone + Debug>(
    outputs: &SessionOutputs<'_>,
    name: &str,
) -> Result<Vec<T>, Error> {
    let given = outputs[name].view().downcast::<TensorValueType<T>>().map_err(failed("give its labels"))?;
    if given.memory_info().is_cpu_accessible() {
        return Ok(given.try_extract_tensor().map_err(failed("give its labels"))?.1.to_vec());
    }
    let here = given.to(AllocationDevice::CPU, 0).map_err(failed("bring its labels"))?;
    Ok(here.try_extract_tensor().map_err(failed("give its labels"))?.1.to_vec())
}
