//! What detection has learned, kept over restarts: longer than the log is read back.
//!
//! One file of JSON in the data directory, with the log and the place in it up to which it was learned. What comes behind that
//! place is learned when the log is read back, so a file that is old costs time and nothing else.
//!
//! **Invariant:** the file is whole or not there. One that cannot be read, or is of another log, is set aside and not deleted; what
//! the log still says is learned anew.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::detect::baseline::Baseline;
use crate::durable;

/// Version of the file.
const FORMAT: u32 = 1;
const NAME: &str = "baseline.json";

/// What was learned, and up to where.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Learned {
    /// What is usual.
    pub baseline: Baseline,
    /// The last batch of the log that it has learned from; 0 when from none.
    pub pos: i64,
}

/// Why there is nothing.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What is in it is not what this version writes.
    #[error("{path}: not what the collector writes: {reason}; when it starts the next time, it sets the file aside and learns anew from the log", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Serialize)]
struct Writing<'a> {
    format: u32,
    log_id: Uuid,
    pos: i64,
    baseline: &'a Baseline,
}

#[derive(Deserialize)]
struct Kept {
    format: u32,
    log_id: Uuid,
    pos: i64,
    baseline: Baseline,
}

/// Reads the file, whatever log it is of; `None` when there is none.
pub fn read(data_dir: &Path) -> Result<Option<Learned>, CheckpointError> {
    Ok(kept(data_dir)?.map(|kept| Learned {
        baseline: kept.baseline,
        pos: kept.pos,
    }))
}

/// What was learned of a log that ends at `last_pos`; `None` when there is no file. One that cannot be used is set aside, and `set_aside` is
/// told under which name and why.
pub(crate) fn open(
    data_dir: &Path,
    log_id: Uuid,
    last_pos: i64,
    set_aside: impl FnOnce(&Path, &str),
) -> Result<Option<Learned>, CheckpointError> {
    let path = data_dir.join(NAME);
    let reason = match kept(data_dir) {
        Ok(None) => return Ok(None),
        Ok(Some(kept)) if kept.log_id != log_id => "it is of another log".to_owned(),
        Ok(Some(kept)) if kept.pos > last_pos => {
            format!(
                "it knows the log up to batch {}, and that ends at {last_pos}",
                kept.pos
            )
        }
        Ok(Some(kept)) => {
            return Ok(Some(Learned {
                baseline: kept.baseline,
                pos: kept.pos,
            }));
        }
        Err(error @ CheckpointError::Io { .. }) => return Err(error),
        Err(CheckpointError::Content { reason, .. }) => reason,
    };
    let aside = durable::aside(&path, &[""]);
    tracing::warn!(
        file = %path.display(),
        aside = %aside.display(),
        reason,
        "what was learned cannot be used and is set aside; it is learned anew, as far as the log is read back"
    );
    fs::rename(&path, &aside).map_err(|source| CheckpointError::Io { path, source })?;
    set_aside(&aside, &reason);
    Ok(None)
}

/// Replaces the file.
pub(crate) fn save(
    data_dir: &Path,
    log_id: Uuid,
    (baseline, pos): (&Baseline, i64),
) -> Result<(), CheckpointError> {
    let path = data_dir.join(NAME);
    let new = data_dir.join(format!(".{NAME}.new"));
    let io = |source| CheckpointError::Io {
        path: path.clone(),
        source,
    };
    let mut options = File::options();
    let options = options.write(true).create(true).truncate(true).mode(0o640);
    let mut file = BufWriter::new(options.open(&new).map_err(io)?);
    let writing = Writing {
        format: FORMAT,
        log_id,
        pos,
        baseline,
    };
    serde_json::to_writer(&mut file, &writing).map_err(|error| io(error.into()))?;
    file.flush()
        .and_then(|()| file.get_ref().sync_all())
        .and_then(|()| fs::rename(&new, &path))
        .and_then(|()| durable::sync_directory(data_dir))
        .map_err(io)
}

fn kept(data_dir: &Path) -> Result<Option<Kept>, CheckpointError> {
    let path = data_dir.join(NAME);
    let file = match File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CheckpointError::Io { path, source }),
        Ok(file) => file,
    };
    let content = |reason| CheckpointError::Content {
        path: path.clone(),
        reason,
    };
    let kept: Kept = match serde_json::from_reader(BufReader::new(file)) {
        Ok(kept) => kept,
        // A disk that cannot be read says nothing of what is on it.
        Err(error) if error.is_io() => {
            return Err(CheckpointError::Io {
                path,
                source: error.into(),
            });
        }
        Err(error) => return Err(content(error.to_string())),
    };
    if kept.format != FORMAT {
        let reason = format!("format {}; this version reads {FORMAT}", kept.format);
        return Err(content(reason));
    }
    Ok(Some(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned() -> Baseline {
        let mut baseline = Baseline::default();
        baseline.heard("ws-12", 1_773_630_000_000_000_000);
        baseline
    }

    #[test]
    fn what_was_saved_is_there_again_for_the_same_log() {
        let place = tempfile::tempdir().unwrap();
        let log = Uuid::new_v4();
        assert_eq!(open(place.path(), log, 9, |_, _| ()).unwrap(), None);
        save(place.path(), log, (&learned(), 7)).unwrap();
        let kept = open(place.path(), log, 9, |_, _| ()).unwrap().unwrap();
        assert_eq!((kept.pos, &kept.baseline), (7, &learned()));
        assert_eq!(read(place.path()).unwrap(), Some(kept));
    }

    #[test]
    fn what_cannot_be_used_is_set_aside() {
        let place = tempfile::tempdir().unwrap();
        let log = Uuid::new_v4();
        let aside = place.path().join("baseline.json.aside");
        let spoil: [&dyn Fn(); 3] = [
            &|| fs::write(place.path().join(NAME), "{\"format\": 1").unwrap(),
            &|| save(place.path(), Uuid::new_v4(), (&learned(), 7)).unwrap(),
            &|| save(place.path(), log, (&learned(), 10)).unwrap(),
        ];
        for spoil in spoil {
            spoil();
            assert_eq!(open(place.path(), log, 9, |_, _| ()).unwrap(), None);
            assert!(aside.exists() && !place.path().join(NAME).exists());
        }
        let all = fs::read_dir(place.path()).unwrap();
        assert_eq!(all.count(), 3, "none takes the place of another");
    }
}
