//! The YAML at the head of a card, which the Hub reads.

use crate::release::facts::Facts;
use crate::release::licence::Licence;
use crate::release::markdown::yaml;
use crate::release::words::size_category;

/// From `---` to `---`. Every scalar is quoted, so that no name is taken for something else.
pub(super) fn front_matter(facts: &Facts<'_>) -> String {
    let mut lines = vec!["---".to_owned()];
    let mut scalar = |key: &str, value: &str| lines.push(format!("{key}: {}", yaml(value)));
    let licence = &facts.request.licence;
    scalar("license", licence.hub_id());
    if !matches!(licence, Licence::Known { .. }) {
        scalar("license_name", &licence.name());
        scalar("license_link", "LICENSE");
    }
    scalar("pretty_name", &facts.name);
    let mut list = |key: &str, values: &[&str]| {
        lines.push(format!("{key}:"));
        lines.extend(values.iter().map(|value| format!("- {}", yaml(value))));
    };
    list("size_categories", &[size_category(facts.info.images)]);
    list("source_datasets", &[facts.request.source_dataset.as_deref().unwrap_or("extended")]);
    list("annotations_creators", &["machine-generated"]);
    list("task_categories", &["image-classification"]);
    let mut tags = vec!["label-maps", "relabel", "knowledge-distillation", "soft-labels", "zarr"];
    if facts.is_partial() {
        tags.push("partial");
    }
    list("tags", &tags);
    lines.push("configs:".to_owned());
    for (config, is_default) in [("summary", true), ("manifest", false)] {
        lines.push(format!("- config_name: {}", yaml(config)));
        if is_default {
            lines.push("  default: true".to_owned());
        }
        lines.push("  data_files:".to_owned());
        lines.push(format!("  - split: {}", yaml("train")));
        lines.push(format!("    path: {}", yaml(&format!("{config}.parquet"))));
    }
    lines.push("---".to_owned());
    lines.join("\n") + "\n"
}
