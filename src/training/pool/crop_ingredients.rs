//! What the target of a crop depends on, besides the parameters of pooling.

use super::label_sources::CropSources;
use super::mixture::Mixture;
use super::source_scores::SourceScores;
use super::target::SparseTarget;
use crate::shared::pooling_parameters::PoolingParameters;

/// Everything of an image's labels that the target of a crop depends on: the scores of each source. Targets for many parameters
/// are computed from it without pooling the label maps again, and equal those of [`MixedPooler`](super::MixedPooler) to the bit.
#[derive(Clone, Debug)]
pub struct CropIngredients {
    sources: CropSources,
    /// In the order of the sources.
    scores: Vec<SourceScores>,
}

impl CropIngredients {
    pub(super) fn new(sources: CropSources, scores: Vec<SourceScores>) -> Self {
        Self { sources, scores }
    }

    /// Returns the target of the crop. `mixture` must have been created for the classes of the teacher.
    #[must_use]
    pub fn mix(&self, parameters: &PoolingParameters, mixture: &mut Mixture) -> SparseTarget {
        self.mix_into(parameters, mixture);
        mixture.sparse()
    }

    /// Computes the target of the crop, and leaves it in `mixture`, from which single probabilities can be read.
    pub fn mix_into(&self, parameters: &PoolingParameters, mixture: &mut Mixture) {
        let mut shares = Vec::new();
        self.sources.shares(parameters, &mut shares);
        mixture.clear();
        for ((source, scores), share) in self.sources.sources().iter().zip(&self.scores).zip(shares) {
            if share > 0.0 {
                mixture.add(share, self.sources.temperature(source, parameters), scores);
            }
        }
    }
}
