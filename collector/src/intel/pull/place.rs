//! The directory of a feed that is pulled: what is there, how it got there, and how something new takes its place.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::PullConfig;
use super::client::Marks;
use super::error::PullError;
use crate::intel::feed::{Feed, FeedConfig};

/// How pulling went.
const STATE: &str = "pulled.json";
/// Most bytes of that.
const STATE_MAX: u64 = 64 << 10;

/// How pulling a feed went, and what helps to ask for less the next time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    /// Of the URL it was pulled from; what was noted of another is of no use.
    source: String,
    /// When it last came whole or was found unchanged, seconds since the Unix epoch.
    pub(super) succeeded_s: Option<u64>,
    /// When it was last tried, seconds since the Unix epoch.
    pub(super) tried_s: Option<u64>,
    /// What was wrong then.
    pub(super) problem: Option<String>,
    /// By which the server knows what is kept.
    pub(super) marks: Marks,
    /// When the newest object of a collection was added, as the server wrote it.
    pub(super) added_last: Option<String>,
    /// When a collection was last asked for all that it has, seconds since the Unix epoch.
    pub(super) whole_s: Option<u64>,
}

impl State {
    /// What is noted of a feed; of one that was never pulled, or from somewhere else, nothing.
    pub(super) fn read(config: &FeedConfig, pull: &PullConfig) -> Self {
        let source = source(pull).to_string();
        let noted = noted(config).filter(|state| state.source == source);
        noted.unwrap_or_else(|| Self {
            source,
            ..Self::default()
        })
    }

    /// Notes it.
    pub(super) fn write(&self, config: &FeedConfig) -> Result<(), PullError> {
        let text = serde_json::to_vec_pretty(self).map_err(|error| PullError::json(&error))?;
        let mut draft = Draft::new(&config.path.with_file_name(STATE))?;
        draft.write(&text)?;
        draft.keep()
    }

    /// What the server is asked to compare with: nothing where nothing is kept.
    pub(super) fn marks(&self, config: &FeedConfig) -> Marks {
        if config.path.exists() {
            self.marks.clone()
        } else {
            Marks::default()
        }
    }
}

fn noted(config: &FeedConfig) -> Option<State> {
    let file = File::open(config.path.with_file_name(STATE)).ok()?;
    let mut text = Vec::new();
    file.take(STATE_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// A number for a URL, which itself may have a key in it that the readers of the directory need not know.
pub(super) fn source(pull: &PullConfig) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, pull.url.as_bytes())
}

/// Makes the feed's directory, for the owner and the group.
pub(super) fn make_directory(config: &FeedConfig) -> Result<(), PullError> {
    let directory = config.path.parent().unwrap_or(Path::new("/"));
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(directory);
    made.map_err(|source| PullError::write(directory, source))
}

/// A file that is not yet in its place; removed unless it is kept.
#[derive(Debug)]
pub(super) struct Draft {
    place: PathBuf,
    path: PathBuf,
    file: File,
}

impl Draft {
    /// An empty one, beside its place.
    pub(super) fn new(place: &Path) -> Result<Self, PullError> {
        let path = place.with_added_extension("new");
        let file = create(&path)?;
        Ok(Self {
            place: place.to_owned(),
            path,
            file,
        })
    }

    /// Appends to it.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), PullError> {
        let written = self.file.write_all(bytes);
        written.map_err(|source| PullError::write(&self.path, source))
    }

    /// Reads it as the feed that it should be.
    pub(super) fn try_as(&self, config: &FeedConfig) -> Result<(), PullError> {
        try_as(&self.path, config)
    }

    /// True when what lies in its place has the same bytes.
    pub(super) fn is_as_before(&self) -> bool {
        let length = |path| std::fs::metadata(path).ok().map(|about| about.len());
        let read = |path| std::fs::read(path).ok();
        length(&self.place) == length(&self.path)
            && read(&self.place).is_some_and(|before| Some(before) == read(&self.path))
    }

    /// Brings it to the disk and puts it in its place.
    pub(super) fn keep(self) -> Result<(), PullError> {
        let kept = self.file.sync_all();
        kept.and_then(|()| std::fs::rename(&self.path, &self.place))
            .and_then(|()| sync_directory_of(&self.place))
            .map_err(|source| PullError::write(&self.place, source))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Kept: it is not there any more. Left behind: the next one writes over it.
        let _gone_or_left = std::fs::remove_file(&self.path);
    }
}

/// Makes an empty file for the owner and the group.
pub(super) fn create(path: &Path) -> Result<File, PullError> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o640);
    options
        .open(path)
        .map_err(|source| PullError::write(path, source))
}

/// Reads what lies at a path as the feed that it should be.
pub(super) fn try_as(path: &Path, config: &FeedConfig) -> Result<(), PullError> {
    let there = FeedConfig {
        path: path.to_owned(),
        ..config.clone()
    };
    Feed::read(&there)?;
    Ok(())
}

/// Brings to the disk that something was renamed there.
pub(super) fn sync_directory_of(path: &Path) -> Result<(), std::io::Error> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// Letters and digits of ASCII and what is in `kept` stay, all else is `%` and two digits (RFC 3986, 2.1).
pub(super) fn percent(text: &str, kept: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for half in [byte >> 4, byte & 0xf] {
                out.extend(
                    char::from_digit(half.into(), 16).map(|digit| digit.to_ascii_uppercase()),
                );
            }
        }
    }
    out
}
