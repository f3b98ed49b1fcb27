//! Floating-point inputs and outputs of ONNX Runtime sessions, in the graph's float32 or float16.

use half::f16;
use ort::session::{RunOptions, Session, SessionInputValue};
use ort::value::{DynValue, Tensor};

use super::onnx_proto::element;
use crate::shared::error::Error;

/// A dense tensor on the host.
#[derive(Clone, Debug)]
pub(crate) struct FloatTensor {
    pub(crate) dims: Vec<usize>,
    pub(crate) values: Vec<f32>,
    /// Element type in the graph.
    pub(crate) element: i32,
}

impl FloatTensor {
    /// An empty tensor, for an output that was not requested.
    pub(crate) fn empty() -> Self {
        Self { dims: vec![], values: vec![], element: element::FLOAT }
    }

    /// Converts it to an input of a session.
    pub(crate) fn to_value(&self) -> Result<SessionInputValue<'static>, Error> {
        let value = match self.element {
            element::FLOAT16 => {
                let half: Vec<f16> = self.values.iter().map(|&value| f16::from_f32(value)).collect();
                Tensor::from_array((self.dims.clone(), half)).map(ort::value::Value::into_dyn)
            }
            _ => Tensor::from_array((self.dims.clone(), self.values.clone())).map(ort::value::Value::into_dyn),
        };
        value.map(SessionInputValue::from).map_err(failed("convert an input"))
    }

    pub(crate) fn from_value(name: &str, value: &DynValue) -> Result<Self, Error> {
        let dims = |shape: &[i64]| shape.iter().map(|&side| side as usize).collect();
        if let Ok((shape, values)) = value.try_extract_tensor::<f32>() {
            let values = copied(values, |&value| value)?;
            return Ok(Self { dims: dims(shape), values, element: element::FLOAT });
        }
        if let Ok((shape, values)) = value.try_extract_tensor::<f16>() {
            let values = copied(values, |value| value.to_f32())?;
            return Ok(Self { dims: dims(shape), values, element: element::FLOAT16 });
        }
        Err(Error::Inference { action: "return its output", message: format!("`{name}` is not a float tensor") })
    }
}

/// Copies values of which a graph can produce any number, so the allocation may fail.
fn copied<T>(values: &[T], float: impl Fn(&T) -> f32) -> Result<Vec<f32>, Error> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(values.len())
        .map_err(|error| Error::DeviceMemory { action: "copy its output", message: error.to_string() })?;
    copy.extend(values.iter().map(float));
    Ok(copy)
}

/// Runs a session and returns the named outputs.
pub(crate) fn run_floats(
    session: &mut Session,
    inputs: &[(&str, &FloatTensor)],
    outputs: &[&str],
) -> Result<Vec<FloatTensor>, Error> {
    run_values(session, inputs_of(inputs)?, outputs)
}

/// [`run_floats`], which a different thread can stop through `options`.
///
/// # Errors
/// Returns [`Error::Interrupted`] if it was stopped.
pub(crate) fn run_floats_until_stopped(
    session: &mut Session,
    inputs: &[(&str, &FloatTensor)],
    outputs: &[&str],
    options: &RunOptions,
) -> Result<Vec<FloatTensor>, Error> {
    let results = session.run_with_options(inputs_of(inputs)?, options).map_err(interrupted_or_failed)?;
    outputs.iter().map(|&name| FloatTensor::from_value(name, &results[name])).collect()
}

type NamedInputs = Vec<(String, SessionInputValue<'static>)>;

fn inputs_of(inputs: &[(&str, &FloatTensor)]) -> Result<NamedInputs, Error> {
    inputs.iter().map(|(name, floats)| Ok(((*name).to_owned(), floats.to_value()?))).collect()
}

/// [`run_floats`] with inputs of any type.
pub(crate) fn run_values(
    session: &mut Session,
    inputs: NamedInputs,
    outputs: &[&str],
) -> Result<Vec<FloatTensor>, Error> {
    let results = session.run(inputs).map_err(failed("run the teacher"))?;
    outputs.iter().map(|&name| FloatTensor::from_value(name, &results[name])).collect()
}

/// Returns the values of an integer tensor; `None` for other types.
pub(crate) fn ints_of(value: &DynValue) -> Option<Vec<i64>> {
    if let Ok((_, values)) = value.try_extract_tensor::<i64>() {
        return Some(values.to_vec());
    }
    let (_, values) = value.try_extract_tensor::<i32>().ok()?;
    Some(values.iter().map(|&value| i64::from(value)).collect())
}

/// Converts a list of tensors to an array; missing ones are empty.
pub(crate) fn take<const N: usize>(tensors: Vec<FloatTensor>) -> [FloatTensor; N] {
    let mut tensors = tensors.into_iter();
    std::array::from_fn(|_| tensors.next().unwrap_or_else(FloatTensor::empty))
}

/// Returns an [`Error::Inference`], or an [`Error::DeviceMemory`] if an allocation failed. For
/// `map_err(failed("run the teacher"))`.
pub(crate) fn failed<R>(action: &'static str) -> impl Fn(ort::Error<R>) -> Error {
    move |error| {
        let message = error.message().trim().to_owned();
        if is_out_of_memory(&message) {
            Error::DeviceMemory { action, message }
        } else {
            Error::Inference { action, message }
        }
    }
}

/// Converts the error of a run that may have been stopped.
pub(crate) fn interrupted_or_failed(error: ort::Error) -> Error {
    if error.message().contains("terminate flag") { Error::Interrupted } else { failed("run the teacher")(error) }
}

/// Whether a message of ONNX Runtime reports a failed allocation, on the CPU (`bad_alloc`, its arena) or with CUDA.
fn is_out_of_memory(message: &str) -> bool {
    const PATTERNS: [&str; 8] = [
        "bad_alloc",
        "bad allocation",
        "Failed to allocate memory",
        "out of memory",
        "cudaErrorMemoryAllocation",
        "CUBLAS_STATUS_ALLOC_FAILED",
        "CUDNN_STATUS_ALLOC_FAILED",
        "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    ];
    PATTERNS.iter().any(|pattern| message.contains(pattern))
}
