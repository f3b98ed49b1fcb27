//! Names inside the bodies of `If`, `Loop` and `Scan`: which of them a body defines, which it captures from the graph
//! around it, and how they are renamed.

use std::collections::{HashMap, HashSet};

use super::{GraphProto, NodeProto, ValueInfoProto};

/// The names that the bodies of a node take from the graph around it; empty for a node without bodies.
pub(crate) fn captured_names(node: &NodeProto) -> Vec<&str> {
    let mut names = Vec::new();
    bodies(node).for_each(|body| capture(body, &mut names));
    names
}

/// Depth is bounded by `wire`.
fn capture<'a>(body: &'a GraphProto, names: &mut Vec<&'a str>) {
    let mut used: Vec<&str> = body.output.iter().map(ValueInfoProto::name).collect();
    for node in &body.node {
        used.extend(node.input.iter().map(String::as_str));
        bodies(node).for_each(|inner| capture(inner, &mut used));
    }
    let defined: HashSet<&str> = defined(body).collect();
    names.extend(used.into_iter().filter(|name| !name.is_empty() && !defined.contains(name)));
}

/// The names that a body defines: its inputs, weights, and what its nodes make.
pub(super) fn defined(body: &GraphProto) -> impl Iterator<Item = &str> {
    let sparse = body.sparse_initializer.iter().filter_map(|sparse| sparse.values.as_ref());
    let weights = body.initializer.iter().chain(sparse).map(super::TensorProto::name);
    let made = body.node.iter().flat_map(|node| &node.output).map(String::as_str);
    body.input.iter().map(ValueInfoProto::name).chain(weights).chain(made).filter(|name| !name.is_empty())
}

/// The graphs among the attributes of a node.
pub(crate) fn bodies(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

/// [`bodies`], to be changed.
pub(crate) fn bodies_mut(node: &mut NodeProto) -> impl Iterator<Item = &mut GraphProto> {
    node.attribute.iter_mut().flat_map(|attribute| attribute.g.iter_mut().chain(&mut attribute.graphs))
}

/// Names and what they become, innermost scope last. A name that no scope has stays as it is.
pub(crate) struct Scopes(Vec<HashMap<String, String>>);

impl Scopes {
    pub(crate) fn new(outermost: HashMap<String, String>) -> Self {
        Self(vec![outermost])
    }

    /// What a name becomes, if it becomes another.
    pub(crate) fn get(&self, name: &str) -> Option<&String> {
        self.0.iter().rev().find_map(|scope| scope.get(name))
    }

    /// Renames one more name of the outermost scope.
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

    /// Renames what a node takes and makes, and what its bodies capture. Names that bodies define become what `fresh`
    /// says.
    pub(crate) fn rename_node(&mut self, node: &mut NodeProto, fresh: &mut dyn FnMut(&str) -> String) {
        node.input.iter_mut().chain(&mut node.output).for_each(|name| self.apply(name));
        bodies_mut(node).for_each(|body| self.rename_body(body, fresh));
    }

    /// Renames only what the bodies of a node capture.
    pub(crate) fn rename_captured(&mut self, node: &mut NodeProto) {
        bodies_mut(node).for_each(|body| self.rename_body(body, &mut str::to_owned));
    }

    /// Renames inside a body. Notes on its tensors, which are optional, are dropped.
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
