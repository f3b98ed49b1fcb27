//! Finds out whether the outputs of a classifier are in a different order than its class list.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::Serialize;

use crate::shared::classes::ClassList;

/// Evidence that outputs are not in the order of the class list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassOrderFinding {
    /// The order that fits.
    pub order: OutputOrder,
    /// Fraction of images whose prediction is the folder class by the list.
    pub agreement: f64,
    /// The same in the order that fits; for [`OutputOrder::Unknown`], the fraction of pairs of images of one class with the same
    /// prediction.
    pub agreement_in_order: f64,
    /// Folder classes, and the positions of their predictions.
    pub examples: Vec<ClassOrderExample>,
}

/// A folder class whose images are predicted as another class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ClassOrderExample {
    /// Position of the folder class in the list.
    pub folder_class: u32,
    /// Most common prediction.
    pub predicted: u32,
}

/// Order of outputs relative to a class list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputOrder {
    /// Each output is this many positions after its line.
    Offset(i64),
    /// From the last line to the first.
    Reversed,
    /// Sorted by id.
    SortedIds,
    /// Sorted by name.
    SortedNames,
    /// Sorted by position as text: 0, 1, 10, 100, 101.
    SortedAsText,
    /// Sorted by id as a number.
    SortedNumbers,
    /// Some classes have the outputs of each other.
    Swapped,
    /// Images of one class get the same prediction, but in no known order.
    Unknown,
}

impl fmt::Display for OutputOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offset(by @ 1..) => {
                write!(f, "each output is {by} after its line in the class list: lines are missing at its start, such as a background class")
            }
            Self::Offset(by) => {
                write!(f, "each output is {} before its line in the class list: the list has too many lines at its start, such as a background class", -by)
            }
            Self::Reversed => f.write_str("the outputs are in the reverse order of the class list"),
            Self::SortedIds => f.write_str("the outputs are sorted by class id, the class list is not"),
            Self::SortedNames => f.write_str("the outputs are sorted by class name, the class list is not"),
            Self::SortedAsText => f.write_str("the outputs are sorted by number as text (0, 1, 10, 100), the class list by value"),
            Self::SortedNumbers => f.write_str("the outputs are sorted by number, the class list is not"),
            Self::Swapped => f.write_str("some classes are swapped in the class list"),
            Self::Unknown => f.write_str("images of one class get the same prediction, but not their class: the outputs are in a different order than the class list"),
        }
    }
}

/// Fewest images, and classes among them, that show an order.
const MIN_IMAGES: usize = 8;
const MIN_CLASSES: usize = 3;
/// An order must explain this fraction of the images, and so much more than the class list does.
const MIN_AGREEMENT: f64 = 0.25;
const MIN_GAIN: f64 = 0.2;
const MAX_EXAMPLES: usize = 5;

/// Looks for an order in which predictions agree with folder classes much better than in that of the list. `images` are pairs
/// of folder class and predicted class.
pub(super) fn find(images: &[(u32, u32)], classes: &ClassList) -> Option<ClassOrderFinding> {
    let mut by_class: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for &(folder_class, predicted) in images {
        by_class.entry(folder_class).or_default().push(predicted);
    }
    if images.len() < MIN_IMAGES || by_class.len() < MIN_CLASSES {
        return None;
    }
    let share = |hits: usize| hits as f64 / images.len() as f64;
    let agreement = share(images.iter().filter(|(class, predicted)| class == predicted).count());
    let explains = |found: f64| found >= MIN_AGREEMENT && found - agreement >= MIN_GAIN;
    let finding = |order, agreement_in_order, examples| {
        Some(ClassOrderFinding { order, agreement, agreement_in_order, examples })
    };
    let mut best: Option<(OutputOrder, f64)> = None;
    for (order, outputs) in orders(images, classes) {
        let hits = images.iter().filter(|(class, predicted)| outputs(*class) == i64::from(*predicted)).count();
        if explains(share(hits)) && best.is_none_or(|(_, before)| share(hits) > before) {
            best = Some((order, share(hits)));
        }
    }
    if let Some((order, found)) = best {
        return finding(order, found, examples(&by_class, |class, predicted| class != predicted));
    }
    let swapped = swapped(&by_class);
    if !swapped.is_empty() {
        let corrected = images.iter().filter(|(class, predicted)| {
            swapped.iter().find(|one| one.folder_class == *class).map_or(*class, |one| one.predicted) == *predicted
        });
        return finding(OutputOrder::Swapped, share(corrected.count()), swapped);
    }
    let (mut pairs, mut same) = (0, 0);
    for predictions in by_class.values() {
        for (at, one) in predictions.iter().enumerate() {
            pairs += predictions.len() - at - 1;
            same += predictions[at + 1..].iter().filter(|other| *other == one).count();
        }
    }
    let consistency = same as f64 / pairs.max(1) as f64;
    // Confused classes agree more often than not; a permuted list hardly ever.
    if pairs >= MIN_IMAGES && explains(consistency) && agreement < consistency / 3.0 && !is_constant(images) {
        return finding(OutputOrder::Unknown, consistency, examples(&by_class, |class, predicted| class != predicted));
    }
    None
}

type Outputs = Box<dyn Fn(u32) -> i64>;

/// Returns the known orders, each with the output of a line.
fn orders(images: &[(u32, u32)], classes: &ClassList) -> Vec<(OutputOrder, Outputs)> {
    let count = classes.entries().len();
    let last = count as i64 - 1;
    let mut all: Vec<(OutputOrder, Outputs)> =
        vec![(OutputOrder::Reversed, Box::new(move |class| last - i64::from(class)))];
    if let Some(offset) = common_offset(images) {
        all.push((OutputOrder::Offset(offset), Box::new(move |class| i64::from(class) + offset)));
    }
    let ids: Vec<String> = classes.entries().iter().map(|entry| entry.id.clone()).collect();
    let names: Vec<String> = classes.entries().iter().map(|entry| entry.name.to_lowercase()).collect();
    let numbers: Option<Vec<u64>> = ids.iter().map(|id| id.parse().ok()).collect();
    let as_text: Vec<String> = (0..count).map(|at| at.to_string()).collect();
    all.push((OutputOrder::SortedIds, in_order_of(&ids)));
    all.push((OutputOrder::SortedNames, in_order_of(&names)));
    all.push((OutputOrder::SortedAsText, in_order_of(&as_text)));
    all.extend(numbers.map(|numbers| (OutputOrder::SortedNumbers, in_order_of(&numbers))));
    all
}

/// Returns a function from a line to its rank among sorted keys.
fn in_order_of<K: Ord>(keys: &[K]) -> Outputs {
    let mut sorted: Vec<usize> = (0..keys.len()).collect();
    sorted.sort_by(|one, other| keys[*one].cmp(&keys[*other]));
    let mut ranks = vec![0_i64; keys.len()];
    for (rank, line) in (0..).zip(sorted) {
        ranks[line] = rank;
    }
    Box::new(move |class| ranks.get(class as usize).copied().unwrap_or(-1))
}

/// Returns the most common difference of prediction and folder class, if it is that of several classes.
fn common_offset(images: &[(u32, u32)]) -> Option<i64> {
    let mut classes_of: HashMap<i64, Vec<u32>> = HashMap::new();
    for &(class, predicted) in images.iter().filter(|(class, predicted)| class != predicted) {
        classes_of.entry(i64::from(predicted) - i64::from(class)).or_default().push(class);
    }
    let (offset, mut classes) =
        classes_of.into_iter().max_by_key(|(offset, classes)| (classes.len(), -offset.abs()))?;
    classes.sort_unstable();
    classes.dedup();
    (classes.len() >= MIN_CLASSES).then_some(offset)
}

/// Returns the classes that are predicted as each other: at least three images of each, nearly all of them.
fn swapped(by_class: &BTreeMap<u32, Vec<u32>>) -> Vec<ClassOrderExample> {
    let usual = |class: u32| {
        let predictions = by_class.get(&class).filter(|predictions| predictions.len() >= 3)?;
        let (predicted, hits) = most_common(predictions)?;
        (predicted != class && hits * 5 >= predictions.len() * 4).then_some(predicted)
    };
    let is_swapped = |class: u32| usual(class).filter(|&predicted| usual(predicted) == Some(class));
    let all = by_class
        .keys()
        .filter_map(|&folder_class| Some(ClassOrderExample { folder_class, predicted: is_swapped(folder_class)? }));
    all.collect()
}

fn most_common(predictions: &[u32]) -> Option<(u32, usize)> {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for &predicted in predictions {
        *counts.entry(predicted).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count)
}

/// Returns whether most images get the same prediction, as if the input were useless.
fn is_constant(images: &[(u32, u32)]) -> bool {
    let predictions: Vec<u32> = images.iter().map(|(_, predicted)| *predicted).collect();
    most_common(&predictions).is_some_and(|(_, count)| 2 * count > images.len())
}

fn examples(by_class: &BTreeMap<u32, Vec<u32>>, is_one: impl Fn(u32, u32) -> bool) -> Vec<ClassOrderExample> {
    let all = by_class.iter().filter_map(|(&folder_class, predictions)| {
        let (predicted, count) = most_common(predictions)?;
        Some((count, ClassOrderExample { folder_class, predicted })).filter(|_| is_one(folder_class, predicted))
    });
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    all.into_iter().take(MAX_EXAMPLES).map(|(_, example)| example).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two images for each of 50 classes; every fourth prediction is random.
    fn images(output: impl Fn(u32) -> u32) -> Vec<(u32, u32)> {
        let class = |at: u32| at / 2 * 17 % 1000;
        (0..100).map(|at| (class(at), if at % 4 == 3 { at * 7919 % 1000 } else { output(class(at)) })).collect()
    }

    fn order(images: &[(u32, u32)]) -> Option<OutputOrder> {
        find(images, &ClassList::imagenet_1k()).map(|found| found.order)
    }

    #[test]
    fn known_orders_are_named() {
        assert_eq!(order(&images(|class| class)), None);
        assert_eq!(order(&images(|class| class + 1)), Some(OutputOrder::Offset(1)));
        assert_eq!(order(&images(|class| class.saturating_sub(1))), Some(OutputOrder::Offset(-1)));
        assert_eq!(order(&images(|class| 999 - class)), Some(OutputOrder::Reversed));
        let mut as_text: Vec<String> = (0..1000).map(|at| at.to_string()).collect();
        as_text.sort();
        let rank = |class: u32| as_text.iter().position(|text| *text == class.to_string()).unwrap() as u32;
        assert_eq!(order(&images(rank)), Some(OutputOrder::SortedAsText));
        assert_eq!(order(&images(|class| class * 387 % 1000)), Some(OutputOrder::Unknown));
        let found = find(&images(|class| class + 1), &ClassList::imagenet_1k()).unwrap();
        assert!(found.agreement < 0.05 && found.agreement_in_order > 0.7, "{found:?}");
        assert!(found.examples.iter().all(|one| one.predicted == one.folder_class + 1) && found.examples.len() == 5);
    }

    #[test]
    fn swapped_classes_are_named_and_confused_ones_are_not() {
        let all = |output: &dyn Fn(u32) -> u32| (0..40).map(|at| (at % 4, output(at))).collect::<Vec<_>>();
        let swapped = all(&|at| [1, 0, 2, 3][at as usize % 4]);
        let found = find(&swapped, &ClassList::imagenet_1k()).unwrap();
        assert_eq!((found.order, found.examples.len()), (OutputOrder::Swapped, 2));
        assert!(found.agreement_in_order > 0.99);
        let one_way = all(&|at| [1, 1, 2, 3][at as usize % 4]);
        assert_eq!(order(&one_way), None);
    }

    #[test]
    fn bad_input_is_not_mistaken_for_an_order() {
        assert_eq!(order(&images(|_| 611)), None, "one class for all images");
        assert_eq!(
            order(
                &images(|class| class.wrapping_mul(0x9e37_79b9) % 1000)
                    .into_iter()
                    .map(|(class, predicted)| (class, predicted.wrapping_mul(class + 77) % 1000))
                    .take(7)
                    .collect::<Vec<_>>()
            ),
            None,
            "too few"
        );
        let random: Vec<_> = (0..200_u32).map(|at| (at / 2 % 1000, at.wrapping_mul(2_654_435_761) % 1000)).collect();
        assert_eq!(order(&random), None);
    }
}
