//! `chartwatch reveal`: tokens back to names, said in the audit log before anything is shown.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use super::ConsoleError;
use crate::alerts::form::AlertForm;
use crate::audit::{Action, Audit, AuditError, Entry};
use crate::privacy::{Key, KeyError, Names, TokenError, as_text, mentioned};
use crate::text;

/// Most tokens at a time, and bytes of them: they stand in one entry of the audit log.
const TOKENS_MAX: usize = 1_024;
const BYTES_MAX: usize = 256 * 1024;

/// What is to be turned back, and why.
#[derive(Debug, Clone, Copy)]
pub struct ToReveal<'a> {
    /// Tokens, or texts with tokens in them.
    pub texts: &'a [String],
    /// An alert, for all tokens of it.
    pub alert: Option<&'a AlertForm>,
    /// The reason, for whoever reads the audit log.
    pub why: &'a str,
    /// As one JSON object to a line.
    pub json: bool,
}

/// Why nothing is turned back.
#[derive(Debug, thiserror::Error)]
pub enum RevealError {
    /// This collector has no key.
    #[error(
        "privacy.hold_key is false in the configuration: this collector has no key; ask where the key is held"
    )]
    NoKey,
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// What was given is no token of this key.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The alert has none.
    #[error("alert {0} has no token in it: its store's names leave as they are, or none was seen")]
    NoneInAlert(String),
    /// Too many at a time.
    #[error(
        "at most {TOKENS_MAX} tokens and {BYTES_MAX} bytes of them are turned back at a time; ask in parts"
    )]
    TooMany,
    /// Who asks has had too many turned back lately.
    #[error("{0}")]
    TooMuch(String),
    /// What is not in the audit log is not shown.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// It could not be written.
    #[error(transparent)]
    Console(#[from] ConsoleError),
}

/// A token or a text, and what it is turned back.
type Turned = (String, Result<String, TokenError>);

/// Turns tokens back, says so in the audit log, and then shows them. `allowed` is asked whether so many may be.
///
/// # Errors
///
/// The key cannot be used, a text holds no token of it, or the audit log cannot be written to. Nothing was shown then.
pub fn reveal(
    out: &mut impl Write,
    key: Option<&Path>,
    asked: ToReveal<'_>,
    audit: &Audit,
    allowed: impl FnOnce(u64) -> Result<(), String>,
) -> Result<(), RevealError> {
    let entry = |what| {
        let entry = Entry::new(what).with("why", asked.why);
        entry.about(asked.alert.map_or("", |alert| &alert.id))
    };
    let within = |turned: Vec<Turned>| {
        let tokens = turned.iter().map(|(text, _)| tokens_in(text)).sum();
        allowed(tokens).map_err(RevealError::TooMuch)?;
        Ok(turned)
    };
    let turned = match turned(key, asked).and_then(within) {
        Ok(turned) => turned,
        Err(error) => {
            let refused = entry(Action::RevealRefused);
            audit.append(&refused.with("reason", &for_the_log(&error)))?;
            return Err(error);
        }
    };
    let tokens: Vec<String> = turned.iter().map(|(token, _)| token.clone()).collect();
    audit.append(&entry(Action::Revealed).listing("tokens", &tokens))?;
    for (token, name) in &turned {
        show(out, token, name, asked)?;
    }
    Ok(())
}

/// How many tokens a text that was turned back has: one, where it is a token itself.
fn tokens_in(text: &str) -> u64 {
    mentioned(text).count().max(1) as u64
}

/// Why, without what was given: that may be a name.
fn for_the_log(error: &RevealError) -> String {
    match error {
        RevealError::Token(_) => "what was given is no token of this key".to_owned(),
        other => other.to_string(),
    }
}

fn turned(key: Option<&Path>, asked: ToReveal<'_>) -> Result<Vec<Turned>, RevealError> {
    let mut names = Names::new(&Key::read(key.ok_or(RevealError::NoKey)?)?);
    let bytes: usize = asked.texts.iter().map(String::len).sum();
    if asked.texts.len() > TOKENS_MAX || bytes > BYTES_MAX {
        return Err(RevealError::TooMany);
    }
    let mut turned = Vec::new();
    for text in asked.texts {
        turned.push((text.clone(), Ok(names.text(text)?)));
    }
    let Some(alert) = asked.alert else {
        return Ok(turned);
    };
    let tokens = tokens_of(alert)?;
    if tokens.is_empty() {
        return Err(RevealError::NoneInAlert(alert.id.clone()));
    }
    if tokens.len() > TOKENS_MAX || tokens.iter().map(String::len).sum::<usize>() > BYTES_MAX {
        return Err(RevealError::TooMany);
    }
    for token in tokens {
        let name = names.name(&token).map(|name| as_text(&name));
        turned.push((token, name));
    }
    Ok(turned)
}

/// Every token in an alert: its records' names, and those in paths and arguments.
fn tokens_of(alert: &AlertForm) -> Result<BTreeSet<String>, ConsoleError> {
    let records = alert.names.iter().filter(|name| name.form == "token");
    let mut tokens: BTreeSet<String> = records.map(|name| name.text.clone()).collect();
    let all = serde_json::to_string(alert)?;
    tokens.extend(mentioned(&all).map(str::to_owned));
    tokens.remove("");
    Ok(tokens)
}

fn show(
    out: &mut impl Write,
    token: &str,
    name: &Result<String, TokenError>,
    asked: ToReveal<'_>,
) -> Result<(), ConsoleError> {
    if asked.json {
        let line = match name {
            Ok(name) => serde_json::json!({ "token": token, "name": name }),
            Err(error) => serde_json::json!({ "token": token, "error": error.to_string() }),
        };
        return super::json(out, &line);
    }
    let name = match name {
        Ok(name) => text::clean(name),
        Err(_) => "(not of this key)".to_owned(),
    };
    if asked.alert.is_some() {
        writeln!(out, "{}  {name}", text::clean(token))?;
    } else {
        writeln!(out, "{name}")?;
    }
    Ok(())
}
