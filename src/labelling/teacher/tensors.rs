//! Floating-point tensors in and out of ONNX Runtime, float32 or float16 as the graph wants them.

use half::f16;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Tensor};

use super::graph::element;
use crate::shared::error::Error;

/// A dense tensor on the host.
#[derive(Clone, Debug)]
pub(crate) struct Floats {
    pub(crate) dims: Vec<usize>,
    pub(crate) values: Vec<f32>,
    /// The element type it had, or is to have, in the graph.
    pub(crate) element: i32,
}

impl Floats {
    /// A tensor that was not asked for.
    pub(crate) fn empty() -> Self {
        Self { dims: vec![], values: vec![], element: element::FLOAT }
    }

    /// A tensor for a graph's input.
    pub(crate) fn to_value(&self) -> Result<SessionInputValue<'static>, Error> {
        let value = match self.element {
            element::FLOAT16 => {
                let half: Vec<f16> = self.values.iter().map(|&value| f16::from_f32(value)).collect();
                Tensor::from_array((self.dims.clone(), half)).map(ort::value::Value::into_dyn)
            }
            _ => Tensor::from_array((self.dims.clone(), self.values.clone())).map(ort::value::Value::into_dyn),
        };
        value.map(SessionInputValue::from).map_err(failed("take an input"))
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
        Err(Error::Inference { action: "give its output", message: format!("`{name}` is no float tensor") })
    }
}

/// A copy, which a graph may make as large as it likes.
fn copied<T>(values: &[T], float: impl Fn(&T) -> f32) -> Result<Vec<f32>, Error> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(values.len())
        .map_err(|error| Error::DeviceMemory { action: "take its output", message: error.to_string() })?;
    copy.extend(values.iter().map(float));
    Ok(copy)
}

/// Runs a session and takes the named outputs.
pub(crate) fn run_floats(
    session: &mut Session,
    inputs: &[(&str, &Floats)],
    outputs: &[&str],
) -> Result<Vec<Floats>, Error> {
    let inputs: Vec<(String, SessionInputValue<'static>)> = inputs
        .iter()
        .map(|(name, floats)| Ok(((*name).to_owned(), floats.to_value()?)))
        .collect::<Result<_, Error>>()?;
    run_values(session, inputs, outputs)
}

/// The same, with inputs of any type.
pub(crate) fn run_values(
    session: &mut Session,
    inputs: Vec<(String, SessionInputValue<'static>)>,
    outputs: &[&str],
) -> Result<Vec<Floats>, Error> {
    let results = session.run(inputs).map_err(failed("run the teacher"))?;
    outputs.iter().map(|&name| Floats::from_value(name, &results[name])).collect()
}

/// The values of an integer tensor; `None` for others.
pub(crate) fn ints_of(value: &DynValue) -> Option<Vec<i64>> {
    if let Ok((_, values)) = value.try_extract_tensor::<i64>() {
        return Some(values.to_vec());
    }
    let (_, values) = value.try_extract_tensor::<i32>().ok()?;
    Some(values.iter().map(|&value| i64::from(value)).collect())
}

/// As many tensors as there are names for; those that were not asked for are empty.
pub(crate) fn take<const N: usize>(tensors: Vec<Floats>) -> [Floats; N] {
    let mut tensors = tensors.into_iter();
    std::array::from_fn(|_| tensors.next().unwrap_or_else(Floats::empty))
}

/// An [`Error::Inference`]; made for `map_err(failed("run the teacher"))`.
pub(crate) fn failed<R>(action: &'static str) -> impl Fn(ort::Error<R>) -> Error {
    move |error| {
        let message = error.message().trim().to_owned();
        if tells_of_full_memory(&message) {
            Error::DeviceMemory { action, message }
        } else {
            Error::Inference { action, message }
        }
    }
}

/// What ONNX Runtime says when an allocation fails, on the processor (`bad_alloc`, its arena) and on CUDA.
fn tells_of_full_memory(message: &str) -> bool {
    const WORDS: [&str; 8] = [
        "bad_alloc",
        "bad allocation",
        "Failed to allocate memory",
        "out of memory",
        "cudaErrorMemoryAllocation",
        "CUBLAS_STATUS_ALLOC_FAILED",
        "CUDNN_STATUS_ALLOC_FAILED",
        "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    ];
    WORDS.iter().any(|words| message.contains(words))
}
