//! Quoting for commands that are printed for the user to copy.

/// Quotes a word if a shell would not take it as it is.
pub fn shell_quote(word: &str) -> String {
    let is_plain = word.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter));
    if is_plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_only_if_needed() {
        assert_eq!(shell_quote("n01/n01_1"), "n01/n01_1");
        assert_eq!(shell_quote("a b'c"), r"'a b'\''c'");
    }
}
