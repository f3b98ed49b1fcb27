//! Removes private text before publication: absolute paths are shortened to their last component, and URLs lose
//! passwords, tokens and signatures.

use serde_json::Value;

/// A private string that was shortened.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Redaction {
    /// File and key of the string.
    pub location: String,
    /// The original, with `***` instead of secrets.
    pub from: String,
    /// Published replacement.
    pub to: String,
}

/// Returns a string without private parts.
pub(super) fn redacted(text: &str) -> String {
    redact(text).map_or_else(|| text.to_owned(), |(text, _)| text)
}

/// Returns the value with every string in it redacted.
pub(super) fn redacted_json(value: &Value) -> Value {
    match value {
        Value::String(text) => redacted(text).into(),
        Value::Array(values) => values.iter().map(redacted_json).collect(),
        Value::Object(object) => object
            .iter()
            .map(|(key, value)| (key.clone(), redacted_json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

/// Shortens every absolute path in a string to its last component, and removes credentials (`user:password@`) and queries
/// that grant access (`?sig=...`, `?X-Amz-Signature=...`) from URLs. Returns the new string and each private part with its
/// replacement, or `None` if nothing is private.
///
/// A path begins with `/`, `~/`, `C:\`, `\\server\` or `file:` at the start of a word, and ends with the word, or with the
/// closing quote. Other parts of URLs are kept, and so are `and/or`, `1/255` and `/dev/null`.
pub(super) fn redact(text: &str) -> Option<(String, Vec<(String, String)>)> {
    let (mut out, mut found) = (String::new(), Vec::new());
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        let before = &text[..at];
        let taken = if let Some(url) = url(before, &text[at..]) {
            found.extend((url.public != text[at..at + url.bytes]).then(|| (url.masked, url.public.clone())));
            out.push_str(&url.public);
            url.bytes
        } else if let Some(bytes) = login(before, &text[at..]) {
            let host = &text[at + bytes..];
            found.push((format!("***@{}", &host[..host_bytes(host)]), String::new()));
            bytes
        } else if let Some(bytes) = secret_query(&text[at..]) {
            found.push((format!("{letter}***"), String::new()));
            bytes
        } else if let Some((bytes, last)) = path(before, &text[at..]) {
            out.push_str(last);
            found.push((text[at..at + bytes].to_owned(), last.to_owned()));
            bytes
        } else {
            out.push(letter);
            letter.len_utf8()
        };
        at += taken;
    }
    (!found.is_empty()).then_some((out, found))
}

/// A URL in a string.
struct Url {
    /// Length in bytes.
    bytes: usize,
    /// Public part.
    public: String,
    /// The original, with `***` instead of secrets.
    masked: String,
}

/// Returns the URL at the start of `rest`.
fn url(before: &str, rest: &str) -> Option<Url> {
    let (scheme, after_scheme) = rest.split_once("://")?;
    let is_scheme = !scheme.is_empty()
        && scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
        && !scheme.eq_ignore_ascii_case("file");
    let is_begin = !before.ends_with(|letter: char| letter.is_alphanumeric());
    if !is_scheme || !is_begin {
        return None;
    }
    // Passwords may contain characters that end a word elsewhere.
    let authority =
        after_scheme.find(|letter: char| "/?#".contains(letter) || ends_query(letter)).unwrap_or(after_scheme.len());
    let host_at = after_scheme[..authority].rfind('@').map_or(0, |at| at + 1);
    let (before_host, host) = (scheme.len() + 3, &after_scheme[host_at..]);
    let word = host.find(ends_word).unwrap_or(host.len());
    let query = host.find(|letter: char| letter == '?' || letter == '#' || ends_query(letter)).unwrap_or(host.len());
    let secret = secret_query(&host[query..]);
    let kept = if secret.is_some() { query } else { word.max(authority.saturating_sub(host_at)) };
    let mask = |is_secret: bool, text: &'static str| if is_secret { text } else { "" };
    Some(Url {
        bytes: before_host + host_at + kept + secret.unwrap_or(0),
        public: format!("{scheme}://{}", &host[..kept]),
        masked: format!("{scheme}://{}{}{}", mask(host_at > 0, "***@"), &host[..kept], mask(secret.is_some(), "?***")),
    })
}

/// Returns the length of a `user:password@` before a host, at the start of `rest`.
fn login(before: &str, rest: &str) -> Option<usize> {
    if before.ends_with(|letter: char| letter.is_alphanumeric() || "._-@:/".contains(letter)) {
        return None;
    }
    let word = &rest[..rest.find(|letter: char| ends_query(letter) || letter == '/').unwrap_or(rest.len())];
    let at = word.rfind('@')?;
    let (user, password) = word[..at].split_once(':')?;
    let host = &word[at + 1..];
    // A container image has a tag and a digest: `name:tag@sha256:...`.
    let is_host = host.starts_with(|letter: char| letter.is_ascii_alphabetic()) && !host.starts_with("sha256:");
    (!user.is_empty() && !password.is_empty() && (is_host || host.parse::<std::net::Ipv4Addr>().is_ok()))
        .then_some(at + 1)
}

fn host_bytes(rest: &str) -> usize {
    rest.find(|letter: char| !letter.is_ascii_alphanumeric() && !".-".contains(letter)).unwrap_or(rest.len())
}

/// Returns the length of the query or fragment at the start of `rest`, if one of its keys grants access.
fn secret_query(rest: &str) -> Option<usize> {
    const EXACT: [&str; 7] = ["sig", "key", "auth", "sas", "pwd", "pass", "jwt"];
    const PARTS: [&str; 9] =
        ["signature", "token", "secret", "password", "passwd", "credential", "apikey", "accesskey", "authorization"];
    if !rest.starts_with(['?', '#']) {
        return None;
    }
    let query = &rest[..rest.find(ends_query).unwrap_or(rest.len())];
    let is_secret = |pair: &str| {
        let Some((key, _)) = pair.split_once('=') else { return false };
        let key: String =
            key.chars().filter(|letter| !"-_.".contains(*letter)).collect::<String>().to_ascii_lowercase();
        EXACT.contains(&key.as_str()) || PARTS.iter().any(|part| key.contains(part))
    };
    query.split(['?', '#', '&', ';']).any(is_secret).then_some(query.len())
}

/// Returns whether a character ends every URL.
fn ends_query(letter: char) -> bool {
    letter.is_whitespace() || QUOTES.contains(&letter) || "<>|".contains(letter)
}

/// Returns the length of the absolute path at the start of `rest`, and its last component.
fn path<'a>(before: &str, rest: &'a str) -> Option<(usize, &'a str)> {
    let scheme = if rest.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("file:")) { 5 } else { 0 };
    let body = &rest[scheme..];
    let is_windows = {
        let drive = body.trim_start_matches('/');
        let mut letters = drive.chars();
        letters.next().is_some_and(|letter| letter.is_ascii_alphabetic())
            && letters.next() == Some(':')
            && letters.next().is_some_and(|letter| letter == '\\' || letter == '/')
            && (scheme > 0 || body.len() == drive.len())
    };
    let is_share = body.strip_prefix("\\\\").is_some_and(|rest| rest.starts_with(char::is_alphanumeric));
    let is_home = body.strip_prefix('~').is_some_and(|rest| {
        let user = rest.split('/').next().unwrap_or_default();
        rest.len() > user.len() && !user.starts_with(|letter: char| letter.is_ascii_digit()) && !user.contains(' ')
    });
    let is_unix = body.starts_with('/');
    if !(is_windows || is_share || is_home || is_unix) || !may_begin(before) {
        return None;
    }
    let quote = before.chars().next_back().filter(|letter| QUOTES.contains(letter));
    let in_quotes = quote.and_then(|quote| body.lines().next()?.find(quote));
    let drive = if is_windows { body.find(':').map_or(0, |at| at + 1) } else { 0 };
    let bytes = in_quotes.unwrap_or_else(|| drive + word_bytes(&body[drive..]));
    let word = body[..bytes].trim_end_matches(['/', '\\', ' ']);
    let is_separator = |letter: char| letter == '/' || (letter == '\\' && (is_windows || is_share));
    let components = word.split(is_separator).filter(|component| !component.is_empty());
    let last = components.clone().next_back()?;
    let is_number = last.chars().all(|letter| letter.is_ascii_digit() || letter == '.');
    let is_device = word.starts_with("/dev/") && scheme == 0;
    let is_ignored = (is_unix && components.count() == 1 && is_number) || is_device || last == "~";
    (!is_ignored).then_some((scheme + bytes, last))
}

const QUOTES: [char; 3] = ['"', '\'', '`'];

/// Returns whether a path may begin after this prefix.
fn may_begin(before: &str) -> bool {
    let mut back = before.chars().rev();
    match back.next() {
        None => true,
        // As in `-I/usr/include`.
        Some(flag) if flag.is_ascii_uppercase() => {
            back.next() == Some('-') && back.next().is_none_or(char::is_whitespace)
        }
        Some(letter) => letter.is_whitespace() || QUOTES.contains(&letter) || "=([{,;:>|@&“‘«".contains(letter),
    }
}

fn ends_word(letter: char) -> bool {
    letter.is_whitespace() || QUOTES.contains(&letter) || "<>|,;)]}”’»".contains(letter)
}

/// Returns the length of a path's word. An escaped space does not end it.
fn word_bytes(body: &str) -> usize {
    let mut before = ' ';
    for (at, letter) in body.char_indices() {
        let is_escaped = before == '\\' && letter == ' ';
        if (ends_word(letter) && !is_escaped) || letter == ':' {
            return at;
        }
        before = letter;
    }
    body.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shortened() {
        for (text, expected) in [
            ("python /home/me/export.py --out /data/net.onnx", "python export.py --out net.onnx"),
            ("/home/me/x.py:12: failed", "x.py:12: failed"),
            ("weights='/mnt/my files/w.pth', x", "weights='w.pth', x"),
            ("PATH=/usr/bin:/opt/tool/bin", "PATH=bin:bin"),
            (r"see C:\Users\me\net.onnx now", "see net.onnx now"),
            ("see C:/Users/me/net.onnx", "see net.onnx"),
            (r"\\server\share\net.onnx", "net.onnx"),
            ("file:///home/me/a.onnx and FILE://localhost/b/c", "a.onnx and c"),
            ("file:///C:/Users/me/a.onnx", "a.onnx"),
            ("~/nets/a.onnx, ~me/b.onnx", "a.onnx, b.onnx"),
            (r"/home/me/my\ nets/a.onnx", "a.onnx"),
            ("me@host:/srv/a.onnx", "me@host:a.onnx"),
            ("(/srv/é/ü.onnx)", "(ü.onnx)"),
            ("cc -I/usr/include x.c 2>/tmp/log", "cc -Iinclude x.c 2>log"),
            ("/tmp/", "tmp"),
        ] {
            assert_eq!(redact(text).map(|(text, _)| text).as_deref(), Some(expected), "{text}");
        }
        let (_, found) = redact("at /a/b.c and /d").unwrap();
        assert_eq!(found, [("/a/b.c".into(), "b.c".into()), ("/d".into(), "d".into())]);
    }

    #[test]
    fn urls_lose_credentials() {
        for (text, expected) in [
            ("https://me:hunter2@example.org/a.onnx now", "https://example.org/a.onnx now"),
            ("(https://me@example.org:8080/a)", "(https://example.org:8080/a)"),
            ("see https://h.org/a.onnx?X-Amz-Credential=x&X-Amz-Signature=abc&y=1, or", "see https://h.org/a.onnx or"),
            ("https://x.blob.core.windows.net/a?sv=1&sig=a%2Fb", "https://x.blob.core.windows.net/a"),
            ("s3://k:s;e,c@bucket/a?Signature=x", "s3://bucket/a"),
            ("https://h.org/a#access_token=abc", "https://h.org/a"),
            ("from h.org/a.onnx?token=abc.", "from h.org/a.onnx"),
            ("git clone me:hunter2@h.org:nets.git", "git clone h.org:nets.git"),
            ("\"postgres://u:p@h/db\"", "\"postgres://h/db\""),
        ] {
            let (text, found) = redact(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(text, expected);
            assert!(found.iter().all(|(from, _)| !from.contains("hunter2") && !from.contains("abc")), "{found:?}");
        }
    }

    #[test]
    fn other_slashes_are_kept() {
        for text in [
            "",
            "/",
            "https://example.org/a/b.onnx",
            "hf://datasets/a/b, s3://bucket/key",
            "https://example.org/search?q=net&page=2#top",
            "ghcr.io/me/net:1.0@sha256:abc, net:1@224, a:b, me@example.org",
            "x / 255 and 1/255, /255",
            "and/or",
            "models/net.onnx",
            "./net.onnx ../net.onnx",
            "2>/dev/null",
            "</p>",
            "~ 5/10, ~5/10",
            "#!/usr/bin/env python",
            "1:/2",
            "a: b",
        ] {
            assert_eq!(redact(text), None, "{text}");
        }
    }

    #[test]
    fn json_values_are_redacted_at_any_depth() {
        let card = serde_json::json!({ "export": ["python /home/me/x.py", 3], "deep": { "at": "/srv/y" } });
        assert_eq!(redacted_json(&card), serde_json::json!({ "export": ["python x.py", 3], "deep": { "at": "y" } }));
    }
}
