//! A MISP feed: a directory with `manifest.json`, which lists events by their id, and a file `ID.json` for each (MISP core format,
//! draft-dulaunoy-misp-core-format), or one such file.
//!
//! Attributes that MISP marks for detection (`to_ids`) count, on their own and in objects, if they are addresses, names or URLs.

use std::path::Path;

use serde::Deserialize;

use super::feed::{self, BYTES_MAX, FeedError, Reading, Refused};
use super::index::Entry;
use super::indicator::{self, Bad};

/// The list of events.
pub(super) const MANIFEST: &str = "manifest.json";
/// Most events of a feed.
pub(super) const EVENTS_MAX: usize = 100_000;
/// The list of events, as it is read: ids, and what the feed says of each.
pub(super) type Manifest = std::collections::BTreeMap<String, serde_json::Value>;

#[derive(Deserialize)]
struct File {
    #[serde(rename = "Event")]
    event: Event,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    uuid: String,
    #[serde(default, rename = "Attribute")]
    attributes: Vec<Attribute>,
    #[serde(default, rename = "Object")]
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default, rename = "Attribute")]
    attributes: Vec<Attribute>,
}

#[derive(Deserialize)]
struct Attribute {
    r#type: String,
    value: String,
    #[serde(default)]
    to_ids: bool,
    #[serde(default)]
    deleted: bool,
}

/// Reads the directory, or the one file. An event of the manifest whose file cannot be read is the end of it: a feed is taken
/// whole.
pub(super) fn read(path: &Path, entry: Entry, into: &mut Reading<'_>) -> Result<(), FeedError> {
    if !path.is_dir() {
        return event(path, entry, into).map(|_| ());
    }
    // A feed that is pulled is a link to a directory, which may be turned to another one meanwhile.
    let path = &path.canonicalize().map_err(|source| FeedError::Read {
        path: path.to_owned(),
        source,
    })?;
    let file = path.join(MANIFEST);
    let (bytes, _) = feed::contents(&file)?;
    let listed: Result<Manifest, _> = serde_json::from_slice(&bytes);
    let listed = listed.map_err(|error| refused(&file, Refused::Json(error.to_string())))?;
    if listed.len() > EVENTS_MAX {
        return Err(refused(&file, Refused::Many));
    }
    into.called(&format!("{} events", listed.len()));
    let mut left = BYTES_MAX;
    for id in listed.keys() {
        let Some(file) = file_of(id) else {
            into.leave(MANIFEST, id, Bad::Form);
            continue;
        };
        let file = path.join(file);
        let bytes = event(&file, entry, into)?;
        left = left
            .checked_sub(bytes)
            .ok_or_else(|| refused(path, Refused::Large))?;
    }
    Ok(())
}

/// The file of an event; `None` when it is no id, for nothing else becomes part of a path.
pub(super) fn file_of(untrusted_id: &str) -> Option<String> {
    let id = uuid::Uuid::try_parse(untrusted_id).ok()?;
    Some(format!("{}.json", id.hyphenated()))
}

/// Reads one event; gives how many bytes it has.
fn event(path: &Path, entry: Entry, into: &mut Reading<'_>) -> Result<u64, FeedError> {
    let (bytes, _) = feed::contents(path)?;
    let read: Result<File, _> = serde_json::from_slice(&bytes);
    let event = read
        .map_err(|error| refused(path, Refused::Json(error.to_string())))?
        .event;
    let objects = event.objects.iter().flat_map(|object| &object.attributes);
    let attributes = event.attributes.iter().chain(objects);
    for attribute in attributes.filter(|attribute| attribute.to_ids && !attribute.deleted) {
        for value in values(attribute) {
            match value.and_then(indicator::read) {
                Ok(indicator) => {
                    into.take(indicator, entry)
                        .map_err(|reason| refused(path, reason))?;
                }
                Err(bad) => into.leave(&event.uuid, &attribute.value, bad),
            }
        }
    }
    Ok(bytes.len() as u64)
}

/// What of an attribute can be looked up; a type with `|` has two parts.
fn values(attribute: &Attribute) -> Vec<Result<&str, Bad>> {
    let value = attribute.value.as_str();
    let (first, second) = value.split_once('|').unwrap_or((value, ""));
    match attribute.r#type.as_str() {
        "ip-dst" | "ip-src" | "domain" | "hostname" | "url" => vec![Ok(value)],
        "ip-dst|port" | "ip-src|port" | "hostname|port" => vec![Ok(first)],
        "domain|ip" => vec![Ok(first), Ok(second)],
        _ => vec![Err(Bad::Type)],
    }
}

fn refused(path: &Path, reason: Refused) -> FeedError {
    FeedError::Refused {
        path: path.to_owned(),
        reason,
    }
}
