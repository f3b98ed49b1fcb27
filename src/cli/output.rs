//! Printing: results to stdout, as text or as one JSON document, and messages to stderr. No other file prints to stdout.

use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use relabel::shared::error::Error;
pub use relabel::shared::numbers::{bytes, thousands};
use relabel::shared::printable::{acts_on_terminal, printable, printable_lines};
use relabel::shared::store::Agreement;
use serde_json::{Value, json};

use super::Outcome;

/// Result of a command, as text and as a JSON document.
pub struct CommandResult {
    pub outcome: Outcome,
    pub text: String,
    pub document: Value,
}

/// Output format of results.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

/// Set by the thread that prints the result, so only one is printed.
static PRINTED: AtomicBool = AtomicBool::new(false);

/// Set when the program exits without waiting for its threads.
static EXITING: AtomicBool = AtomicBool::new(false);

impl Output {
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    pub fn is_json(self) -> bool {
        self.json
    }

    /// Prints the result: the document with `--json`, the text without.
    ///
    /// # Errors
    /// Returns [`Error::File`] if stdout cannot be written.
    pub fn result(self, text: &str, document: &Value) -> Result<(), Error> {
        if PRINTED.swap(true, Ordering::AcqRel) {
            while EXITING.load(Ordering::Acquire) {
                std::thread::park();
            }
            return Ok(());
        }
        let text = if self.json { json_text(document) } else { safe_text(text) };
        written(io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()))
    }

    /// Prints the result of a command and returns its outcome.
    ///
    /// # Errors
    /// Returns [`Error::File`] if stdout cannot be written.
    pub fn command(self, result: &CommandResult) -> Result<Outcome, Error> {
        self.result(&result.text, &result.document)?;
        Ok(result.outcome)
    }

    /// Prints an error to stderr, and with `--json` also as the document on stdout.
    pub fn error(self, error: &str) {
        print_line(error);
        if self.json {
            // If stdout cannot be written, stderr has the error.
            let _ = self.result("", &json!({ "error": error }));
        }
    }

    /// Prints that the program was interrupted. It takes no locks of stdout and stderr, which other threads may hold.
    pub fn interrupted(self) {
        EXITING.store(true, Ordering::Release);
        let error = Error::Interrupted.to_string();
        write_unlocked(io::stderr(), &line(&error));
        if self.json && !PRINTED.swap(true, Ordering::AcqRel) {
            write_unlocked(io::stdout(), &json_text(&json!({ "error": error })));
        }
    }
}

/// Maps the result of writing to stdout. A closed pipe (`| head`) is not a failure.
///
/// # Errors
/// Returns [`Error::File`] for all other errors.
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

/// Returns a path as JSON. Bytes that are not UTF-8 become `U+FFFD`.
pub fn path_json(path: &Path) -> Value {
    path.to_string_lossy().into()
}

fn json_text(document: &Value) -> String {
    safe_json(&format!("{document:#}\n"))
}

/// Escapes the control characters that JSON allows.
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

/// Escapes control characters, except line breaks, tabs and the program's own colours. Names are escaped where
/// they are inserted; this is the second line of defence.
fn safe_text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
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

/// Returns the length of the colour code of this program at the start of `text`, or 0.
fn color_bytes(text: &str) -> usize {
    let body = text.strip_prefix("\u{1b}[").unwrap_or_default();
    let numbers = body.find(|letter: char| !letter.is_ascii_digit() && letter != ';').unwrap_or(0);
    let is_ours = ["38;", "48;", "0m"].iter().any(|start| body.starts_with(start));
    if is_ours && body[numbers..].starts_with('m') { numbers + 3 } else { 0 }
}

/// Set if every line on stderr is a JSON object.
static LINES_ARE_JSON: AtomicBool = AtomicBool::new(false);

pub fn lines_are_json() -> bool {
    LINES_ARE_JSON.load(Ordering::Acquire)
}

/// Makes all lines on stderr JSON objects, as the logs are.
pub fn use_json_lines() {
    LINES_ARE_JSON.store(true, Ordering::Release);
}

/// Set by `--quiet`.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Silences [`message`] and [`warning`]: only errors are printed.
pub fn use_quiet() {
    QUIET.store(true, Ordering::Release);
}

/// Prints a line to stderr, except with `--quiet`.
pub fn message(text: &str) {
    if !QUIET.load(Ordering::Acquire) {
        print_line(text);
    }
}

/// Prints a warning to stderr, except with `--quiet`.
pub fn warning(text: &str) {
    message(&format!("warning: {text}"));
}

fn print_line(text: &str) {
    let _ = io::stderr().write_all(line(text).as_bytes());
}

fn line(text: &str) -> String {
    if lines_are_json() {
        safe_json(&format!("{}\n", json!({ "timestamp": super::time_format::utc_now(), "message": text })))
    } else {
        format!("relabel: {}\n", printable_lines(text))
    }
}

/// Writer of logs to stderr. Each write is one event; line breaks in names are escaped.
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

/// Returns whether progress bars may be drawn: stderr is a terminal, and its lines are not JSON.
pub fn may_draw() -> bool {
    io::stderr().is_terminal() && !lines_are_json()
}

/// Returns a number with at most three significant digits: `0.012`, `3.46`, `34.6`, `1,230`.
pub fn significant(number: f64) -> String {
    match number {
        0.0 => "0".to_owned(),
        1e-6..1.0 => {
            let decimals = (1.0 - number.log10().floor()) as usize;
            format!("{number:.decimals$}")
        }
        1.0..10.0 => format!("{number:.2}"),
        10.0..100.0 => format!("{number:.1}"),
        100.0..1e15 => {
            let unit = 10_f64.powf(number.log10().floor() - 2.0);
            thousands(((number / unit).round() * unit).round() as usize)
        }
        _ => format!("{number:.2e}"),
    }
}

/// Returns `34.5 images/s`.
pub fn rate(images_per_s: f64) -> String {
    format!("{} images/s", significant(images_per_s))
}

/// Returns `3.4 kB per image`.
pub fn per_image(bytes_per_image: f64) -> String {
    format!("{} per image", bytes(bytes_per_image.round() as u64))
}

/// Returns `1 shard` or `1,252 shards`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{} {noun}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// Returns the line with the agreement between teacher and folder classes, or an empty string if no folder is a known class.
pub fn agreement_line(agreement: Agreement) -> String {
    if agreement.compared == 0 {
        return String::new();
    }
    format!(
        "agrees   with the folder class in {:.1} % (top 5: {:.1} %) of {} images\n",
        agreement.percent(agreement.top1),
        agreement.percent(agreement.top5),
        thousands(agreement.compared)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_significant_digits() {
        assert_eq!(
            [0.0, 0.0123, 0.5, 3.456, 34.56, 345.6, 1234.5].map(significant),
            ["0", "0.012", "0.50", "3.46", "34.6", "346", "1,230"]
        );
    }

    #[test]
    fn safe_text_keeps_only_own_colours() {
        let ours = "a\tb\n\u{1b}[38;2;1;2;3m\u{1b}[48;5;16mx\u{1b}[0m é\n";
        assert_eq!(safe_text(ours), ours);
        assert_eq!(
            safe_text("x\u{1b}[2J\u{1b}[8m\u{1b}]0;t\u{7}\u{9b}A\r"),
            "x\\u{1b}[2J\\u{1b}[8m\\u{1b}]0;t\\u{7}\\u{9b}A\\r"
        );
        assert_eq!(safe_text("\u{1b}["), "\\u{1b}[");
    }

    #[test]
    fn safe_json_parses_to_the_same_document() {
        let document = json!({ "id": "a\u{9b}b\u{202e}\u{7f}\n" });
        let text = json_text(&document);
        assert!(!text.trim_end().contains(|letter| letter != '\n' && acts_on_terminal(letter)), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
    }
}
