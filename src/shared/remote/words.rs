//! Errors of the network in words: what happened, what to do, and no credentials.

use std::error::Error as StdError;

use super::body::Refused;
use super::{Remote, Settings};
use crate::shared::error::Error;

/// What went wrong with a file of a place.
pub(super) fn failure(remote: &Remote, inside: &str, action: &str, error: &object_store::Error) -> Error {
    let place = if inside.is_empty() { remote.name().to_owned() } else { format!("{}/{inside}", remote.name()) };
    let (what, advice) = explain(error, &remote.settings);
    Error::Remote { place, problem: format!("cannot {action}: {what}. {advice}").into() }
}

fn explain(error: &object_store::Error, settings: &Settings) -> (String, &'static str) {
    let said = said(error, settings);
    if said.starts_with("status 401") || said.starts_with("status 403") {
        return (
            format!("the server refuses the credentials, or the public, this access ({said})"),
            "Check the variables in the environment that hold them, and what they allow",
        );
    }
    if matches!(error, object_store::Error::NotFound { .. }) || said.starts_with("status 404") {
        return (
            format!("it is not there ({said})"),
            "Check the address; a bucket has to exist before anything is written to it",
        );
    }
    if said.starts_with("status 3") {
        return (
            format!("the server sends this request to another one, and credentials do not follow there ({said})"),
            "Give the address or the endpoint that it means",
        );
    }
    (
        said,
        "Several attempts were made. Is the network there, and the address right? The same command goes on from here",
    )
}

/// What the server or the network said, short.
fn said(error: &object_store::Error, settings: &Settings) -> String {
    let mut source: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = source {
        // The package keeps its type for this to itself, and gives its words.
        if let Some((_, answer)) = cause.to_string().split_once("status code: ") {
            let (status, body) = answer.split_once(": ").unwrap_or((answer, ""));
            let body = code_and_message(body).map_or(String::new(), |text| format!(", {text}"));
            return scrubbed(&format!("status {}{body}", status.trim()), settings);
        }
        source = cause.source();
    }
    chain(error, settings)
}

/// The innermost reason of an error, with what stands directly around it.
pub(super) fn chain(error: &object_store::Error, settings: &Settings) -> String {
    let mut reasons = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        reasons.push(cause.to_string());
        source = cause.source();
    }
    // Outer words repeat the inner ones, with addresses and times.
    let innermost = reasons.pop().unwrap_or_default();
    let around = reasons.pop().filter(|around| !around.contains(&innermost) && around.len() < 80);
    scrubbed(&around.map_or(innermost.clone(), |around| format!("{around}: {innermost}")), settings)
}

/// Whether an answer began and did not come to its end. The type of the cause decides: other texts quote what a server sent.
pub(super) fn is_cut_off(error: &object_store::Error) -> bool {
    let mut source: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = source {
        if cause.is::<Refused>() {
            return false;
        }
        if let Some(cause) = cause.downcast_ref::<reqwest::Error>() {
            return (cause.is_body() || cause.is_decode()) && !cause.is_timeout();
        }
        source = cause.source();
    }
    false
}

/// What an XML answer of an object store says for people. The rest may hold keys and signatures.
fn code_and_message(body: &str) -> Option<String> {
    let between = |tag: &str| {
        let start = body.find(&format!("<{tag}>"))? + tag.len() + 2;
        let end = start + body[start..].find(&format!("</{tag}>"))?;
        Some(body[start..end].chars().take(200).collect::<String>())
    };
    let code = between("Code")?;
    Some(between("Message").map_or(code.clone(), |message| format!("{code}: {message}")))
}

/// A text without any of the credentials, should a server repeat one.
fn scrubbed(text: &str, settings: &Settings) -> String {
    let text = without_queries(text);
    let secrets = settings.variables.iter().filter(|(name, value)| is_secret(name) && value.len() >= 4);
    secrets.fold(text, |text, (_, value)| text.replace(value.as_str(), "..."))
}

/// A text whose addresses end before their `?`: what signs a request stands behind it.
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
    let of_a_cloud = ["AWS_", "GOOGLE_", "AZURE_", "HF_"].iter().any(|prefix| name.starts_with(prefix));
    of_a_cloud && ["KEY", "SECRET", "TOKEN", "SAS", "CREDENTIALS"].iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_answer_only_code_and_message_are_said() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>Check your key</Message>\
                    <AWSAccessKeyId>AKIAEXAMPLE</AWSAccessKeyId><StringToSign>secret</StringToSign></Error>";
        assert_eq!(code_and_message(body).unwrap(), "SignatureDoesNotMatch: Check your key");
        assert_eq!(code_and_message("<html>secret</html>"), None);
    }

    #[test]
    fn credentials_are_taken_out_wherever_they_stand() {
        let variables = [("AWS_SECRET_ACCESS_KEY", "hush-hush"), ("AWS_REGION", "eu-west-1"), ("HOME", "/home/me")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let settings = Settings { variables, ..Settings::default() };
        assert_eq!(scrubbed("eu-west-1 hush-hush /home/me", &settings), "eu-west-1 ... /home/me");
        assert!(!format!("{settings:?}").contains("hush"));
        let signed = "for url (https://host/a?sig=hush&x=1): nothing; is it there?";
        assert_eq!(scrubbed(signed, &settings), "for url (https://host/a?...): nothing; is it there?");
    }
}
