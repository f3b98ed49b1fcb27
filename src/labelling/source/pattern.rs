//! Brace ranges and globs, as `WebDataset` writes the names of shards: `shards/{000000..001281}.tar`, `shards/*.tar`.

use std::io;
use std::path::PathBuf;

use crate::shared::numbers::thousands;
use crate::shared::printable::{printable, printable_path};

/// Maximum number of files per pattern.
const MAX_FILES: usize = 1 << 20;

/// Reason a pattern matches no files.
#[derive(Debug, thiserror::Error)]
pub(super) enum PatternError {
    /// A brace is not closed.
    #[error("`{}`: a `{{` is not closed\n  help: close the brace, and quote the pattern", printable(pattern))]
    UnclosedBrace {
        /// The pattern.
        pattern: String,
    },
    /// A brace is neither a range nor a list.
    #[error(
        "`{{{}}}` is neither a range of at most {} numbers like {{000..123}} nor a list like {{a,b}}\n  help: correct the \
         brace, and quote the pattern",
        printable(inside),
        thousands(MAX_FILES)
    )]
    Brace {
        /// The text inside the brace.
        inside: String,
    },
    /// The braces expand to too many files.
    #[error(
        "`{}` matches more than {} files\n  help: use a narrower pattern",
        printable(pattern),
        thousands(MAX_FILES)
    )]
    TooManyFiles {
        /// The pattern.
        pattern: String,
    },
    /// A glob is invalid.
    #[error("`{}` is not a valid pattern: {problem}", printable(text))]
    Glob {
        /// The glob.
        text: String,
        /// Underlying error.
        #[source]
        problem: glob::PatternError,
    },
    /// A folder cannot be read.
    #[error(transparent)]
    Unlistable(glob::GlobError),
    /// A file cannot be accessed.
    #[error("cannot access {}: {problem}", printable(path))]
    Access {
        /// The file.
        path: String,
        /// Underlying error.
        #[source]
        problem: io::Error,
    },
    /// No file matches.
    #[error("no file matches `{}`\n  help: check the folder and the pattern", printable(pattern))]
    NoMatch {
        /// The pattern.
        pattern: String,
    },
    /// Some files of a range or list are missing.
    #[error(
        "{} is missing{}; {} files exist\n  help: list only files that exist",
        printable_path(first),
        if *others == 0 { String::new() } else { format!(", and {} more", thousands(*others)) },
        thousands(*existing)
    )]
    MissingFiles {
        /// The first missing file.
        first: PathBuf,
        /// Number of other missing files.
        others: usize,
        /// Number of files that exist.
        existing: usize,
    },
}

/// Returns whether a string matches several files.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['{', '*', '?', '['])
}

/// Returns the files that a pattern matches: braces in their order, the matches of a glob sorted by name.
///
/// # Errors
/// Returns [`PatternError`] if a brace or glob is invalid, a file of a range or list is missing, or a glob has no match.
pub(super) fn files(pattern: &str) -> Result<Vec<PathBuf>, PatternError> {
    let mut files = Vec::new();
    let mut missing = Vec::new();
    for text in braces(pattern)? {
        if text.contains(['*', '?', '[']) {
            let found = glob::glob(&text).map_err(|problem| PatternError::Glob { text: text.clone(), problem })?;
            let before = files.len();
            for file in found {
                files.push(file.map_err(PatternError::Unlistable)?);
            }
            files[before..].sort();
            if files.len() == before {
                missing.push(text);
            }
        } else if std::fs::exists(&text).map_err(|problem| PatternError::Access { path: text.clone(), problem })? {
            files.push(PathBuf::from(text));
        } else {
            missing.push(text);
        }
    }
    match &missing[..] {
        [] => Ok(files),
        _ if files.is_empty() => Err(PatternError::NoMatch { pattern: pattern.to_owned() }),
        [first, others @ ..] => {
            Err(PatternError::MissingFiles { first: PathBuf::from(first), others: others.len(), existing: files.len() })
        }
    }
}

/// Returns the start of a pattern's last name that does not vary, to name the source by: `train` for
/// `train-{000..009}.tar`.
pub(super) fn fixed_name(pattern: &str) -> &str {
    let name = pattern.rsplit('/').next().unwrap_or(pattern);
    name.split(['{', '*', '?', '[']).next().unwrap_or(name).trim_end_matches(['-', '_', '.'])
}

/// Returns every string that a pattern's braces expand to.
fn braces(pattern: &str) -> Result<Vec<String>, PatternError> {
    let Some((before, rest)) = pattern.split_once('{') else { return Ok(vec![pattern.to_owned()]) };
    let unclosed = || PatternError::UnclosedBrace { pattern: pattern.to_owned() };
    let (inside, after) = rest.split_once('}').ok_or_else(unclosed)?;
    let middles = match inside.split_once("..") {
        Some((first, last)) => range(first, last),
        None if inside.contains(',') => Some(inside.split(',').map(str::to_owned).collect()),
        None => None,
    };
    let middles = middles.ok_or_else(|| PatternError::Brace { inside: inside.to_owned() })?;
    let ends = braces(after)?;
    if middles.len().saturating_mul(ends.len()) > MAX_FILES {
        return Err(PatternError::TooManyFiles { pattern: pattern.to_owned() });
    }
    Ok(middles.iter().flat_map(|middle| ends.iter().map(move |end| format!("{before}{middle}{end}"))).collect())
}

/// Returns the numbers of a range, padded to the digits of its ends if one of them begins with 0.
fn range(first: &str, last: &str) -> Option<Vec<String>> {
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<usize>().ok())?;
    let (from, to) = (number(first)?, number(last)?);
    let padded = [first, last].iter().any(|end| end.len() > 1 && end.starts_with('0'));
    let digits = if padded { first.len().max(last.len()) } else { 1 };
    let fits = to.checked_sub(from).is_some_and(|count| count < MAX_FILES);
    fits.then(|| (from..=to).map(|number| format!("{number:0digits$}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_count_as_a_shell_does() {
        assert_eq!(braces("s/{08..11}.tar").unwrap(), ["s/08.tar", "s/09.tar", "s/10.tar", "s/11.tar"]);
        assert_eq!(braces("{9..10}").unwrap(), ["9", "10"]);
        assert_eq!(braces("{a,b}-{0..1}.tar").unwrap(), ["a-0.tar", "a-1.tar", "b-0.tar", "b-1.tar"]);
        for wrong in ["{0..x}", "{5..1}", "{0..99999999}", "{0..", "{}", "{0..1048575}{0..9}"] {
            assert!(braces(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_source_is_named_by_what_does_not_vary() {
        assert_eq!(fixed_name("a/b/train-{000..009}.tar"), "train");
        assert_eq!(fixed_name("a/b/*.tar"), "");
    }

    #[test]
    fn missing_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        for name in ["1.tar", "0.tar"] {
            std::fs::write(at(name), "").unwrap();
        }
        assert_eq!(files(&at("*.tar")).unwrap(), [PathBuf::from(at("0.tar")), PathBuf::from(at("1.tar"))]);
        assert_eq!(files(&at("{1,0}.tar")).unwrap(), [PathBuf::from(at("1.tar")), PathBuf::from(at("0.tar"))]);
        assert!(
            files(&at("{0..3}.tar")).unwrap_err().to_string().contains("2.tar is missing, and 1 more; 2 files exist")
        );
        assert!(files(&at("x*.tar")).unwrap_err().to_string().contains("no file matches"));
    }
}
