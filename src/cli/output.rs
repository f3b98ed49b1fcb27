//! Stdout: words for people, or one JSON document. The only file that prints to it.

use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use relabel::shared::error::Error;
pub use relabel::shared::numbers::{bytes, thousands};
use relabel::shared::printable::{acts_on_terminal, printable, printable_lines};
use relabel::shared::store::Agreement;
use serde_json::{Value, json};

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

/// Set by who prints the one document, or the words: nobody prints a second one.
static ANSWERED: AtomicBool = AtomicBool::new(false);

/// Set when the program ends without waiting for its threads.
static ENDING: AtomicBool = AtomicBool::new(false);

impl Output {
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    pub fn is_json(self) -> bool {
        self.json
    }

    /// Prints a result: the document with `--json`, the words without.
    ///
    /// # Errors
    /// Returns [`Error::File`] if it cannot be written.
    pub fn result(self, words: &str, document: &Value) -> Result<(), Error> {
        if ANSWERED.swap(true, Ordering::AcqRel) {
            while ENDING.load(Ordering::Acquire) {
                std::thread::park();
            }
            return Ok(());
        }
        let text = if self.json { json_text(document) } else { safe_words(words) };
        written(io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()))
    }

    /// Says an error on stderr, and in the document with `--json`.
    pub fn error(self, error: &str) {
        say(error);
        if self.json {
            // Stdout is where the error is, or nobody reads it.
            let _ = self.result("", &json!({ "error": error }));
        }
    }

    /// Says that the program ends now. Other threads may hold the locks of stdout and stderr, so that it takes none.
    pub fn interrupted(self) {
        ENDING.store(true, Ordering::Release);
        let error = Error::Interrupted.to_string();
        write_unlocked(io::stderr(), &line(&error));
        if self.json && !ANSWERED.swap(true, Ordering::AcqRel) {
            write_unlocked(io::stdout(), &json_text(&json!({ "error": error })));
        }
    }
}

/// What came of writing to stdout. A closed pipe (`| head`) is not a failure.
///
/// # Errors
/// Returns [`Error::File`] for every other error.
pub fn written(result: io::Result<()>) -> Result<(), Error> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::file("write the result to", Path::new("stdout"))(error))
        }
        _ => Ok(()),
    }
}

fn write_unlocked(to: impl AsFd, text: &str) {
    let mut left = text.as_bytes();
    while let Ok(written @ 1..) = rustix::io::write(&to, left) {
        left = &left[written..];
    }
}

/// A path in a document. What is not UTF-8 becomes `U+FFFD`.
pub fn path_json(path: &Path) -> Value {
    path.to_string_lossy().into()
}

fn json_text(document: &Value) -> String {
    safe_json(&format!("{document:#}\n"))
}

/// JSON in which also those characters are escaped that JSON may hold and a terminal acts on.
fn safe_json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter != '\n' && acts_on_terminal(letter) {
            safe += &format!("\\u{:04x}", u32::from(letter));
        } else {
            safe.push(letter);
        }
    }
    safe
}

/// Words for stdout. Names in them were made safe where they were put in; here is the net below: only line breaks, tabs
/// and our own colours pass.
fn safe_words(words: &str) -> String {
    let mut safe = String::with_capacity(words.len());
    let mut rest = words;
    while let Some(at) = rest.find(acts_on_terminal) {
        let (plain, from) = rest.split_at(at);
        safe += plain;
        let letter = from.chars().next().map_or(0, char::len_utf8);
        let passes = if from.starts_with(['\n', '\t']) { 1 } else { color_bytes(from) };
        safe += &if passes > 0 { from[..passes].into() } else { printable(&from[..letter]) };
        rest = &from[passes.max(letter)..];
    }
    safe + rest
}

/// Length of one of our own colour codes that begins here, else 0.
fn color_bytes(text: &str) -> usize {
    let body = text.strip_prefix("\u{1b}[").unwrap_or_default();
    let numbers = body.find(|letter: char| !letter.is_ascii_digit() && letter != ';').unwrap_or(0);
    let is_ours = ["38;", "48;", "0m"].iter().any(|start| body.starts_with(start));
    if is_ours && body[numbers..].starts_with('m') { numbers + 3 } else { 0 }
}

/// Set once, when every line on stderr is to be a JSON object.
static LINES_ARE_JSON: AtomicBool = AtomicBool::new(false);

pub fn lines_are_json() -> bool {
    LINES_ARE_JSON.load(Ordering::Acquire)
}

/// From now on [`say`] writes JSON objects, as the logs do.
pub fn say_in_json() {
    LINES_ARE_JSON.store(true, Ordering::Release);
}

/// Says something on stderr: progress, an announcement, a warning.
pub fn say(message: &str) {
    let _ = io::stderr().write_all(line(message).as_bytes());
}

fn line(message: &str) -> String {
    if lines_are_json() {
        safe_json(&format!("{}\n", json!({ "timestamp": super::clock::now(), "message": message })))
    } else {
        format!("relabel: {}\n", printable_lines(message))
    }
}

/// Stderr for logs: each write is one event, of which no name can make two.
pub struct Logs;

impl Write for Logs {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let safe = if lines_are_json() { safe_json(text).into() } else { printable_lines(text) };
        io::stderr().write_all(format!("{safe}\n").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a progress bar may be drawn: stderr is a terminal, and its lines are for people.
pub fn may_draw() -> bool {
    io::stderr().is_terminal() && !lines_are_json()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_our_colours_and_nothing_else_that_a_terminal_acts_on() {
        let ours = "a\tb\n\u{1b}[38;2;1;2;3m\u{1b}[48;5;16mx\u{1b}[0m é\n";
        assert_eq!(safe_words(ours), ours);
        assert_eq!(
            safe_words("x\u{1b}[2J\u{1b}[8m\u{1b}]0;t\u{7}\u{9b}A\r"),
            "x\\u{1b}[2J\\u{1b}[8m\\u{1b}]0;t\\u{7}\\u{9b}A\\r"
        );
        assert_eq!(safe_words("\u{1b}["), "\\u{1b}[");
    }

    #[test]
    fn documents_mean_the_same_when_they_are_safe() {
        let document = json!({ "id": "a\u{9b}b\u{202e}\u{7f}\n" });
        let text = json_text(&document);
        assert!(!text.trim_end().contains(|letter| letter != '\n' && acts_on_terminal(letter)), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
    }
}
