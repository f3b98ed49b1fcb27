//! Finds the parameters with the smallest mean divergence, with the method of Nelder and Mead (1965).

use argmin::core::{CostFunction, Executor, State as _};
use argmin::solver::neldermead::NelderMead;

use super::parameter_space::ParameterSpace;
use crate::shared::error::Error;
use crate::shared::pooling_parameters::PoolingParameters;

/// Parameters with their mean divergence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FittedParameters {
    pub(super) parameters: PoolingParameters,
    pub(super) divergence: f64,
}

/// How long a search takes at most, and when it ends.
struct SearchLimits {
    iterations_per_dimension: u64,
    /// Standard deviation of the divergences in the simplex, in nats.
    tolerance: f64,
}

/// Of all starts, to choose the best.
const FIRST: SearchLimits = SearchLimits { iterations_per_dimension: 40, tolerance: 1e-4 };

/// From the best, repeated with a new simplex: the method may end at a point that is not a minimum.
const REPEATED: SearchLimits = SearchLimits { iterations_per_dimension: 80, tolerance: 1e-6 };

/// Largest number of repeated searches.
const REPETITIONS: usize = 5;

/// Smallest improvement of a repeated search, in nats, after which there is another one.
const SMALLEST_IMPROVEMENT: f64 = 1e-5;

/// Returns the parameters with the smallest divergence that is found. It is at most that of each start, so never above that of a
/// single source.
///
/// # Errors
/// Returns [`Error::Interrupted`] if `is_stopping` returns true.
pub(super) fn fit(
    space: &ParameterSpace,
    divergence: &dyn Fn(&PoolingParameters) -> f64,
    is_stopping: &dyn Fn() -> bool,
) -> Result<FittedParameters, Error> {
    let search = Search { space, divergence, is_stopping };
    let starts = space.starts();
    let mut best = search.fitted(starts[0]);
    for start in starts {
        best = closer(best, search.fitted(start));
        best = closer(best, search.run(&start, &FIRST)?);
    }
    for _ in 0..REPETITIONS {
        let repeated = search.run(&best.parameters, &REPEATED)?;
        let improvement = best.divergence - repeated.divergence;
        best = closer(best, repeated);
        if improvement < SMALLEST_IMPROVEMENT {
            break;
        }
    }
    Ok(closer(best, search.fitted(space.rounded(best.parameters))))
}

/// Returns the parameters with the smaller divergence, or the first if both are equal.
fn closer(one: FittedParameters, other: FittedParameters) -> FittedParameters {
    if other.divergence < one.divergence { other } else { one }
}

/// The function that is minimised.
#[derive(Clone, Copy)]
struct Search<'a> {
    space: &'a ParameterSpace,
    divergence: &'a dyn Fn(&PoolingParameters) -> f64,
    is_stopping: &'a dyn Fn() -> bool,
}

impl Search<'_> {
    fn fitted(&self, parameters: PoolingParameters) -> FittedParameters {
        FittedParameters { parameters, divergence: (self.divergence)(&parameters) }
    }

    fn run(&self, start: &PoolingParameters, limits: &SearchLimits) -> Result<FittedParameters, Error> {
        let failed = |problem: argmin::core::Error| Error::Internal {
            action: "fit parameters".to_owned(),
            problem: problem.into(),
        };
        let solver = NelderMead::new(self.space.simplex(start)).with_sd_tolerance(limits.tolerance).map_err(failed)?;
        let iterations = limits.iterations_per_dimension * self.space.dimensions() as u64;
        let executor = Executor::new(*self, solver).configure(|state| state.max_iters(iterations)).timer(false);
        let result = executor.run().map_err(failed)?;
        if (self.is_stopping)() {
            return Err(Error::Interrupted);
        }
        let best = result.state().get_best_param().map(|coordinates| self.space.parameters(coordinates));
        Ok(self.fitted(best.unwrap_or(*start)))
    }
}

impl CostFunction for Search<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, coordinates: &Vec<f64>) -> Result<f64, argmin::core::Error> {
        // An error would be a panic in the solver. Equal values end the search at once.
        if (self.is_stopping)() {
            return Ok(f64::MAX);
        }
        Ok((self.divergence)(&self.space.parameters(coordinates)))
    }
}
