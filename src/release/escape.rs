//! Escapes untrusted names for Markdown and YAML.

/// Returns Markdown that shows a string literally, on one line.
pub(super) fn markdown(text: &str) -> String {
    let mut shown = String::new();
    for letter in one_line(text).chars() {
        if letter.is_ascii_punctuation() && !",;:?/%'\"".contains(letter) && !is_plain_dash(&shown, letter) {
            shown.push('\\');
        }
        shown.push(letter);
    }
    // The Hub turns bare URLs into links.
    shown.replace("://", ":\\//")
}

/// Returns whether this is a dash or dot inside a word, where Markdown gives it no meaning.
fn is_plain_dash(before: &str, letter: char) -> bool {
    "-.".contains(letter) && before.ends_with(|before: char| before.is_alphanumeric()) && !is_number(before)
}

/// Returns whether the string consists of digits only: `1.` may begin a list.
fn is_number(before: &str) -> bool {
    before.chars().all(|letter| letter.is_ascii_digit())
}

/// Returns a quoted YAML scalar: a JSON string in which everything that YAML does not allow literally is escaped.
pub(super) fn yaml_string(text: &str) -> String {
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

/// Returns a string without line breaks, control characters and direction marks.
pub(super) fn one_line(text: &str) -> String {
    let is_direction_mark =
        |letter: &char| matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_break = |letter: char| letter.is_control() || letter == '\u{2028}' || letter == '\u{2029}';
    let spaced = text
        .chars()
        .filter(|letter| !is_direction_mark(letter))
        .map(|letter| if is_break(letter) { ' ' } else { letter });
    spaced.collect::<String>().split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_is_escaped() {
        assert_eq!(markdown("tench, Tinca tinca"), "tench, Tinca tinca");
        assert_eq!(markdown("cc-by-4.0 v1.5"), "cc-by-4.0 v1.5");
        assert_eq!(markdown("a|b](javascript:x)\n# <b>"), r"a\|b\]\(javascript:x\) \# \<b\>");
        assert_eq!(markdown("1. x"), r"1\. x");
        assert_eq!(markdown("- x_y*"), r"\- x\_y\*");
        assert_eq!(markdown("a\u{202e}b\u{2028}c\td"), "ab c d");
        assert_eq!(markdown("http://x"), r"http:\//x");
    }

    #[test]
    fn yaml_strings_are_on_one_line() {
        assert_eq!(yaml_string("a\"b\\c\n---\n"), r#""a\"b\\c\u000a---\u000a""#);
        assert_eq!(yaml_string("é\u{85}\u{2028}\u{feff}\u{1f600}"), "\"é\\u0085\\u2028\\ufeff\u{1f600}\"");
    }
}
