//! Brace ranges and globs, as `WebDataset` writes the names of shards: `shards/{000000..001281}.tar`, `shards/*.tar`.

use std::path::PathBuf;

/// Files that one pattern may name.
const MAX_FILES: usize = 1 << 20;

/// True for a text that names several files.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['{', '*', '?', '['])
}

/// The files that a pattern names: braces in the order in which they count, what a glob finds by name.
///
/// # Errors
/// When a brace makes no sense, a file of a range is missing, or a glob finds none; in words.
pub(super) fn files(pattern: &str) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    let mut missing = Vec::new();
    for text in braces(pattern)? {
        if text.contains(['*', '?', '[']) {
            let found = glob::glob(&text).map_err(|error| format!("`{text}` is no pattern: {error}"))?;
            let before = files.len();
            for file in found {
                files.push(file.map_err(|error| error.to_string())?);
            }
            files[before..].sort();
            if files.len() == before {
                missing.push(text);
            }
        } else if std::fs::exists(&text).map_err(|error| format!("{text}: {error}"))? {
            files.push(PathBuf::from(text));
        } else {
            missing.push(text);
        }
    }
    match &missing[..] {
        [] => Ok(files),
        [first, ..] if files.is_empty() => Err(format!("there is no file {first}")),
        [first, rest @ ..] => Err(format!(
            "{first} is missing{}; {} files are there. Name only what is there",
            if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) },
            files.len()
        )),
    }
}

/// The part of a pattern's last name that stands before what varies, to call the whole by: `train` for
/// `train-{000..009}.tar`.
pub(super) fn fixed_name(pattern: &str) -> &str {
    let name = pattern.rsplit('/').next().unwrap_or(pattern);
    name.split(['{', '*', '?', '[']).next().unwrap_or(name).trim_end_matches(['-', '_', '.'])
}

/// Every text that a pattern's braces stand for.
fn braces(pattern: &str) -> Result<Vec<String>, String> {
    let Some((before, rest)) = pattern.split_once('{') else { return Ok(vec![pattern.to_owned()]) };
    let (inside, after) = rest.split_once('}').ok_or_else(|| format!("`{pattern}`: a `{{` is never closed"))?;
    let middles = match inside.split_once("..") {
        Some((first, last)) => range(first, last),
        None if inside.contains(',') => Some(inside.split(',').map(str::to_owned).collect()),
        None => None,
    };
    let middles = middles.ok_or_else(|| {
        format!(
            "`{{{inside}}}` is neither a range of at most {MAX_FILES} numbers like {{000..123}} nor a list like {{a,b}}"
        )
    })?;
    let ends = braces(after)?;
    if middles.len().saturating_mul(ends.len()) > MAX_FILES {
        return Err(format!("`{pattern}` names more than {MAX_FILES} files"));
    }
    Ok(middles.iter().flat_map(|middle| ends.iter().map(move |end| format!("{before}{middle}{end}"))).collect())
}

/// The numbers of a range, with as many digits as its ends have where one of them begins with 0.
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
    fn a_set_is_called_by_what_does_not_vary() {
        assert_eq!(fixed_name("a/b/train-{000..009}.tar"), "train");
        assert_eq!(fixed_name("a/b/*.tar"), "");
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        for name in ["1.tar", "0.tar"] {
            std::fs::write(at(name), "").unwrap();
        }
        assert_eq!(files(&at("*.tar")).unwrap(), [PathBuf::from(at("0.tar")), PathBuf::from(at("1.tar"))]);
        assert_eq!(files(&at("{1,0}.tar")).unwrap(), [PathBuf::from(at("1.tar")), PathBuf::from(at("0.tar"))]);
        assert!(files(&at("{0..3}.tar")).unwrap_err().contains("2.tar is missing, and 1 more; 2 files are there"));
        assert!(files(&at("x*.tar")).unwrap_err().contains("there is no file"));
    }
}
