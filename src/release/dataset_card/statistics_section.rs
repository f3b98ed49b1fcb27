//! The section of a dataset card with counts of images, and their agreement with folder classes.

use crate::release::escape::markdown;
use crate::release::release_metadata::ReleaseMetadata;
use crate::shared::numbers::{bytes, thousands};

/// Counts, agreement and verdicts.
pub(super) fn statistics(metadata: &ReleaseMetadata<'_>) -> String {
    let (status, verdicts) = (metadata.status, metadata.verdicts);
    let mut rows = vec![
        ("images", thousands(status.images)),
        ("labelled", thousands(status.labelled)),
        ("failed", thousands(status.failed)),
    ];
    if metadata.is_partial() {
        rows.push(("not labelled yet", thousands(status.to_do)));
    }
    rows.push(("classes", thousands(metadata.info.classes.count)));
    if let Some(size) = metadata.info.map_size {
        rows.push(("cells per label map (height x width)", size.to_string()));
    }
    let k = if metadata.has_maps() { "classes per cell (k)" } else { "classes per prediction (k)" };
    rows.push((k, metadata.info.k.to_string()));
    if let Some(tiles) = &metadata.info.tiles {
        rows.push(("tiles per image", tiles.count().to_string()));
        rows.push(("classes per tile", tiles.k().to_string()));
    }
    let size = if metadata.has_maps() { "size of label maps and predictions" } else { "size of predictions" };
    rows.push((size, bytes(status.label_bytes)));
    if let Some(per_image) = status.bytes_per_image {
        rows.push(("bytes per image", thousands(per_image.round() as usize)));
    }
    let compared = status.agreement.compared;
    if compared > 0 {
        let share = |count: usize| format!("{} of {}", percent(count, compared), thousands(compared));
        rows.push(("folder class is the teacher's best class", share(status.agreement.top1)));
        rows.push(("folder class is among the teacher's best five", share(status.agreement.top5)));
    }
    let (differs, absent) = if metadata.has_maps() {
        ("a different class is the best, but some cell contains the folder class", "no cell contains the folder class")
    } else {
        (
            "a different class is the best, but some prediction of the image or a tile contains the folder class",
            "no prediction contains the folder class",
        )
    };
    let mut page = "## Statistics\n\n| statistic | value |\n|---|---:|\n".to_owned();
    page.extend(rows.iter().map(|(name, value)| format!("| {name} | {value} |\n")));
    page += "\nAgreement of the target of the full image with the folder class (`verdict` in `summary.parquet`):\n\n\
             | verdict | images | meaning |\n|---|---:|---|\n";
    for (verdict, images, meaning) in [
        ("agrees", verdicts.agrees, "the folder class is the best class"),
        ("differs", verdicts.differs, differs),
        ("absent", verdicts.absent, absent),
        ("not-compared", verdicts.not_compared, "without a folder class that the teacher knows"),
        ("failed", status.failed, "the image could not be labelled"),
        ("to-do", status.to_do, "the image is not labelled yet"),
    ] {
        if images > 0 {
            page += &format!("| {verdict} | {} | {meaning} |\n", thousands(images));
        }
    }
    if status.failed > 0 {
        let kinds = status.failures_by_kind.iter().map(|(kind, count)| format!("{kind} ({})", thousands(*count)));
        page += &format!("\nFailed images by kind: {}.\n", markdown(&kinds.collect::<Vec<_>>().join(", ")));
    }
    page + "\n"
}

/// `74.9 %`
fn percent(part: usize, total: usize) -> String {
    format!("{:.1} %", 100.0 * part as f64 / total.max(1) as f64)
}
