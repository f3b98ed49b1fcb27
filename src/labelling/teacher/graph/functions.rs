//! Inlines the functions of a model: every call is replaced by the nodes of the function's body.

use std::collections::HashMap;

use prost::Message as _;

use super::names::MAX_PREFIX_BYTES;
use super::scopes::Scopes;
use crate::labelling::teacher::onnx_proto::proto::{FunctionProto, OperatorSetIdProto};
use crate::labelling::teacher::onnx_proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, bodies, bodies_mut, is_standard_domain,
};
use crate::labelling::teacher::refusal::Refusal;
use crate::labelling::teacher::wire::{MAX_NESTED_GRAPHS, WireError};

/// Most nodes that are accepted, including those inside `If`, `Loop` and `Scan`; the largest classifiers have a few
/// thousand.
pub(super) const MAX_NODES: usize = 100_000;

/// Bytes that inlining may add to a model. Nested functions can double it with each level.
const MAX_ADDED_BYTES: usize = 1 << 28;

/// Inlines all calls in `graph`, including those inside bodies, and removes the functions from the model.
///
/// # Errors
/// Returns a [`Refusal`] if a call does not match its function, if a function uses other versions of operator sets than the
/// model, or if the graph becomes too large.
pub(super) fn inline(model: &mut ModelProto, graph: &mut GraphProto) -> Result<(), Refusal> {
    let functions = std::mem::take(&mut model.functions);
    let mut indices: HashMap<FunctionKey<'_>, usize> = HashMap::new();
    for (index, function) in functions.iter().enumerate() {
        let key = (function.domain(), function.name(), function.overload());
        let twice = indices.insert(key, index).is_some();
        if twice || is_standard_domain(function.domain()) {
            let problem = if twice { "is defined twice" } else { "is in the domain of the standard operators" };
            return Err(unusable(function, problem));
        }
    }
    if functions.is_empty() {
        return Ok(());
    }
    let functions = functions.iter().map(InlinedFunction::new).collect();
    let mut inliner = Inliner { indices, functions, imports: &mut model.opset_import, calls: 0, nodes: 0, bytes: 0 };
    inliner.expand(graph, 0)
}

/// Refuses graphs that are nested deeper than is accepted.
pub(super) fn check_depth(depth: usize) -> Result<(), Refusal> {
    if depth > MAX_NESTED_GRAPHS {
        return Err(Refusal::new(WireError::NestedTooDeep, "export it without functions of its own"));
    }
    Ok(())
}

/// Domain, name and overload.
type FunctionKey<'a> = (&'a str, &'a str, &'a str);

/// A function and the size that one call of it adds.
struct InlinedFunction<'a> {
    function: &'a FunctionProto,
    nodes: usize,
    bytes: usize,
    names: usize,
    is_imported: bool,
}

impl<'a> InlinedFunction<'a> {
    fn new(function: &'a FunctionProto) -> Self {
        let mut open: Vec<&NodeProto> = function.node.iter().collect();
        let (mut nodes, mut names) = (0, 0);
        let bytes = open.iter().map(|node| node.encoded_len()).sum();
        while let Some(node) = open.pop() {
            nodes += 1;
            // The node has a name as well.
            names += node.input.len() + node.output.len() + 1;
            for body in bodies(node) {
                names += body.initializer.len() + body.input.len() + body.output.len();
                open.extend(&body.node);
            }
        }
        Self { function, nodes, bytes, names, is_imported: false }
    }
}

struct Inliner<'a> {
    indices: HashMap<FunctionKey<'a>, usize>,
    functions: Vec<InlinedFunction<'a>>,
    imports: &'a mut Vec<OperatorSetIdProto>,
    calls: usize,
    /// Nodes and bytes added so far.
    nodes: usize,
    bytes: usize,
}

impl Inliner<'_> {
    fn expand(&mut self, graph: &mut GraphProto, depth: usize) -> Result<(), Refusal> {
        check_depth(depth)?;
        // A stack: the next node is the last one.
        let mut open: Vec<NodeProto> = std::mem::take(&mut graph.node);
        open.reverse();
        while let Some(mut node) = open.pop() {
            if let Some(body) = self.body_of(&node)? {
                open.extend(body.into_iter().rev());
            } else {
                bodies_mut(&mut node).try_for_each(|body| self.expand(body, depth + 1))?;
                graph.node.push(node);
            }
        }
        Ok(())
    }

    /// Returns the nodes that replace a call; `None` if the node does not call a function.
    fn body_of(&mut self, call: &NodeProto) -> Result<Option<Vec<NodeProto>>, Refusal> {
        let key = (call.domain(), call.op_type(), call.overload());
        let Some(&index) = self.indices.get(&key) else { return Ok(None) };
        let called = &mut self.functions[index];
        let function = called.function;
        if call.input.len() > function.input.len() || call.output.len() > function.output.len() {
            let problem = format!(
                "is called with {} inputs and {} outputs by node `{}`; it has {} and {}",
                call.input.len(),
                call.output.len(),
                call.name(),
                function.input.len(),
                function.output.len()
            );
            return Err(unusable(function, &problem));
        }
        if !std::mem::replace(&mut called.is_imported, true) {
            import(self.imports, function)?;
        }
        self.calls += 1;
        let caller = match call.name() {
            "" => function.name(),
            name => name,
        };
        let caller = if caller.len() > MAX_PREFIX_BYTES { "call" } else { caller };
        let prefix = format!("{caller}#{}/", self.calls);
        self.nodes = self.nodes.saturating_add(called.nodes);
        self.bytes = self.bytes.saturating_add(called.bytes + called.names * prefix.len());
        self.check_size(function)?;

        let mut body = Vec::with_capacity(function.node.len() + 1);
        let mut names = actual_names(call, function, &prefix, &mut body);
        for node in &function.node {
            for name in node.input.iter().chain(&node.output).filter(|name| !name.is_empty()) {
                if !names.contains_key(name) {
                    names.insert(name.clone(), format!("{prefix}{name}"));
                }
            }
        }
        let mut scopes = Scopes::new(names);
        for node in &function.node {
            let mut node = node.clone();
            scopes.rename_node(&mut node, &mut |name| format!("{prefix}{name}"));
            self.bytes = self.bytes.saturating_add(fill_attributes(&mut node, call, function));
            self.check_size(function)?;
            let own = if node.name().is_empty() { node.op_type() } else { node.name() };
            let own = if own.len() > MAX_PREFIX_BYTES { "node" } else { own };
            node.name = Some(format!("{caller}/{own}"));
            body.push(node);
        }
        // A consumer may come before the producer here; `topological_order` sorts.
        Ok(Some(body))
    }

    fn check_size(&self, function: &FunctionProto) -> Result<(), Refusal> {
        if self.nodes > MAX_NODES || self.bytes > MAX_ADDED_BYTES {
            return Err(Refusal::new(
                format!(
                    "inlining the functions of the model adds more than {MAX_NODES} nodes or {MAX_ADDED_BYTES} bytes (the last one was \
                     `{}`)",
                    function.name()
                ),
                "export it without functions of its own (`onnx.inliner.inline_local_functions` replaces them)",
            ));
        }
        Ok(())
    }
}

/// Maps the names of the function's inputs and outputs to those of a call. An input that the call omits maps to the empty
/// name; an output that equals an input, or another output, is copied by an additional node.
fn actual_names(
    call: &NodeProto,
    function: &FunctionProto,
    prefix: &str,
    body: &mut Vec<NodeProto>,
) -> HashMap<String, String> {
    let mut names = HashMap::new();
    for (at, formal) in function.input.iter().enumerate() {
        let actual = call.input.get(at).cloned().unwrap_or_default();
        names.entry(formal.clone()).or_insert(actual);
    }
    for (at, formal) in function.output.iter().enumerate() {
        let actual = call.output.get(at).filter(|name| !name.is_empty());
        let actual = actual.cloned().unwrap_or_else(|| format!("{prefix}{formal}"));
        if let Some(source) = names.get(formal) {
            body.push(NodeProto {
                op_type: Some("Identity".to_owned()),
                name: Some(format!("{prefix}copy_{at}")),
                input: vec![source.clone()],
                output: vec![actual],
                ..NodeProto::default()
            });
        } else {
            names.insert(formal.clone(), actual);
        }
    }
    names
}

/// Replaces references to attributes by the call's attributes or the function's defaults; an attribute that neither has
/// is removed. Returns the number of bytes added.
fn fill_attributes(node: &mut NodeProto, call: &NodeProto, function: &FunctionProto) -> usize {
    let mut bytes = 0;
    node.attribute.retain_mut(|attribute| {
        let wanted = attribute.ref_attr_name();
        if wanted.is_empty() {
            return true;
        }
        let given = |among: &[AttributeProto]| among.iter().find(|given| given.name() == wanted).cloned();
        let Some(given) = given(&call.attribute).or_else(|| given(&function.attribute_proto)) else { return false };
        bytes += given.encoded_len();
        *attribute = AttributeProto { name: attribute.name.take(), ..given };
        true
    });
    for inner in bodies_mut(node).flat_map(|body| &mut body.node) {
        bytes += fill_attributes(inner, call, function);
    }
    bytes
}

/// Adds the operator sets of a function to those of the model.
fn import(imports: &mut Vec<OperatorSetIdProto>, function: &FunctionProto) -> Result<(), Refusal> {
    for set in &function.opset_import {
        let same = |other: &OperatorSetIdProto| {
            other.domain() == set.domain() || is_standard_domain(other.domain()) && is_standard_domain(set.domain())
        };
        match imports.iter().find(|other| same(other)) {
            Some(other) if other.version() == set.version() => {}
            Some(other) => {
                return Err(Refusal::new(
                    format!(
                        "the function `{}` uses version {} of the operator set `{}`, and the graph version {}",
                        function.name(),
                        set.version(),
                        if set.domain().is_empty() { "ai.onnx" } else { set.domain() },
                        other.version()
                    ),
                    "export it without functions of its own, or with one version of the operator set",
                ));
            }
            None => imports.push(set.clone()),
        }
    }
    Ok(())
}

fn unusable(function: &FunctionProto, problem: &str) -> Refusal {
    Refusal::new(
        format!("the function `{}` of the domain `{}` {problem}", function.name(), function.domain()),
        "export it without functions of its own (`onnx.inliner.inline_local_functions` replaces them)",
    )
}
