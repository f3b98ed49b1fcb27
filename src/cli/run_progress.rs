//! Progress of a run on stderr: a bar on a terminal, lines elsewhere, with the same numbers.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use relabel::shared::monitor::{Monitor, Stage};
use relabel::shared::store::{Agreement, ShardRecord};

use super::output::{may_draw, message, rate, thousands, warning};
use super::time_format::duration_text;

/// Time over which images per second are averaged.
const WINDOW: Duration = Duration::from_secs(30);
/// Time between lines, without a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Shows progress, and passes a requested stop on to the pipeline.
pub struct RunProgress {
    stop: Arc<AtomicBool>,
    display: Display,
    counters: Mutex<Counters>,
    started: Instant,
    workers: Workers,
}

/// Number of workers of each stage.
#[derive(Clone, Copy, Debug)]
pub struct Workers {
    /// Threads that decode and encode.
    pub threads: usize,
    /// Sessions of the teacher.
    pub sessions: usize,
}

enum Display {
    Bar(ProgressBar),
    Lines,
    Hidden,
}

struct Counters {
    images: usize,
    done_before: usize,
    done: usize,
    failed: usize,
    agreement: Agreement,
    last_line: Instant,
    /// Times with the number of images done by then, oldest first, within the window.
    history: VecDeque<(Instant, usize)>,
    busy: Busy,
    /// Images with tiles that have fewer pixels than the teacher's input.
    tiles_enlarged: usize,
}

/// Busy time of each stage, averaged over its workers.
#[derive(Clone, Copy, Debug, Default)]
struct Busy {
    decoding: Duration,
    teacher: Duration,
    encoding: Duration,
    store: Duration,
}

impl RunProgress {
    /// Creates the progress of a run over `images` images, of which `done_before` are done, with `failed_before` failures.
    pub fn new(
        images: usize,
        done_before: usize,
        failed_before: usize,
        workers: Workers,
        quiet: bool,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let display = match (quiet, may_draw()) {
            (true, _) => Display::Hidden,
            (false, false) => Display::Lines,
            (false, true) => {
                let bar = ProgressBar::new(images as u64).with_position(done_before as u64);
                let style = ProgressStyle::with_template("{bar:30} {percent:>3}% {msg}");
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                Display::Bar(bar)
            }
        };
        let now = Instant::now();
        let counters = Counters {
            images,
            done_before,
            done: done_before,
            failed: failed_before,
            agreement: Agreement::default(),
            last_line: now,
            history: VecDeque::from([(now, done_before)]),
            busy: Busy::default(),
            tiles_enlarged: 0,
        };
        Self { stop, display, counters: Mutex::new(counters), started: now, workers }
    }

    /// Removes the bar. Returns the seconds since the start, and the images per second of this run.
    pub fn finish(&self) -> (f64, f64) {
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
        }
        let counters = self.counters();
        let seconds = self.started.elapsed().as_secs_f64();
        (seconds, (counters.done - counters.done_before) as f64 / seconds.max(1e-9))
    }

    /// Returns the number of images that this run labelled or that failed in it.
    pub fn images_done_now(&self) -> usize {
        let counters = self.counters();
        counters.done - counters.done_before
    }

    /// Returns the number of images with tiles that have fewer pixels than the teacher's input.
    pub fn tiles_enlarged(&self) -> usize {
        self.counters().tiles_enlarged
    }

    /// Returns the name of the stage with the longest busy time.
    pub fn slowest_stage(&self) -> &'static str {
        self.counters().busy.longest()
    }

    fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn warn(&self, text: &str) {
        match &self.display {
            Display::Bar(bar) => bar.suspend(|| warning(text)),
            Display::Lines | Display::Hidden => warning(text),
        }
    }
}

impl Monitor for RunProgress {
    fn tiles_enlarged(&self) {
        self.counters().tiles_enlarged += 1;
    }

    fn stop_requested(&self) -> bool {
        super::raised(&self.stop)
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn worked(&self, stage: Stage, time: Duration) {
        let each = |workers: usize| time / u32::try_from(workers.max(1)).unwrap_or(u32::MAX);
        let busy = &mut self.counters().busy;
        match stage {
            Stage::Decoding => busy.decoding += each(self.workers.threads),
            Stage::Teacher => busy.teacher += each(self.workers.sessions),
            // Reported once per shard, which all threads encode.
            Stage::Encoding => busy.encoding += time,
            Stage::Store => busy.store += time,
        }
    }

    fn images_done(&self, labelled: usize, failed: usize, agreement: Agreement) {
        let mut counters = self.counters();
        counters.done += labelled + failed;
        counters.failed += failed;
        counters.agreement.add(agreement);
        let now = Instant::now();
        let done = counters.done;
        counters.history.push_back((now, done));
        while counters.history.len() > 2 && counters.history.front().is_some_and(|(then, _)| now - *then > WINDOW) {
            counters.history.pop_front();
        }
        match &self.display {
            Display::Bar(bar) => {
                bar.set_position(done as u64);
                bar.set_message(counters.line());
            }
            Display::Lines if now - counters.last_line >= LINE_INTERVAL => {
                counters.last_line = now;
                message(&counters.line());
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
        self.warn(&format!(
            "after {} images, the teacher agrees with the folder class in {:.1} % (top 5: {:.1} %): its input is probably \
             prepared incorrectly\n  help: check mean, std, channel_order, input_size and filter in the card, and that the \
             class list is in the order of the teacher's outputs (`relabel teacher` shows all of them)",
            thousands(agreement.compared),
            agreement.percent(agreement.top1),
            agreement.percent(agreement.top5),
        ));
    }
}

impl Counters {
    fn line(&self) -> String {
        let images_per_s = self.images_per_s();
        let left_s = (self.images - self.done.min(self.images)) as f64 / images_per_s.max(1e-9);
        let mut line = format!("{} of {} images", thousands(self.done), thousands(self.images));
        if images_per_s > 0.0 {
            let left = duration_text(Duration::from_secs_f64(left_s.min(1e9)));
            line += &format!(", {}, {left} left", rate(images_per_s));
        }
        line += &format!(", {} failed", thousands(self.failed));
        if self.agreement.compared > 0 {
            let agreement = &self.agreement;
            line += &format!(
                ", agreement {:.1} % (top 5: {:.1} %)",
                agreement.percent(agreement.top1),
                agreement.percent(agreement.top5)
            );
        }
        line + &format!(", slowest stage: {}", self.busy.longest())
    }

    fn images_per_s(&self) -> f64 {
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
    fn slowest_stage_has_the_longest_busy_time_per_worker() {
        let workers = Workers { threads: 4, sessions: 2 };
        let progress = RunProgress::new(10, 0, 0, workers, true, Arc::default());
        let second = Duration::from_secs(1);
        progress.worked(Stage::Decoding, second * 8);
        assert_eq!(progress.slowest_stage(), "decoding");
        progress.worked(Stage::Encoding, second * 3);
        assert_eq!(progress.slowest_stage(), "encoding", "decoding took 2 s on each of four threads");
        progress.worked(Stage::Teacher, second * 7);
        assert_eq!(progress.slowest_stage(), "teacher");
        progress.worked(Stage::Store, second * 4);
        assert_eq!(progress.slowest_stage(), "store");
    }
}
