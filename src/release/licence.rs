//! `LICENSE`: the licence of the labels, as the publisher states it.

/// Name of the file.
pub(super) const LICENCE: &str = "LICENSE";

/// The licence of the labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Licence {
    /// A licence that the Hugging Face Hub has an id for.
    Known {
        /// Entry in the list of the Hub.
        licence: &'static KnownLicence,
        /// `-only` or `-or-later` of the GNU licences, which the Hub does not distinguish; otherwise empty.
        versions: &'static str,
    },
    /// A different licence, by the id that was given.
    Named(String),
    /// The text of a file.
    Text {
        /// A name derived from the file's name.
        name: String,
        /// The complete text.
        text: String,
    },
}

/// A licence that the Hub has an id for.
#[derive(Debug, PartialEq, Eq)]
pub struct KnownLicence {
    /// The Hub's id.
    pub id: &'static str,
    /// Identifier on the SPDX list; empty if there is none, or several.
    pub spdx: &'static str,
}

/// Reason a licence was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LicenceError {
    /// The id does not name a licence.
    #[error("`{id}` is not a licence\n  help: pass an id such as CC-BY-4.0, or a file with the text of the licence")]
    NotALicence {
        /// Id that was given.
        id: String,
    },
    /// The id looks like a path, but the file does not exist.
    #[error("file not found: {}\n  help: pass an existing file, or an id such as CC-BY-4.0", id.escape_debug())]
    FileNotFound {
        /// Id that was given.
        id: String,
    },
    /// The file is empty.
    #[error("{file_name} is empty\n  help: pass a file with the text of the licence")]
    EmptyFile {
        /// Name of the file.
        file_name: String,
    },
}

impl Licence {
    /// Finds a licence by its id on the Hub or on the SPDX list, in any case. Other ids are accepted as names.
    ///
    /// # Errors
    /// Returns [`LicenceError`] if the id does not name a licence, or looks like the path of a file.
    pub fn from_id(id: &str) -> Result<Self, LicenceError> {
        let wanted = id.trim().to_ascii_lowercase();
        if wanted.is_empty() || ["other", "unknown", "none"].contains(&wanted.as_str()) {
            return Err(LicenceError::NotALicence { id: id.to_owned() });
        }
        if id.chars().any(char::is_control) || id.contains(['/', '\\']) {
            return Err(LicenceError::FileNotFound { id: id.to_owned() });
        }
        let versions =
            ["-only", "-or-later"].into_iter().find(|versions| wanted.ends_with(versions)).unwrap_or_default();
        let plain = &wanted[..wanted.len() - versions.len()];
        let is_wanted = |licence: &&KnownLicence| {
            let is_named = plain == licence.id || licence.spdx.eq_ignore_ascii_case(plain);
            is_named && (versions.is_empty() || licence.spdx.contains("GPL"))
        };
        let known = KNOWN.iter().find(is_wanted).map(|licence| Self::Known { licence, versions });
        Ok(known.unwrap_or_else(|| Self::Named(id.trim().to_owned())))
    }

    /// Creates a licence from the text of a file.
    ///
    /// # Errors
    /// Returns [`LicenceError::EmptyFile`] if the text is empty.
    pub fn from_text(file_name: &str, text: String) -> Result<Self, LicenceError> {
        if text.trim().is_empty() {
            return Err(LicenceError::EmptyFile { file_name: file_name.to_owned() });
        }
        let stem = file_name.rsplit_once('.').map_or(file_name, |(stem, _)| stem).to_lowercase();
        let slug: String =
            stem.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
        let slug = slug.trim_matches('-').to_owned();
        let is_generic = ["", "license", "licence", "copying"].contains(&slug.as_str());
        Ok(Self::Text { name: if is_generic { "custom-licence".to_owned() } else { slug }, text })
    }

    /// Returns the id for the dataset card: the Hub's, or `other`.
    #[must_use]
    pub fn hub_id(&self) -> &str {
        match self {
            Self::Known { licence, .. } => licence.id,
            Self::Named(_) | Self::Text { .. } => "other",
        }
    }

    /// Returns its usual name.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Known { licence, .. } if licence.spdx.is_empty() => licence.id.to_owned(),
            Self::Known { licence, versions } => format!("{}{versions}", licence.spdx),
            Self::Named(name) | Self::Text { name, .. } => name.clone(),
        }
    }

    /// Returns the URL of its text, if it is on the SPDX list.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        match self {
            Self::Known { licence, .. } if !licence.spdx.is_empty() => {
                Some(format!("https://spdx.org/licenses/{}.html", self.name()))
            }
            _ => None,
        }
    }

    /// Returns the content of `LICENSE`.
    pub(super) fn file(&self) -> String {
        let scope = "This licence covers the label maps and predictions, and the files that describe them. The images are \
                     not part of this release; see SOURCE_TERMS.md for their licence.\n";
        match self {
            Self::Text { text, .. } => text.clone(),
            Self::Known { .. } | Self::Named(_) => {
                let full_text = self.url().map(|url| format!("Full text: {url}\n\n")).unwrap_or_default();
                format!("The labels in this release are licensed under {}.\n{full_text}{scope}", self.name())
            }
        }
    }
}

/// The Hub's ids for `license:` in cards, with the SPDX identifiers.
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
    fn ids_of_the_hub_and_of_spdx_are_known() {
        for (given, hub_id, name) in [
            ("CC-BY-4.0", "cc-by-4.0", "CC-BY-4.0"),
            ("cc0-1.0", "cc0-1.0", "CC0-1.0"),
            ("GPL-3.0-or-later", "gpl-3.0", "GPL-3.0-or-later"),
            ("MIT-only", "other", "MIT-only"),
            ("ODC-By-1.0", "odc-by", "ODC-By-1.0"),
            ("My-Licence-1.0", "other", "My-Licence-1.0"),
        ] {
            let licence = Licence::from_id(given).unwrap();
            assert_eq!((licence.hub_id(), licence.name().as_str()), (hub_id, name));
        }
        for invalid in ["", "other", "UNKNOWN", "no/such/file.txt"] {
            assert!(Licence::from_id(invalid).is_err(), "{invalid}");
        }
        assert!(KNOWN.is_sorted_by_key(|known| known.id));
    }

    #[test]
    fn text_of_a_file_is_copied_and_named() {
        let named = |file: &str| Licence::from_text(file, "Do as you like.".into()).unwrap();
        assert_eq!([named("My licence.txt").name(), named("LICENSE.md").name()], ["my-licence", "custom-licence"]);
        assert_eq!(named("x").file(), "Do as you like.");
        assert!(Licence::from_text("x", " \n".into()).is_err());
    }
}
