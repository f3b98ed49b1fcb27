//! What the labels are under, and what is said of the images' source. Nothing here is guessed, and nothing concluded.

/// What the publisher puts the labels under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Licence {
    /// One that the Hugging Face Hub has an id for.
    Known {
        /// Which.
        licence: &'static KnownLicence,
        /// `-only` or `-or-later` of the GNU licences, which the Hub does not tell apart; else nothing.
        versions: &'static str,
    },
    /// Another one, by the name that was given.
    Named(String),
    /// The text of a file, and a name for it.
    Text {
        /// Made of the file's name.
        name: String,
        /// All of the text.
        text: String,
    },
}

/// A licence that the Hub has an id for.
#[derive(Debug, PartialEq, Eq)]
pub struct KnownLicence {
    /// The Hub's id.
    pub id: &'static str,
    /// Its short name on SPDX's list; empty where it is not on it, or several are.
    pub spdx: &'static str,
}

impl Licence {
    /// A licence by its id: the Hub's or SPDX's, in any case.
    ///
    /// # Errors
    /// In words, when it names none.
    pub fn of_id(id: &str) -> Result<Self, String> {
        let wanted = id.trim().to_ascii_lowercase();
        if wanted.is_empty() || ["other", "unknown", "none"].contains(&wanted.as_str()) {
            return Err(format!(
                "`{id}` names no licence: give an id such as CC-BY-4.0, or a file with the licence's text"
            ));
        }
        if id.chars().any(char::is_control) || id.contains(['/', '\\']) {
            return Err(format!("there is no file {id}, and it is no id of a licence either"));
        }
        let versions =
            ["-only", "-or-later"].into_iter().find(|versions| wanted.ends_with(versions)).unwrap_or_default();
        let plain = &wanted[..wanted.len() - versions.len()];
        let is_meant = |licence: &&KnownLicence| {
            let is_named = plain == licence.id || licence.spdx.eq_ignore_ascii_case(plain);
            is_named && (versions.is_empty() || licence.spdx.contains("GPL"))
        };
        let known = KNOWN.iter().find(is_meant).map(|licence| Self::Known { licence, versions });
        Ok(known.unwrap_or_else(|| Self::Named(id.trim().to_owned())))
    }

    /// The text of a file.
    ///
    /// # Errors
    /// In words, when there is none in it.
    pub fn of_text(file_name: &str, text: String) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err(format!("{file_name} has no text"));
        }
        let stem = file_name.rsplit_once('.').map_or(file_name, |(stem, _)| stem).to_lowercase();
        let slug: String =
            stem.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
        let slug = slug.trim_matches('-').to_owned();
        let says_nothing = ["", "license", "licence", "copying"].contains(&slug.as_str());
        Ok(Self::Text { name: if says_nothing { "custom-licence".to_owned() } else { slug }, text })
    }

    /// The id for the card: the Hub's, or `other`.
    #[must_use]
    pub fn hub_id(&self) -> &str {
        match self {
            Self::Known { licence, .. } => licence.id,
            Self::Named(_) | Self::Text { .. } => "other",
        }
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Known { licence, .. } if licence.spdx.is_empty() => licence.id.to_owned(),
            Self::Known { licence, versions } => format!("{}{versions}", licence.spdx),
            Self::Named(name) | Self::Text { name, .. } => name.clone(),
        }
    }

    /// Where its text can be read; `None` where only `LICENSE` says it.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        match self {
            Self::Known { licence, .. } if !licence.spdx.is_empty() => {
                Some(format!("https://spdx.org/licenses/{}.html", self.name()))
            }
            _ => None,
        }
    }

    /// The file `LICENSE`.
    pub(super) fn file(&self) -> String {
        let scope = "This is about the label maps and the files that describe them. The images that they belong to are not \
                     part of this release; SOURCE_TERMS.md says what is known of theirs.\n";
        match self {
            Self::Text { text, .. } => text.clone(),
            Self::Known { .. } | Self::Named(_) => {
                let place = self.address().map(|address| format!("Its text: {address}\n\n")).unwrap_or_default();
                format!("The labels in this release are published under the licence {}.\n{place}{scope}", self.name())
            }
        }
    }
}

/// The file `SOURCE_TERMS.md`.
pub(super) fn source_terms_file(stated: Option<&str>, is_imagenet: bool) -> String {
    let mut page =
        "# Terms of the images\n\nThe images that these label maps belong to are not part of this release. This page \
                    says what its publisher stated about their terms; it is no legal advice.\n\n"
            .to_owned();
    page += &match stated {
        Some(terms) => format!("{}\n", terms.trim_end()),
        None => {
            "**Not stated.** Whoever published this release did not say under which terms the images may be used. Ask \
                 those who give out the images.\n"
                .to_owned()
        }
    };
    if is_imagenet {
        page += "\n## ImageNet\n\nThe images lie in folders that are named as ImageNet's classes are. If they are ImageNet's, its \
                 terms of access apply to them, which restrict their use to non-commercial research and education: \
                 <https://image-net.org/download>\n";
    }
    page
}

/// What is known of ids: the Hub's list for `license:` in cards, and SPDX's names.
const KNOWN: &[KnownLicence] = &[
    known("afl-3.0", "AFL-3.0"),
    known("agpl-3.0", "AGPL-3.0"),
    known("apache-2.0", "Apache-2.0"),
    known("apple-amlr", ""),
    known("apple-ascl", ""),
    known("artistic-2.0", "Artistic-2.0"),
    known("bigcode-openrail-m", ""),
    known("bigscience-bloom-rail-1.0", ""),
    known("bigscience-openrail-m", ""),
    known("bsd", ""),
    known("bsd-2-clause", "BSD-2-Clause"),
    known("bsd-3-clause", "BSD-3-Clause"),
    known("bsd-3-clause-clear", "BSD-3-Clause-Clear"),
    known("bsl-1.0", "BSL-1.0"),
    known("c-uda", "C-UDA-1.0"),
    known("cc", ""),
    known("cc-by-2.0", "CC-BY-2.0"),
    known("cc-by-2.5", "CC-BY-2.5"),
    known("cc-by-3.0", "CC-BY-3.0"),
    known("cc-by-4.0", "CC-BY-4.0"),
    known("cc-by-nc-2.0", "CC-BY-NC-2.0"),
    known("cc-by-nc-3.0", "CC-BY-NC-3.0"),
    known("cc-by-nc-4.0", "CC-BY-NC-4.0"),
    known("cc-by-nc-nd-3.0", "CC-BY-NC-ND-3.0"),
    known("cc-by-nc-nd-4.0", "CC-BY-NC-ND-4.0"),
    known("cc-by-nc-sa-2.0", "CC-BY-NC-SA-2.0"),
    known("cc-by-nc-sa-3.0", "CC-BY-NC-SA-3.0"),
    known("cc-by-nc-sa-4.0", "CC-BY-NC-SA-4.0"),
    known("cc-by-nd-4.0", "CC-BY-ND-4.0"),
    known("cc-by-sa-3.0", "CC-BY-SA-3.0"),
    known("cc-by-sa-4.0", "CC-BY-SA-4.0"),
    known("cc0-1.0", "CC0-1.0"),
    known("cdla-permissive-1.0", "CDLA-Permissive-1.0"),
    known("cdla-permissive-2.0", "CDLA-Permissive-2.0"),
    known("cdla-sharing-1.0", "CDLA-Sharing-1.0"),
    known("creativeml-openrail-m", ""),
    known("deepfloyd-if-license", ""),
    known("ecl-2.0", "ECL-2.0"),
    known("epl-1.0", "EPL-1.0"),
    known("epl-2.0", "EPL-2.0"),
    known("etalab-2.0", "etalab-2.0"),
    known("eupl-1.1", "EUPL-1.1"),
    known("eupl-1.2", "EUPL-1.2"),
    known("gemma", ""),
    known("gfdl", ""),
    known("gpl", ""),
    known("gpl-2.0", "GPL-2.0"),
    known("gpl-3.0", "GPL-3.0"),
    known("h-research", ""),
    known("intel-research", ""),
    known("isc", "ISC"),
    known("lgpl", ""),
    known("lgpl-2.1", "LGPL-2.1"),
    known("lgpl-3.0", "LGPL-3.0"),
    known("lgpl-lr", "LGPLLR"),
    known("llama2", ""),
    known("llama3", ""),
    known("llama3.1", ""),
    known("llama3.2", ""),
    known("llama3.3", ""),
    known("lppl-1.3c", "LPPL-1.3c"),
    known("mit", "MIT"),
    known("mpl-2.0", "MPL-2.0"),
    known("ms-pl", "MS-PL"),
    known("ncsa", "NCSA"),
    known("odbl", "ODbL-1.0"),
    known("odc-by", "ODC-By-1.0"),
    known("ofl-1.1", "OFL-1.1"),
    known("openrail", ""),
    known("openrail++", ""),
    known("osl-3.0", "OSL-3.0"),
    known("pddl", "PDDL-1.0"),
    known("postgresql", "PostgreSQL"),
    known("unlicense", "Unlicense"),
    known("wtfpl", "WTFPL"),
    known("zlib", "Zlib"),
];

const fn known(id: &'static str, spdx: &'static str) -> KnownLicence {
    KnownLicence { id, spdx }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_hubs_or_spdxs() {
        for (given, hub_id, name) in [
            ("CC-BY-4.0", "cc-by-4.0", "CC-BY-4.0"),
            ("cc0-1.0", "cc0-1.0", "CC0-1.0"),
            ("GPL-3.0-or-later", "gpl-3.0", "GPL-3.0-or-later"),
            ("MIT-only", "other", "MIT-only"),
            ("ODC-By-1.0", "odc-by", "ODC-By-1.0"),
            ("My-Licence-1.0", "other", "My-Licence-1.0"),
        ] {
            let licence = Licence::of_id(given).unwrap();
            assert_eq!((licence.hub_id(), licence.name().as_str()), (hub_id, name));
        }
        for nothing in ["", "other", "UNKNOWN", "no/such/file.txt"] {
            assert!(Licence::of_id(nothing).is_err(), "{nothing}");
        }
        assert!(KNOWN.is_sorted_by_key(|known| known.id));
    }

    #[test]
    fn files_are_copied_and_named() {
        let named = |file: &str| Licence::of_text(file, "Do as you like.".into()).unwrap();
        assert_eq!([named("My terms.txt").name(), named("LICENSE.md").name()], ["my-terms", "custom-licence"]);
        assert_eq!(named("x").file(), "Do as you like.");
        assert!(Licence::of_text("x", " \n".into()).is_err());
    }

    #[test]
    fn terms_are_stated_or_said_not_to_be() {
        assert!(source_terms_file(None, false).contains("**Not stated.**"));
        let stated = source_terms_file(Some("Ask me."), true);
        assert!(stated.contains("Ask me.") && stated.contains("image-net.org") && !stated.contains("Not stated"));
    }
}
