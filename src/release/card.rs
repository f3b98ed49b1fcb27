//! `README.md`: the data-set card, for the Hub and for people.

mod front_matter;
mod sections;

use super::facts::Facts;
use super::markdown::text;
use super::overview::OVERVIEW;
use super::request::Picture;
use crate::shared::numbers::thousands;

/// The file.
pub(super) const CARD: &str = "README.md";

/// The data-set card.
pub(super) fn card(facts: &Facts<'_>) -> String {
    let mut page = front_matter::front_matter(facts);
    page += &format!("\n# {}\n\n", text(&facts.name));
    if facts.is_partial() {
        page += &format!(
            "> **This release is partial.** {} of {} images are not labelled yet; their rows read as rows without labels.\n\n",
            thousands(facts.status.to_do),
            thousands(facts.status.images)
        );
    }
    page += &what_it_is(facts);
    page += &picture(facts);
    page += &sections::teacher(facts);
    page += &sections::meaning(facts);
    page += &sections::statistics(facts);
    page += &sections::use_and_checks(facts);
    page += &sections::licence(facts);
    page += sections::LIMITS;
    page += sections::CITATION;
    page
}

fn what_it_is(facts: &Facts<'_>) -> String {
    let info = facts.info;
    format!(
        "Label maps of {} images: for each image a grid of {} cells (height x width), and for each cell the {} best classes of a \
         strong classifier with their scores. Training code pools the cells that a crop covers into a label of that crop \
         (*Re-labeling ImageNet*), or takes them as token labels.\n\n\
         The images themselves are not part of this release. Their names are in `manifest.parquet`, their order is that of \
         every array, and they come from a source that is called {}.\n\n\
         | file | what it is |\n|---|---|\n\
         | `scores/`, `classes/` | the label maps: scores and class ids, Zarr v3 |\n\
         | `image_probs/`, `image_classes/` | the teacher's own prediction for each whole image, Zarr v3 |\n\
         | `zarr.json` | what this store is: teacher, card, settings, class names |\n\
         | `manifest.parquet` | the images, one a row |\n\
         | `summary.parquet` | one row an image for people: its label, the teacher's best classes, whether they agree |\n\
         | `records/` | what became of each shard: counts, failed images with reasons, checksums |\n\
         | `provenance.json` | how the labels were made |\n\
         | `croissant.json` | this data set for programs (MLCommons Croissant) |\n\
         | `LICENSE`, `SOURCE_TERMS.md` | what the labels are under; what is said of the images |\n\
         | `SHA256SUMS` | checksums of all other files |\n\n",
        thousands(info.images),
        info.map_size,
        info.k,
        text(&facts.source),
    )
}

fn picture(facts: &Facts<'_>) -> String {
    let ids: Vec<String> = facts.pictured.iter().map(|id| text(id)).collect();
    let (words, pixels) = match &facts.request.picture {
        Picture::Of { photo: Some(_), .. } => ("One image with its label map", "It shows a photograph of the source."),
        Picture::Of { photo: None, .. } => ("The label map of one image", "It shows no pixels of the source."),
        Picture::Chosen => ("The best class of every cell of a few images", "It shows no pixels of the source."),
    };
    format!("![{words}]({OVERVIEW})\n\n{words}: {}. {pixels}\n\n", ids.join(", "))
}
