//! A run's progress on stderr: a bar on a terminal, plain lines elsewhere, with the same figures.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use relabel::monitor::Monitor;
use relabel::store::{Agreement, ShardRecord};

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
    started: Instant,
    last_line: Instant,
    /// (when, images done by then), oldest first, within the window.
    history: VecDeque<(Instant, usize)>,
    taken: usize,
    taken_with_decoded_waiting: usize,
    taken_with_labelled_waiting: usize,
}

impl Progress {
    /// For a run over `images` images of which `done_before` are done and `failed_before` of those failed.
    pub fn new(images: usize, done_before: usize, failed_before: usize, quiet: bool, stop: Arc<AtomicBool>) -> Self {
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
            started: now,
            last_line: now,
            history: VecDeque::from([(now, done_before)]),
            taken: 0,
            taken_with_decoded_waiting: 0,
            taken_with_labelled_waiting: 0,
        };
        Self { stop, look, state: Mutex::new(state) }
    }

    /// Ends the bar. Returns the seconds that passed, and the images per second of this run.
    pub fn finish(&self) -> (f64, f64) {
        if let Look::Bar(bar) = &self.look {
            bar.finish_and_clear();
        }
        let state = self.state();
        let seconds = state.started.elapsed().as_secs_f64();
        (seconds, (state.done - state.done_before) as f64 / seconds.max(1e-9))
    }

    /// Images that left the teacher in this run.
    pub fn images_now(&self) -> usize {
        let state = self.state();
        state.done - state.done_before
    }

    /// What was seen of the three stages, in words.
    pub fn bottleneck(&self) -> &'static str {
        self.state().bottleneck()
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

    fn batch_taken(&self, decoded_waiting: usize, labelled_waiting: usize) {
        let mut state = self.state();
        state.taken += 1;
        state.taken_with_decoded_waiting += usize::from(decoded_waiting > 0);
        state.taken_with_labelled_waiting += usize::from(labelled_waiting > 1);
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
        line + &format!(", slowest: {}", self.bottleneck())
    }

    fn rate(&self) -> f64 {
        match (self.history.front(), self.history.back()) {
            (Some((from, before)), Some((to, after))) if to > from => {
                (after - before) as f64 / (*to - *from).as_secs_f64()
            }
            _ => 0.0,
        }
    }

    /// The stage in front of which batches pile up.
    fn bottleneck(&self) -> &'static str {
        if self.taken_with_labelled_waiting * 2 > self.taken {
            "store"
        } else if self.taken_with_decoded_waiting * 2 > self.taken {
            "teacher"
        } else {
            "decoding"
        }
    }
}
