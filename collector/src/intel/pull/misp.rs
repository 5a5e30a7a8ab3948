//! MISP feeds: `manifest.json`, which lists events, and a file for each (MISP core format, draft-dulaunoy-misp-core-format).
//!
//! The events lie in one of two directories, and a link, whose name is the feed's path, says in which. A pull fills the other one:
//! events that the manifest has as before are linked, the others fetched. Then the link is turned. The old directory stays until
//! the next pull, for whoever is reading it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use super::PullConfig;
use super::client::{Allowance, Client, Marks};
use super::error::PullError;
use super::place::{self, State};
use crate::intel::feed::FeedConfig;
use crate::intel::misp::{EVENTS_MAX, MANIFEST, Manifest, file_of};

/// Endings of the two directories.
const SIDES: [&str; 2] = ["0", "1"];

/// Fetches what the manifest has anew, unless the server says that it is as it was; true when something is another.
pub(super) fn pull(
    config: &FeedConfig,
    pull: &PullConfig,
    client: &Client<'_>,
    state: &mut State,
) -> Result<bool, PullError> {
    let base = base(&pull.url);
    let url = format!("{base}/{MANIFEST}");
    let Some(answer) = client.get(&url, "application/json", &state.marks(config))? else {
        return Ok(false);
    };
    state.marks = answer.marks();
    let mut allowed = Allowance::of_a_feed();
    let text = answer.bytes(&mut allowed)?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| PullError::json(&error))?;
    if manifest.len() > EVENTS_MAX {
        return Err(PullError::Many);
    }
    let before = before(&config.path);
    if before.as_ref() == Some(&manifest) {
        return Ok(false);
    }
    let side = other_side(&config.path);
    empty(&side)?;
    let filling = Filling {
        old: &config.path,
        before: before.unwrap_or_default(),
        new: &side,
        base,
        client,
    };
    let filled = filling
        .fill(&manifest, &text, &mut allowed)
        .and_then(|()| place::try_as(&side, config));
    if let Err(error) = filled {
        // What cannot be removed is in nobody's way: the next pull begins by emptying it.
        let _gone_or_left = fs::remove_dir_all(&side);
        return Err(error);
    }
    turn(&config.path, &side)?;
    Ok(true)
}

/// The directory at a URL, whether or not the manifest is named.
fn base(url: &str) -> &str {
    let url = url.strip_suffix(MANIFEST).unwrap_or(url);
    url.trim_end_matches('/')
}

/// The manifest that is kept.
fn before(path: &Path) -> Option<Manifest> {
    let text = fs::read(path.join(MANIFEST)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// The directory that the link does not lead to.
fn other_side(path: &Path) -> PathBuf {
    let sides = SIDES.map(|side| path.with_added_extension(side));
    let led_to = fs::read_link(path).ok();
    let is_used = |side: &PathBuf| led_to.as_deref() == side.file_name().map(Path::new);
    let [first, second] = sides;
    if is_used(&first) { second } else { first }
}

/// Makes a directory that is empty, for the owner and the group.
fn empty(directory: &Path) -> Result<(), PullError> {
    let failed = |source| PullError::write(directory, source);
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o750).create(directory).map_err(failed)
}

/// What is needed to fill a directory with the events of a manifest.
struct Filling<'a> {
    old: &'a Path,
    before: Manifest,
    new: &'a Path,
    base: &'a str,
    client: &'a Client<'a>,
}

impl Filling<'_> {
    fn fill(
        &self,
        manifest: &Manifest,
        text: &[u8],
        allowed: &mut Allowance,
    ) -> Result<(), PullError> {
        for (id, said) in manifest {
            // What is no id is named when the feed is read.
            let Some(file) = file_of(id) else {
                continue;
            };
            let is_known = self.before.get(id) == Some(said) && self.link(&file, allowed)?;
            if !is_known {
                self.fetch(&file, allowed)?;
            }
        }
        self.write(MANIFEST, text)?;
        // One for all that was written, not one for each of many small files.
        let synced = fs::File::open(self.new).and_then(|new| Ok(rustix::fs::syncfs(new)?));
        synced.map_err(|source| PullError::write(self.new, source))
    }

    /// Takes an event from the old directory; false when it is not there.
    fn link(&self, file: &str, allowed: &mut Allowance) -> Result<bool, PullError> {
        let (old, new) = (self.old.join(file), self.new.join(file));
        let Ok(about) = fs::metadata(&old) else {
            return Ok(false);
        };
        allowed.take(about.len())?;
        Ok(fs::hard_link(&old, &new).is_ok())
    }

    fn fetch(&self, name: &str, allowed: &mut Allowance) -> Result<(), PullError> {
        let url = format!("{}/{name}", self.base);
        let answer = self
            .client
            .get(&url, "application/json", &Marks::default())?;
        let answer = answer.ok_or(PullError::Status { status: 304 })?;
        let bytes = answer.bytes(allowed)?;
        self.write(name, &bytes)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), PullError> {
        let path = self.new.join(name);
        let written = place::create(&path)?.write_all(bytes);
        written.map_err(|source| PullError::write(&path, source))
    }
}

/// Lets the link lead to a directory beside it.
fn turn(link: &Path, side: &Path) -> Result<(), PullError> {
    let new = link.with_added_extension("new");
    let turned = match fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => symlink(side.file_name().unwrap_or_default(), &new),
    };
    turned
        .and_then(|()| fs::rename(&new, link))
        .and_then(|()| place::sync_directory_of(link))
        .map_err(|source| PullError::write(link, source))
}
