//! A bar for work over the rows of a store, and the wish to stop.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use indicatif::{ProgressBar, ProgressStyle};
use relabel::shared::monitor::Monitor;
use relabel::shared::store::Agreement;

use super::args::Global;
use super::output::may_draw;

/// Counts rows.
pub struct Counting {
    bar: ProgressBar,
    stop: Arc<AtomicBool>,
}

impl Counting {
    pub fn new(rows: usize, global: &Global, stop: Arc<AtomicBool>) -> Self {
        let bar = if may_draw() && !global.quiet { ProgressBar::new(rows as u64) } else { ProgressBar::hidden() };
        let style =
            ProgressStyle::with_template("{bar:30} {percent:>3}% {human_pos} of {human_len} images, {eta} to go");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, stop }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Monitor for Counting {
    fn stop_requested(&self) -> bool {
        super::raised(&self.stop)
    }

    fn images_done(&self, labelled: usize, failed: usize, _agreement: Agreement) {
        self.bar.inc((labelled + failed) as u64);
    }
}
