//! The YAML header of a dataset card, which the Hub reads.

use crate::release::escape::yaml_string;
use crate::release::licence::{LICENCE, Licence};
use crate::release::release_metadata::ReleaseMetadata;

/// Returns the header, including both `---` lines. Every scalar is quoted, so no name is parsed as a different type.
pub(super) fn front_matter(metadata: &ReleaseMetadata<'_>) -> String {
    let mut lines = vec!["---".to_owned()];
    let mut scalar = |key: &str, value: &str| lines.push(format!("{key}: {}", yaml_string(value)));
    let licence = &metadata.options.licence;
    scalar("license", licence.hub_id());
    if !matches!(licence, Licence::Known { .. }) {
        scalar("license_name", &licence.name());
        scalar("license_link", LICENCE);
    }
    scalar("pretty_name", &metadata.name);
    let mut list = |key: &str, values: &[&str]| {
        lines.push(format!("{key}:"));
        lines.extend(values.iter().map(|value| format!("- {}", yaml_string(value))));
    };
    list("size_categories", &[size_category(metadata.info.images)]);
    list("source_datasets", &[metadata.options.source_dataset.as_deref().unwrap_or("extended")]);
    list("annotations_creators", &["machine-generated"]);
    list("task_categories", &["image-classification"]);
    let mut tags = vec!["label-maps", "relabel", "knowledge-distillation", "soft-labels", "zarr"];
    if !metadata.has_maps() {
        tags.remove(0);
    }
    if metadata.is_partial() {
        tags.push("partial");
    }
    list("tags", &tags);
    lines.push("configs:".to_owned());
    for (config, is_default) in [("summary", true), ("manifest", false)] {
        lines.push(format!("- config_name: {}", yaml_string(config)));
        if is_default {
            lines.push("  default: true".to_owned());
        }
        lines.push("  data_files:".to_owned());
        lines.push(format!("  - split: {}", yaml_string("train")));
        lines.push(format!("    path: {}", yaml_string(&format!("{config}.parquet"))));
    }
    lines.push("---".to_owned());
    lines.join("\n") + "\n"
}

/// The Hub's name for a number of rows.
fn size_category(rows: usize) -> &'static str {
    match rows {
        0..1_000 => "n<1K",
        1_000..10_000 => "1K<n<10K",
        10_000..100_000 => "10K<n<100K",
        100_000..1_000_000 => "100K<n<1M",
        1_000_000..10_000_000 => "1M<n<10M",
        10_000_000..100_000_000 => "10M<n<100M",
        100_000_000..1_000_000_000 => "100M<n<1B",
        _ => "1B<n<10B",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_categories_are_the_hubs() {
        assert_eq!([999, 1_000, 1_281_167].map(size_category), ["n<1K", "1K<n<10K", "1M<n<10M"]);
    }
}
