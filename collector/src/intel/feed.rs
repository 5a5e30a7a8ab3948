//! One feed: what it is called, where it comes from, what was left out, and its indicators.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::OFlags;

use super::index::{Entry, Index};
use super::indicator::{Bad, Indicator};
use super::pull::{self, PullConfig, Pulled};
use super::{Hit, list, misp, onionoo, stix, warnings};
use crate::text;

/// Largest file, and all files of a directory together, bytes.
pub(super) const BYTES_MAX: u64 = 256 << 20;
/// Most indicators of one feed.
const ENTRIES_MAX: usize = 2_000_000;
/// Entries left out that are named.
const NAMED_MAX: usize = 10;
/// Labels of one feed.
const LABELS_MAX: usize = 256;
/// Bytes of such an entry that are shown.
const SHOWN_MAX: usize = 80;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One indicator to a line.
    List,
    /// A warning list of MISP, JSON.
    Warnings,
    /// Onionoo's details of Tor relays, JSON.
    Onionoo,
    /// A bundle of STIX 2.1, JSON.
    Stix,
    /// A MISP feed: a directory, or one event, JSON.
    Misp,
    /// A collection of a TAXII 2.1 server; what was pulled of it is a bundle of STIX.
    Taxii,
}

impl Kind {
    /// As it is written in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Warnings => "warnings",
            Self::Onionoo => "onionoo",
            Self::Stix => "stix",
            Self::Misp => "misp",
            Self::Taxii => "taxii",
        }
    }
}

/// A feed as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedConfig {
    /// What the hospital calls it; no two have the same.
    pub name: String,
    /// What its file is.
    pub kind: Kind,
    /// Absolute path of the file; of one that is pulled, where the collector keeps it.
    pub path: PathBuf,
    /// Where it is pulled from; `None`: somebody carries the file here.
    pub pull: Option<PullConfig>,
    /// What an entry means, such as `c2`.
    pub label: String,
    /// How sure it is, 0 to 100.
    pub confidence: Option<u8>,
    /// How long an entry counts after the file was written; `None`: always.
    pub lasts: Option<Duration>,
    /// How old it may be before somebody should know; `None`: it may always be.
    pub stale: Option<Duration>,
}

impl FeedConfig {
    /// Sets where a feed that is pulled is kept; one that is carried here stays where it is.
    pub(crate) fn keep_below(&mut self, data_dir: &Path) {
        if self.pull.is_some() {
            self.path = pull::kept(data_dir, &self.name, self.kind);
        }
    }

    /// True when it is pulled and nothing has come yet.
    pub(super) fn awaited(&self) -> bool {
        self.pull.is_some() && !self.path.exists()
    }
}

/// A feed that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// Its file cannot be read.
    #[error("{path}: cannot be read: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What is in it is refused as a whole.
    #[error("{path}: {reason}", path = path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: Refused,
    },
}

/// Why a feed is refused as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// More bytes than are read.
    #[error("larger than 256 MiB; split it into several feeds")]
    Large,
    /// More indicators than are kept.
    #[error("more than 2,000,000 indicators; split it into several feeds")]
    Many,
    /// No JSON of the form that its kind has.
    #[error("not what its kind says: {0}")]
    Json(String),
    /// A warning list whose entries are parts of names or patterns.
    #[error(
        "a warning list of type {0:?} cannot be looked up; of use are cidr, hostname and string"
    )]
    ListType(String),
    /// Nothing is in it: a transfer that was cut off, not a list of which all was taken away.
    #[error("an empty file; a list that lists nothing has a comment")]
    Empty,
    /// No file but a pipe, a device or the like, which could hold up whoever reads it.
    #[error("no regular file")]
    NoFile,
    /// Nothing in it could be used.
    #[error("none of {0} entries is an indicator; is it of another kind?")]
    Nothing(u64),
}

/// One feed.
#[derive(Debug, PartialEq)]
pub struct Feed {
    name: Arc<str>,
    kind: Kind,
    version: Arc<str>,
    labels: Vec<Arc<str>>,
    written_s: Option<u64>,
    skipped: u64,
    named: Vec<String>,
    index: Index,
}

/// How a feed is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Status {
    /// Its name.
    pub feed: String,
    /// What its file is, or `built-in`.
    pub kind: &'static str,
    /// What it says of itself, else when its file was written.
    pub version: String,
    /// When its file was written, seconds since the Unix epoch.
    pub written_s: Option<u64>,
    /// Indicators in it.
    pub indicators: usize,
    /// Entries left out.
    pub skipped: u64,
    /// The first of these, with where they stand and why.
    pub examples: Vec<String>,
    /// Why it could not be read now; what counts is what was read before.
    pub problem: Option<String>,
    /// How pulling it went; `None`: it is carried here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pulled: Option<Pulled>,
}

/// A feed that is being read.
pub(super) struct Reading<'a>(&'a mut Feed);

impl Reading<'_> {
    /// One more indicator.
    pub(super) fn take(&mut self, indicator: Indicator, entry: Entry) -> Result<(), Refused> {
        if self.0.index.len() >= ENTRIES_MAX {
            return Err(Refused::Many);
        }
        self.0.index.add(indicator, entry);
        Ok(())
    }

    /// One that cannot be used; its place can be an id that the feed made up.
    pub(super) fn leave(&mut self, untrusted_place: &str, untrusted: &str, why: Bad) {
        self.0.skipped += 1;
        if self.0.named.len() < NAMED_MAX {
            let shown = |untrusted: &str| {
                let start: String = untrusted.chars().take(SHOWN_MAX).collect();
                text::clean(&start)
            };
            let (place, shown) = (shown(untrusted_place), shown(untrusted));
            self.0.named.push(format!("{place}: {shown:?}: {why}"));
        }
    }

    /// The number of a label that an entry has of its own; of more than so many it is the feed's.
    pub(super) fn label(&mut self, untrusted: &str) -> u16 {
        let label: String = untrusted.chars().take(SHOWN_MAX).collect();
        let labels = &mut self.0.labels;
        let known = labels.iter().position(|other| **other == *label);
        let number = known.unwrap_or(labels.len());
        if number >= LABELS_MAX {
            return 0;
        }
        if known.is_none() {
            labels.push(label.into());
        }
        number as u16
    }

    /// What the feed calls its version.
    pub(super) fn called(&mut self, untrusted: &str) {
        let version: String = untrusted.chars().take(SHOWN_MAX).collect();
        if !version.is_empty() {
            self.0.version = text::clean(&version).into();
        }
    }
}

impl Feed {
    /// Reads a feed's file, whole.
    pub fn read(config: &FeedConfig) -> Result<Self, FeedError> {
        let (bytes, written_s) = match config.kind {
            // Its files are read one by one.
            Kind::Misp => (Vec::new(), written(&config.path)?),
            _ => contents(&config.path)?,
        };
        let mut feed = Self::empty(config);
        feed.written_s = Some(written_s);
        feed.version = text::time(written_s.saturating_mul(1_000_000_000)).into();
        let until = config
            .lasts
            .map(|lasts| written_s.saturating_add(lasts.as_secs()));
        let entry = Entry {
            confidence: config.confidence.unwrap_or(u8::MAX),
            until_s: until.map_or(u32::MAX, |until| u32::try_from(until).unwrap_or(u32::MAX)),
            ..Entry::ALWAYS
        };
        let mut reading = Reading(&mut feed);
        let read = match config.kind {
            Kind::List => list::read(&bytes, entry, &mut reading),
            Kind::Warnings => warnings::read(&bytes, entry, &mut reading),
            Kind::Onionoo => onionoo::read(&bytes, entry, &mut reading),
            Kind::Stix | Kind::Taxii => stix::read(&bytes, entry, &mut reading),
            Kind::Misp => {
                misp::read(&config.path, entry, &mut reading)?;
                Ok(())
            }
        };
        let nothing = feed.index.len() == 0 && feed.skipped > 0;
        let nothing = nothing.then_some(Refused::Nothing(feed.skipped));
        match read.err().or(nothing) {
            Some(reason) => Err(FeedError::Refused {
                path: config.path.clone(),
                reason,
            }),
            None => Ok(feed),
        }
    }

    /// A feed of which nothing could be read yet.
    pub(super) fn empty(config: &FeedConfig) -> Self {
        let labels = match config.kind {
            Kind::Onionoo => onionoo::LABELS.map(Arc::from).to_vec(),
            Kind::List | Kind::Warnings | Kind::Stix | Kind::Misp | Kind::Taxii => {
                vec![config.label.as_str().into()]
            }
        };
        Self {
            name: config.name.as_str().into(),
            kind: config.kind,
            version: "".into(),
            labels,
            written_s: None,
            skipped: 0,
            named: Vec::new(),
            index: Index::default(),
        }
    }

    /// A feed that the program brings.
    pub(super) fn built_in(name: &str, version: &str, label: &str) -> Self {
        Self {
            name: name.into(),
            kind: Kind::List,
            version: version.into(),
            labels: vec![label.into()],
            written_s: None,
            skipped: 0,
            named: Vec::new(),
            index: Index::default(),
        }
    }

    pub(super) fn add(&mut self, indicator: Indicator, entry: Entry) {
        self.index.add(indicator, entry);
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    pub(super) fn written_s(&self) -> Option<u64> {
        self.written_s
    }

    /// What it says of something that was looked up.
    pub(super) fn hit(&self, value: String, entry: Entry) -> Hit {
        Hit {
            value,
            feed: self.name.clone(),
            version: self.version.clone(),
            label: self
                .labels
                .get(usize::from(entry.label))
                .cloned()
                .unwrap_or_default(),
            confidence: (entry.confidence <= 100).then_some(entry.confidence),
            counts: true,
        }
    }

    /// How it is; what is wrong with it and how it was pulled is for the caller to say.
    pub(super) fn status(&self, kind: &'static str) -> Status {
        Status {
            feed: self.name.to_string(),
            kind,
            version: self.version.to_string(),
            written_s: self.written_s,
            indicators: self.index.len(),
            skipped: self.skipped,
            examples: self.named.clone(),
            problem: None,
            pulled: None,
        }
    }
}

/// When a feed was last written to, seconds since the Unix epoch.
fn written(path: &Path) -> Result<u64, FeedError> {
    let modified = std::fs::metadata(path).and_then(|about| about.modified());
    let modified = modified.map_err(|source| FeedError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(modified
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs())
}

/// A feed's file, and when it was written, seconds since the Unix epoch.
pub(super) fn contents(path: &Path) -> Result<(Vec<u8>, u64), FeedError> {
    let unreadable = |source| FeedError::Read {
        path: path.to_owned(),
        source,
    };
    let refused = |reason| FeedError::Refused {
        path: path.to_owned(),
        reason,
    };
    // Opening a pipe would wait for somebody who writes to it.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err(refused(Refused::NoFile));
    }
    let written = about.modified().map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(refused(Refused::Large));
    }
    if bytes.trim_ascii().is_empty() {
        return Err(refused(Refused::Empty));
    }
    let since = written.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((bytes, since.as_secs()))
}
