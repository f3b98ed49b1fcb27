//! A run's progress on stderr: a bar on a terminal, plain lines elsewhere, with the same figures.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use relabel::shared::monitor::{Monitor, Stage};
use relabel::shared::store::{Agreement, ShardRecord};

use super::clock::in_words;
use super::output::{may_draw, say, thousands};

/// Images per second are taken over this long.
const WINDOW: Duration = Duration::from_secs(30);
/// Plain lines come this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows progress and passes on the wish to stop.
pub struct Progress {
    stop: Arc<AtomicBool>,
    look: Look,
    state: Mutex<State>,
    started: Instant,
    workers: Workers,
}

/// How many work on a stage beside each other.
#[derive(Clone, Copy, Debug)]
pub struct Workers {
    /// Threads that decode and encode.
    pub threads: usize,
    /// Sessions of the teacher.
    pub sessions: usize,
}

enum Look {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

struct State {
    images: usize,
    done_before: usize,
    done: usize,
    failed: usize,
    agreement: Agreement,
    last_line: Instant,
    /// (when, images done by then), oldest first, within the window.
    history: VecDeque<(Instant, usize)>,
    busy: Busy,
}

/// How long each stage was at work, if all who work on it share its work evenly.
#[derive(Clone, Copy, Debug, Default)]
struct Busy {
    decoding: Duration,
    teacher: Duration,
    encoding: Duration,
    store: Duration,
}

impl Progress {
    /// For a run over `images` images of which `done_before` are done and `failed_before` of those failed.
    pub fn new(
        images: usize,
        done_before: usize,
        failed_before: usize,
        workers: Workers,
        quiet: bool,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let look = match (quiet, may_draw()) {
            (true, _) => Look::Nothing,
            (false, false) => Look::Lines,
            (false, true) => {
                let bar = ProgressBar::new(images as u64).with_position(done_before as u64);
                let style = ProgressStyle::with_template("{bar:30} {percent:>3}% {msg}");
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                Look::Bar(bar)
            }
        };
        let now = Instant::now();
        let state = State {
            images,
            done_before,
            done: done_before,
            failed: failed_before,
            agreement: Agreement::default(),
            last_line: now,
            history: VecDeque::from([(now, done_before)]),
            busy: Busy::default(),
        };
        Self { stop, look, state: Mutex::new(state), started: now, workers }
    }

    /// Ends the bar. Returns the seconds that passed, and the images per second of this run.
    pub fn finish(&self) -> (f64, f64) {
        if let Look::Bar(bar) = &self.look {
            bar.finish_and_clear();
        }
        let state = self.state();
        let seconds = self.started.elapsed().as_secs_f64();
        (seconds, (state.done - state.done_before) as f64 / seconds.max(1e-9))
    }

    /// Images that left the teacher in this run.
    pub fn images_now(&self) -> usize {
        let state = self.state();
        state.done - state.done_before
    }

    /// The name of the stage that was at work for longest.
    pub fn bottleneck(&self) -> &'static str {
        self.state().busy.longest()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, line: &str) {
        match &self.look {
            Look::Bar(bar) => bar.suspend(|| say(line)),
            Look::Lines | Look::Nothing => say(line),
        }
    }
}

impl Monitor for Progress {
    fn stop_requested(&self) -> bool {
        super::raised(&self.stop)
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn worked(&self, stage: Stage, time: Duration) {
        let each = |workers: usize| time / u32::try_from(workers.max(1)).unwrap_or(u32::MAX);
        let busy = &mut self.state().busy;
        match stage {
            Stage::Decoding => busy.decoding += each(self.workers.threads),
            Stage::Teacher => busy.teacher += each(self.workers.sessions),
            // It is told of once for a whole shard, that all threads encode.
            Stage::Encoding => busy.encoding += time,
            Stage::Store => busy.store += time,
        }
    }

    fn images_done(&self, labelled: usize, failed: usize, agreement: Agreement) {
        let mut state = self.state();
        state.done += labelled + failed;
        state.failed += failed;
        state.agreement.add(agreement);
        let now = Instant::now();
        let done = state.done;
        state.history.push_back((now, done));
        while state.history.len() > 2 && state.history.front().is_some_and(|(then, _)| now - *then > WINDOW) {
            state.history.pop_front();
        }
        match &self.look {
            Look::Bar(bar) => {
                bar.set_position(done as u64);
                bar.set_message(state.line());
            }
            Look::Lines if now - state.last_line >= LINE_EVERY => {
                state.last_line = now;
                say(&state.line().clone());
            }
            _ => {}
        }
    }

    fn shard_committed(&self, record: &ShardRecord) {
        tracing::info!(
            shard = record.shard,
            labelled = record.labelled,
            failed = record.failed.len(),
            "shard committed"
        );
        for failed in &record.failed {
            tracing::info!(row = failed.row, path = failed.path, reason = %failed.error, "image failed");
        }
    }

    fn low_agreement(&self, agreement: Agreement) {
        self.say(&format!(
            "warning: after {} images the teacher agrees with the folder's class in {:.1} % (top 5: {:.1} %). Something is \
             probably fed wrongly. Check mean and std, channel_order, input_size and filter in the card, and that the class \
             list is in the order of the teacher's outputs (`relabel teacher` shows all of them)",
            agreement.compared,
            agreement.percent(agreement.top1),
            agreement.percent(agreement.top5),
        ));
    }
}

impl State {
    fn line(&self) -> String {
        let rate = self.rate();
        let left = (self.images - self.done.min(self.images)) as f64 / rate.max(1e-9);
        let mut line = format!("{} of {} images", thousands(self.done), thousands(self.images));
        if rate > 0.0 {
            line += &format!(", {rate:.1} images/s, {} to go", in_words(Duration::from_secs_f64(left.min(1e9))));
        }
        line += &format!(", {} failed", self.failed);
        if self.agreement.compared > 0 {
            let agreement = &self.agreement;
            line += &format!(
                ", agreement top-1 {:.1} % top-5 {:.1} %",
                agreement.percent(agreement.top1),
                agreement.percent(agreement.top5)
            );
        }
        line + &format!(", slowest: {}", self.busy.longest())
    }

    fn rate(&self) -> f64 {
        match (self.history.front(), self.history.back()) {
            (Some((from, before)), Some((to, after))) if to > from => {
                (after - before) as f64 / (*to - *from).as_secs_f64()
            }
            _ => 0.0,
        }
    }
}

impl Busy {
    fn longest(&self) -> &'static str {
        let stages = [
            (self.decoding, "decoding"),
            (self.teacher, "teacher"),
            (self.encoding, "encoding"),
            (self.store, "store"),
        ];
        stages.into_iter().max_by_key(|(time, _)| *time).map_or("decoding", |(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_stage_is_the_one_that_works_longest() {
        let workers = Workers { threads: 4, sessions: 2 };
        let progress = Progress::new(10, 0, 0, workers, true, Arc::default());
        let second = Duration::from_secs(1);
        progress.worked(Stage::Decoding, second * 8);
        assert_eq!(progress.bottleneck(), "decoding");
        progress.worked(Stage::Encoding, second * 3);
        assert_eq!(progress.bottleneck(), "encoding", "decoding was at work for 2 s on each of four threads");
        progress.worked(Stage::Teacher, second * 7);
        assert_eq!(progress.bottleneck(), "teacher");
        progress.worked(Stage::Store, second * 4);
        assert_eq!(progress.bottleneck(), "store");
    }
}
