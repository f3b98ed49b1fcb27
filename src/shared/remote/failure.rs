//! Error messages of the network, without credentials.

use std::error::Error as StdError;

use super::response_body::ResponseRefused;
use super::settings::RemoteSettings;
use crate::shared::error::Error;

/// Errors of a request.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error(
        "cannot {action}: the server denies access ({response})\n  help: check the credentials in the environment \
         variables, and their permissions"
    )]
    AccessDenied { action: &'static str, response: String },
    #[error(
        "cannot {action}: not found ({response})\n  help: check the URL; a bucket must exist before it is \
         written to"
    )]
    NotFound { action: &'static str, response: String },
    #[error(
        "cannot {action}: the server redirects this request to a different one, and credentials are not sent there \
         ({response})\n  help: use the address or endpoint that it redirects to"
    )]
    Redirected { action: &'static str, response: String },
    #[error(
        "cannot {action}: {response} (retried several times)\n  help: check the network and the URL, and repeat the command, \
         which resumes"
    )]
    Failed { action: &'static str, response: String },
}

/// Returns the error of a failed request. `name` is the URL of the file or location.
pub(super) fn failure(
    name: String,
    settings: &RemoteSettings,
    action: &'static str,
    error: &object_store::Error,
) -> Error {
    let response = response_text(error, settings);
    let is_status = |status: &str| response.starts_with(&format!("status {status}"));
    let problem = if is_status("401") || is_status("403") {
        RequestError::AccessDenied { action, response }
    } else if matches!(error, object_store::Error::NotFound { .. }) || is_status("404") {
        RequestError::NotFound { action, response }
    } else if is_status("3") {
        RequestError::Redirected { action, response }
    } else {
        RequestError::Failed { action, response }
    };
    Error::Remote { location: name, problem: problem.into() }
}

/// Returns a short message of what the server or the network reported.
fn response_text(error: &object_store::Error, settings: &RemoteSettings) -> String {
    let mut source: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = source {
        // object_store's type for this is private, so its message is parsed.
        if let Some((_, response)) = cause.to_string().split_once("status code: ") {
            let (status, body) = response.split_once(": ").unwrap_or((response, ""));
            let body = code_and_message(body).map_or(String::new(), |text| format!(", {text}"));
            return redacted(&format!("status {}{body}", status.trim()), settings);
        }
        source = cause.source();
    }
    root_cause(error, settings)
}

/// Returns the innermost cause of an error, with its immediate context.
pub(super) fn root_cause(error: &object_store::Error, settings: &RemoteSettings) -> String {
    let mut causes = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    // Outer messages repeat the inner ones, with URLs and times.
    let innermost = causes.pop().unwrap_or_default();
    let context = causes.pop().filter(|context| !context.contains(&innermost) && context.len() < 80);
    redacted(&context.map_or(innermost.clone(), |context| format!("{context}: {innermost}")), settings)
}

/// Returns whether a response began and was cut off. Decided by the type of the cause, since messages may quote the server.
pub(super) fn is_cut_off(error: &object_store::Error) -> bool {
    let mut source: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = source {
        if cause.is::<ResponseRefused>() {
            return false;
        }
        if let Some(cause) = cause.downcast_ref::<reqwest::Error>() {
            return (cause.is_body() || cause.is_decode()) && !cause.is_timeout();
        }
        source = cause.source();
    }
    false
}

/// Returns code and message of an object store's XML response. The rest may contain keys and signatures.
fn code_and_message(body: &str) -> Option<String> {
    let between = |tag: &str| {
        let start = body.find(&format!("<{tag}>"))? + tag.len() + 2;
        let end = start + body[start..].find(&format!("</{tag}>"))?;
        Some(body[start..end].chars().take(200).collect::<String>())
    };
    let code = between("Code")?;
    Some(between("Message").map_or(code.clone(), |message| format!("{code}: {message}")))
}

/// Removes all credentials from a string, since a server may repeat one.
fn redacted(text: &str, settings: &RemoteSettings) -> String {
    let text = without_queries(text);
    let secrets = settings.variables.iter().filter(|(name, value)| is_secret(name) && value.len() >= 4);
    secrets.fold(text, |text, (_, value)| text.replace(value.as_str(), "..."))
}

/// Removes the queries of all URLs in a string, which may contain signatures.
fn without_queries(text: &str) -> String {
    let is_end = |letter: char| letter.is_whitespace() || "()\"'`<>,".contains(letter);
    let shown = |word: &str| match word.split_once("://").and_then(|(_, rest)| rest.split_once('?')) {
        Some((_, query)) => word[..word.len() - query.len()].to_owned() + "...",
        None => word.to_owned(),
    };
    let words = text.split_inclusive(is_end).map(|word| {
        let end = word.chars().next_back().filter(|&letter| is_end(letter)).map_or(0, char::len_utf8);
        let (word, end) = word.split_at(word.len() - end);
        shown(word) + end
    });
    words.collect()
}

fn is_secret(name: &str) -> bool {
    let is_cloud = ["AWS_", "GOOGLE_", "AZURE_", "HF_"].iter().any(|prefix| name.starts_with(prefix));
    is_cloud && ["KEY", "SECRET", "TOKEN", "SAS", "CREDENTIALS"].iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_and_message_of_a_response_are_shown() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>Check your key</Message>\
                    <AWSAccessKeyId>AKIAEXAMPLE</AWSAccessKeyId><StringToSign>secret</StringToSign></Error>";
        assert_eq!(code_and_message(body).unwrap(), "SignatureDoesNotMatch: Check your key");
        assert_eq!(code_and_message("<html>secret</html>"), None);
    }

    #[test]
    fn credentials_are_removed_everywhere() {
        let variables = [("AWS_SECRET_ACCESS_KEY", "hush-hush"), ("AWS_REGION", "eu-west-1"), ("HOME", "/home/me")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let settings = RemoteSettings { variables, ..RemoteSettings::default() };
        assert_eq!(redacted("eu-west-1 hush-hush /home/me", &settings), "eu-west-1 ... /home/me");
        assert!(!format!("{settings:?}").contains("hush"));
        let signed = "for url (https://host/a?sig=hush&x=1): nothing; is it there?";
        assert_eq!(redacted(signed, &settings), "for url (https://host/a?...): nothing; is it there?");
    }
}
