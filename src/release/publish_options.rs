//! Options of a release.

use super::licence::Licence;
use crate::evaluation::evaluation_file::Evaluation;
use crate::labelling::pixels::RgbImage;
use crate::shared::error::Error;
use crate::shared::store::Depth;

/// Options of a release.
pub struct PublishOptions<'a> {
    /// Name of the release; `None` builds one from the names of the teacher and the source.
    pub name: Option<String>,
    /// Licence of the labels.
    pub licence: Licence,
    /// The publisher's statement about the licence of the images.
    pub source_terms: Option<String>,
    /// The images' data set, by its id on the Hub.
    pub source_dataset: Option<String>,
    /// Repository on the Hub that the release is for: `user/name`.
    pub hub_repo: Option<String>,
    /// Figures of this store, which the release then contains.
    pub evaluation: Option<Evaluation>,
    /// Whether shards may be missing.
    pub completeness: Completeness,
    /// Depth of the verification of the store before publication.
    pub depth: Depth,
    /// Content of `overview.png`.
    pub picture: OverviewPicture,
    /// Whether the limits of the Hub are enforced.
    pub hub_limits: HubLimits,
    /// The publishing program.
    pub tool: ToolVersion,
    /// Signs the list of checksums.
    pub sign: Option<&'a SignFn<'a>>,
}

/// Returns the signature of the bytes of `SHA256SUMS`.
pub type SignFn<'a> = dyn Fn(&[u8]) -> Result<Vec<u8>, Error> + 'a;

/// Whether an unfinished store may be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// All shards must be done.
    Required,
    /// Some shards may be to do; the release states this.
    PartialAllowed,
}

/// Content of the picture of a release.
#[derive(Clone, Debug)]
pub enum OverviewPicture {
    /// Label maps of a few automatically selected images, without photographs.
    Automatic,
    /// One image.
    Image {
        /// Row of the image.
        row: usize,
        /// Pixels of the photograph, which the release then contains.
        photo: Option<RgbImage>,
    },
}

/// Treatment of a release that exceeds the limits of the Hugging Face Hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HubLimits {
    /// It is refused.
    Enforced,
    /// It is published with a warning, for a different host.
    Ignored,
}

/// The publishing program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolVersion {
    /// Version of the program.
    pub version: String,
    /// The commit that it was built from, if known; ends with `-dirty` if the sources were modified.
    pub commit: Option<String>,
}
