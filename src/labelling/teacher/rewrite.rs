//! Rewrites a classifier in memory: pixels enter as u8, the head runs on every cell as well as on the image, top-k runs
//! inside the graph, and only `k` scores and classes per cell leave it.
//!
//! The unmodified path from input to scores, the reference, is kept and computes the prediction for the image. The head is
//! cloned, and the clone takes one vector per cell instead of one per image: `[batch * y * x, channel]`. Since cells take
//! the place of the batch, no knowledge of channels or classes is needed.

mod spec;
mod builder;
mod pixel_normalisation;
mod reshape;
mod batch_shapes;
mod head_on_cells;
mod outputs;
mod models;

pub(crate) use models::{
    copied_head_model, labelling_model, model_with_outputs, normalising_model, reference_model, tail_model,
};
pub(crate) use spec::{HeadDims, ImageInput, InputLayout, RewriteSpec, port};
