//! The chapters of a card.

use serde_json::Value;

use crate::release::facts::Facts;
use crate::release::licence::Licence;
use crate::release::markdown::text;
use crate::release::words::percent;
use crate::shared::numbers::{bytes, thousands};

/// Who made the labels, and how images were fed to it.
pub(super) fn teacher(facts: &Facts<'_>) -> String {
    let (info, card) = (facts.info, &facts.card);
    let mut page = format!("## Teacher and preprocessing\n\nThe teacher is {}", text(&facts.teacher));
    let stated = |key: &str| card.get(key).and_then(Value::as_str).map(text);
    let (mut asides, mut free) = (Vec::new(), Vec::new());
    for key in ["source", "weights", "paper", "licence", "license"] {
        asides.extend(stated(key).map(|value| format!("| {key} | {value} |\n")));
    }
    if info.imported.is_some() {
        return page
            + ". Its labels were imported from published files, so that nothing is known here of how images were fed to it.\n\n";
    }
    page += &format!(
        " (`{}`, SHA-256 of the ONNX file). Its labels were made as its card says:\n\n| | |\n|---|---|\n",
        info.teacher.sha256
    );
    for (key, meaning) in FED {
        if let Some(value) = card.get(key) {
            free.push(format!("| {meaning} | {} |\n", text(&plain(value))));
        }
    }
    page += &(free.concat() + &asides.concat());
    let views = if info.flip_average { "the mean of the image's and of its mirror image's" } else { "the image's" };
    page += &format!("| scores | {views}, before softmax |\n");
    let rounding = info.score_steps.map_or("float16".to_owned(), |steps| format!("multiples of 1/{steps}, as float16"));
    page += &format!("| rounded to | {rounding} |\n");
    let shown = match info.teacher.locality.as_deref() {
        Some("structure") => "by the structure of the network",
        Some("probe") => "by changing patches of photographs",
        Some("unchecked") => "**not checked**: the teacher's card asked to do without",
        _ => "not recorded",
    };
    page += &format!("| cells shown to be places of the image | {shown} |\n\n");
    page + "The **whole** image is squashed to the input size: no crop, the aspect ratio is not kept. So positions in the map are \
           positions in the image. `provenance.json` has the whole card, and with which devices and versions it was run.\n\n"
}

/// The card's keys that change what the teacher sees.
const FED: [(&str, &str); 6] = [
    ("input_size", "input, height x width in pixels"),
    ("filter", "resized with PIL's filter"),
    ("mean", "mean, of x/255"),
    ("std", "standard deviation, of x/255"),
    ("channel_order", "channels"),
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
pub(super) fn meaning(facts: &Facts<'_>) -> String {
    let none = if facts.info.wide_class_ids() { u32::MAX } else { u32::from(u16::MAX) };
    let lse = if facts.info.with_lse {
        "* `lse[n, 0, y, x]` is the log-sum-exp of the scores of **all** classes, so that `exp(scores - lse)` are true \
         probabilities.\n"
    } else {
        ""
    };
    format!(
        "## What the numbers mean\n\n\
         * `scores[n, k, y, x]` and `classes[n, k, y, x]`: image, rank (0 is the best), then `y` downwards and `x` to the right, \
         from the image's upper left corner.\n\
         * Boxes are `x0, y0, x1, y1` in 0 to 1 of the image's width and height.\n\
         * `image_probs[n, k]` and `image_classes[n, k]` are the teacher's prediction for the whole image, softmax over all \
         classes.\n{lse}\
         * Class ids are places in `zarr.json`, `attributes.relabel.classes`, from 0.\n\
         * **Absent classes.** A cell holds {k} of {count} classes. In LabelPooling, the others count with a score of 0, as in the \
         reference recipe: the softmax then gives each of them a small share.\n\
         * **Rows without labels** (images that failed{to_do}) read as `-inf` in `scores` and as {none} in `classes`. \
         `records/` names each failed image with the reason.\n\n",
        k = facts.info.k,
        count = thousands(facts.info.classes.count),
        to_do = if facts.is_partial() { ", or are not labelled yet" } else { "" },
    )
}

/// Counts.
pub(super) fn statistics(facts: &Facts<'_>) -> String {
    let (status, verdicts) = (facts.status, facts.verdicts);
    let mut rows = vec![
        ("images", thousands(status.images)),
        ("labelled", thousands(status.labelled)),
        ("failed", thousands(status.failed)),
    ];
    if facts.is_partial() {
        rows.push(("not labelled yet", thousands(status.to_do)));
    }
    rows.push(("classes", thousands(facts.info.classes.count)));
    rows.push(("cells of a map", facts.info.map_size.to_string()));
    rows.push(("classes in a cell (k)", facts.info.k.to_string()));
    rows.push(("label maps and predictions", bytes(status.label_bytes)));
    if let Some(per_image) = status.bytes_per_image {
        rows.push(("bytes an image", thousands(per_image.round() as usize)));
    }
    let compared = status.agreement.compared;
    if compared > 0 {
        let share = |part: usize| format!("{} of {}", percent(part, compared), thousands(compared));
        rows.push(("the teacher's best class is the folder's", share(status.agreement.top1)));
        rows.push(("the folder's class is among its best five", share(status.agreement.top5)));
    }
    let mut page = "## Statistics\n\n| | |\n|---|---:|\n".to_owned();
    page.extend(rows.iter().map(|(what, value)| format!("| {what} | {value} |\n")));
    page += "\nHow pooled labels of whole images and folders go together (`verdict` in `summary.parquet`):\n\n| verdict | images | \
             |\n|---|---:|---|\n";
    for (verdict, images, meaning) in [
        ("agrees", verdicts.agrees, "the folder's class is the best"),
        ("differs", verdicts.differs, "another class is the best, but some cell holds the folder's"),
        ("absent", verdicts.absent, "no cell holds the folder's class"),
        ("not-compared", verdicts.not_compared, "there is no folder, or it is no class of the teacher"),
        ("failed", status.failed, "the image could not be labelled"),
        ("to-do", status.to_do, "the image is not labelled yet"),
    ] {
        if images > 0 {
            page += &format!("| {verdict} | {} | {meaning} |\n", thousands(images));
        }
    }
    if status.failed > 0 {
        let kinds = status.failures_by_kind.iter().map(|(kind, count)| format!("{kind} ({})", thousands(*count)));
        page += &format!("\nFailed images by kind: {}.\n", text(&kinds.collect::<Vec<_>>().join(", ")));
    }
    page + "\n"
}

/// How to load and how to check.
pub(super) fn use_and_checks(facts: &Facts<'_>) -> String {
    let download = facts.request.hub_repo.as_ref().map_or(String::new(), |repo| {
        format!("Download it with `hf download {repo} --repo-type dataset --local-dir release`.\n\n")
    });
    format!(
        "## Use\n\n{download}With the `relabel` package, for training:\n\n\
         ```python\nimport relabel\nlabels = relabel.open(\"release\")\n\
         targets = labels.pool([0], [[0.1, 0.2, 0.6, 0.9]])     # rows or ids, boxes x0, y0, x1, y1; [1, classes]\n```\n\n\
         With zarr-python and nothing else:\n\n\
         ```python\nimport zarr\nstore = zarr.open_group(\"release\", mode=\"r\")\n\
         scores, classes = store[\"scores\"][0], store[\"classes\"][0]     # [k, y, x], the best class first\n```\n\n\
         ## Check\n\n```sh\ncd release && sha256sum -c --quiet SHA256SUMS     # every file is what was published\n\
         relabel verify release                             # and everything in the store fits together\n```\n\n"
    )
}

/// What the labels are under, and where the words about the images are.
pub(super) fn licence(facts: &Facts<'_>) -> String {
    let licence = &facts.request.licence;
    let said = match licence {
        Licence::Text { .. } => "The labels are published under the terms in [LICENSE](LICENSE).".to_owned(),
        Licence::Known { .. } | Licence::Named(_) => {
            let place = licence.address().map(|address| format!(" (<{address}>)")).unwrap_or_default();
            format!("The labels are published under {}{place}; see [LICENSE](LICENSE).", text(&licence.name()))
        }
    };
    format!(
        "## Licence\n\n{said} The images are not part of this release: [SOURCE_TERMS.md](SOURCE_TERMS.md) says what its publisher \
         stated of their terms. The teacher has terms of its own.\n\n"
    )
}

/// What labels like these do not say.
pub(super) const LIMITS: &str = "## Limits\n\nThe labels are a machine's opinion and were not looked at one by one. They carry the \
    teacher's mistakes and the biases of what it was trained on; where it was trained on these very images, it agrees with \
    wrong folders more often than it should. A cell's label says what the teacher sees around it and is no segmentation. Do not \
    draw conclusions about people from them.\n\n";

/// The two papers.
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
