//! What card, Croissant and provenance all say.

use super::places::{Shortened, without_places};
use super::request::Request;
use super::summary::VerdictCounts;
use crate::shared::classes::ClassList;
use crate::shared::store::{RunNote, StoreInfo, StoreStatus};

/// What is known of a release before its files are described.
pub(super) struct Facts<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) info: &'a StoreInfo,
    pub(super) status: &'a StoreStatus,
    pub(super) verdicts: VerdictCounts,
    pub(super) notes: &'a [RunNote],
    /// What the release is called.
    pub(super) name: String,
    /// The teacher's name and its source's, without places of a machine.
    pub(super) teacher: String,
    pub(super) source: String,
    /// The card in force, without places of a machine.
    pub(super) card: serde_json::Map<String, serde_json::Value>,
    /// Ids of the images in the picture.
    pub(super) pictured: Vec<String>,
    pub(super) shortened: &'a [Shortened],
}

impl Facts<'_> {
    /// Whether images are missing.
    pub(super) fn is_partial(&self) -> bool {
        self.status.to_do > 0
    }

    /// The day of the last run, `2026-11-24`.
    pub(super) fn day(&self) -> Option<&str> {
        let last = self.notes.iter().filter_map(|note| note.finished.as_deref()).max()?;
        last.get(..10)
    }

    /// Where it will be on the Hub.
    pub(super) fn address(&self) -> Option<String> {
        self.request.hub_repo.as_ref().map(|repo| format!("https://huggingface.co/datasets/{repo}"))
    }
}

/// A text without places of a machine.
pub(super) fn clean(text: &str) -> String {
    without_places(text).map_or_else(|| text.to_owned(), |(text, _)| text)
}

/// The same for every text in a value.
pub(super) fn clean_value(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;

    match value {
        Value::String(text) => clean(text).into(),
        Value::Array(values) => values.iter().map(clean_value).collect(),
        Value::Object(object) => object
            .iter()
            .map(|(key, value)| (key.clone(), clean_value(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

/// Whether most folders are named as ImageNet's classes are: `n` and eight digits.
pub(super) fn is_filed_as_imagenet(labels: &std::collections::BTreeSet<&str>, classes: &ClassList) -> bool {
    let is_wnid = |label: &str| {
        let digits = label.strip_prefix('n').filter(|digits| digits.len() == 8);
        digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let wnids = labels.iter().filter(|label| is_wnid(label)).count();
    let by_classes = classes.source() == ClassList::IMAGENET_1K && wnids > 0;
    by_classes || (wnids > 0 && wnids * 2 >= labels.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_imagenet_are_known_by_their_names() {
        let is_imagenet =
            |labels: &[&str]| is_filed_as_imagenet(&labels.iter().copied().collect(), &ClassList::unnamed(3));
        assert!(is_imagenet(&["n01440764", "n02123045", "other"]));
        assert!(!is_imagenet(&["cats", "n1", "n0144076x", "dogs"]) && !is_imagenet(&[]));
    }

    #[test]
    fn values_lose_their_places_at_any_depth() {
        let card = serde_json::json!({ "export": ["python /home/me/x.py", 3], "deep": { "at": "/srv/y" } });
        assert_eq!(clean_value(&card), serde_json::json!({ "export": ["python x.py", 3], "deep": { "at": "y" } }));
    }
}
