//! Feeds of threat intelligence as they stand in the file (`[[intel]]`), carried here (`path`) or pulled (`url`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use ureq::http::Uri;

use super::raw::{Refused, absolute, bounded, refused};
use crate::intel::{FeedConfig, Kind, Login, PullConfig, pull};

/// Most feeds.
const FEEDS_MAX: usize = 64;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFeed {
    name: String,
    /// `list`, `warnings`, `onionoo`, `stix`, `misp` or `taxii`; default list.
    kind: Option<Kind>,
    /// Absolute path; this or `url`.
    path: Option<PathBuf>,
    /// Where it is pulled from, http or https; this or `path`.
    url: Option<String>,
    /// 1 to 168; default 6.
    every_hours: Option<u64>,
    /// For HTTP's basic authentication; with `password_file`.
    user: Option<String>,
    /// Absolute path.
    password_file: Option<PathBuf>,
    /// Absolute path; default: the certificates that the system trusts.
    ca_file: Option<PathBuf>,
    /// Default: the name.
    label: Option<String>,
    /// 0 to 100; default: not said.
    confidence: Option<u8>,
    /// 1 to 3650; default: always.
    expires_days: Option<u64>,
    /// 0 to 3650, 0 for never; default 7 of what is pulled, 30 of what is carried here.
    stale_days: Option<u64>,
}

/// Checks every value; what is pulled is kept below `data_dir`.
pub(super) fn feeds(list: Vec<RawFeed>, data_dir: &Path) -> Result<Vec<FeedConfig>, Refused> {
    if list.len() > FEEDS_MAX {
        return Err(refused(
            "intel",
            format!("{} feeds; write {FEEDS_MAX} at most", list.len()),
        ));
    }
    let mut feeds: Vec<FeedConfig> = Vec::with_capacity(list.len());
    for (index, raw) in list.into_iter().enumerate() {
        let feed = raw.check(index, data_dir)?;
        if feeds.iter().any(|other| other.name == feed.name) {
            let reason = format!("{:?} is used twice", feed.name);
            return Err(refused(&format!("intel[{index}].name"), reason));
        }
        feeds.push(feed);
    }
    Ok(feeds)
}

impl RawFeed {
    fn check(self, index: usize, data_dir: &Path) -> Result<FeedConfig, Refused> {
        let key = |field: &str| format!("intel[{index}].{field}");
        if self.name.is_empty() {
            return Err(refused(
                &key("name"),
                "is empty; write what the feed is called".into(),
            ));
        }
        let kind = self.kind.unwrap_or(Kind::List);
        let pull = self.pull(kind, &key)?;
        let confidence = self.confidence.map(u64::from);
        bounded(&key("confidence"), confidence, 0, 0, 100)?;
        let days = self.expires_days.map(|days| {
            let key = key("expires_days");
            bounded(&key, Some(days), days, 1, 3_650)
        });
        let usual = if pull.is_some() { 7 } else { 30 };
        let stale_days = bounded(&key("stale_days"), self.stale_days, usual, 0, 3_650)?;
        let mut feed = FeedConfig {
            stale: (stale_days > 0).then(|| Duration::from_hours(24 * stale_days)),
            label: self.label.unwrap_or_else(|| self.name.clone()),
            name: self.name,
            kind,
            path: self.path.unwrap_or_default(),
            pull,
            confidence: self.confidence,
            lasts: days
                .transpose()?
                .map(|days| Duration::from_hours(24 * days)),
        };
        feed.keep_below(data_dir);
        Ok(feed)
    }

    /// Where it is pulled from, or that it has a path.
    fn pull(
        &self,
        kind: Kind,
        key: &impl Fn(&str) -> String,
    ) -> Result<Option<PullConfig>, Refused> {
        match (&self.path, &self.url) {
            (Some(path), None) => {
                absolute(&key("path"), path)?;
                self.nothing_of_pulling(kind, key).map(|()| None)
            }
            (None, Some(url)) => self.pulled(kind, url, key).map(Some),
            (Some(_), Some(_)) => Err(refused(
                &key("url"),
                "is beside path; a feed has one of the two".into(),
            )),
            (None, None) => Err(refused(
                &key("path"),
                "is missing; write the path of its file, or the url it is pulled from".into(),
            )),
        }
    }

    /// Refuses what means nothing for a feed that is carried here.
    fn nothing_of_pulling(&self, kind: Kind, key: &impl Fn(&str) -> String) -> Result<(), Refused> {
        if kind == Kind::Taxii {
            return Err(refused(
                &key("kind"),
                "\"taxii\" has a url; objects that were carried here are a bundle, kind \"stix\""
                    .into(),
            ));
        }
        for (field, is_there) in [
            ("every_hours", self.every_hours.is_some()),
            ("user", self.user.is_some()),
            ("password_file", self.password_file.is_some()),
            ("ca_file", self.ca_file.is_some()),
        ] {
            if is_there {
                return Err(refused(&key(field), "means nothing without url".into()));
            }
        }
        Ok(())
    }

    fn pulled(
        &self,
        kind: Kind,
        url: &str,
        key: &impl Fn(&str) -> String,
    ) -> Result<PullConfig, Refused> {
        if pull::directory(&self.name).len() > pull::NAME_MAX {
            return Err(refused(
                &key("name"),
                "is too long for the directory of a feed that is pulled".into(),
            ));
        }
        let uri = uri(url, kind).map_err(|reason| refused(&key("url"), reason))?;
        let login = self.login(&uri, key)?;
        if let Some(path) = &self.ca_file {
            absolute(&key("ca_file"), path)?;
        }
        let hours = bounded(&key("every_hours"), self.every_hours, 6, 1, 168)?;
        Ok(PullConfig {
            url: url.to_owned(),
            every: Duration::from_hours(hours),
            login,
            ca_file: self.ca_file.clone(),
        })
    }

    fn login(&self, uri: &Uri, key: &impl Fn(&str) -> String) -> Result<Option<Login>, Refused> {
        let (user, password_file) = match (&self.user, &self.password_file) {
            (None, None) => return Ok(None),
            (Some(user), Some(file)) => (user.clone(), file.clone()),
            (Some(_), None) => {
                return Err(refused(
                    &key("password_file"),
                    "is missing; a user needs one".into(),
                ));
            }
            (None, Some(_)) => {
                return Err(refused(
                    &key("user"),
                    "is missing; a password needs one".into(),
                ));
            }
        };
        // RFC 7617, 2: the first colon ends the name.
        if user.is_empty() || user.contains(|c: char| c == ':' || c.is_control()) {
            let reason = "is empty, or has a colon or a control character";
            return Err(refused(&key("user"), reason.into()));
        }
        absolute(&key("password_file"), &password_file)?;
        if uri.scheme_str() == Some("http") && !pull::is_loopback(uri) {
            return Err(refused(
                &key("url"),
                "is http, and anybody on the way could read the password; write https".into(),
            ));
        }
        Ok(Some(Login {
            user,
            password_file,
        }))
    }
}

/// A URL that can be pulled, or why not. The text is not repeated: it may have a key in it.
fn uri(url: &str, kind: Kind) -> Result<Uri, String> {
    let uri: Uri = url.parse().map_err(|error| format!("is no URL: {error}"))?;
    let authority = uri.authority().map(ureq::http::uri::Authority::as_str);
    if !matches!(uri.scheme_str(), Some("http" | "https")) || authority.is_none_or(str::is_empty) {
        return Err("is no http or https URL".into());
    }
    if authority.is_some_and(|authority| authority.contains('@')) {
        return Err("has a user in it; write user and password_file".into());
    }
    if url.contains('#') {
        return Err("has a fragment (#), which is never sent".into());
    }
    if matches!(kind, Kind::Misp | Kind::Taxii) && uri.query().is_some() {
        return Err("has a query (?), but names of what is below it are appended".into());
    }
    Ok(uri)
}
