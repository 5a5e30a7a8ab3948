//! What the analyst sees: the commands behind `chartwatch`, written to a passed-in writer.
//!
//! **Invariant:** every string that came from a host goes through [`text::clean`] before it is written as text, and JSON
//! through [`text::clean_json`]: what a terminal shows is what is there.

pub mod approve;
mod audit;
mod backend;
mod events;
mod intel;
mod list;
mod page;
mod refused;
mod reveal;
mod sensors;
mod settings;
mod svg;
mod usual;

use std::io::Write;

pub use audit::{AuditFilter, AuditViewError, audit, audit_verify};
pub use events::{EventsError, events};
pub use intel::{feeds, known};
pub use list::alerts;
pub use page::show;
pub use refused::{refused, refused_below, refused_json};
pub use reveal::{RevealError, ToReveal, reveal};
pub use sensors::{sensors, sensors_json};
pub use settings::config;
pub use svg::svg;
pub use usual::usual;

use crate::alerts::form::AlertForm;
use crate::text;

/// What can go wrong while something is shown.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The reader of the output is gone or its disk is full.
    #[error("failed to write: {0}")]
    Write(#[from] std::io::Error),
    /// Something could not be written as JSON.
    #[error("failed to write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// One JSON value and a line end.
pub fn json(out: &mut impl Write, value: &impl serde::Serialize) -> Result<(), ConsoleError> {
    let line = serde_json::to_string(value)?;
    json_line(out, &line)?;
    Ok(())
}

/// A line that is JSON already.
pub fn json_line(out: &mut impl Write, line: &str) -> Result<(), std::io::Error> {
    writeln!(out, "{}", text::clean_json(line))
}

/// Width of running text.
const WIDTH: usize = 96;

/// Running text, broken at blanks.
fn paragraph(
    out: &mut impl Write,
    words: &str,
    first: &str,
    others: &str,
) -> Result<(), std::io::Error> {
    let mut line = first.to_owned();
    let mut empty = true;
    for word in text::clean(words).split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(out, "{line}")?;
            others.clone_into(&mut line);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    writeln!(out, "{line}")
}

/// `at least ` when the figures of an alert are lower bounds.
fn at_least(alert: &AlertForm) -> &'static str {
    if alert.at_least.is_empty() {
        ""
    } else {
        "at least "
    }
}

/// The end of a conversation, with brackets around IPv6.
fn endpoint(address: &str, port: u16) -> String {
    let address = text::clean(address);
    // A file system has no port.
    if port == 0 && address.parse::<std::net::IpAddr>().is_err() {
        return address;
    }
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

/// A user's name, or number where there is no name.
fn user(name: &str, uid: Option<u32>) -> String {
    match (name, uid) {
        ("", Some(uid)) => format!("uid {uid}"),
        ("", None) => "unknown".into(),
        (name, Some(uid)) => format!("{} (uid {uid})", text::clean(name)),
        (name, None) => text::clean(name),
    }
}
