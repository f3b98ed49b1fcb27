use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{LabelRun, Ran, small_photographs, store_bytes};

const IMAGES: usize = 60;

#[test]
fn parallel_tasks_write_the_same_bytes_as_one() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), IMAGES);
    std::fs::write(folder.path().join("in/n02123045/0003.JPEG"), "no image").unwrap();
    LabelRun::new(folder.path()).small_shards().out("one").run().expect(3);
    // In parallel, each as its scheduler starts it. The last case has more tasks than shards.
    let slurm: Vec<_> = (1..=3)
        .map(|id| {
            let mut command = LabelRun::new(folder.path()).small_shards().out("slurm").command();
            command.env("SLURM_ARRAY_TASK_ID", id.to_string()).env("SLURM_ARRAY_TASK_COUNT", "3");
            command.env("SLURM_ARRAY_TASK_MIN", "1");
            command
        })
        .collect();
    let kubernetes: Vec<_> = (0..2)
        .map(|index| {
            let mut command = LabelRun::new(folder.path()).small_shards().out("kubernetes").command();
            command.env("JOB_COMPLETION_INDEX", index.to_string()).env("JOB_COMPLETION_COUNT", "2");
            command
        })
        .collect();
    let flags: Vec<_> = (0..18).map(|index| task(folder.path(), "flags", index, 18)).collect();
    let one = store_bytes(&folder.path().join("one"));
    for (store, commands) in [("slurm", slurm), ("kubernetes", kubernetes), ("flags", flags)] {
        let children: Vec<_> = commands
            .into_iter()
            .map(|mut command| command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
            .collect();
        let mut codes = Vec::new();
        for child in children {
            let output = child.wait_with_output().unwrap();
            codes.push(output.status.code().unwrap());
            assert!(codes.ends_with(&[0]) || codes.ends_with(&[3]), "{}", String::from_utf8_lossy(&output.stderr));
        }
        // Only the task with the broken image reports a failure.
        assert_eq!(codes.iter().filter(|code| **code == 3).count(), 1, "{store}: {codes:?}");
        assert!(one == store_bytes(&folder.path().join(store)), "{store} differs from the store of one process");
    }
}

#[test]
fn a_part_with_a_live_writer_is_refused_and_a_dead_writers_is_not() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 400);
    let mut first = task(folder.path(), "out", 0, 2);
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !folder.path().join("out/records/000000.json").exists() {
        assert!(first.try_wait().unwrap().is_none(), "the first task has ended");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    for (index, count) in [(0, 2), (0, 4), (1, 4), (0, 1)] {
        let refused = Ran::of(&mut task(folder.path(), "out", index, count)).expect(1);
        let holder = format!("part 0-of-2 is being written by process {}", first.id());
        assert!(refused.stderr.contains(&holder), "{index} of {count}: {}", refused.stderr);
    }
    first.kill().unwrap();
    first.wait().unwrap();
    Ran::of(&mut task(folder.path(), "out", 0, 4)).expect(0);
}

#[test]
fn invalid_tasks_are_usage_errors() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 2);
    let refused = Ran::of(&mut task(folder.path(), "out", 2, 2)).expect(2);
    assert!(refused.stderr.contains("no task 2 of 2"), "{}", refused.stderr);
    Ran::of(LabelRun::new(folder.path()).small_shards().command().args(["--task-index", "0"])).expect(2);
    let kubernetes =
        Ran::of(LabelRun::new(folder.path()).small_shards().command().env("JOB_COMPLETION_INDEX", "0")).expect(2);
    assert!(kubernetes.stderr.contains("JOB_COMPLETION_COUNT"), "{}", kubernetes.stderr);
    assert!(!folder.path().join("out").exists());
}

#[test]
fn tasks_with_different_settings_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 8);
    Ran::of(&mut task(folder.path(), "out", 0, 2)).expect(0);
    let refused = Ran::of(task(folder.path(), "out", 1, 2).args(["--top-k", "3"])).expect(1);
    assert!(refused.stderr.contains("top-k: 5 in the store, 3 requested"), "{}", refused.stderr);
}

fn task(folder: &Path, out: &str, index: usize, count: usize) -> Command {
    let mut command = LabelRun::new(folder).small_shards().out(out).command();
    command.args(["--task-index", &index.to_string(), "--task-count", &count.to_string()]);
    command
}
