//! Figures of labels of crops.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::label_kind::LabelKind;
use crate::shared::digest::Digest;
use crate::shared::tiles::Covering;

/// Comparison of labels of crops with the teacher's prediction for the crop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CropFidelity {
    /// Number of images.
    pub images: usize,
    /// Number of crops.
    pub crops: usize,
    /// Seed of images and crops; `None` for crops from a file.
    pub seed: Option<u64>,
    /// SHA-256 of the file of boxes.
    pub boxes_sha256: Option<Digest>,
    /// SHA-256 of the teacher that was run on the crops.
    pub teacher_sha256: Digest,
    /// SHA-256 of the store's `pooling.json`; `None` if the store was not calibrated.
    #[serde(default)]
    pub pooling_sha256: Option<Digest>,
    /// Number of tiles of each image.
    #[serde(default)]
    pub tile_count: usize,
    /// Figures of each kind of label.
    #[serde(flatten)]
    pub labels: FidelityByKind,
    /// Figures of [`LabelKind::Tiles`] with the tiles of a named covering only, by name. Only coverings that are a part of the
    /// store's tiles are listed.
    #[serde(default)]
    pub coverings: BTreeMap<String, Fidelity>,
}

/// Figures of each kind of label; there are none of kinds that the store does not have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FidelityByKind {
    kinds: [Option<Fidelity>; LabelKind::COUNT],
}

/// Agreement of one kind of label with the teacher's prediction for the crop: means over crops, and standard errors, for
/// which the crops of an image count as one observation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fidelity {
    /// Fraction of crops with the same best class.
    pub top1: f64,
    /// Standard error of `top1`.
    pub top1_standard_error: Option<f64>,
    /// Kullback-Leibler divergence of the label from the teacher's prediction, in nats; `None` if it is infinite.
    pub kl: Option<f64>,
    /// Standard error of `kl`.
    pub kl_standard_error: Option<f64>,
    /// Total variation distance, 0 to 1.
    pub tv: f64,
    /// Standard error of `tv`.
    pub tv_standard_error: Option<f64>,
    /// The same figures by the area of the crop.
    pub by_area: Vec<AreaFidelity>,
}

/// Figures of the crops in one range of areas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AreaFidelity {
    /// From and to, as fractions of the image.
    pub area: [f64; 2],
    /// Number of crops.
    pub crops: usize,
    /// See [`Fidelity::top1`]; `None` without crops, as are all figures.
    pub top1: Option<f64>,
    /// See [`Fidelity::top1_standard_error`].
    pub top1_standard_error: Option<f64>,
    /// See [`Fidelity::kl`].
    pub kl: Option<f64>,
    /// See [`Fidelity::kl_standard_error`].
    pub kl_standard_error: Option<f64>,
    /// See [`Fidelity::tv`].
    pub tv: Option<f64>,
    /// See [`Fidelity::tv_standard_error`].
    pub tv_standard_error: Option<f64>,
}

impl CropFidelity {
    /// Returns the figures of the coverings, from few tiles to many, with the number of tiles of each. The last entry, which has
    /// no name, is [`LabelKind::Tiles`]: all tiles of the store.
    #[must_use]
    pub fn coverings(&self) -> Vec<(Option<&'static str>, usize, &Fidelity)> {
        let named = Covering::ALL.iter().filter_map(|&(name, covering)| {
            let fidelity = self.coverings.get(name)?;
            Some((Some(name), covering.boxes().len(), fidelity))
        });
        let all = self.labels.get(LabelKind::Tiles).map(|all| (None, self.tile_count, all));
        named.chain(all).collect()
    }
}

impl FidelityByKind {
    /// Returns the figures of a kind of label, if the store has it.
    #[must_use]
    pub fn get(&self, kind: LabelKind) -> Option<&Fidelity> {
        self.kinds[kind as usize].as_ref()
    }

    /// Returns the figures of a kind of label, to be changed.
    pub fn get_mut(&mut self, kind: LabelKind) -> &mut Option<Fidelity> {
        &mut self.kinds[kind as usize]
    }

    /// Returns the figures that there are, in the order of [`LabelKind::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (LabelKind, &Fidelity)> {
        LabelKind::ALL.into_iter().zip(&self.kinds).filter_map(|(kind, fidelity)| Some((kind, fidelity.as_ref()?)))
    }
}

impl FromIterator<(LabelKind, Fidelity)> for FidelityByKind {
    fn from_iter<I: IntoIterator<Item = (LabelKind, Fidelity)>>(figures: I) -> Self {
        let mut found = Self::default();
        for (kind, fidelity) in figures {
            *found.get_mut(kind) = Some(fidelity);
        }
        found
    }
}

impl Serialize for FidelityByKind {
    /// Writes one key for each kind; null without figures.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(LabelKind::COUNT))?;
        for (kind, fidelity) in LabelKind::ALL.into_iter().zip(&self.kinds) {
            map.serialize_entry(kind.name(), fidelity)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for FidelityByKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(KindVisitor)
    }
}

/// Reads the keys that are names of kinds. Other keys belong to other fields, or to later versions.
struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = FidelityByKind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("figures of kinds of labels")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FidelityByKind, A::Error> {
        let mut found = FidelityByKind::default();
        while let Some(key) = map.next_key::<String>()? {
            match LabelKind::from_name(&key) {
                Some(kind) => *found.get_mut(kind) = map.next_value()?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        // Every store has predictions.
        if found.get(LabelKind::Image).is_none() {
            return Err(serde::de::Error::missing_field(LabelKind::Image.name()));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::shared::digest::digest_bytes;

    fn figures(tv: f64) -> Fidelity {
        Fidelity {
            top1: 0.1 + tv,
            top1_standard_error: None,
            kl: Some(0.3),
            kl_standard_error: Some(0.1),
            tv,
            tv_standard_error: None,
            by_area: Vec::new(),
        }
    }

    #[test]
    fn documents_of_earlier_and_later_versions_are_read() {
        let one = json!(figures(0.1));
        let earlier = json!({
            "images": 2, "crops": 4, "seed": null, "boxes_sha256": null, "teacher_sha256": digest_bytes(b"net"),
            "pooled": one, "image": figures(0.2), "folder": null, "swapped": one, "rest": null,
        });
        let read: CropFidelity = serde_json::from_value(earlier.clone()).unwrap();
        assert_eq!((read.tile_count, &read.pooling_sha256, read.coverings.len()), (0, &None, 0));
        let kinds: Vec<LabelKind> = read.labels.iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [LabelKind::Pooled, LabelKind::Image, LabelKind::Swapped]);
        assert_eq!(read.labels.get(LabelKind::Image), Some(&figures(0.2)));
        // What is written contains all keys of the earlier version, with equal values.
        let written = json!(read);
        for (key, value) in earlier.as_object().unwrap() {
            assert_eq!(&written[key], value, "{key}");
        }
        assert_eq!(written["calibrated"], Value::Null);
        let mut later = written.clone();
        later["a later kind"] = json!({"top1": "unknown"});
        assert_eq!(serde_json::from_value::<CropFidelity>(later).unwrap(), read);
        let mut damaged = written;
        damaged["image"] = Value::Null;
        let problem = serde_json::from_value::<CropFidelity>(damaged).unwrap_err().to_string();
        assert!(problem.contains("missing field `image`"), "{problem}");
    }

    #[test]
    fn coverings_are_listed_by_their_number_of_tiles() {
        let mut found = CropFidelity {
            images: 1,
            crops: 1,
            seed: Some(0),
            boxes_sha256: None,
            teacher_sha256: digest_bytes(b"net"),
            pooling_sha256: None,
            tile_count: 13,
            labels: [(LabelKind::Image, figures(0.5)), (LabelKind::Tiles, figures(0.1))].into_iter().collect(),
            coverings: ["9", "4", "of a later version"].map(|name| (name.to_owned(), figures(0.2))).into(),
        };
        let listed = |found: &CropFidelity| found.coverings().iter().map(|of| (of.0, of.1)).collect::<Vec<_>>();
        assert_eq!(listed(&found), [(Some("4"), 4), (Some("9"), 9), (None, 13)]);
        assert_eq!(serde_json::from_value::<CropFidelity>(json!(found)).unwrap(), found);
        *found.labels.get_mut(LabelKind::Tiles) = None;
        found.coverings.clear();
        assert!(listed(&found).is_empty());
    }
}
