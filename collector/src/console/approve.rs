//! `chartwatch approve`: the narrowest approved way that would have silenced an alert, what else it would have silenced in the log, and
//! the file that makes it one. The file lies beside the configuration, or, approved from afar, in the data directory.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown, fchown};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::alerts::form::{AlertForm, PlaceForm, ProcessForm};
use crate::config::{Config, ConfigError, DetectConfig};
use crate::durable;
use crate::log::LogError;
use crate::replay::{self, Decode, Progress, Span};
use crate::text;

const HOUR_NS: u64 = 3_600 * 1_000_000_000;
/// So many times what was sent is what may be sent.
const BYTES_ROOM: u64 = 2;

/// Why there is no way to propose, or why it could not be tried or written.
#[derive(Debug, thiserror::Error)]
pub enum ApproveError {
    /// An alert about something that no approved way is about.
    #[error("an alert of the pattern {0:?} is not about a way off the host{1}")]
    Pattern(String, &'static str),
    /// Who sent or who read is not known.
    #[error("{0} is not known, so there is no full tuple to approve")]
    Unknown(&'static str),
    /// The proposal cannot be read back.
    #[error("the proposal cannot be used: {0}")]
    Config(#[from] ConfigError),
    /// It cannot be written as TOML.
    #[error("the proposal cannot be written: {0}")]
    Toml(#[from] toml::ser::Error),
    /// The log cannot be run through detection.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A file of that name is there, or it cannot be written.
    #[error("{path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A way as it is written.
#[derive(Debug, Serialize)]
struct Way {
    name: String,
    store: String,
    executable: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reader: Option<String>,
    user: String,
    destination: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hours: Option<String>,
    bytes_max: u64,
}

#[derive(Debug, Serialize)]
struct Ways {
    approved: [Way; 1],
}

/// A way that would silence an alert.
#[derive(Debug)]
pub struct Proposal {
    /// Its name.
    pub name: String,
    /// As it stands in a file.
    pub toml: String,
}

impl Proposal {
    /// The full tuple of an alert: who sent, or had it sent by a program that it started; who read, where that is nobody's parent; the
    /// hours of the day (UTC) in which it was, and twice the bytes that were sent.
    pub fn of(alert: &AlertForm, name: String) -> Result<Self, ApproveError> {
        let hint = match alert.pattern.as_str() {
            "direct" | "chain" => None,
            "wipe" | "bulk" => Some("; a [[keeper]] names the program that keeps a store"),
            _ => Some("; close it with `chartwatch close`"),
        };
        if let Some(hint) = hint {
            return Err(ApproveError::Pattern(alert.pattern.clone(), hint));
        }
        let to = alert
            .destination
            .as_ref()
            .ok_or(ApproveError::Unknown("the destination"))?;
        let sender = alert.chain.first().filter(|link| link.known);
        let sender = sender.ok_or(ApproveError::Unknown("the process that sent"))?;
        let (named, reader) = match reader(alert)? {
            None => (sender, None),
            Some((reader, true)) => (reader, None),
            Some((reader, false)) => (sender, Some(reader.executable.clone())),
        };
        let user = if named.user.is_empty() {
            named.uid.map(|uid| uid.to_string())
        } else {
            Some(named.user.clone())
        };
        let network = if let Some(medium) = &to.medium {
            medium.clone()
        } else if to.address.contains(':') {
            format!("[{}/128]:{}", to.address, to.port)
        } else {
            format!("{}/32:{}", to.address, to.port)
        };
        let way = Way {
            name: name.clone(),
            store: alert.store.clone(),
            executable: named.executable.clone(),
            reader,
            user: user.ok_or(ApproveError::Unknown("the user"))?,
            destination: network,
            hours: hours(alert.first_ns, alert.last_ns),
            bytes_max: alert.bytes_sent.saturating_mul(BYTES_ROOM).max(1),
        };
        let toml = toml::to_string(&Ways { approved: [way] })?;
        Ok(Self { name, toml })
    }
}

/// The process that read, if it is not the one that sent, and whether it is an ancestor of that one.
fn reader(alert: &AlertForm) -> Result<Option<(&ProcessForm, bool)>, ApproveError> {
    let Some(step) = alert.path.iter().find(|step| step.from.kind == "store") else {
        return Ok(None);
    };
    let is_it = |link: &&ProcessForm| is_of(&step.to, link);
    let place = alert.chain.iter().position(|link| is_of(&step.to, link));
    let found = alert.chain.iter().chain(&alert.path_processes).find(is_it);
    match (place, found.filter(|link| link.known)) {
        (Some(0), _) => Ok(None),
        (place, Some(link)) => Ok(Some((link, place.is_some()))),
        (_, None) => Err(ApproveError::Unknown("the process that read")),
    }
}

fn is_of(place: &PlaceForm, link: &ProcessForm) -> bool {
    (place.pid, place.start_cs) == (Some(link.pid), Some(link.start_cs))
}

/// Whole hours of the day around a span, unless they would be all of them.
fn hours(first_ns: u64, last_ns: u64) -> Option<String> {
    let (first, last) = (first_ns / HOUR_NS, last_ns / HOUR_NS + 1);
    (last - first < 24).then(|| format!("{:02}:00-{:02}:00", first % 24, last % 24))
}

/// What a way changes in what the log gives.
#[derive(Debug)]
pub struct Trial {
    /// Alerts that are gone with it, by id, the newest revision of each.
    pub silenced: BTreeMap<String, AlertForm>,
    /// Alerts that stay, but with fewer bytes sent or records; as they are without it.
    pub shrunk: BTreeMap<String, AlertForm>,
    /// Batches and events of the log.
    pub seen: Progress,
}

/// What detection works with, and the way.
///
/// # Errors
///
/// The way cannot be read back, or its name is one of those that there are.
pub fn with(detect: &DetectConfig, proposal: &Proposal) -> Result<DetectConfig, ApproveError> {
    let mut with = Config::parse("", Path::new("the defaults"))?;
    with.detect = detect.clone();
    with.add_approved(&proposal.toml, Path::new("the proposal"))?;
    Ok(with.detect)
}

/// Runs the log through detection without the way and with it.
pub fn trial(
    data: &Path,
    detect: &DetectConfig,
    proposal: &Proposal,
    decode: Decode,
    mut progress: impl FnMut(Progress),
) -> Result<Trial, ApproveError> {
    let with = with(detect, proposal)?;
    let mut run = |detect: DetectConfig| {
        let mut found = BTreeMap::new();
        let each = |alert| {
            let form = AlertForm::from(&alert);
            found.insert(form.id.clone(), form);
        };
        replay::run(data, detect, Span::WHOLE, decode, each, &mut progress)
            .map(|seen| (found, seen))
    };
    let (without, seen) = run(detect.clone())?;
    let (still, _) = run(with)?;
    let (mut shrunk, silenced): (BTreeMap<_, _>, BTreeMap<_, _>) = without
        .into_iter()
        .partition(|(id, _)| still.contains_key(id));
    let size = |alert: &AlertForm| (alert.bytes_sent, alert.distinct_records, alert.revision);
    shrunk.retain(|id, alert| still.get(id).is_some_and(|now| size(now) < size(alert)));
    Ok(Trial {
        silenced,
        shrunk,
        seen,
    })
}

/// Where ways are written.
#[derive(Debug)]
pub struct Place<'a> {
    /// The directory; made if it is not there.
    pub directory: PathBuf,
    /// Whoever may read this, and nobody else, may read the directory.
    pub like: &'a Path,
}

/// Writes a way to a file of its own; the text says who, when and why.
pub fn write(
    place: &Place<'_>,
    proposal: &Proposal,
    comment: &str,
    id: &str,
) -> Result<PathBuf, ApproveError> {
    let Place { directory, like } = place;
    let path = directory.join(format!("{id}.toml"));
    let failed = |source| ApproveError::Write {
        path: path.clone(),
        source,
    };
    let like = std::fs::metadata(like).map_err(failed)?;
    let mode = like.mode() & 0o666;
    DirBuilder::new()
        .recursive(true)
        .mode(mode | (mode & 0o444) >> 2)
        .create(directory)
        .and_then(|()| chown(directory, None, Some(like.gid())))
        .map_err(failed)?;
    let lines = comment
        .lines()
        .map(|line| format!("# {}\n", text::clean(line)));
    let text = lines.chain([proposal.toml.clone()]).collect::<String>();
    if path.exists() {
        return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
    }
    // Whole or not at all, and never over another.
    let hidden = directory.join(format!(".{id}.new"));
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&hidden)
        .map_err(failed)?;
    fchown(&file, None, Some(like.gid()))
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    let named = std::fs::hard_link(&hidden, &path);
    std::fs::remove_file(&hidden).map_err(failed)?;
    named
        .and_then(|()| durable::sync_directory(directory))
        .map_err(failed)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_whole_ones_around_it() {
        let at = |hour: u64, minute: u64| (hour * 60 + minute) * 60 * 1_000_000_000;
        assert_eq!(hours(at(3, 10), at(3, 50)).as_deref(), Some("03:00-04:00"));
        assert_eq!(hours(at(22, 10), at(25, 0)).as_deref(), Some("22:00-02:00"));
        assert_eq!(
            hours(at(23, 59), at(23, 59)).as_deref(),
            Some("23:00-00:00")
        );
        assert_eq!(hours(at(3, 0), at(27, 0)), None);
    }
}
