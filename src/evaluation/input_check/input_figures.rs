//! What was found out about the input of a classifier.

use serde::Serialize;

use super::class_order::ClassOrderFinding;
use super::normalisations;
use super::preparation::{Framing, InputPreparation, Resampling};
use crate::evaluation::evaluation_file::Estimate;
use crate::labelling::pixels::{ExifOrientation, Filter};
use crate::labelling::teacher::card::ChannelOrder;
use crate::shared::geometry::InputSize;

/// Whether a teacher gets its input as it was trained.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InputCheck {
    /// Number of images.
    pub images: usize,
    /// Number of folder classes among them.
    pub folder_classes: usize,
    /// What alternatives are ranked by.
    pub evidence: Evidence,
    /// Number of alternatives that were tried, with the card in force.
    pub tried: usize,
    /// Whether no alternative that a card can describe is clearly better than the card in force, and there is enough
    /// evidence to say so.
    pub card_is_best: bool,
    /// Whether the predictions, with any input, agree with the folder classes more often than by chance. True without folder
    /// classes.
    pub is_above_chance: bool,
    /// The alternative that is clearly better than the card in force.
    pub better_card: Option<BetterCard>,
    /// Evidence that the outputs are in a different order than the class list.
    pub class_order: Option<ClassOrderFinding>,
    /// All alternatives, the best first. They were tried on different numbers of images.
    pub alternatives: Vec<AlternativeFigures>,
}

impl InputCheck {
    /// Returns whether there are enough images to tell whether predictions are better than chance.
    #[must_use]
    pub fn has_enough_images(&self) -> bool {
        self.images >= 10
    }
}

/// What alternatives are ranked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// Log-probability of the folder class.
    FolderClass,
    /// Information of the prediction: its divergence from the mean prediction of all images. Weaker evidence.
    Information,
}

/// Figures of one alternative.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlternativeFigures {
    /// How it differs from the card in force.
    pub name: String,
    /// Whether a card can describe it.
    pub fits_a_card: bool,
    /// How the input was prepared.
    pub input: PreparedInput,
    /// Number of images that it was tried on.
    pub images: usize,
    /// Fraction of images whose best class is the folder class.
    pub agreement: Option<Estimate>,
    /// Mean probability of the best class.
    pub confidence: Estimate,
    /// Mean log-probability of the folder class, or mean information without folder classes, in nats.
    pub score: Estimate,
    /// Mean over the same images of its score minus that of the card in force.
    pub gain: Estimate,
    /// Compared with the card in force.
    pub verdict: AlternativeVerdict,
}

/// An alternative compared with the card in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlternativeVerdict {
    /// It is the card in force.
    Card,
    /// Clearly better.
    Better,
    /// Clearly worse.
    Worse,
    /// The difference is within the error, or too small to matter.
    Similar,
}

/// A preparation in the words of a card, and what no card can describe.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PreparedInput {
    /// Input height and width in pixels.
    pub input_size: InputSize,
    /// Mean of x/255 in channel order.
    pub mean: [f64; 3],
    /// Standard deviation of x/255 in channel order.
    pub std: [f64; 3],
    /// Filter.
    pub filter: Filter,
    /// Channel order.
    pub channel_order: ChannelOrder,
    /// EXIF orientation.
    pub exif_orientation: ExifOrientation,
    /// Whether the resize is antialiased, as cards describe it.
    pub antialias: bool,
    /// Ratio of a centre crop; `None` if the entire image is used, as labels need it.
    pub centre_crop: Option<f64>,
}

/// An alternative that is clearly better than the card in force.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BetterCard {
    /// How it differs from the card in force.
    pub name: String,
    /// The lines of a card that differ, as TOML.
    pub lines: String,
    /// See [`AlternativeFigures::agreement`].
    pub agreement: Option<Estimate>,
    /// The same of the card in force.
    pub agreement_of_card: Option<Estimate>,
    /// See [`AlternativeFigures::gain`].
    pub gain: Estimate,
    /// Names of the alternatives that are better as well, and that these images cannot tell from it.
    pub not_told_apart: Vec<String>,
}

impl PreparedInput {
    pub(super) fn new(preparation: &InputPreparation) -> Self {
        let (filter, antialias) = match preparation.resampling {
            Resampling::Pil(filter) => (filter, true),
            Resampling::PlainBilinear => (Filter::Bilinear, false),
        };
        Self {
            input_size: preparation.size,
            mean: preparation.normalisation.mean,
            std: preparation.normalisation.std,
            filter,
            channel_order: preparation.normalisation.channel_order,
            exif_orientation: preparation.exif_orientation,
            antialias,
            centre_crop: match preparation.framing {
                Framing::Squash => None,
                Framing::CentreCrop { ratio } => Some(ratio),
            },
        }
    }
}

/// Describes how a preparation differs from that of the card.
pub(super) fn difference_from_card(preparation: &InputPreparation, card: &InputPreparation) -> String {
    let mut parts = Vec::new();
    if preparation.normalisation != card.normalisation {
        parts.push(normalisations::describe(&preparation.normalisation));
    }
    if preparation.size != card.size {
        parts.push(format!("input size {}", preparation.size));
    }
    if preparation.resampling != card.resampling {
        parts.push(match preparation.resampling {
            Resampling::Pil(filter) => format!("filter {filter}"),
            Resampling::PlainBilinear => "bilinear without antialiasing".to_owned(),
        });
    }
    if preparation.exif_orientation != card.exif_orientation {
        parts.push(match preparation.exif_orientation {
            ExifOrientation::Apply => "EXIF orientation applied".to_owned(),
            ExifOrientation::Ignore => "EXIF orientation ignored".to_owned(),
        });
    }
    if let Framing::CentreCrop { ratio } = preparation.framing {
        parts.push(format!("centre crop {ratio}"));
    }
    if parts.is_empty() { "card in force".to_owned() } else { parts.join("; ") }
}

/// Returns how many mistakes would explain a different card: swapped channels are one.
pub(super) fn mistakes(preparation: &InputPreparation, card: &InputPreparation) -> usize {
    let normalisation = if preparation.normalisation == card.normalisation {
        0
    } else if preparation.normalisation == normalisations::with_other_order(&card.normalisation) {
        1
    } else {
        2 + usize::from(preparation.normalisation.channel_order != card.normalisation.channel_order)
    };
    normalisation
        + usize::from(preparation.size != card.size)
        + usize::from(preparation.resampling != card.resampling)
        + usize::from(preparation.exif_orientation != card.exif_orientation)
}

/// Returns the lines of a card that differ, as TOML.
pub(super) fn card_lines(preparation: &InputPreparation, card: &InputPreparation) -> String {
    let (new, old) = (PreparedInput::new(preparation), PreparedInput::new(card));
    let mut lines = String::new();
    if new.input_size != old.input_size {
        lines += &format!("input_size = [{}, {}]\n", new.input_size.height_pixels(), new.input_size.width_pixels());
    }
    if preparation.normalisation != card.normalisation {
        let values = |values: [f64; 3]| values.map(decimal).join(", ");
        lines += &format!("mean = [{}]\nstd = [{}]\n", values(new.mean), values(new.std));
        lines += match new.channel_order {
            ChannelOrder::Rgb => "channel_order = \"rgb\"\n",
            ChannelOrder::Bgr => "channel_order = \"bgr\"\n",
        };
    }
    if new.filter != old.filter {
        lines += &format!("filter = \"{}\"\n", new.filter);
    }
    if new.exif_orientation != old.exif_orientation {
        lines += match new.exif_orientation {
            ExifOrientation::Apply => "exif_orientation = \"apply\"\n",
            ExifOrientation::Ignore => "exif_orientation = \"ignore\"\n",
        };
    }
    lines
}

/// Returns a number with at most eight decimals, and at least one.
fn decimal(value: f64) -> String {
    let text = format!("{value:.8}");
    let text = text.trim_end_matches('0');
    if text.ends_with('.') { format!("{text}0") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labelling::teacher::{CardValues, Normalisation};

    #[test]
    fn lines_of_a_better_card_are_valid_and_only_those_that_differ() {
        let normalisation = Normalisation { mean: [0.5; 3], std: [1.0; 3], channel_order: ChannelOrder::Rgb };
        let card = InputPreparation {
            exif_orientation: ExifOrientation::Ignore,
            framing: Framing::Squash,
            size: InputSize::new(224, 256).unwrap(),
            resampling: Resampling::Pil(Filter::Bilinear),
            normalisation,
        };
        assert_eq!(
            (card_lines(&card, &card).as_str(), difference_from_card(&card, &card).as_str()),
            ("", "card in force")
        );
        let bytes = Normalisation { std: [1.0 / 255.0; 3], channel_order: ChannelOrder::Bgr, ..normalisation };
        let other = InputPreparation {
            exif_orientation: ExifOrientation::Apply,
            resampling: Resampling::Pil(Filter::Box),
            normalisation: bytes,
            ..card
        };
        let lines = card_lines(&other, &card);
        let values = CardValues::from_toml(&lines).unwrap();
        assert_eq!((values.mean, values.channel_order), (Some([0.5; 3]), Some(ChannelOrder::Bgr)));
        assert!((values.std.unwrap()[0] - 1.0 / 255.0).abs() < 1e-8 && values.input_size.is_none(), "{lines}");
        assert_eq!((values.filter, values.exif_orientation), (Some(Filter::Box), Some(ExifOrientation::Apply)));
        assert_eq!((mistakes(&other, &card), mistakes(&card, &card)), (5, 0));
        let swapped = normalisations::with_other_order(&normalisation);
        assert_eq!(mistakes(&InputPreparation { normalisation: swapped, ..card }, &card), 1);
        let name = difference_from_card(&other, &card);
        assert!(name.contains("bgr; filter box; EXIF orientation applied"), "{name}");
    }
}
