//! Progress bars of commands over a store, drawn only on a terminal.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use indicatif::{ProgressBar, ProgressStyle};
use relabel::shared::monitor::Monitor;
use relabel::shared::store::Agreement;

use super::args::Global;
use super::output::may_draw;

/// Returns a bar over `length` steps, hidden without a terminal and with `--quiet`.
pub fn step_bar(length: usize, global: &Global) -> ProgressBar {
    if may_draw() && !global.quiet { ProgressBar::new(length as u64) } else { ProgressBar::hidden() }
}

/// Returns a bar with its own template.
pub fn styled_bar(length: usize, global: &Global, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    step_bar(length, global).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// A bar over rows of a store, and the flag that stops the work.
pub struct RowProgress {
    bar: ProgressBar,
    stop: Arc<AtomicBool>,
}

impl RowProgress {
    pub fn new(rows: usize, global: &Global, stop: Arc<AtomicBool>) -> Self {
        let bar = styled_bar(rows, global, "{bar:30} {percent:>3}% {human_pos} of {human_len} images, {eta} left");
        Self { bar, stop }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Monitor for RowProgress {
    fn stop_requested(&self) -> bool {
        super::raised(&self.stop)
    }

    fn images_done(&self, labelled: usize, failed: usize, _agreement: Agreement) {
        self.bar.inc((labelled + failed) as u64);
    }
}
