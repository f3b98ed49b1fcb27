//! What a publisher asks for.

use super::licence::Licence;
use crate::labelling::pixels::RgbImage;
use crate::shared::error::Error;
use crate::shared::store::Depth;

/// How a release is to be.
pub struct Request<'a> {
    /// What it is called; made of the teacher's and the source's names where nothing is said.
    pub name: Option<String>,
    /// What the labels are under.
    pub licence: Licence,
    /// What the publisher says of the terms of the images.
    pub source_terms: Option<String>,
    /// The data set that the images are of, as the Hub names it.
    pub source_dataset: Option<String>,
    /// Where on the Hub it will be: `user/name`.
    pub hub_repo: Option<String>,
    /// Whether images may be missing.
    pub wholeness: Wholeness,
    /// How deep the store is verified before.
    pub depth: Depth,
    /// What `overview.png` shows.
    pub picture: Picture,
    /// What happens beyond the limits of the Hub.
    pub hub_limits: HubLimits,
    /// The program that publishes.
    pub tool: Tool,
    /// Signs the list of checksums.
    pub sign: Option<&'a Sign<'a>>,
}

/// Makes the signature of `SHA256SUMS`, of its bytes.
pub type Sign<'a> = dyn Fn(&[u8]) -> Result<Vec<u8>, Error> + 'a;

/// Whether a release may be made of a store that is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wholeness {
    /// All shards must be done.
    Whole,
    /// Some may be to do; the release says so.
    PartialAllowed,
}

/// What the picture of a release shows.
#[derive(Clone, Debug)]
pub enum Picture {
    /// Label maps of a few images that are chosen, without photographs.
    Chosen,
    /// One image of the list, with its photograph where it is given.
    Of {
        /// Its row.
        row: usize,
        /// Its pixels, which then are in the release.
        photo: Option<RgbImage>,
    },
}

/// What happens where a release is beyond what the Hugging Face Hub takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HubLimits {
    /// It is refused.
    Kept,
    /// It goes elsewhere.
    Ignored,
}

/// The program that publishes, as it names itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Its version.
    pub version: String,
    /// The commit that it was built of; `None` where that is not known. Ends with `-dirty` where something was changed.
    pub commit: Option<String>,
}
