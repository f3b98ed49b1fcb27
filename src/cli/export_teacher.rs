//! `relabel export-teacher`. The networks and their weights are PyTorch's, so the Python package does the work.

use relabel::shared::error::Error;

use super::Outcome;
use super::args::{ExportTeacherArguments, Global};
use super::python::{NeededPackages, PythonArguments, become_python};

pub fn run(arguments: &ExportTeacherArguments, global: &Global) -> Result<Outcome, Error> {
    let (weights, size) = (&arguments.weights, &arguments.size);
    let mut python = PythonArguments::new("export-teacher");
    python.flag("--out", &arguments.out);
    python.optional("--checkpoint", weights.checkpoint.as_ref());
    python.switch("--random-weights", weights.random_weights);
    python.optional("--num-classes", weights.num_classes.map(|classes| classes.to_string()));
    python.optional("--global-pool", arguments.global_pool.as_ref());
    python.optional("--input-size", size.input_size.map(|size| size.to_string()));
    python.switch("--dynamic", size.dynamic);
    python.switch("--fixed", size.fixed);
    python.switch("--fp16", arguments.fp16);
    python.switch("--external-data", arguments.external_data);
    python.choice("--exporter", &arguments.exporter);
    python.optional("--opset", arguments.opset.map(|opset| opset.to_string()));
    python.switch("--force", arguments.force);
    match become_python(
        &arguments.python,
        NeededPackages::RelabelAndTorch,
        python.finish(global, arguments.name.as_ref()),
    )? {}
}
