//! Normalisations that published classifiers use, or get by mistake.

use crate::labelling::teacher::Normalisation;
use crate::labelling::teacher::card::ChannelOrder;

/// A normalisation with its name. Values are in the order red, green, blue.
struct NamedNormalisation {
    name: &'static str,
    mean: [f64; 3],
    std: [f64; 3],
}

const MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const STD: [f64; 3] = [0.229, 0.224, 0.225];
/// Values are divided by 255 before the mean is subtracted, so this multiplies them again.
const BYTE: f64 = 1.0 / 255.0;

const fn squared(values: [f64; 3]) -> [f64; 3] {
    [values[0] * values[0], values[1] * values[1], values[2] * values[2]]
}

const fn mean_twice() -> [f64; 3] {
    [MEAN[0] + MEAN[0] * STD[0], MEAN[1] + MEAN[1] * STD[1], MEAN[2] + MEAN[2] * STD[2]]
}

const NORMALISATIONS: [NamedNormalisation; 10] = [
    NamedNormalisation { name: "ImageNet mean and std", mean: MEAN, std: STD },
    NamedNormalisation { name: "-1..1", mean: [0.5; 3], std: [0.5; 3] },
    NamedNormalisation { name: "0..1", mean: [0.0; 3], std: [1.0; 3] },
    NamedNormalisation { name: "0..255", mean: [0.0; 3], std: [BYTE; 3] },
    NamedNormalisation {
        name: "Caffe (0..255 minus mean)",
        mean: [123.68 / 255.0, 116.779 / 255.0, 103.939 / 255.0],
        std: [BYTE; 3],
    },
    NamedNormalisation {
        name: "CLIP mean and std",
        mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
        std: [0.268_629_54, 0.261_302_58, 0.275_777_11],
    },
    NamedNormalisation { name: "ImageNet mean, std 1", mean: MEAN, std: [1.0; 3] },
    NamedNormalisation { name: "-0.5..0.5", mean: [0.5; 3], std: [1.0; 3] },
    NamedNormalisation { name: "ImageNet, divided by std twice", mean: MEAN, std: squared(STD) },
    NamedNormalisation { name: "ImageNet, normalised twice", mean: mean_twice(), std: squared(STD) },
];

/// Returns all alternatives to the normalisation of the card: its own values with the other channel order, and every known
/// normalisation in both.
pub(super) fn alternatives(card: &Normalisation) -> Vec<Normalisation> {
    let mut found = vec![*card, with_other_order(card)];
    for channel_order in [card.channel_order, other(card.channel_order)] {
        for known in &NORMALISATIONS {
            let candidate = known.in_order(channel_order);
            if !found.iter().any(|other| is_near(other, &candidate)) {
                found.push(candidate);
            }
        }
    }
    found.remove(0);
    found
}

/// Describes a normalisation: by its name if it has one.
pub(super) fn describe(normalisation: &Normalisation) -> String {
    let order = match normalisation.channel_order {
        ChannelOrder::Rgb => "rgb",
        ChannelOrder::Bgr => "bgr",
    };
    let known =
        NORMALISATIONS.iter().find(|known| is_near(&known.in_order(normalisation.channel_order), normalisation));
    match known {
        Some(known) => format!("{}, {order}", known.name),
        None => format!("mean {:?}, std {:?}, {order}", normalisation.mean, normalisation.std),
    }
}

/// Swaps red and blue. Each colour keeps its mean and standard deviation.
pub(super) fn with_other_order(normalisation: &Normalisation) -> Normalisation {
    let reversed = |values: [f64; 3]| [values[2], values[1], values[0]];
    Normalisation {
        mean: reversed(normalisation.mean),
        std: reversed(normalisation.std),
        channel_order: other(normalisation.channel_order),
    }
}

fn other(order: ChannelOrder) -> ChannelOrder {
    match order {
        ChannelOrder::Rgb => ChannelOrder::Bgr,
        ChannelOrder::Bgr => ChannelOrder::Rgb,
    }
}

/// Returns whether no image could tell them apart: all input values differ by less than 2 % of their range.
fn is_near(one: &Normalisation, two: &Normalisation) -> bool {
    let ends =
        |from: &Normalisation, channel: usize| [0.0, 1.0].map(|value| (value - from.mean[channel]) / from.std[channel]);
    one.channel_order == two.channel_order
        && (0..3).all(|channel| {
            let range = 1.0 / one.std[channel].min(two.std[channel]);
            let pairs = ends(one, channel).into_iter().zip(ends(two, channel));
            pairs.into_iter().all(|(a, b)| (a - b).abs() < 0.02 * range)
        })
}

impl NamedNormalisation {
    fn in_order(&self, channel_order: ChannelOrder) -> Normalisation {
        let rgb = Normalisation { mean: self.mean, std: self.std, channel_order: ChannelOrder::Rgb };
        match channel_order {
            ChannelOrder::Rgb => rgb,
            ChannelOrder::Bgr => with_other_order(&rgb),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_is_not_among_its_alternatives() {
        let card =
            Normalisation { mean: [127.0 / 255.0; 3], std: [128.0 / 255.0; 3], channel_order: ChannelOrder::Rgb };
        let names: Vec<_> = alternatives(&card).iter().map(describe).collect();
        assert_eq!(names.len(), 19, "{names:?}");
        assert!(!names.contains(&"-1..1, rgb".to_owned()) && names.contains(&"-1..1, bgr".to_owned()), "{names:?}");
        let own = Normalisation { mean: [0.1, 0.2, 0.3], std: [0.4, 0.5, 0.6], channel_order: ChannelOrder::Bgr };
        let all = alternatives(&own);
        assert_eq!(all.len(), 21);
        assert_eq!((all[0].mean, all[0].channel_order), ([0.3, 0.2, 0.1], ChannelOrder::Rgb));
        assert!(describe(&own).starts_with("mean [0.1, 0.2, 0.3]"), "{}", describe(&own));
    }

    #[test]
    fn values_of_bgr_cards_are_in_channel_order() {
        let card = Normalisation { mean: [0.5; 3], std: [0.5; 3], channel_order: ChannelOrder::Rgb };
        let caffe =
            alternatives(&card).into_iter().find(|one| describe(one) == "Caffe (0..255 minus mean), bgr").unwrap();
        assert!((caffe.mean[0] * 255.0 - 103.939).abs() < 1e-9 && caffe.mean.iter().all(|&mean| mean <= 2.0));
    }
}
