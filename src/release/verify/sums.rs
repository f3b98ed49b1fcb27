//! `SHA256SUMS` as it arrives: not to be believed before it was looked at.

use std::collections::{BTreeMap, BTreeSet};

use super::{CHECKSUMS, Checked, Remedy, SIGNATURE};
use crate::shared::digest::Digest;

/// The files that are listed, with their digests.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) digests: BTreeMap<String, Digest>,
    /// Names that are listed and do not count.
    pub(super) refused: BTreeSet<String>,
}

impl Sums {
    /// Takes the lines that are as they should be; what is wrong with the others goes to `found`, as one problem.
    pub(super) fn parse(bytes: &[u8], found: &mut Checked) -> Self {
        let mut sums = Self::default();
        let mut problems = Vec::new();
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            if let Err(problem) = sums.add(line) {
                problems.push(format!("line {}: {problem}", at + 1));
            }
        }
        if sums.digests.is_empty() && problems.is_empty() {
            problems.push("it lists nothing".to_owned());
        }
        if !problems.is_empty() {
            found.add(CHECKSUMS, problems.join("; "), Remedy::AskPublisher);
        }
        sums
    }

    fn add(&mut self, line: &[u8]) -> Result<(), String> {
        const NO_LINE: &str = "it is no line of sha256sum (64 digits, two blanks, a name)";
        let line = std::str::from_utf8(line).map_err(|_| "it is no UTF-8")?;
        let (digest, name) = line.split_at_checked(64).ok_or(NO_LINE)?;
        let digest = Digest::parse(digest).ok_or(NO_LINE)?;
        let name = name.strip_prefix("  ").or_else(|| name.strip_prefix(" *")).ok_or(NO_LINE)?;
        if let Err(problem) = check_name(name) {
            self.refused.insert(name.to_owned());
            return Err(format!("`{}` {problem}", name.escape_debug()));
        }
        match self.digests.insert(name.to_owned(), digest) {
            None => Ok(()),
            Some(_) => Err(format!("`{name}` is listed twice")),
        }
    }
}

/// A name in a release leads to a file in it and nowhere else.
fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.starts_with('/') || name.contains('\\') || name.chars().any(char::is_control) {
        return Err("is no name of a file in a release");
    }
    if name.split('/').any(|part| ["", ".", ".."].contains(&part)) {
        return Err("leads out of the release, or in circles");
    }
    if [CHECKSUMS, SIGNATURE].contains(&name) {
        return Err("cannot have its digest there");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::digest::digest_bytes;

    #[test]
    fn names_that_lead_elsewhere_and_lines_that_are_none_are_refused() {
        let digest = digest_bytes(b"x");
        let line = |name: &str| format!("{digest}  {name}\n");
        for bad in ["/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a\\b", "SHA256SUMS", "SHA256SUMS.sig", ""] {
            let mut found = Checked::default();
            let sums = Sums::parse(format!("{}{}", line("README.md"), line(bad)).as_bytes(), &mut found);
            assert_eq!(sums.digests.len(), 1, "{bad}");
            assert!(found.problems[0].problem.contains("line 2"), "{bad}: {:?}", found.problems);
        }
        for bad in
            ["nothing".to_owned(), line("a").to_uppercase(), line("a").replace("  ", " "), line("a") + &line("a")]
        {
            let mut found = Checked::default();
            Sums::parse(bad.as_bytes(), &mut found);
            assert_eq!(found.problems.len(), 1, "{bad}");
        }
        let mut found = Checked::default();
        let sums = Sums::parse(format!("{digest} *a b/c d\n").as_bytes(), &mut found);
        assert!(found.problems.is_empty() && sums.digests.contains_key("a b/c d"));
    }
}
