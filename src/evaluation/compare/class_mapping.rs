//! Class ids of one store as those of another one.

use std::collections::HashMap;

use crate::shared::label_map::ImageLabels;
use crate::shared::numbers::thousands;
use crate::shared::store::ClassesInfo;

/// The class ids of the second store as those of the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClassMapping {
    /// Class of the first store by class of the second; `None` if they are the same.
    classes: Option<Vec<u32>>,
}

/// Two class lists do not have the same entries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the class lists differ: `{}` with {} classes in A, `{}` with {} in B{}\n  help: compare stores of teachers with the same \
     classes",
    lists[0], thousands(counts[0]), lists[1], thousands(counts[1]), only_text(only_in)
)]
pub struct ClassListsDiffer {
    /// Names of the lists.
    pub lists: [String; 2],
    /// Numbers of their classes.
    pub counts: [usize; 2],
    /// First class that only one list has.
    pub only_in: [Option<String>; 2],
}

fn only_text(only_in: &[Option<String>; 2]) -> String {
    let only = |(name, store): (&Option<String>, char)| Some(format!("; only in {store}: `{}`", name.as_ref()?));
    only_in.iter().zip(['A', 'B']).filter_map(only).collect()
}

impl ClassMapping {
    /// Matches the classes of two lists by folder, or by name if not all classes have folders of their own.
    ///
    /// # Errors
    /// Returns [`ClassListsDiffer`] if the lists do not have the same entries.
    pub(super) fn new(a: &ClassesInfo, b: &ClassesInfo) -> Result<Self, ClassListsDiffer> {
        if a.ids == b.ids && a.names == b.names {
            return Ok(Self { classes: None });
        }
        let mapped = mapping(&a.ids, &b.ids).or_else(|| mapping(&a.names, &b.names));
        let Some(classes) = mapped else { return Err(ClassListsDiffer::new(a, b)) };
        let is_same = classes.iter().zip(0..).all(|(&class, same)| class == same);
        Ok(Self { classes: (!is_same).then_some(classes) })
    }

    /// Returns labels of the second store with class ids of the first.
    pub(super) fn apply(&self, labels: ImageLabels) -> ImageLabels {
        let Some(classes) = &self.classes else { return labels };
        // A reader returns only class ids of the store.
        let class_of = |class: u32| classes.get(class as usize).copied().unwrap_or(class);
        labels.with_classes(class_of)
    }
}

/// Returns the position in `a` of each entry of `b`; `None` if the entries are not the same, or one is empty or repeated.
fn mapping(a: &[String], b: &[String]) -> Option<Vec<u32>> {
    let (a, b) = (positions(a)?, b);
    let distinct = positions(b)?.len();
    (a.len() == distinct).then(|| b.iter().map(|entry| a.get(entry.as_str()).copied()).collect())?
}

fn positions(entries: &[String]) -> Option<HashMap<&str, u32>> {
    let positions: HashMap<&str, u32> = entries.iter().map(String::as_str).zip(0..).collect();
    (positions.len() == entries.len() && !positions.contains_key("")).then_some(positions)
}

impl ClassListsDiffer {
    fn new(a: &ClassesInfo, b: &ClassesInfo) -> Self {
        let by_ids = positions(&a.ids).is_some() && positions(&b.ids).is_some();
        let entries = |info: &ClassesInfo| if by_ids { info.ids.clone() } else { info.names.clone() };
        let (a_entries, b_entries) = (entries(a), entries(b));
        let only = |here: &[String], there: &[String]| here.iter().find(|entry| !there.contains(entry)).cloned();
        Self {
            lists: [a.list.clone(), b.list.clone()],
            counts: [a.count, b.count],
            only_in: [only(&a_entries, &b_entries), only(&b_entries, &a_entries)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(&str, &str)]) -> ClassesInfo {
        ClassesInfo {
            list: "test.txt".into(),
            count: entries.len(),
            ids: entries.iter().map(|(id, _)| (*id).to_owned()).collect(),
            names: entries.iter().map(|(_, name)| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn classes_are_matched_by_folder_then_by_name() {
        let a = list(&[("n1", "cat"), ("n2", "crane"), ("n3", "crane")]);
        let other_order = list(&[("n3", "a crane"), ("n1", "cat"), ("n2", "the other crane")]);
        assert_eq!(ClassMapping::new(&a, &a).unwrap().classes, None);
        assert_eq!(ClassMapping::new(&a, &other_order).unwrap().classes, Some(vec![2, 0, 1]));
        let same_folders = list(&[("n1", "tabby"), ("n2", "crane"), ("n3", "crane")]);
        assert_eq!(ClassMapping::new(&a, &same_folders).unwrap().classes, None, "only names differ");
        let (by_folder, by_name) = (list(&[("n1", "cat"), ("n2", "dog")]), list(&[("dog", "dog"), ("cat", "cat")]));
        assert_eq!(ClassMapping::new(&by_folder, &by_name).unwrap().classes, Some(vec![1, 0]));
    }

    #[test]
    fn other_classes_are_refused_with_an_example_of_each() {
        let refusal = |b: &ClassesInfo| ClassMapping::new(&list(&[("n1", "cat"), ("n2", "dog")]), b).unwrap_err();
        let other = refusal(&list(&[("n1", "cat"), ("n9", "eel"), ("n8", "bee")])).to_string();
        let wanted = "2 classes in A, `test.txt` with 3 in B; only in A: `n2`; only in B: `n9`";
        assert!(other.contains(wanted), "{other}");
        let unnamed = list(&[("", "class 0"), ("", "class 1")]);
        assert_eq!(refusal(&unnamed).only_in, [Some("cat".into()), Some("class 0".into())]);
        assert_eq!(ClassMapping::new(&unnamed, &unnamed).unwrap().classes, None);
    }
}
