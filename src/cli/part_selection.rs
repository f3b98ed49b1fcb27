//! Part of the store that this process labels, and its name for other processes.

use std::env;

use relabel::shared::error::Error;
use relabel::shared::store::Part;

use super::args::PartFlags;

/// Reason flags or the environment select no part. All are wrong usage.
#[derive(Debug, thiserror::Error)]
enum PartError {
    #[error("no task {index} of {count}\n  help: pass a --task-index from 0 to {}", count.saturating_sub(1))]
    OutOfRange { index: usize, count: usize },
    #[error("environment variable {name} is not a number: `{value}`\n  help: {HELP}")]
    NotANumber { name: &'static str, value: String },
    #[error("environment variable {index} is set, but {count} is not\n  help: {HELP}")]
    NoCount { index: &'static str, count: &'static str },
    #[error("the task ids of the Slurm array of {count} tasks have gaps ({first} to {id})\n  help: {HELP}")]
    Gaps { count: usize, first: usize, id: usize },
}

const HELP: &str = "pass --task-index and --task-count (0 and 1 to label everything in one process)";

/// Returns the part that the flags select, else the environment of a scheduler, else the entire store; and the name of the
/// flag or variable that selected it.
///
/// # Errors
/// Returns [`Error::Usage`] if the part does not exist, or the scheduler's variables are incomplete.
pub fn selected_part(flags: PartFlags) -> Result<(Part, Option<&'static str>), Error> {
    select(flags, |name| env::var(name).ok()).map_err(|error| Error::Usage(error.to_string()))
}

fn select(
    flags: PartFlags,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<(Part, Option<&'static str>), PartError> {
    let part = |index, count| Part::new(index, count).map_err(|_| PartError::OutOfRange { index, count });
    if let (Some(index), Some(count)) = (flags.task_index, flags.task_count) {
        return Ok((part(index, count)?, Some("--task-index")));
    }
    let number = |name: &'static str| -> Result<Option<usize>, PartError> {
        let parse = |value: String| value.trim().parse().map_err(|_| PartError::NotANumber { name, value });
        variable(name).map(parse).transpose()
    };
    let required = |index, count| number(count)?.ok_or(PartError::NoCount { index, count });
    if let Some(id) = number("SLURM_ARRAY_TASK_ID")? {
        let count = required("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT")?;
        // `--array=1-15:2` counts from 1 in steps of 2.
        let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
        let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
        let index = id.saturating_sub(first) / step;
        return match part(index, count) {
            Ok(part) => Ok((part, Some("SLURM_ARRAY_TASK_ID"))),
            Err(_) => Err(PartError::Gaps { count, first, id }),
        };
    }
    if let Some(index) = number("JOB_COMPLETION_INDEX")? {
        let count = required("JOB_COMPLETION_INDEX", "JOB_COMPLETION_COUNT")?;
        return Ok((part(index, count)?, Some("JOB_COMPLETION_INDEX")));
    }
    Ok((Part::WHOLE, None))
}

/// Returns the name of this process that others see while it writes a store.
pub fn writer_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| env::var("HOSTNAME").ok());
    let on_host = host.map(|host| format!(" on {}", host.trim())).unwrap_or_default();
    format!("process {}{on_host}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(flags: [Option<usize>; 2], environment: &[(&str, &str)]) -> Result<String, String> {
        let variable =
            |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into());
        let [task_index, task_count] = flags;
        let selected = select(PartFlags { task_index, task_count }, variable);
        selected.map(|(part, origin)| format!("{part} {origin:?}")).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_override_the_environment() {
        let slurm = [("SLURM_ARRAY_TASK_ID", "1"), ("SLURM_ARRAY_TASK_COUNT", "4")];
        assert_eq!(part([Some(2), Some(3)], &slurm).unwrap(), "2-of-3 Some(\"--task-index\")");
        assert_eq!(part([None, None], &slurm).unwrap(), "1-of-4 Some(\"SLURM_ARRAY_TASK_ID\")");
        assert_eq!(part([None, None], &[]).unwrap(), "0-of-1 None");
        assert!(part([Some(3), Some(3)], &[]).unwrap_err().contains("no task 3 of 3"));
    }

    #[test]
    fn slurm_arrays_start_anywhere_and_have_steps() {
        let slurm = |id, count, min, step| {
            [
                ("SLURM_ARRAY_TASK_ID", id),
                ("SLURM_ARRAY_TASK_COUNT", count),
                ("SLURM_ARRAY_TASK_MIN", min),
                ("SLURM_ARRAY_TASK_STEP", step),
            ]
        };
        assert!(part([None, None], &slurm("8", "8", "1", "1")).unwrap().starts_with("7-of-8"));
        assert!(part([None, None], &slurm("15", "8", "1", "2")).unwrap().starts_with("7-of-8"));
        assert!(part([None, None], &slurm("7", "2", "3", "1")).unwrap_err().contains("gaps"));
    }

    #[test]
    fn index_without_count_is_refused() {
        assert!(part([None, None], &[("JOB_COMPLETION_INDEX", "2")]).unwrap_err().contains("JOB_COMPLETION_COUNT"));
        assert!(part([None, None], &[("SLURM_ARRAY_TASK_ID", "x")]).unwrap_err().contains("`x`"));
        let kubernetes = [("JOB_COMPLETION_INDEX", "2"), ("JOB_COMPLETION_COUNT", "5")];
        assert!(part([None, None], &kubernetes).unwrap().starts_with("2-of-5"));
    }
}
