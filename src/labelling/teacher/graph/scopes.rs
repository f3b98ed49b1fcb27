//! Names inside the bodies of `If`, `Loop` and `Scan`: those that a body defines, those that it captures from the graph
//! around it, and their renaming.

use std::collections::{HashMap, HashSet};

use crate::labelling::teacher::onnx_proto::{GraphProto, NodeProto, TensorProto, ValueInfoProto, bodies, bodies_mut};

/// Returns the names that the bodies of a node capture from the graph around it; empty for a node without bodies.
pub(crate) fn captured_names(node: &NodeProto) -> Vec<&str> {
    let mut names = Vec::new();
    bodies(node).for_each(|body| capture(body, &mut names));
    names
}

/// Recursion depth is bounded by `wire`.
fn capture<'a>(body: &'a GraphProto, names: &mut Vec<&'a str>) {
    let mut used: Vec<&str> = body.output.iter().map(ValueInfoProto::name).collect();
    for node in &body.node {
        used.extend(node.input.iter().map(String::as_str));
        bodies(node).for_each(|inner| capture(inner, &mut used));
    }
    let defined: HashSet<&str> = defined(body).collect();
    names.extend(used.into_iter().filter(|name| !name.is_empty() && !defined.contains(name)));
}

/// Names that a body defines: its inputs, its weights, and the outputs of its nodes.
pub(super) fn defined(body: &GraphProto) -> impl Iterator<Item = &str> {
    let sparse = body.sparse_initializer.iter().filter_map(|sparse| sparse.values.as_ref());
    let weights = body.initializer.iter().chain(sparse).map(TensorProto::name);
    let produced = body.node.iter().flat_map(|node| &node.output).map(String::as_str);
    body.input.iter().map(ValueInfoProto::name).chain(weights).chain(produced).filter(|name| !name.is_empty())
}

/// A renaming by scope, innermost scope last. A name in no scope keeps its name.
pub(crate) struct Scopes(Vec<HashMap<String, String>>);

impl Scopes {
    pub(crate) fn new(outermost: HashMap<String, String>) -> Self {
        Self(vec![outermost])
    }

    /// Returns the new name of `name`, if it is renamed.
    pub(crate) fn get(&self, name: &str) -> Option<&String> {
        self.0.iter().rev().find_map(|scope| scope.get(name))
    }

    /// Adds a renaming to the outermost scope.
    pub(crate) fn insert(&mut self, name: String, renamed: String) {
        if let Some(outermost) = self.0.first_mut() {
            outermost.insert(name, renamed);
        }
    }

    fn apply(&self, name: &mut String) {
        if let Some(renamed) = self.get(name).filter(|_| !name.is_empty()) {
            name.clone_from(renamed);
        }
    }

    /// Renames the inputs and outputs of a node, and what its bodies capture. Names that bodies define are renamed by
    /// `fresh`.
    pub(crate) fn rename_node(&mut self, node: &mut NodeProto, fresh: &mut dyn FnMut(&str) -> String) {
        node.input.iter_mut().chain(&mut node.output).for_each(|name| self.apply(name));
        bodies_mut(node).for_each(|body| self.rename_body(body, fresh));
    }

    /// Renames only the names that the bodies of a node capture.
    pub(crate) fn rename_captured(&mut self, node: &mut NodeProto) {
        bodies_mut(node).for_each(|body| self.rename_body(body, &mut str::to_owned));
    }

    /// Renames inside a body. Optional annotations of its tensors are removed.
    pub(super) fn rename_body(&mut self, body: &mut GraphProto, fresh: &mut dyn FnMut(&str) -> String) {
        let mut scope = HashMap::new();
        for name in defined(body) {
            if !scope.contains_key(name) {
                scope.insert(name.to_owned(), fresh(name));
            }
        }
        self.0.push(scope);
        let ports = body.input.iter_mut().chain(&mut body.output).filter_map(|port| port.name.as_mut());
        ports.for_each(|name| self.apply(name));
        let sparse = body.sparse_initializer.iter_mut().filter_map(|sparse| sparse.values.as_mut());
        let weights = body.initializer.iter_mut().chain(sparse).filter_map(|weight| weight.name.as_mut());
        weights.for_each(|name| self.apply(name));
        for node in &mut body.node {
            self.rename_node(node, fresh);
        }
        body.value_info.clear();
        body.quantization_annotation.clear();
        self.0.pop();
    }
}
