//! The collector's authority, and while it is being changed the next one beside it.
//!
//! A change has two steps, each of which an administrator takes. **Begin** makes the next authority (`next.key`, `next.pem`): the collector's
//! certificate stays of the current one, sensors get certificates of the next one and are told to believe both, and certificates of both are
//! let in. **Finish** puts the next in the place of the current one, of which a copy stays (`retired-*`): the collector shows the new one,
//! and what the old one signed counts no more. So a sensor that was renewed in between notices nothing.
//!
//! **Invariant:** a step that was cut off is either not begun or gone on with by whoever opens the authorities next. Of finishing it is the one
//! rename of the key that decides.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use tokio::sync::watch;

use super::authority::{CURRENT, files_of};
use super::{Authority, IdentityError, directory, files};

/// Name of the files of the next authority.
const NEXT: &str = "next";
/// What the files of an authority from before begin with.
const RETIRED: &str = "retired-";
/// How often the files are looked at: a change counts within this time.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Certificates that were made so long after a change may still be as before it: it was not seen yet.
const SEEN_WITHIN_S: i64 = 2;

/// Whose certificates count.
#[derive(Debug, Clone)]
pub struct Authorities {
    current: Arc<Authority>,
    next: Option<Arc<Authority>>,
    changed_s: i64,
}

impl Authorities {
    /// Reads what is there, or makes the first authority when there is none at all.
    ///
    /// # Errors
    ///
    /// As [`Authority::open_or_make`], for either.
    pub fn open_or_make(data_dir: &Path) -> Result<Self, IdentityError> {
        match Self::open(data_dir)? {
            Some(there) => Ok(there),
            None => Self::with(Authority::open_or_make(data_dir)?, None, false),
        }
    }

    /// Reads what is there; `None` when there is no authority.
    ///
    /// # Errors
    ///
    /// As [`Self::open_or_make`].
    pub fn open(data_dir: &Path) -> Result<Option<Self>, IdentityError> {
        let directory = directory(data_dir);
        let Some(_lock) = lock(&directory)? else {
            return Ok(None);
        };
        read(&directory)
    }

    /// Makes the next authority. One that is there already stays.
    ///
    /// # Errors
    ///
    /// There is no authority to change, or the files cannot be read or made.
    pub fn begin(data_dir: &Path) -> Result<Self, IdentityError> {
        let directory = directory(data_dir);
        let never = || IdentityError::NeverRan(directory.join("ca.pem"));
        let _lock = lock(&directory)?.ok_or_else(never)?;
        is_of(&directory, rustix::process::geteuid().as_raw())?;
        let there = read(&directory)?.ok_or_else(never)?;
        if there.next.is_some() {
            return Ok(there);
        }
        let next = Authority::make(&directory, NEXT)?;
        Self::with_arc(there.current, Some(next), true)
    }

    /// Puts the next authority in the place of the current one, of which a copy is kept; answers where.
    ///
    /// # Errors
    ///
    /// No change has begun, or the files cannot be renamed.
    pub fn finish(data_dir: &Path) -> Result<PathBuf, IdentityError> {
        let directory = directory(data_dir);
        let none = || IdentityError::NoNext(directory.join("next.pem"));
        let _lock = lock(&directory)?.ok_or_else(none)?;
        is_of(&directory, rustix::process::geteuid().as_raw())?;
        let there = read(&directory)?.ok_or_else(none)?;
        there.next.as_ref().ok_or_else(none)?;
        let retired = format!("{RETIRED}{}", short(&there.current.fingerprint()));
        let [key, certificate] = files_of(&directory, CURRENT);
        let [kept_key, kept] = files_of(&directory, &retired);
        files::keep_as(&key, &kept_key)?;
        files::keep_as(&certificate, &kept)?;
        let [next_key, _] = files_of(&directory, NEXT);
        files::rename(&next_key, &key)?;
        go_on(&directory)?;
        Ok(kept)
    }

    fn with(
        current: Authority,
        next: Option<Authority>,
        was_changed: bool,
    ) -> Result<Self, IdentityError> {
        Self::with_arc(Arc::new(current), next, was_changed)
    }

    fn with_arc(
        current: Arc<Authority>,
        next: Option<Authority>,
        was_changed: bool,
    ) -> Result<Self, IdentityError> {
        let newest = next
            .as_ref()
            .map_or_else(|| current.file(), Authority::file);
        // A rename changes this time, so it is that of the last step.
        let metadata = newest.metadata();
        let metadata = metadata.map_err(|source| files::io(newest, source))?;
        let changed_s = if was_changed || next.is_some() {
            metadata.ctime()
        } else {
            i64::MIN
        };
        let next = next.map(Arc::new);
        Ok(Self {
            current,
            next,
            changed_s,
        })
    }

    /// The authority that the collector's own certificate is of, and that tokens name.
    pub fn current(&self) -> &Arc<Authority> {
        &self.current
    }

    /// The authority that comes, while there is a change.
    pub fn next(&self) -> Option<&Arc<Authority>> {
        self.next.as_ref()
    }

    /// The authority that sensors are certified by.
    pub fn newest(&self) -> &Arc<Authority> {
        self.next.as_ref().unwrap_or(&self.current)
    }

    /// When the change began, seconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// The certificate of the next authority cannot be read.
    pub fn began_s(&self) -> Result<Option<i64>, IdentityError> {
        self.next.as_ref().map(|next| next.made_s()).transpose()
    }

    /// All that count.
    fn believed(&self) -> impl Iterator<Item = &Arc<Authority>> {
        std::iter::once(&self.current).chain(&self.next)
    }

    /// Certificates of all that count.
    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        self.believed()
            .map(|authority| authority.certificate().clone())
            .collect()
    }

    /// Fingerprint of the authority that has signed a sensor's certificate.
    pub fn signer(&self, certificate: &CertificateDer<'_>) -> Option<String> {
        self.believed()
            .find(|authority| authority.has_signed(certificate))
            .map(|authority| authority.fingerprint())
    }

    /// Whether certificates of an authority count.
    pub fn believes(&self, fingerprint: &str) -> bool {
        self.believed()
            .any(|authority| authority.fingerprint() == fingerprint)
    }

    /// Whether a certificate that is valid from a second on was made before the last step of a change, so that its sensor does not know of
    /// it. A clock that was set back since then makes nobody ask over and over.
    pub fn is_before_change(&self, not_before_s: i64) -> bool {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        not_before_s <= self.changed_s.saturating_add(SEEN_WITHIN_S) && self.changed_s <= now_s
    }
}

/// The beginning of a fingerprint, which is enough for people.
pub(crate) fn short(fingerprint: &str) -> &str {
    fingerprint.get(..16).unwrap_or(fingerprint)
}

/// Tells the authorities, now and whenever they have changed. The thread ends when nobody listens any more. What cannot be read leaves what
/// was read before.
///
/// # Errors
///
/// They cannot be read or made now, or the thread cannot be started.
pub(super) fn follow(data_dir: &Path) -> Result<watch::Receiver<Arc<Authorities>>, IdentityError> {
    let stamp = stamp(&directory(data_dir));
    let now = Authorities::open_or_make(data_dir)?;
    if now.next().is_some() {
        tracing::warn!(
            "the authority is being changed and both count: `chartwatch-collector rotate-authority --status` says how far it is"
        );
    }
    let (told, authorities) = watch::channel(Arc::new(now));
    let data_dir = data_dir.to_owned();
    std::thread::Builder::new()
        .name("authorities".into())
        .spawn(move || look(&data_dir, stamp, &told))
        .map_err(IdentityError::Thread)?;
    Ok(authorities)
}

fn look(data_dir: &Path, mut seen: Stamp, told: &watch::Sender<Arc<Authorities>>) {
    while !told.is_closed() {
        std::thread::sleep(LOOK_EVERY);
        let now = stamp(&directory(data_dir));
        if now == seen {
            continue;
        }
        seen = now;
        match Authorities::open(data_dir) {
            Ok(Some(authorities)) => tell(authorities, told),
            Ok(None) => tracing::error!(
                "the files of the authority are gone; it counts until the collector stops"
            ),
            Err(error) => {
                tracing::error!(%error, "the authority was changed and cannot be used; the one before counts until the collector stops");
            }
        }
    }
}

fn tell(authorities: Authorities, told: &watch::Sender<Arc<Authorities>>) {
    let fingerprints = |all: &Authorities| {
        all.believed()
            .map(|one| one.fingerprint())
            .collect::<Vec<_>>()
    };
    if fingerprints(&authorities) == fingerprints(&told.borrow()) {
        return;
    }
    match &authorities.next {
        Some(next) => {
            tracing::info!(
                next = short(&next.fingerprint()),
                "the authority is being changed: sensors get certificates of the next one and believe both"
            );
        }
        None => {
            tracing::info!(
                authority = short(&authorities.current.fingerprint()),
                "the authority was changed: what the one before signed counts no more"
            );
        }
    }
    told.send_replace(Arc::new(authorities));
}

/// What tells a change of the files: inode and time of change of each that is there.
type Stamp = [Option<(u64, i64, i64)>; 4];

fn stamp(directory: &Path) -> Stamp {
    ["ca.key", "ca.pem", "next.key", "next.pem"].map(|name| {
        let metadata = directory.join(name).metadata().ok()?;
        Some((metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
    })
}

/// Keeps others from changing the authority meanwhile; `None` when there is no directory.
fn lock(directory: &Path) -> Result<Option<File>, IdentityError> {
    let file = match File::open(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|source| files::io(directory, source))?,
    };
    file.lock().map_err(|source| files::io(directory, source))?;
    Ok(Some(file))
}

/// Files that somebody else makes the collector could not read.
fn is_of(directory: &Path, own: u32) -> Result<(), IdentityError> {
    let metadata = directory.metadata();
    let owner = metadata
        .map_err(|source| files::io(directory, source))?
        .uid();
    if owner == own {
        return Ok(());
    }
    Err(IdentityError::Form {
        file: directory.to_owned(),
        reason: format!("belongs to user {owner}, and this runs as user {own}"),
        remedy: "run it as the collector's user, with `sudo -u chartwatch`",
    })
}

/// Reads what is there, after going on with what was cut off.
fn read(directory: &Path) -> Result<Option<Authorities>, IdentityError> {
    go_on(directory)?;
    let Some(current) = Authority::read(directory, CURRENT)? else {
        return Ok(None);
    };
    let [_, next] = files_of(directory, NEXT);
    // A key without certificate is the rest of a beginning that was cut off: it is gone on with when somebody begins again.
    let next = if is_there(&next)? {
        Authority::read(directory, NEXT)?
    } else {
        None
    };
    let was_changed = has_retired(directory)?;
    Authorities::with(current, next, was_changed).map(Some)
}

/// The second half of a finish: the key has been renamed, the certificate has not.
fn go_on(directory: &Path) -> Result<(), IdentityError> {
    let [next_key, next] = files_of(directory, NEXT);
    if !is_there(&next)? || is_there(&next_key)? {
        return Ok(());
    }
    let [key, certificate] = files_of(directory, CURRENT);
    if !super::authority::belong_together(&key, &next)? {
        return Err(IdentityError::Form {
            file: next_key,
            reason: "is not there, while next.pem is".to_owned(),
            remedy: "put it back from a backup; without it move next.pem away, which ends the change: sensors that were renewed since it began must be enrolled again",
        });
    }
    files::rename(&next, &certificate)
}

/// Whether a copy of an authority from before is there: without one nothing was changed yet, or so long ago that it was removed.
fn has_retired(directory: &Path) -> Result<bool, IdentityError> {
    let entries = std::fs::read_dir(directory).map_err(|source| files::io(directory, source))?;
    let begins = |entry: std::fs::DirEntry| {
        let name = entry.file_name();
        name.as_encoded_bytes().starts_with(RETIRED.as_bytes())
    };
    Ok(entries.flatten().any(begins))
}

fn is_there(file: &Path) -> Result<bool, IdentityError> {
    file.try_exists().map_err(|source| files::io(file, source))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt as _;

    use rcgen::KeyPair;
    use time::OffsetDateTime;

    use super::*;

    fn certificate(authority: &Authority) -> CertificateDer<'static> {
        let (key, now) = (KeyPair::generate().unwrap(), OffsetDateTime::now_utc());
        let made = authority.sensor("ws-12", &key, now, time::Duration::DAY);
        made.unwrap()
    }

    #[test]
    fn a_change_has_two_steps_and_keeps_what_was() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            Authorities::begin(dir.path()),
            Err(IdentityError::NeverRan(_))
        ));
        let first = Authorities::open_or_make(dir.path()).unwrap();
        assert!(matches!(
            Authorities::finish(dir.path()),
            Err(IdentityError::NoNext(_))
        ));
        let both = Authorities::begin(dir.path()).unwrap();
        let again = Authorities::begin(dir.path()).unwrap();
        assert_eq!(both.certificates(), again.certificates(), "one at a time");
        assert_eq!(both.current().certificate(), first.current().certificate());
        assert_eq!(both.certificates().len(), 2);
        let (old, new) = (both.current().fingerprint(), both.newest().fingerprint());
        let (of_old, of_new) = (certificate(both.current()), certificate(both.newest()));
        assert_eq!(both.signer(&of_old).as_deref(), Some(&*old));
        assert_eq!(both.signer(&of_new).as_deref(), Some(&*new));

        let kept = Authorities::finish(dir.path()).unwrap();
        let after = Authorities::open(dir.path()).unwrap().unwrap();
        assert_eq!(after.current().fingerprint(), new);
        assert!(after.next().is_none() && !after.believes(&old));
        assert_eq!(after.signer(&of_old), None);
        assert_eq!(after.signer(&of_new).as_deref(), Some(&*new));
        for file in [&kept.with_extension("key"), &dir.path().join("pki/ca.key")] {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        let name = kept.file_stem().unwrap().to_str().unwrap();
        let retired = Authority::read(kept.parent().unwrap(), name).unwrap();
        assert_eq!(retired.unwrap().fingerprint(), old);
    }

    /// What every step leaves behind when it is cut off after each of its changes of the directory.
    #[test]
    fn a_step_that_was_cut_off_is_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let pki = dir.path().join("pki");
        let first = Authorities::open_or_make(dir.path()).unwrap();
        let both = Authorities::begin(dir.path()).unwrap();

        // Begin: only the key was written, and a certificate half.
        std::fs::remove_file(pki.join("next.pem")).unwrap();
        std::fs::write(pki.join("next.pem.new"), "-----BEGIN").unwrap();
        let read = Authorities::open(dir.path()).unwrap().unwrap();
        assert!(read.next().is_none());
        let both_again = Authorities::begin(dir.path()).unwrap();
        let key = |authorities: &Authorities| {
            let certificate = authorities.newest().certificate().clone();
            let parsed = webpki::EndEntityCert::try_from(&certificate).unwrap();
            parsed.subject_public_key_info().as_ref().to_vec()
        };
        assert_eq!(key(&both), key(&both_again), "the key that was written");

        // Finish: copies were made, then the key was renamed.
        let old = format!("retired-{}", short(&first.current().fingerprint()));
        let [old_key, old_pem] = files_of(&pki, &old);
        std::fs::hard_link(pki.join("ca.key"), &old_key).unwrap();
        let read = Authorities::open(dir.path()).unwrap().unwrap();
        assert_eq!(read.certificates().len(), 2);
        std::fs::hard_link(pki.join("ca.pem"), old_pem).unwrap();
        std::fs::rename(pki.join("next.key"), pki.join("ca.key")).unwrap();
        let read = Authorities::open(dir.path()).unwrap().unwrap();
        assert_eq!(
            read.certificates(),
            [both_again.newest().certificate().clone()]
        );
        assert!(!pki.join("next.pem").exists());
    }

    #[test]
    fn a_next_authority_without_its_key_is_said_and_nothing_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        Authorities::open_or_make(dir.path()).unwrap();
        Authorities::begin(dir.path()).unwrap();
        let key = dir.path().join("pki/next.key");
        std::fs::rename(&key, dir.path().join("elsewhere")).unwrap();
        let said = Authorities::open(dir.path()).unwrap_err().to_string();
        assert!(
            said.contains("next.key") && said.contains("backup"),
            "{said}"
        );
        assert!(dir.path().join("pki/next.pem").exists());
        std::fs::rename(dir.path().join("elsewhere"), &key).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
        let said = Authorities::finish(dir.path()).unwrap_err().to_string();
        assert!(said.contains("next.key: mode 0640"), "{said}");
    }

    #[test]
    fn nobody_but_the_collectors_user_changes_its_authority() {
        let dir = tempfile::tempdir().unwrap();
        let owner = dir.path().metadata().unwrap().uid();
        is_of(dir.path(), owner).unwrap();
        let said = is_of(dir.path(), owner + 1).unwrap_err().to_string();
        let part = format!(
            "belongs to user {owner}, and this runs as user {}",
            owner + 1
        );
        assert!(said.contains(&part) && said.contains("sudo -u"), "{said}");
    }

    #[test]
    fn certificates_from_before_the_last_step_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let first = Authorities::open_or_make(dir.path()).unwrap();
        assert!(!first.is_before_change(0), "nothing was changed");
        let mut authorities = Authorities::begin(dir.path()).unwrap();
        let changed = authorities.changed_s;
        assert!(authorities.is_before_change(changed) && authorities.is_before_change(0));
        assert!(!authorities.is_before_change(changed + SEEN_WITHIN_S + 1));
        authorities.changed_s = i64::MAX;
        assert!(
            !authorities.is_before_change(changed),
            "the clock was set back"
        );
    }
}
