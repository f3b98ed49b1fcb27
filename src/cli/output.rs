//! Stdout: words for people, or one JSON document. The only file that prints to it.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use relabel::error::Error;
use relabel::store::Agreement;
pub use relabel::words::{bytes, thousands};
use serde_json::{Value, json};

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints a result: the document with `--json`, the words without.
    pub fn result(self, words: &str, document: &Value) {
        let text = if self.json { format!("{document:#}\n") } else { words.to_owned() };
        // A closed pipe (`| head`) is no failure.
        let _ = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
    }

    /// Says an error on stderr, and in the document with `--json`.
    pub fn error(self, error: &Error) {
        say(&error.to_string());
        if self.json {
            self.result("", &json!({ "error": error.to_string() }));
        }
    }
}

/// Set once, when every line on stderr is to be a JSON object.
static LINES_ARE_JSON: AtomicBool = AtomicBool::new(false);

/// From now on [`say`] writes JSON objects, as the logs do.
pub fn say_in_json() {
    LINES_ARE_JSON.store(true, Ordering::Release);
}

/// Says something on stderr: progress, an announcement, a warning.
pub fn say(line: &str) {
    let line = if LINES_ARE_JSON.load(Ordering::Acquire) {
        json!({ "timestamp": super::clock::now(), "message": line }).to_string()
    } else {
        format!("relabel: {line}")
    };
    let _ = writeln!(io::stderr(), "{line}");
}

/// Whether a progress bar may be drawn: stderr is a terminal, and its lines are for people.
pub fn may_draw() -> bool {
    io::stderr().is_terminal() && !LINES_ARE_JSON.load(Ordering::Acquire)
}

/// `1 shard`, `1,252 shards`
pub fn count(number: usize, noun: &str) -> String {
    format!("{} {noun}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// The line that says how often the teacher agrees with the folders; nothing where no folder is a known class.
pub fn agreement_line(agreement: Agreement) -> String {
    if agreement.compared == 0 {
        return String::new();
    }
    format!(
        "agrees   with the folder's class in {:.1} % (top 5: {:.1} %) of {} images\n",
        agreement.percent(agreement.top1),
        agreement.percent(agreement.top5),
        thousands(agreement.compared)
    )
}
