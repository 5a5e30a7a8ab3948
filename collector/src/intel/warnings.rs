//! Warning lists of MISP: what is no indicator though feeds list it, such as public resolvers and large clouds.
//!
//! A list is an object with `name`, `version`, `type` and `list` (misp-warninglists, `schema.json`). Of its types `cidr`, `hostname` and
//! `string` are looked up, a `string` without the names below it; `substring` and `regex` are left out, since a part of a name says
//! nothing for certain. `matching_attributes` is not needed: an address is no name.

use serde::Deserialize;

use super::feed::{Reading, Refused};
use super::index::Entry;
use super::indicator::{self, Indicator};

#[derive(Deserialize)]
struct Warnings {
    name: String,
    version: serde_json::Value,
    r#type: String,
    list: Vec<String>,
}

pub(super) fn read(untrusted: &[u8], entry: Entry, into: &mut Reading<'_>) -> Result<(), Refused> {
    let warnings: Warnings =
        serde_json::from_slice(untrusted).map_err(|error| Refused::Json(error.to_string()))?;
    if !matches!(warnings.r#type.as_str(), "cidr" | "hostname" | "string") {
        return Err(Refused::ListType(warnings.r#type));
    }
    into.called(&format!("{} {}", warnings.name, warnings.version));
    let is_whole = warnings.r#type == "string";
    for (number, text) in (1_u64..).zip(&warnings.list) {
        match indicator::read(text) {
            Ok(Indicator::Name(name)) if is_whole => into.take(Indicator::Host(name), entry)?,
            Ok(indicator) => into.take(indicator, entry)?,
            Err(bad) => into.leave(&format!("entry {number}"), text, bad),
        }
    }
    Ok(())
}
