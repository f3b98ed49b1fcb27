//! The metadata that the dataset card, `croissant.json` and `provenance.json` share.

use super::private_text::Redaction;
use super::publish_options::PublishOptions;
use super::published_calibration::PublishedCalibration;
use super::published_evaluation::PublishedEvaluation;
use super::published_tiles::PublishedTiles;
use super::summary::VerdictCounts;
use crate::shared::store::{RunNote, StoreInfo, StoreStatus};

/// Metadata of a release.
pub(super) struct ReleaseMetadata<'a> {
    pub(super) options: &'a PublishOptions<'a>,
    pub(super) info: &'a StoreInfo,
    pub(super) status: &'a StoreStatus,
    pub(super) verdicts: VerdictCounts,
    pub(super) notes: &'a [RunNote],
    /// Name of the release.
    pub(super) name: String,
    /// Name of the teacher, without private text.
    pub(super) teacher: String,
    /// Name of the source, without private text.
    pub(super) source: String,
    /// The teacher card in effect, without private text.
    pub(super) teacher_card: serde_json::Map<String, serde_json::Value>,
    /// Ids of the images in the picture.
    pub(super) pictured: Vec<String>,
    pub(super) redactions: &'a [Redaction],
    pub(super) evaluation: Option<PublishedEvaluation>,
    /// Tiles of the store, without private text.
    pub(super) tiles: Option<PublishedTiles>,
    /// The calibration of the store.
    pub(super) calibration: Option<PublishedCalibration>,
}

impl ReleaseMetadata<'_> {
    /// Whether shards are missing.
    pub(super) fn is_partial(&self) -> bool {
        self.status.to_do > 0
    }

    /// Whether the store has label maps.
    pub(super) fn has_maps(&self) -> bool {
        self.info.map_size.is_some()
    }

    /// Date on which the last run finished, such as `2026-11-24`.
    pub(super) fn date(&self) -> Option<&str> {
        let last = self.notes.iter().filter_map(|note| note.finished.as_deref()).max()?;
        last.get(..10)
    }

    /// URL on the Hub.
    pub(super) fn hub_url(&self) -> Option<String> {
        self.options.hub_repo.as_ref().map(|repo| format!("https://huggingface.co/datasets/{repo}"))
    }
}
