//! The sections of a dataset card.

use serde_json::Value;

use crate::release::escape::markdown;
use crate::release::licence::Licence;
use crate::release::overview_picture::OVERVIEW;
use crate::release::publish_options::OverviewPicture;
use crate::release::published_evaluation::EVALUATION;
use crate::release::release_metadata::ReleaseMetadata;
use crate::shared::numbers::thousands;
use crate::shared::tiles::Tiles;

/// Content of the data set, and a table of its files.
pub(super) fn description(metadata: &ReleaseMetadata<'_>) -> String {
    let info = metadata.info;
    let evaluation = metadata.evaluation.as_ref().map_or(String::new(), |evaluation| {
        let charts: Vec<String> = evaluation.charts.iter().map(|chart| format!(", `{}`", chart.file_name)).collect();
        format!("| `{EVALUATION}`{} | figures about the quality of the labels, and charts of them |\n", charts.concat())
    });
    let images = thousands(info.images);
    let what = info.map_size.map_or_else(
        || {
            format!(
                "Predictions of a strong classifier, the teacher, for {images} images: the {} classes with the highest \
                 probabilities. The store has predictions only, and no label maps. ",
                info.k
            )
        },
        |size| {
            format!(
                "Label maps of {images} images. A label map divides an image into a grid of {size} cells (height x width) and \
                 lists, for each cell, the {} classes with the highest scores of a strong classifier, the teacher. ",
                info.k
            )
        },
    );
    let training = match (info.map_size, &info.tiles) {
        (Some(_), _) => {
            "During training, the cells under a crop are pooled into a soft target for that crop (*Re-labeling ImageNet*), or used \
             directly as token labels."
        }
        (None, Some(_)) => {
            "During training, the predictions for the image and its tiles are mixed into a soft target for a crop, weighted by \
             their overlap with it."
        }
        (None, None) => "During training, they are soft targets.",
    };
    let arrays = [
        (info.map_size.is_some(), "`scores/`, `classes/` | the label maps: scores and class ids (Zarr v3)"),
        (true, "`image_probs/`, `image_classes/` | the teacher's prediction for each full image (Zarr v3)"),
        (info.tiles.is_some(), "`tile_probs/`, `tile_classes/` | the teacher's prediction for each tile (Zarr v3)"),
        (
            info.tiles.as_ref().is_some_and(Tiles::with_maps),
            "`tile_map_scores/`, `tile_map_classes/` | the label maps of the tiles (Zarr v3)",
        ),
        (metadata.calibration.is_some(), "`pooling.json` | parameters of calibrated pooling, and their figures"),
    ];
    let present = arrays.iter().filter(|(is_there, _)| *is_there);
    let arrays = present.fold(String::new(), |rows, (_, row)| rows + &format!("| {row} |\n"));
    format!(
        "{what}{training}\n\n\
         The images themselves are not included. They come from a source named {}; `manifest.parquet` lists them in the \
         order of every array.\n\n\
         | file | content |\n|---|---|\n\
         {arrays}\
         | `zarr.json` | description of the store: teacher, teacher card, settings, class names |\n\
         | `manifest.parquet` | one row per image: id, path, folder class |\n\
         | `summary.parquet` | one row per image, for browsing: folder class, the teacher's top classes, whether they agree |\n\
         | `records/` | one record per shard: counts, failed images with reasons, checksums |\n\
         | `provenance.json` | how the labels were made |\n\
         | `croissant.json` | machine-readable description of this data set (MLCommons Croissant) |\n\
         {evaluation}| `LICENSE`, `SOURCE_TERMS.md` | licence of the labels; what is stated about the licence of the images |\n\
         | `SHA256SUMS` | checksums of all other files |\n\n",
        markdown(&metadata.source),
    )
}

/// The picture and its caption.
pub(super) fn picture(metadata: &ReleaseMetadata<'_>) -> String {
    let ids: Vec<String> = metadata.pictured.iter().map(|id| markdown(id)).collect();
    let (caption, pixels) = match &metadata.options.picture {
        OverviewPicture::Image { photo: Some(_), .. } if metadata.has_maps() => {
            ("One image and its label map", "The picture contains a photograph from the source.")
        }
        OverviewPicture::Image { photo: Some(_), .. } => {
            ("One image and its labels", "The picture contains a photograph from the source.")
        }
        OverviewPicture::Image { photo: None, .. } if metadata.has_maps() => {
            ("The label map of one image", "The picture contains no pixels from the source.")
        }
        OverviewPicture::Image { photo: None, .. } => {
            ("The labels of one image", "The picture contains no pixels from the source.")
        }
        OverviewPicture::Automatic if metadata.has_maps() => {
            ("The best class of every cell, for a few images", "The picture contains no pixels from the source.")
        }
        OverviewPicture::Automatic => {
            ("The best classes of a few images and their tiles", "The picture contains no pixels from the source.")
        }
    };
    format!("![{caption}]({OVERVIEW})\n\n{caption}: {}. {pixels}\n\n", ids.join(", "))
}

/// The teacher, and how its input was prepared.
pub(super) fn teacher(metadata: &ReleaseMetadata<'_>) -> String {
    let (info, card) = (metadata.info, &metadata.teacher_card);
    let mut page = format!("## Teacher and preprocessing\n\nThe teacher is {}", markdown(&metadata.teacher));
    if info.imported.is_some() {
        return page
            + ". Its labels were imported from published files; the preprocessing of the images is not known.\n\n";
    }
    page += &format!(
        " (`{}`, SHA-256 of the ONNX file). It was run with these settings of its teacher card:\n\n\
         | setting | value |\n|---|---|\n",
        info.teacher.sha256
    );
    for (key, meaning) in PREPROCESSING_KEYS {
        if let Some(value) = card.get(key) {
            page += &format!("| {meaning} | {} |\n", markdown(&plain(value)));
        }
    }
    for key in ["source", "weights", "paper", "licence", "license"] {
        if let Some(value) = card.get(key).and_then(Value::as_str) {
            page += &format!("| {key} | {} |\n", markdown(value));
        }
    }
    let views = if info.flip_average { "mean of the image and its mirror image, " } else { "" };
    page += &format!("| scores | {views}before softmax |\n");
    let rounding = info.score_steps.map_or("float16".to_owned(), |steps| format!("multiples of 1/{steps}, as float16"));
    page += &format!("| score precision | {rounding} |\n");
    if metadata.has_maps() {
        let locality = match info.teacher.locality.as_deref() {
            Some("structure") => "verified from the structure of the network",
            Some("probe") => "verified by changing patches of photographs",
            Some("unchecked") => "**not verified**: the teacher card disabled the check",
            _ => "not recorded",
        };
        page += &format!("| location of the cells | {locality} |\n");
    }
    page +=
        "\nThe **full** image is resized to the input size, without cropping and without keeping the aspect ratio. ";
    if metadata.has_maps() {
        page += "Positions in a label map are therefore positions in the image. ";
    }
    page + "`provenance.json` contains the complete teacher card, and the \
           devices and software versions.\n\n"
}

/// Keys of the teacher card that change the teacher's input.
const PREPROCESSING_KEYS: [(&str, &str); 6] = [
    ("input_size", "input size, height x width in pixels"),
    ("filter", "resize filter (PIL)"),
    ("mean", "mean, of pixel values / 255"),
    ("std", "standard deviation, of pixel values / 255"),
    ("channel_order", "channel order"),
    ("exif_orientation", "EXIF orientation"),
];

/// `[0.5, 0.5]` as `0.5, 0.5`.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Axes, boxes, absent classes, rows without labels.
pub(super) fn data_format(metadata: &ReleaseMetadata<'_>) -> String {
    let no_class = if metadata.info.wide_class_ids() { u32::MAX } else { u32::from(u16::MAX) };
    let lse = if metadata.info.with_lse {
        "* `lse[n, 0, y, x]` is the log-sum-exp of the scores of **all** classes, so `exp(scores - lse)` are exact \
         probabilities.\n"
    } else {
        ""
    };
    let to_do = if metadata.is_partial() { ", and images that are not labelled yet" } else { "" };
    let (map_axes, absent, unlabelled) = if metadata.has_maps() {
        let absent = format!(
            "* **Absent classes.** A cell stores {} of {} classes. LabelPooling uses a score of 0 for the others, like the \
             reference recipe, so the softmax gives each of them a small probability.\n",
            metadata.info.k,
            thousands(metadata.info.classes.count)
        );
        (MAP_AXES, absent, format!("`-inf` in `scores` and {no_class} in `classes`"))
    } else {
        ("", String::new(), format!("0 in `image_probs` and {no_class} in `image_classes`"))
    };
    format!(
        "## Data format\n\n\
         {map_axes}\
         * Boxes are `x0, y0, x1, y1`, as fractions of the width and height of the image.\n\
         * `image_probs[n, k]` and `image_classes[n, k]` are the teacher's prediction for the full image, after a softmax over \
         all classes.\n{lse}\
         * Class ids are indices into `attributes.relabel.classes` of `zarr.json`, starting at 0.\n\
         {absent}\
         * **Rows without labels** (failed images{to_do}) contain {unlabelled}. `records/` lists each failed image with the \
         reason.\n\n",
    )
}

const MAP_AXES: &str = "* `scores[n, k, y, x]` and `classes[n, k, y, x]`: image, rank (0 is the best class), then `y` (downwards) \
    and `x` (to the right), starting at the upper left corner of the image.\n";

/// How to load and verify the data set.
pub(super) fn usage(metadata: &ReleaseMetadata<'_>) -> String {
    let download = metadata.options.hub_repo.as_ref().map_or(String::new(), |repo| {
        format!("Download the data set with `hf download {repo} --repo-type dataset --local-dir release`.\n\n")
    });
    let calibrated = if metadata.calibration.is_some() {
        "targets = labels.pool([0], [[0.1, 0.2, 0.6, 0.9]], pooling=\"calibrated\")     # with the parameters of pooling.json\n"
    } else {
        ""
    };
    let (what, read) = if metadata.has_maps() {
        (
            "Label maps",
            "scores, classes = store[\"scores\"][0], store[\"classes\"][0]     # [k, y, x], the best class first",
        )
    } else {
        (
            "Predictions",
            "probs, classes = store[\"image_probs\"][0], store[\"image_classes\"][0]     # [k], the best class first",
        )
    };
    let tiles = if metadata.tiles.is_some() {
        "probs, classes = store[\"tile_probs\"][0], store[\"tile_classes\"][0]     # [tile, k], the best class first\n"
    } else {
        ""
    };
    format!(
        "## Usage\n\n{download}Training targets with the `relabel` package:\n\n\
         ```python\nimport relabel\nlabels = relabel.open(\"release\")\n\
         targets = labels.pool([0], [[0.1, 0.2, 0.6, 0.9]])     # rows or ids, boxes x0, y0, x1, y1; [1, classes]\n\
         {calibrated}```\n\n\
         {what} with zarr-python alone:\n\n\
         ```python\nimport zarr\nstore = zarr.open_group(\"release\", mode=\"r\")\n\
         {read}\n{tiles}```\n\n\
         ## Verification\n\n```sh\ncd release && sha256sum -c --quiet SHA256SUMS     # every file is as published\n\
         relabel verify release                             # and the store is consistent\n```\n\n"
    )
}

/// The licence of the labels.
pub(super) fn licence(metadata: &ReleaseMetadata<'_>) -> String {
    let licence = &metadata.options.licence;
    let labels = match licence {
        Licence::Text { .. } => "The labels are published under the licence in [LICENSE](LICENSE).".to_owned(),
        Licence::Known { .. } | Licence::Named(_) => {
            let url = licence.url().map(|url| format!(" (<{url}>)")).unwrap_or_default();
            format!("The labels are published under {}{url}; see [LICENSE](LICENSE).", markdown(&licence.name()))
        }
    };
    format!(
        "## Licence\n\n{labels} The images are not part of this release; [SOURCE_TERMS.md](SOURCE_TERMS.md) contains the \
         publisher's statement about their licence. The teacher has its own licence.\n\n"
    )
}

/// Known limitations of such labels.
pub(super) const LIMITATIONS: &str = "## Limitations\n\nThe labels were generated by a model and were not reviewed individually. \
    They contain the teacher's errors and the biases of its training data. If the teacher was trained on these images, it agrees \
    with wrong folder classes more often than it should. The label of a cell describes what the teacher sees around that cell; it \
    is not a segmentation. Do not draw conclusions about people from these labels.\n\n";

/// The papers to cite.
pub(super) const CITATION: &str = "## Citation\n\n```bibtex\n\
@inproceedings{yun2021relabel,
  title     = {Re-labeling {ImageNet}: from Single to Multi-Labels, from Global to Localized Labels},
  author    = {Yun, Sangdoo and Oh, Seong Joon and Heo, Byeongho and Han, Dongyoon and Choe, Junsuk and Chun, Sanghyuk},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2021},
  note      = {arXiv:2101.05022}
}

@inproceedings{yun2019cutmix,
  title     = {{CutMix}: Regularization Strategy to Train Strong Classifiers with Localizable Features},
  author    = {Yun, Sangdoo and Han, Dongyoon and Oh, Seong Joon and Chun, Sanghyuk and Choe, Junsuk and Yoo, Youngjoon},
  booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision (ICCV)},
  year      = {2019},
  note      = {arXiv:1905.04899}
}
```
";
