//! `README.md`: the dataset card, for the Hub and for readers.

mod front_matter;
mod sections;
mod statistics_section;
mod tiles_section;
mod calibration_section;
mod evaluation_section;

use super::escape::markdown;
use super::release_metadata::ReleaseMetadata;
use crate::shared::numbers::thousands;

/// Name of the file.
pub(super) const DATASET_CARD: &str = "README.md";

/// Returns the content of the file.
pub(super) fn dataset_card(metadata: &ReleaseMetadata<'_>) -> String {
    let mut page = front_matter::front_matter(metadata);
    page += &format!("\n# {}\n\n", markdown(&metadata.name));
    if metadata.is_partial() {
        page += &format!(
            "> **This release is partial.** {} of {} images are not labelled yet. Their rows contain no labels.\n\n",
            thousands(metadata.status.to_do),
            thousands(metadata.status.images)
        );
    }
    page += &sections::description(metadata);
    page += &sections::picture(metadata);
    page += &sections::teacher(metadata);
    page += &sections::data_format(metadata);
    if let Some(tiles) = &metadata.tiles {
        page += &tiles_section::tiles(tiles, metadata.has_maps());
    }
    page += &statistics_section::statistics(metadata);
    if let Some(calibration) = &metadata.calibration {
        page += &calibration_section::calibration(calibration);
    }
    if let Some(evaluation) = &metadata.evaluation {
        page += &evaluation_section::evaluation(evaluation);
    }
    page += &sections::usage(metadata);
    page += &sections::licence(metadata);
    page += sections::LIMITATIONS;
    page += sections::CITATION;
    page
}
