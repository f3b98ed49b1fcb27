//! `relabel import` and `relabel export`. Only PyTorch reads and writes `.pt` files, so the Python package does the work.

use relabel::shared::error::Error;

use super::Outcome;
use super::args::{ExportArguments, FileFormat, Global, ImportArguments};
use super::python::{NeededPackages, PythonArguments, become_python};

pub fn import(arguments: &ImportArguments, global: &Global) -> Result<Outcome, Error> {
    let mut python = PythonArguments::new("import");
    python.flag("--out", &arguments.out);
    python.optional("--classes", arguments.classes.as_ref());
    python.optional("--teacher-name", arguments.teacher_name.as_ref());
    python.optional("--map-size", arguments.map_size.as_ref());
    python.choice("--orientation", &arguments.orientation);
    python.choice("--rank-axis", &arguments.rank_axis);
    python.optional("--reference", arguments.reference.as_ref());
    python.optional("--shard-size", arguments.shard_size.map(|images| images.to_string()));
    python.optional("--threads", arguments.threads.map(|threads| threads.to_string()));
    match become_python(
        &arguments.python,
        NeededPackages::RelabelAndTorch,
        python.finish(global, arguments.folder.as_os_str()),
    )? {}
}

pub fn export(arguments: &ExportArguments, global: &Global) -> Result<Outcome, Error> {
    let mut python = PythonArguments::new("export");
    python.flag("--out", &arguments.out);
    python.choice("--format", &arguments.format);
    python.choice("--dtype", &arguments.dtype);
    python.optional("--masks", arguments.masks.as_ref());
    python.optional("--min-prob", arguments.min_prob.map(|prob| prob.to_string()));
    python.switch("--folder-class", arguments.folder_class);
    let packages = match arguments.format {
        FileFormat::Pt => NeededPackages::RelabelAndTorch,
        FileFormat::MultilabelTsv => NeededPackages::Relabel,
    };
    match become_python(&arguments.python, packages, python.finish(global, arguments.store.as_os_str()))? {}
}
