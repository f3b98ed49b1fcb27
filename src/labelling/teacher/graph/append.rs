//! Appends nodes to a graph.

use std::collections::{HashMap, HashSet};

use super::{Graph, NodeProto};

impl Graph {
    /// Appends a node. Its inputs must exist, its outputs must not.
    fn append(&mut self, node: NodeProto) {
        let index = self.body.node.len();
        for input in node.input.iter().filter(|input| !input.is_empty()) {
            let users = self.consumers.entry(input.clone()).or_default();
            if users.last() != Some(&index) {
                users.push(index);
            }
        }
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            self.producers.insert(output.clone(), index);
        }
        self.body.node.push(node);
    }

    /// Copies the nodes between `from` and `to`. The copies read `replacement` instead of `from`. The nodes in `left_out`
    /// are not copied; their consumers read the tensor that `left_out` maps them to. Returns the copy of `to`.
    pub(crate) fn copy_between(
        &mut self,
        from: &str,
        to: &str,
        replacement: &str,
        left_out: &HashMap<usize, String>,
    ) -> String {
        let mut renamed: HashMap<String, String> = HashMap::from([(from.to_owned(), replacement.to_owned())]);
        for index in self.ancestors(&[to.to_owned()], &HashSet::from([from.to_owned()])) {
            let mut node = self.node(index).clone();
            if !node.input.iter().any(|input| renamed.contains_key(input)) {
                continue;
            }
            for input in &mut node.input {
                if let Some(name) = renamed.get(input) {
                    input.clone_from(name);
                }
            }
            if let Some(before) = left_out.get(&index) {
                let before = renamed.get(before).unwrap_or(before).clone();
                renamed.extend(node.output.first().map(|output| (output.clone(), before)));
                continue;
            }
            for output in node.output.iter_mut().filter(|output| !output.is_empty()) {
                let name = self.fresh_name(&format!("raw/{output}"));
                renamed.insert(std::mem::replace(output, name.clone()), name);
            }
            // The tensor's name is unique.
            node.name = node.output.first().cloned();
            self.append(node);
        }
        renamed.remove(to).unwrap_or_else(|| replacement.to_owned())
    }
}
