//! Two signs that something is wrong with a run: too many images fail, or the teacher hardly ever agrees with the folder
//! classes.

use super::job::FailureLimit;
use crate::shared::error::Error;
use crate::shared::monitor::Monitor;
use crate::shared::store::{Agreement, FailedImage};

/// Counts failures and compares them with the limit.
pub(super) struct FailureCounter {
    limit: FailureLimit,
    in_a_row: usize,
    in_all: usize,
}

impl FailureCounter {
    pub(super) fn new(limit: FailureLimit) -> Self {
        Self { limit, in_a_row: 0, in_all: 0 }
    }

    /// Counts the next image of the manifest, and its failure if it failed.
    ///
    /// # Errors
    /// Returns [`Error::TooManyFailures`] if the limit is reached.
    pub(super) fn count(&mut self, failed: Option<&FailedImage>) -> Result<(), Error> {
        let Some(failed) = failed else {
            self.in_a_row = 0;
            return Ok(());
        };
        self.in_a_row += 1;
        self.in_all += 1;
        let (count, in_a_row) = match self.limit {
            FailureLimit::InARow(limit) if self.in_a_row >= limit => (self.in_a_row, true),
            FailureLimit::InAll(limit) if self.in_all > limit => (self.in_all, false),
            _ => return Ok(()),
        };
        Err(Error::TooManyFailures { count, in_a_row, path: failed.path.clone(), error: failed.error.clone() })
    }
}

/// Number of compared images from which on the share of agreement is meaningful.
const AGREEMENT_IMAGES: usize = 500;
/// Percentage of agreement below which the teacher's input is probably prepared wrongly.
const LOW_AGREEMENT_PERCENT: f64 = 1.0;

/// Reports once if the teacher hardly ever agrees with the folder classes.
#[derive(Default)]
pub(super) struct AgreementCheck {
    agreement: Agreement,
    is_reported: bool,
}

impl AgreementCheck {
    pub(super) fn add(&mut self, more: Agreement, classes: usize, monitor: &dyn Monitor) {
        self.agreement.add(more);
        let chance_percent = 100.0 / classes.max(1) as f64;
        let low = self.agreement.percent(self.agreement.top1) < LOW_AGREEMENT_PERCENT;
        if !self.is_reported
            && self.agreement.compared >= AGREEMENT_IMAGES
            && low
            && chance_percent < LOW_AGREEMENT_PERCENT
        {
            self.is_reported = true;
            monitor.low_agreement(self.agreement);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::error::{ImageError, ImageErrorKind};

    /// Returns the number of images of a pattern (`x` fails) after which a limit stops the run.
    fn stops_after(limit: FailureLimit, pattern: &str) -> Option<usize> {
        let error = ImageError { kind: ImageErrorKind::Unreadable, reason: "gone".into() };
        let failed = FailedImage { row: 0, id: "a".into(), path: "a.jpg".into(), error };
        let mut counter = FailureCounter::new(limit);
        pattern.chars().position(|image| counter.count((image == 'x').then_some(&failed)).is_err()).map(|at| at + 1)
    }

    #[test]
    fn limits_count_in_a_row_or_in_all() {
        assert_eq!(stops_after(FailureLimit::InARow(3), "xx.xx.xxx.x"), Some(9));
        assert_eq!(stops_after(FailureLimit::InARow(3), "xx.xx.xx"), None);
        assert_eq!(stops_after(FailureLimit::InAll(3), "x.x.x.x.x"), Some(7));
        assert_eq!(stops_after(FailureLimit::InAll(0), "..x"), Some(3));
        assert_eq!(stops_after(FailureLimit::Never, "xxxxxxxxxxx"), None);
    }
}
