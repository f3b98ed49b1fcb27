//! Names that others chose, put into Markdown and YAML so that they stay names.

/// A text as Markdown that shows just it, on one line.
pub(super) fn text(text: &str) -> String {
    let mut shown = String::new();
    for letter in one_line(text).chars() {
        if letter.is_ascii_punctuation() && !",;:?/%'\"".contains(letter) && !is_plain_dash(&shown, letter) {
            shown.push('\\');
        }
        shown.push(letter);
    }
    // Bare addresses become links by themselves on the Hub.
    shown.replace("://", ":\\//")
}

/// Dashes, dots and low lines inside of words mean nothing.
fn is_plain_dash(before: &str, letter: char) -> bool {
    "-.".contains(letter) && before.ends_with(|before: char| before.is_alphanumeric()) && !is_number(before)
}

/// `1.` and `2-` may begin a list.
fn is_number(before: &str) -> bool {
    before.chars().all(|letter| letter.is_ascii_digit())
}

/// A text as a YAML scalar: a JSON string in which everything is escaped that YAML does not show as itself.
pub(super) fn yaml(text: &str) -> String {
    let mut scalar = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => {
                scalar.push('\\');
                scalar.push(letter);
            }
            ' '..='~'
            | '\u{a0}'..='\u{1fff}'
            | '\u{2070}'..='\u{d7ff}'
            | '\u{f900}'..='\u{fdff}'
            | '\u{10000}'..='\u{3ffff}' => scalar.push(letter),
            _ if u32::from(letter) <= 0xffff => scalar += &format!("\\u{:04x}", u32::from(letter)),
            _ => scalar += &format!("\\U{:08x}", u32::from(letter)),
        }
    }
    scalar.push('"');
    scalar
}

/// A text without what would end its line or turn its direction.
pub(super) fn one_line(text: &str) -> String {
    let turns =
        |letter: &char| matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_break = |letter: char| letter.is_control() || letter == '\u{2028}' || letter == '\u{2029}';
    let spaced = text.chars().filter(|letter| !turns(letter)).map(|letter| if is_break(letter) { ' ' } else { letter });
    spaced.collect::<String>().split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_and_do_nothing() {
        assert_eq!(text("tench, Tinca tinca"), "tench, Tinca tinca");
        assert_eq!(text("cc-by-4.0 v1.5"), "cc-by-4.0 v1.5");
        assert_eq!(text("a|b](javascript:x)\n# <b>"), r"a\|b\]\(javascript:x\) \# \<b\>");
        assert_eq!(text("1. x"), r"1\. x");
        assert_eq!(text("- x_y*"), r"\- x\_y\*");
        assert_eq!(text("a\u{202e}b\u{2028}c\td"), "ab c d");
        assert_eq!(text("http://x"), r"http:\//x");
    }

    #[test]
    fn scalars_are_on_one_line() {
        assert_eq!(yaml("a\"b\\c\n---\n"), r#""a\"b\\c\u000a---\u000a""#);
        assert_eq!(yaml("é\u{85}\u{2028}\u{feff}\u{1f600}"), "\"é\\u0085\\u2028\\ufeff\u{1f600}\"");
    }
}
