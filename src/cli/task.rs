//! Which part of a store this process does, and who it is.

use std::env;

use relabel::shared::error::Error;
use relabel::shared::store::Part;

use super::args::TaskFlags;

/// The part that the flags name, or else a scheduler's environment; everything where neither says anything.
/// The second value says where it came from.
pub fn part(flags: TaskFlags) -> Result<(Part, &'static str), Error> {
    part_from(flags, |name| env::var(name).ok()).map_err(Error::Usage)
}

fn new_part(index: usize, count: usize) -> Result<Part, String> {
    Part::new(index, count).map_err(|problem| problem.to_string())
}

fn part_from(flags: TaskFlags, variable: impl Fn(&str) -> Option<String>) -> Result<(Part, &'static str), String> {
    if let (Some(index), Some(count)) = (flags.task_index, flags.task_count) {
        return Ok((new_part(index, count)?, "--task-index"));
    }
    let number = |name: &str| -> Result<Option<usize>, String> {
        let parse = |text: String| text.trim().parse().map_err(|_| format!("{name} is `{text}`, which is no number"));
        variable(name).map(parse).transpose()
    };
    let missing = |index: &str, count: &str| {
        format!("{index} says that this is one of many tasks, but {count} does not say of how many. {BY_HAND}")
    };
    if let Some(id) = number("SLURM_ARRAY_TASK_ID")? {
        let count = number("SLURM_ARRAY_TASK_COUNT")?;
        let count = count.ok_or_else(|| missing("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"))?;
        // `--array=1-15:2` counts from 1 in steps of 2.
        let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
        let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
        let part = Part::new(id.saturating_sub(first) / step, count).map_err(|_| {
            format!("the Slurm array has {count} tasks, but their numbers have gaps ({first} to {id}). {BY_HAND}")
        })?;
        return Ok((part, "SLURM_ARRAY_TASK_ID"));
    }
    if let Some(index) = number("JOB_COMPLETION_INDEX")? {
        let count = number("JOB_COMPLETION_COUNT")?;
        let count = count.ok_or_else(|| missing("JOB_COMPLETION_INDEX", "JOB_COMPLETION_COUNT"))?;
        return Ok((new_part(index, count)?, "JOB_COMPLETION_INDEX"));
    }
    Ok((Part::WHOLE, "nothing"))
}

const BY_HAND: &str = "Give --task-index and --task-count (0 and 1 for everything in one process)";

/// What another process is told while this one writes.
pub fn holder() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| env::var("HOSTNAME").ok());
    let on = name.map(|name| format!(" on {}", name.trim())).unwrap_or_default();
    format!("process {}{on}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(flags: [Option<usize>; 2], environment: &[(&str, &str)]) -> Result<String, String> {
        let variable =
            |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into());
        let [task_index, task_count] = flags;
        part_from(TaskFlags { task_index, task_count }, variable).map(|(part, from)| format!("{part} {from}"))
    }

    #[test]
    fn flags_win_over_schedulers() {
        let slurm = [("SLURM_ARRAY_TASK_ID", "1"), ("SLURM_ARRAY_TASK_COUNT", "4")];
        assert_eq!(part([Some(2), Some(3)], &slurm).unwrap(), "2-of-3 --task-index");
        assert_eq!(part([None, None], &slurm).unwrap(), "1-of-4 SLURM_ARRAY_TASK_ID");
        assert_eq!(part([None, None], &[]).unwrap(), "0-of-1 nothing");
        assert!(part([Some(3), Some(3)], &[]).unwrap_err().contains("no task 3 of 3"));
    }

    #[test]
    fn slurm_arrays_may_begin_anywhere_and_go_in_steps() {
        let slurm = |id, count, min, step| {
            [
                ("SLURM_ARRAY_TASK_ID", id),
                ("SLURM_ARRAY_TASK_COUNT", count),
                ("SLURM_ARRAY_TASK_MIN", min),
                ("SLURM_ARRAY_TASK_STEP", step),
            ]
        };
        assert_eq!(part([None, None], &slurm("8", "8", "1", "1")).unwrap(), "7-of-8 SLURM_ARRAY_TASK_ID");
        assert_eq!(part([None, None], &slurm("15", "8", "1", "2")).unwrap(), "7-of-8 SLURM_ARRAY_TASK_ID");
        assert!(part([None, None], &slurm("7", "2", "3", "1")).unwrap_err().contains("gaps"));
    }

    #[test]
    fn an_index_without_a_count_is_refused() {
        assert!(part([None, None], &[("JOB_COMPLETION_INDEX", "2")]).unwrap_err().contains("JOB_COMPLETION_COUNT"));
        assert!(part([None, None], &[("SLURM_ARRAY_TASK_ID", "x")]).unwrap_err().contains("`x`"));
        let kubernetes = [("JOB_COMPLETION_INDEX", "2"), ("JOB_COMPLETION_COUNT", "5")];
        assert_eq!(part([None, None], &kubernetes).unwrap(), "2-of-5 JOB_COMPLETION_INDEX");
    }
}
