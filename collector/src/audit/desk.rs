//! The daemon's way to the audit log: a thread that waits for the disk, so that no stream does, and that counts what comes again and again.
//!
//! A refusal is written when it comes first. The same again, from the same end, is counted, and written with its count when its window is over:
//! whoever knocks a thousand times a second makes a line each ten minutes. So many different ones are told apart; those beyond are counted as one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Action, Appended, Audit, AuditError, Entry, Stored, Who};

/// Entries that may wait for the thread.
const WAITING_MAX: usize = 1_024;
/// Entries kept while the log cannot be written to.
const KEPT_MAX: usize = 1_024;
/// Refusals told apart at a time.
const APART_MAX: usize = 256;
/// The same refusal within this time is counted and not written.
const WINDOW: Duration = Duration::from_mins(10);
/// How often windows that are over are looked for, and a log that could not be written to is tried again.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Takes entries for the log.
#[derive(Debug, Clone)]
pub struct Desk {
    audit: Arc<Audit>,
    waiting: SyncSender<Waiting>,
}

#[derive(Debug)]
enum Waiting {
    /// To be written as it is.
    Entry(Entry),
    /// To be written once in a while.
    Repeated(Entry),
    /// Nothing more is to be written.
    End,
}

/// Opens the log for the collector itself and starts the thread, which ends when it is closed, or all desks are gone, and
/// everything is written.
///
/// # Errors
///
/// The log cannot be opened or made.
pub fn spawn(data_dir: &Path) -> Result<(Desk, JoinHandle<()>), AuditError> {
    let audit = Arc::new(Audit::open(data_dir, Who::Collector)?);
    let (waiting, entries) = sync_channel(WAITING_MAX);
    let writer = Writer::new(audit.clone());
    let thread = std::thread::Builder::new()
        .name("audit".into())
        .spawn(move || writer.run(&entries))
        .map_err(|source| super::file::io(data_dir, source))?;
    Ok((Desk { audit, waiting }, thread))
}

impl Desk {
    /// Writes an entry before it returns: for what must not be done without one. Waits for the disk.
    ///
    /// # Errors
    ///
    /// The log cannot be written to.
    pub fn must(&self, entry: &Entry) -> Result<Appended, AuditError> {
        self.audit.append(entry)
    }

    /// Whether the log has an entry like that. Reads all of it.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn has(&self, like: impl Fn(&Stored) -> bool) -> Result<bool, AuditError> {
        let mut found = false;
        super::read(self.audit.data_dir(), |_, stored| {
            found |= like(&stored);
            Ok::<_, AuditError>(())
        })?;
        Ok(found)
    }

    /// Whether an entry could be written now.
    ///
    /// # Errors
    ///
    /// The log cannot be written to.
    pub fn ready(&self) -> Result<(), AuditError> {
        self.audit.ready()
    }

    /// Has an entry written soon; waits for nothing.
    pub fn note(&self, entry: Entry) {
        self.hand_over(Waiting::Entry(entry));
    }

    /// Has a refusal written, or counted if it came shortly before. Waits for nothing.
    pub fn repeated(&self, entry: Entry) {
        self.hand_over(Waiting::Repeated(entry));
    }

    /// Ends the thread after all that was handed over before. Connections that linger hold desks too, so it cannot wait for the last of
    /// those to go.
    pub fn close(&self) {
        self.hand_over(Waiting::End);
    }

    fn hand_over(&self, waiting: Waiting) {
        match self.waiting.try_send(waiting) {
            Ok(()) => {}
            // Only who floods gets here; the first of each kind is in the log.
            Err(TrySendError::Full(_)) => {
                tracing::error!("an entry of the audit log is lost: too many come at a time");
            }
            Err(TrySendError::Disconnected(_)) => {
                tracing::error!("an entry of the audit log is lost: its thread has ended");
            }
        }
    }
}

/// What the same refusals have in common.
type Key = (Action, String, String);

#[derive(Debug)]
struct Counted {
    since: Instant,
    times: u64,
    latest: Entry,
}

/// The thread's state.
#[derive(Debug)]
struct Writer {
    audit: Arc<Audit>,
    windows: BTreeMap<Key, Counted>,
    /// What could not be written yet, oldest first.
    kept: std::collections::VecDeque<Entry>,
    lost: u64,
    failing: bool,
}

impl Writer {
    fn new(audit: Arc<Audit>) -> Self {
        Self {
            audit,
            windows: BTreeMap::new(),
            kept: std::collections::VecDeque::new(),
            lost: 0,
            failing: false,
        }
    }

    fn run(mut self, entries: &Receiver<Waiting>) {
        let mut looked = Instant::now();
        loop {
            match entries.recv_timeout(LOOK_EVERY) {
                Ok(Waiting::Entry(entry)) => self.write(entry),
                Ok(Waiting::Repeated(entry)) => self.count(entry),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Waiting::End) | Err(RecvTimeoutError::Disconnected) => break,
            }
            if looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                self.close_windows(WINDOW);
                self.write_kept();
            }
        }
        self.close_windows(Duration::ZERO);
        self.write_kept();
        if !self.kept.is_empty() || self.lost > 0 {
            let entries = self.kept.len() as u64 + self.lost;
            tracing::error!(entries, "entries of the audit log are lost");
        }
    }

    fn count(&mut self, entry: Entry) {
        let who = entry.who.as_ref().map(Who::name).unwrap_or_default();
        let mut key = (entry.what, who, entry.about.clone());
        if !self.windows.contains_key(&key) && self.windows.len() >= APART_MAX {
            key = (entry.what, String::new(), String::new());
        }
        if let Some(counted) = self.windows.get_mut(&key) {
            counted.times += 1;
            counted.latest = entry;
            return;
        }
        let counted = Counted {
            since: Instant::now(),
            times: 0,
            latest: entry.clone(),
        };
        self.windows.insert(key, counted);
        self.write(entry);
    }

    /// Writes what was counted in windows that began so long ago.
    fn close_windows(&mut self, ago: Duration) {
        let over = |_: &Key, counted: &mut Counted| counted.since.elapsed() >= ago;
        let closed: Vec<_> = self.windows.extract_if(.., over).collect();
        for ((_, who, about), counted) in closed.into_iter().filter(|(_, own)| own.times > 0) {
            let within = counted.since.elapsed().as_secs();
            let mut entry = counted.latest;
            if who.is_empty() && about.is_empty() {
                // Of many: the latest stands for none of the others.
                entry = Entry::new(entry.what).about("many different ones");
            }
            let entry = entry.counting("more_times", counted.times);
            self.write(entry.counting("within_seconds", within));
        }
    }

    fn write(&mut self, entry: Entry) {
        if self.kept.len() < KEPT_MAX {
            self.kept.push_back(entry);
        } else {
            self.lost += 1;
        }
        if !self.failing {
            self.write_kept();
        }
    }

    fn write_kept(&mut self) {
        while let Some(entry) = self.kept.front() {
            match self.audit.append(entry) {
                Ok(_) => {
                    self.kept.pop_front();
                    self.failing = false;
                }
                Err(error) => {
                    if !self.failing {
                        tracing::error!(%error, "the audit log cannot be written to; nobody is certified, nothing revealed and no command of an analyst carried out until it can");
                    }
                    self.failing = true;
                    return;
                }
            }
        }
        if self.lost > 0 {
            let lost = Entry::new(Action::EntriesLost).counting("entries", self.lost);
            if self.audit.append(&lost).is_ok() {
                self.lost = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{read, verify};

    #[test]
    fn a_flood_of_the_same_is_one_line_and_a_count() {
        let data = tempfile::tempdir().unwrap();
        let (desk, thread) = spawn(data.path()).unwrap();
        for _ in 0..500 {
            desk.repeated(Entry::new(Action::TokenRefused).by(Who::Stranger { from: None }));
        }
        desk.repeated(Entry::new(Action::TokenRefused).by(Who::Collector));
        drop(desk);
        thread.join().unwrap();
        let mut found = Vec::new();
        read::<AuditError>(data.path(), |_, stored| {
            found.push(stored);
            Ok(())
        })
        .unwrap();
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[2].details["more_times"], 499);
        verify(data.path(), None).unwrap();
    }

    #[test]
    fn many_different_ones_are_bounded() {
        let data = tempfile::tempdir().unwrap();
        let audit = Arc::new(Audit::open(data.path(), Who::Collector).unwrap());
        let mut writer = Writer::new(audit);
        for number in 0..APART_MAX + 300 {
            writer.count(Entry::new(Action::IdentityRefused).about(&number.to_string()));
        }
        writer.close_windows(Duration::ZERO);
        let mut last = None;
        let mut lines = 0;
        read::<AuditError>(data.path(), |_, stored| {
            lines += 1;
            last = Some(stored);
            Ok(())
        })
        .unwrap();
        assert_eq!(lines, APART_MAX + 2);
        assert_eq!(last.unwrap().details["more_times"], 299);
    }
}
