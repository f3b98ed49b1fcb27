//! The section of a dataset card about calibrated pooling.

use crate::release::escape::markdown;
use crate::release::published_calibration::{PublishedCalibration, label_title, with_error};
use crate::shared::numbers::thousands;
use crate::shared::store::{CALIBRATION, CalibrationFigures};

/// Returns what the parameters were fitted on, and the figures of held-out crops.
pub(super) fn calibration(published: &PublishedCalibration) -> String {
    let content = &published.content;
    let mut page = format!(
        "## Calibrated pooling\n\n`{CALIBRATION}` contains parameters that mix the labels of an image and its tiles into the target \
         of a crop. They were fitted on {} crops of {} images, and compared on {} crops of {} other images with the teacher's own \
         prediction for each crop.\n\n",
        thousands(content.fit.crops),
        thousands(content.fit.images),
        thousands(content.held_out.crops),
        thousands(content.held_out.images),
    );
    if content.figures.is_empty() {
        return page;
    }
    page += "| label | same best class | total variation | KL divergence, nats |\n|---|---:|---:|---:|\n";
    page.extend(content.figures.iter().map(row));
    page + &format!("\n{} ± is one standard error.\n\n", markdown(&published.sentence()))
}

fn row(figures: &CalibrationFigures) -> String {
    format!(
        "| {} | {} | {} | {} |\n",
        markdown(label_title(&figures.label)),
        with_error(figures.top1, figures.top1_standard_error),
        with_error(figures.tv, figures.tv_standard_error),
        with_error(figures.kl, figures.kl_standard_error),
    )
}
