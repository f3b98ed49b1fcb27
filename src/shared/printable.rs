//! Makes untrusted input safe to print: characters that control a terminal, or could fake another line, are escaped.

use std::borrow::Cow;
use std::path::Path;

/// Returns a string as one line: control characters (including line breaks and tabs), line separators and marks that change
/// the writing direction are escaped, as `\n` and `\u{1b}`.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |_, _| false)
}

/// Returns a path as one line; see [`printable`]. Bytes that are not UTF-8 become `U+FFFD`.
#[must_use]
pub fn printable_path(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

/// Returns a message that may have several lines: lines indented by two spaces, as advice and lists are, are kept. All
/// else is escaped as by [`printable`], so no name in it can look like a message.
#[must_use]
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |letter, rest| letter == '\n' && rest.trim_start_matches('\n').starts_with("  "))
}

/// Returns whether a character controls a terminal or changes the writing direction.
#[must_use]
pub fn acts_on_terminal(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Escapes characters that control a terminal, except those for which `keep` returns true. `keep` gets a character and the
/// text after it.
fn escaped(text: &str, keep: impl Fn(char, &str) -> bool) -> Cow<'_, str> {
    if !text.contains(acts_on_terminal) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for (at, letter) in text.char_indices() {
        if acts_on_terminal(letter) && !keep(letter, &text[at + letter.len_utf8()..]) {
            safe.extend(escape(letter));
        } else {
            safe.push(letter);
        }
    }
    Cow::Owned(safe)
}

/// `\n`, `\t`, `\u{1b}`
fn escape(letter: char) -> impl Iterator<Item = char> {
    let short = matches!(letter, '\n' | '\r' | '\t').then(|| letter.escape_default());
    let long = short.is_none().then(|| letter.escape_unicode());
    short.into_iter().flatten().chain(long.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_controls_are_escaped() {
        for (text, expected) in [
            ("n01/é ü 猫", "n01/é ü 猫"),
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("a\nrelabel: done\r\tb", "a\\nrelabel: done\\r\\tb"),
            ("\u{9b}31m\u{7f}\0", "\\u{9b}31m\\u{7f}\\u{0}"),
            ("gpj.\u{202e}exe\u{2066}\u{2028}", "gpj.\\u{202e}exe\\u{2066}\\u{2028}"),
        ] {
            assert_eq!(printable(text), expected);
        }
    }

    #[test]
    fn messages_keep_indented_lines() {
        assert_eq!(
            printable_lines("no such id\n  help: look\nrelabel: done"),
            "no such id\n  help: look\\nrelabel: done"
        );
        assert_eq!(printable_lines("type\n\n    pip\n\n"), "type\n\n    pip\\n\\n");
        assert_eq!(printable_path(Path::new("a\u{7}/b")), "a\\u{7}/b");
    }
}
