//! `SOURCE_TERMS.md`: what the publisher states about the licence of the images.

use std::collections::BTreeSet;

use crate::shared::classes::ClassList;

/// Name of the file.
pub(super) const SOURCE_TERMS: &str = "SOURCE_TERMS.md";

/// Returns the content of `SOURCE_TERMS.md`.
pub(super) fn source_terms(stated: Option<&str>, is_imagenet: bool) -> String {
    let mut page = "# Licence of the images\n\nThe images that this release describes are not part of it. \
                    This page contains what the publisher states about their licence or terms of use. It is not legal \
                    advice.\n\n"
        .to_owned();
    page += &match stated {
        Some(statement) => format!("{}\n", statement.trim_end()),
        None => {
            "**Not stated.** The publisher did not state under which licence or terms the images may be used. Ask the \
                 distributor of the images.\n"
                .to_owned()
        }
    };
    if is_imagenet {
        page += "\n## ImageNet\n\nThe image folders are named like ImageNet classes. If the images are from ImageNet, \
                 ImageNet's terms of access apply, which restrict their use to non-commercial research and education: \
                 <https://image-net.org/download>\n";
    }
    page
}

/// Returns whether most folder classes are named like ImageNet's: `n` and eight digits.
pub(super) fn has_imagenet_folders(folder_classes: &BTreeSet<&str>, classes: &ClassList) -> bool {
    let is_wnid = |name: &str| {
        let digits = name.strip_prefix('n').filter(|digits| digits.len() == 8);
        digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let wnids = folder_classes.iter().filter(|name| is_wnid(name)).count();
    let by_classes = classes.source() == ClassList::IMAGENET_1K && wnids > 0;
    by_classes || (wnids > 0 && wnids * 2 >= folder_classes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imagenet_folders_are_recognised_by_name() {
        let is_imagenet =
            |names: &[&str]| has_imagenet_folders(&names.iter().copied().collect(), &ClassList::unnamed(3));
        assert!(is_imagenet(&["n01440764", "n02123045", "other"]));
        assert!(!is_imagenet(&["cats", "n1", "n0144076x", "dogs"]) && !is_imagenet(&[]));
    }

    #[test]
    fn statement_is_included_or_reported_as_missing() {
        assert!(source_terms(None, false).contains("**Not stated.**"));
        let stated = source_terms(Some("Ask me."), true);
        assert!(stated.contains("Ask me.") && stated.contains("image-net.org") && !stated.contains("Not stated"));
    }
}
