//! Whether `relabel run` needs label maps, or predictions are enough.

use relabel::shared::error::Error;
use relabel::shared::printable::printable_path;

use super::args::RunArguments;

/// Which labels a teacher should return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapRequest {
    /// Label maps; a teacher without cells is refused.
    Required,
    /// Label maps if the teacher has cells, predictions only if not.
    IfPossible,
    /// Predictions only.
    Omitted,
}

/// Returns which labels a run requests.
pub fn requested_maps(arguments: &RunArguments) -> MapRequest {
    match (arguments.levels.without_maps, &arguments.levels.tiles) {
        (true, _) => MapRequest::Omitted,
        (false, Some(_)) if flag_for_maps(arguments).is_none() => MapRequest::IfPossible,
        _ => MapRequest::Required,
    }
}

/// Returns the first flag that concerns label maps.
fn flag_for_maps(arguments: &RunArguments) -> Option<&'static str> {
    let flags = [
        ("--tile-maps", arguments.levels.tile_maps),
        ("--with-lse", arguments.teacher.with_lse),
        ("--score-steps", arguments.score_steps.is_some()),
    ];
    flags.into_iter().find(|(_, is_given)| *is_given).map(|(flag, _)| flag)
}

/// Names the flag for which a teacher without cells is refused, if predictions would be accepted otherwise.
pub fn name_flag_for_maps(arguments: &RunArguments, error: Error) -> Error {
    match (error, flag_for_maps(arguments)) {
        (Error::NoCells { path, problem, .. }, Some(flag)) if arguments.levels.tiles.is_some() => {
            Error::Usage(format!(
                "{flag} requires label maps, and teacher {} has none: {problem}\n  help: omit {flag} to store predictions only, or use \
             a teacher with cells",
                printable_path(&path)
            ))
        }
        (error, _) => error,
    }
}
