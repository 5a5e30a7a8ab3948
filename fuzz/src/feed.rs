//! Feeds of threat intelligence: files that somebody downloaded from somebody.
//!
//! They are read as the collector reads them, by their path. The file is one in memory, or a directory for a MISP feed of several
//! files; what one input leaves in it the next one overwrites.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use collector::intel::{FeedConfig, Intel, Kind, Side, Status};
use rustix::fs::MemfdFlags;
use tempfile::TempDir;

/// A moment in 2027, nanoseconds since the Unix epoch.
const NOW_NS: u64 = 1_800_000_000_000_000_000;
/// Entries left out that a status names.
const EXAMPLES_MAX: usize = 10;
/// Bytes of such an entry: 80 characters, all of them escaped twice, and where and why.
const EXAMPLE_MAX: usize = 80 * 13 + 2_048;
/// The event of the directory; the manifest may name it.
const EVENT_ID: &str = "5f6a7b8c-1234-4abc-9def-0123456789ab";
/// What is in it.
const EVENT: &str = r#"{"Event": {"uuid": "5f6a7b8c-1234-4abc-9def-0123456789ab", "Attribute": [
    {"type": "ip-dst", "value": "203.0.113.9", "to_ids": true}]}}"#;

/// One indicator to a line.
pub fn feed_list(bytes: &[u8]) {
    if let Some((intel, _)) = one_file(Kind::List, bytes) {
        for line in String::from_utf8_lossy(bytes).lines() {
            is_found(&intel, line);
        }
    }
}

/// A warning list of MISP.
pub fn feed_warnings(bytes: &[u8]) {
    one_file(Kind::Warnings, bytes);
}

/// Onionoo's details of relays.
pub fn feed_onionoo(bytes: &[u8]) {
    one_file(Kind::Onionoo, bytes);
}

/// A bundle of STIX.
pub fn feed_stix(bytes: &[u8]) {
    one_file(Kind::Stix, bytes);
}

/// An event of MISP.
pub fn feed_misp(bytes: &[u8]) {
    one_file(Kind::Misp, bytes);
}

/// The list of events of a MISP feed; one that it may list is there.
pub fn feed_misp_manifest(bytes: &[u8]) {
    thread_local! { static PLACE: OnceCell<TempDir> = const { OnceCell::new() } }
    PLACE.with(|place| {
        let place = place.get_or_init(|| {
            let dir = tempfile::tempdir().expect("a directory for the feed");
            let event = dir.path().join(format!("{EVENT_ID}.json"));
            std::fs::write(event, EVENT).expect("an event of the feed");
            dir
        });
        std::fs::write(place.path().join("manifest.json"), bytes).expect("the list of events");
        let (_, status) = load(Kind::Misp, place.path());
        let indicators = status.indicators;
        assert!(indicators <= 1, "{indicators} indicators of one event");
        bounded(&status, bytes.len());
    });
}

/// Reads bytes as a file; nothing when the feed is refused.
pub(crate) fn one_file(kind: Kind, bytes: &[u8]) -> Option<(Intel, Status)> {
    thread_local! { static FILE: OnceCell<File> = const { OnceCell::new() } }
    FILE.with(|file| {
        let mut file = file.get_or_init(|| {
            let made = rustix::fs::memfd_create("feed", MemfdFlags::CLOEXEC);
            File::from(made.expect("a file in memory"))
        });
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(bytes))
            .expect("the file in memory takes bytes");
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let (intel, status) = load(kind, &path);
        // The shortest is a name of three bytes.
        assert!(status.indicators <= bytes.len() / 3);
        bounded(&status, bytes.len());
        status.problem.is_none().then_some((intel, status))
    })
}

/// The feed beside the built-in one, looked up both ways.
fn load(kind: Kind, path: &Path) -> (Intel, Status) {
    let config = FeedConfig {
        name: "feed".into(),
        kind,
        path: path.to_owned(),
        label: "label".into(),
        confidence: Some(80),
        lasts: None,
        stale: None,
        pull: None,
    };
    let (intel, mut states) = Intel::load(&[config], &Intel::default());
    let status = states.pop().expect("the feed has a status");
    let address = [203, 0, 113, 9].into();
    for side in [Side::Inbound, Side::Outbound] {
        let known = intel.look_up(address, Some("a.evil.example"), side, NOW_NS);
        assert!(known.hits.len() <= 2 && known.known_as.len() <= 1);
    }
    (intel, status)
}

/// What a status tells is bounded, and safe to be shown.
fn bounded(status: &Status, len: usize) {
    assert!(status.skipped <= len as u64);
    assert!(status.examples.len() <= EXAMPLES_MAX);
    let texts = status.examples.iter().chain([&status.version]);
    for text in texts.chain(&status.problem) {
        assert!(text.len() <= EXAMPLE_MAX, "{} bytes", text.len());
    }
    for text in status.examples.iter().chain([&status.version]) {
        assert!(!text.contains(char::is_control), "{text:?}");
    }
}

/// A line that is nothing but an address or a name is found when it is looked up.
fn is_found(intel: &Intel, line: &str) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:-_".contains(&byte);
    if !line.bytes().all(plain) {
        return;
    }
    if let Ok(known) = intel.explain(line, NOW_NS) {
        assert!(
            known.hits.iter().any(|hit| &*hit.feed == "feed"),
            "{line:?} is lost"
        );
    }
}
