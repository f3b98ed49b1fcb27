//! Transfers pixels to the device and labels back.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Debug;

use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, RunOptions, Session, SessionOutputs};
use ort::value::{PrimitiveTensorElementType, Tensor, TensorRef, TensorValueType};

use super::cuda::PixelTransfer;
use super::device::Device;
use super::rewrite::port;
use super::tensors::{failed, interrupted_or_failed};
use crate::shared::error::Error;

/// Buffers of a labelling session, by [`PixelTransfer`]. The labels do not depend on it.
pub(super) enum TransferBuffers {
    /// No buffers: ONNX Runtime reads the pixels from where they are, and copies the labels back.
    Pageable,
    /// Page-locked memory that pixels are copied to, by number of images.
    Pinned { memory: Allocator, by_images: HashMap<usize, Tensor<u8>> },
    /// Buffers on the device that pixels are copied to from page-locked memory, by number of images.
    Bound { memory: DeviceAllocators, use_cuda_graph: bool, by_images: HashMap<usize, BoundBuffers> },
}

/// Allocators of page-locked memory of the host and of memory of the device.
pub(super) struct DeviceAllocators {
    pub(super) page_locked: Allocator,
    pub(super) device: Allocator,
}

/// Sizes of the outputs for one image.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutputShapes {
    pub(super) height_cells: usize,
    pub(super) width_cells: usize,
    pub(super) k: usize,
    pub(super) image_ranks: usize,
    pub(super) with_lse: bool,
}

/// Input and outputs for a fixed number of images.
pub(super) struct BoundBuffers {
    /// On the host. Pixels are not copied to the device directly, since ort 2.0.0-rc.15 copies borrowed memory once more,
    /// and deadlocks if both ends are on the host.
    page_locked: Tensor<u8>,
    pixels: Tensor<u8>,
    binding: IoBinding,
    /// Options of a run as a CUDA graph, which cannot be interrupted and is short.
    cuda_graph: Option<RunOptions>,
}

impl TransferBuffers {
    /// Creates the buffers for the device's [`PixelTransfer`]; the CPU needs none.
    pub(super) fn new(session: &Session, device: Device) -> Result<Self, Error> {
        let Device::Cuda { index, tuning } = device else { return Ok(Self::Pageable) };
        let memory = |device, memory_type| {
            MemoryInfo::new(device, index as i32, AllocatorType::Device, memory_type)
                .and_then(|memory| Allocator::new(session, memory))
                .map_err(failed("access the device's memory"))
        };
        let page_locked = || memory(AllocationDevice::CUDA_PINNED, MemoryType::CPUInput);
        let both = || -> Result<_, Error> {
            let device = memory(AllocationDevice::CUDA, MemoryType::Default)?;
            Ok(DeviceAllocators { page_locked: page_locked()?, device })
        };
        Ok(match tuning.transfer {
            PixelTransfer::Pageable => Self::Pageable,
            PixelTransfer::Pinned => Self::pinned(page_locked()?),
            PixelTransfer::Bound => Self::bound(both()?, false),
            PixelTransfer::Graph => Self::bound(both()?, true),
        })
    }

    pub(super) fn pinned(memory: Allocator) -> Self {
        Self::Pinned { memory, by_images: HashMap::new() }
    }

    pub(super) fn bound(memory: DeviceAllocators, use_cuda_graph: bool) -> Self {
        Self::Bound { memory, use_cuda_graph, by_images: HashMap::new() }
    }

    /// Runs the session on pixels of a shape `[batch, y, x, channel]`, and passes its outputs to `read`.
    pub(super) fn run<R>(
        &mut self,
        session: &mut Session,
        pixels: ([usize; 4], &[u8]),
        outputs: OutputShapes,
        stop: &RunOptions,
        read: impl FnOnce(&SessionOutputs<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let result = self.try_run(session, pixels, outputs, stop, read);
        if matches!(result, Err(Error::DeviceMemory { .. })) {
            // Buffers of a batch that does not fit would take memory from the smaller batch that is tried next.
            self.free();
        }
        result
    }

    fn free(&mut self) {
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
        read: impl FnOnce(&SessionOutputs<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let images = shape[0];
        match self {
            Self::Pageable => {
                let borrowed = TensorRef::from_array_view((shape, pixels)).map_err(failed("copy pixels"))?;
                let inputs = ort::inputs![port::PIXELS => borrowed];
                read(&session.run_with_options(inputs, stop).map_err(interrupted_or_failed)?)
            }
            Self::Pinned { memory, by_images } => {
                let page_locked = match by_images.entry(images) {
                    Entry::Occupied(entry) => entry.into_mut(),
                    Entry::Vacant(entry) => entry.insert(allocate(memory, &shape)?),
                };
                fill(page_locked, pixels)?;
                let inputs = ort::inputs![port::PIXELS => &*page_locked];
                read(&session.run_with_options(inputs, stop).map_err(interrupted_or_failed)?)
            }
            Self::Bound { memory, use_cuda_graph, by_images } => {
                let buffers = match by_images.entry(images) {
                    Entry::Occupied(entry) => entry.into_mut(),
                    Entry::Vacant(entry) => {
                        entry.insert(BoundBuffers::new(session, memory, shape, outputs, *use_cuda_graph)?)
                    }
                };
                fill(&mut buffers.page_locked, pixels)?;
                buffers.page_locked.copy_into(&mut buffers.pixels).map_err(failed("copy pixels"))?;
                let options = buffers.cuda_graph.as_ref().unwrap_or(stop);
                read(&session.run_binding_with_options(&buffers.binding, options).map_err(interrupted_or_failed)?)
            }
        }
    }
}

impl BoundBuffers {
    fn new(
        session: &Session,
        memory: &DeviceAllocators,
        shape: [usize; 4],
        outputs: OutputShapes,
        use_cuda_graph: bool,
    ) -> Result<Self, Error> {
        let bound = failed::<()>("bind buffers");
        let images = shape[0];
        let page_locked = allocate::<u8>(&memory.page_locked, &shape)?;
        let memory = &memory.device;
        let pixels = allocate::<u8>(memory, &shape)?;
        let mut binding = session.create_binding().map_err(&bound)?;
        binding.bind_input(port::PIXELS, &pixels).map_err(&bound)?;
        let cells = [images, outputs.height_cells, outputs.width_cells];
        let map = [&cells[..], &[outputs.k]].concat();
        let ranks = [images, outputs.image_ranks];
        binding.bind_output(port::SCORES, allocate::<f32>(memory, &map)?).map_err(&bound)?;
        binding.bind_output(port::CLASSES, allocate::<i32>(memory, &map)?).map_err(&bound)?;
        binding.bind_output(port::IMAGE_PROBS, allocate::<f32>(memory, &ranks)?).map_err(&bound)?;
        binding.bind_output(port::IMAGE_CLASSES, allocate::<i32>(memory, &ranks)?).map_err(&bound)?;
        if outputs.with_lse {
            binding.bind_output(port::LSE, allocate::<f32>(memory, &cells)?).map_err(&bound)?;
        }
        let cuda_graph = use_cuda_graph.then(|| cuda_graph_options(images)).transpose()?;
        Ok(Self { page_locked, pixels, binding, cuda_graph })
    }
}

/// Returns run options with one CUDA graph per number of images, since its sizes are fixed.
fn cuda_graph_options(images: usize) -> Result<RunOptions, Error> {
    let mut options = RunOptions::new().map_err(failed("prepare a run"))?;
    options.set("gpu_graph_id", images.to_string()).map_err(failed("prepare a run"))?;
    Ok(options)
}

fn fill(tensor: &mut Tensor<u8>, pixels: &[u8]) -> Result<(), Error> {
    tensor.try_extract_tensor_mut().map_err(failed("copy pixels"))?.1.copy_from_slice(pixels);
    Ok(())
}

fn allocate<T: PrimitiveTensorElementType + Debug>(memory: &Allocator, shape: &[usize]) -> Result<Tensor<T>, Error> {
    let shape: Vec<i64> = shape.iter().map(|&side| side as i64).collect();
    Tensor::new(memory, shape).map_err(failed("allocate memory on the device"))
}

/// Returns the values of an output, copied to the host if they are on the device.
pub(super) fn read_output<T: PrimitiveTensorElementType + Clone + Debug>(
    outputs: &SessionOutputs<'_>,
    name: &str,
) -> Result<Vec<T>, Error> {
    let output = outputs[name].view().downcast::<TensorValueType<T>>().map_err(failed("return labels"))?;
    if output.memory_info().is_cpu_accessible() {
        return Ok(output.try_extract_tensor().map_err(failed("return labels"))?.1.to_vec());
    }
    let on_host = output.to(AllocationDevice::CPU, 0).map_err(failed("copy labels from the device"))?;
    Ok(on_host.try_extract_tensor().map_err(failed("return labels"))?.1.to_vec())
}
