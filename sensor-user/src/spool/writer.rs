//! The thread between memory and disk: writes what waits with one sync, deletes what is no longer needed, and goes on when
//! the disk does not.
//!
//! It waits without a timer's work while there is nothing to write, and syncs nothing then.
//!
//! **Invariant:** nobody waits for the disk but this thread. A disk that fails is said once, tried again, and costs what
//! does not fit into memory; a damaged database is set aside and never deleted.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::memory::{Evicted, Footing, Work, gone};
use super::store::{self, Found, Store};
use super::trouble::Trouble;
use super::{Disk, LossKind, Spool};
use crate::metrics::Metrics;

/// Bytes of batches that are written together at most; so many that wait are written at once.
const COMMIT_BYTES: u64 = 4 * 1024 * 1024;
/// Time between two looks at what may be deleted.
const TIDY_EVERY: Duration = Duration::from_mins(1);
/// Shortest time between two such looks.
const TIDY_MIN: Duration = Duration::from_millis(10);

/// The thread, running.
#[derive(Debug)]
pub struct Writer {
    spool: Arc<Spool>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Opens the database, so that what is in it comes first, and starts the thread.
    pub(super) fn start(
        spool: &Arc<Spool>,
        disk: Disk,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let mut keeper = Keeper {
            spool: Arc::clone(spool),
            tidy_every: tidy_every(disk.keep),
            disk,
            metrics,
            said: None,
            tried: false,
            not_before: Instant::now(),
            tidied: Instant::now(),
            acked: VecDeque::new(),
        };
        keeper.stand();
        keeper.measure();
        let thread = std::thread::Builder::new()
            .name("spool".into())
            .spawn(move || keeper.run())?;
        Ok(Self {
            spool: Arc::clone(spool),
            thread,
        })
    }

    /// Writes what waits and ends the thread; blocks until that is done.
    pub fn finish(self) {
        self.spool.held().finish();
        self.spool.work.notify_one();
        if self.thread.join().is_err() {
            tracing::error!("the spool's thread ended before its time");
        }
    }
}

/// What is kept for a time need not go to the second; what is not kept at all goes every minute.
fn tidy_every(keep: Duration) -> Duration {
    if keep.is_zero() {
        TIDY_EVERY
    } else {
        (keep / 16).clamp(TIDY_MIN, TIDY_EVERY)
    }
}

/// Up to where an epoch was persisted, and when that was seen.
#[derive(Debug)]
struct Acked {
    seen: Instant,
    epoch: Uuid,
    seq: u64,
}

struct Keeper {
    spool: Arc<Spool>,
    disk: Disk,
    metrics: Arc<Metrics>,
    /// The trouble that was last said.
    said: Option<Trouble>,
    /// The database was opened before, or that was tried.
    tried: bool,
    /// A disk that failed is not tried before.
    not_before: Instant,
    tidied: Instant,
    tidy_every: Duration,
    acked: VecDeque<Acked>,
}

impl Keeper {
    fn run(mut self) {
        while !self.wait() {
            self.turn();
            self.measure();
        }
        self.turn_until_done();
        self.end();
    }

    /// Everything that waits, however many commits it takes; a disk that fails ends it.
    fn turn_until_done(&mut self) {
        loop {
            self.not_before = Instant::now();
            self.turn();
            if self.said.is_some() || self.spool.held().is_committed() {
                return;
            }
        }
    }

    /// Says how much is on the disk.
    fn measure(&self) {
        let bytes = self.with_store(|store| store.bytes());
        let bytes = bytes.unwrap_or(super::NO_DISK);
        self.spool.disk_bytes.store(bytes, Ordering::Relaxed);
    }

    fn turn(&mut self) {
        let suspicion = self.spool.held().take_suspicion();
        if let Some(why) = suspicion {
            self.set_aside(&why);
        }
        if !self.stands() && !self.stand() {
            self.begin_epoch();
            return;
        }
        self.write();
        self.begin_epoch();
        if self.tidied.elapsed() >= self.tidy_every {
            self.tidied = Instant::now();
            self.tidy();
        }
    }

    /// Waits for something to do; true when it is to be the last.
    fn wait(&self) -> bool {
        let works = self.said.is_none();
        let until = if works {
            self.tidied + self.tidy_every
        } else {
            self.not_before
        };
        if !self.sleep(until, works, 1) {
            return false;
        }
        // Something waits: more may come to be written with it.
        self.sleep(Instant::now() + self.disk.commit_every, true, COMMIT_BYTES);
        self.spool.held().is_finishing()
    }

    /// Sleeps until so many bytes wait (if that is a reason) or something else does; false when only the time is over.
    fn sleep(&self, until: Instant, for_bytes: bool, bytes: u64) -> bool {
        let mut held = self.spool.held();
        loop {
            let due = for_bytes && held.uncommitted_bytes() >= bytes;
            if due || held.is_turning() || held.is_finishing() || held.is_suspected() {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let woken = self.spool.work.wait_timeout(held, left);
            held = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Opens the database; a damaged one is set aside first. False when there is none to stand on.
    fn stand(&mut self) -> bool {
        let live = self.spool.held().live();
        let mut opened = Store::open(&self.disk, live);
        // What failed or was set aside before has left its lock without a database, too.
        let mut first_try = !std::mem::replace(&mut self.tried, true);
        if let Err(trouble) = &opened
            && trouble.is_damage
        {
            self.set_aside(&trouble.to_string());
            first_try = false;
            opened = Store::open(&self.disk, live);
        }
        let (store, mut found) = match opened {
            Ok(opened) => opened,
            Err(trouble) => {
                self.failed(trouble);
                return false;
            }
        };
        *self.spool.store() = Some(store);
        let seen = Instant::now();
        let acked = std::mem::take(&mut found.acked).into_iter();
        self.acked
            .extend(acked.map(|(epoch, seq)| Acked { seen, epoch, seq }));
        found.removed &= first_try;
        self.begin(found);
        true
    }

    /// Memory has a disk to stand on. What an earlier sensor left on it counts the first time only.
    fn begin(&mut self, found: Found) {
        let mut held = self.spool.held();
        let first = !held.was_adopted();
        held.stand_on(Footing::Disk);
        if first {
            held.adopt(found.earlier);
            for loss in found.untold {
                held.lose(loss);
            }
            if let Some(loss) = found.killed {
                held.lose(loss);
            }
            if found.removed {
                held.lose(gone(LossKind::Removed, 0));
                let directory = self.disk.directory.display();
                tracing::error!(%directory, "the spool's database was removed since a sensor last ran here; whatever it held is lost, and a gap says so");
            }
        }
        let waiting = held.depth().events;
        drop(held);
        self.spool.lost.notify_one();
        self.spool.arrived.notify_one();
        if self.said.is_none() && waiting > 0 {
            tracing::info!(
                waiting,
                "events of an earlier start are still to be delivered"
            );
        }
        self.works();
    }

    /// The disk did as it was asked.
    fn works(&mut self) {
        if let Some(trouble) = self.said.take() {
            self.spool.held().stand_on(Footing::Disk);
            tracing::info!(was = %trouble, "the disk spool works again");
        }
    }

    /// Says a trouble when it is a new one; memory takes what comes until the disk is tried again. A database that is open
    /// stays so: what is in it may be readable all the same.
    fn failed(&mut self, trouble: Trouble) {
        self.metrics.spool_failures.one();
        self.not_before = Instant::now() + self.disk.retry_every;
        self.spool.held().stand_on(Footing::Failing);
        if self.said.as_ref() != Some(&trouble) {
            tracing::error!(%trouble, "the disk spool cannot be used: events wait in memory, and those that do not fit are lost and counted");
        }
        self.said = Some(trouble);
    }

    fn write(&mut self) {
        let work = self.spool.held().work(COMMIT_BYTES);
        // An acknowledgement alone is worth no sync: the collector says it again.
        let pressing = !work.batches.is_empty() || self.spool.held().is_finishing();
        if pressing && (!work.batches.is_empty() || !work.acked.is_empty()) {
            self.commit(&work);
        }
    }

    /// Begins another epoch, if that was asked for and all of the one before is on the disk.
    fn begin_epoch(&mut self) {
        if !self.spool.held().is_turning() {
            return;
        }
        let may = self.spool.held().may_turn();
        if let Some(first) = may {
            let next = Uuid::new_v4();
            let begun = self.with_store(|store| store.turn(next, first));
            let since_ns = begun.transpose().unwrap_or_else(|error| {
                self.refused(&error);
                None
            });
            let begun = since_ns.map(|since_ns| (next, since_ns));
            let mut held = self.spool.held();
            held.turn(begun);
            let waiting = held.depth().backlog;
            drop(held);
            if begun.is_some() {
                tracing::info!(
                    waiting,
                    "much waits to be delivered: what happens from now on goes ahead of it"
                );
            }
        }
        if !self.spool.held().is_turning() {
            self.spool.turned.notify_one();
            self.spool.arrived.notify_one();
        }
    }

    fn commit(&mut self, work: &Work) {
        if let Some(why) = self.misplaced() {
            // What this work is stays in memory for the new one.
            self.set_aside(&why);
            self.stand();
            return;
        }
        let Some(committed) = self.with_store(|store| store.commit(work)) else {
            return;
        };
        match committed {
            Ok(evicted) => {
                self.metrics.spool_commits.one();
                self.works();
                self.remember(work);
                self.went(work, evicted);
                if self.spool.has_room() {
                    self.spool.room.notify_one();
                }
            }
            Err(error) => self.refused(&error),
        }
    }

    /// Why what is written now would not be found again.
    fn misplaced(&self) -> Option<String> {
        let in_place = self.with_store(|store| store.is_in_place())?;
        (!in_place).then(|| "somebody removed or replaced the file or its log".to_owned())
    }

    fn with_store<T>(&self, act: impl FnOnce(&mut Store) -> T) -> Option<T> {
        self.spool.store().as_mut().map(act)
    }

    fn stands(&self) -> bool {
        self.spool.store().is_some()
    }

    /// The disk has what it was given, and what had to go is gone.
    fn went(&self, work: &Work, evicted: Vec<Evicted>) {
        self.lost(&evicted);
        self.spool.held().done(work, evicted);
        self.spool.lost.notify_one();
        self.spool.arrived.notify_one();
    }

    fn refused(&mut self, error: &rusqlite::Error) {
        let path = self.disk.directory.join("spool.db");
        let trouble = Trouble::database(&path, error);
        if trouble.is_damage {
            self.set_aside(&trouble.to_string());
            self.stand();
        } else {
            self.failed(trouble);
        }
    }

    fn remember(&mut self, work: &Work) {
        let seen = Instant::now();
        for &(epoch, seq) in &work.acked {
            let recent = self
                .acked
                .iter_mut()
                .rev()
                .find(|known| known.epoch == epoch);
            match recent {
                // One for each look is enough.
                Some(known) if known.seen + self.tidy_every > seen => known.seq = seq,
                _ => self.acked.push_back(Acked { seen, epoch, seq }),
            }
        }
    }

    fn lost(&self, evicted: &[Evicted]) {
        for part in evicted {
            let Some(loss) = &part.loss else { continue };
            self.metrics.spool_evicted.add(part.events);
            let why = match loss.kind {
                LossKind::Old => "older than spool.max_age_hours",
                _ => "spool.max_bytes is reached",
            };
            let class = loss.what.as_ref().map(|what| what.class);
            tracing::error!(
                events = loss.count,
                ?class,
                why,
                "what is worth least in the spool is lost, the oldest of it first"
            );
        }
    }

    /// Acknowledgements that no batch took along go to the disk; what was kept long enough goes, and what is too old.
    fn tidy(&mut self) {
        let work = self.spool.held().work(COMMIT_BYTES);
        if !work.acked.is_empty() {
            self.commit(&work);
        }
        if let Err(error) = self.forget().and_then(|()| self.evict_old()) {
            self.refused(&error);
        }
    }

    fn forget(&mut self) -> Result<(), rusqlite::Error> {
        let keep = self.disk.keep;
        while let Some(kept) = self
            .acked
            .pop_front_if(|acked| acked.seen.elapsed() >= keep)
        {
            let forget = |store: &mut Store| store.forget(kept.epoch, kept.seq);
            while self.with_store(forget).transpose()?.unwrap_or(0) > 0 {}
        }
        Ok(())
    }

    fn evict_old(&mut self) -> Result<(), rusqlite::Error> {
        let evicted = self.with_store(Store::evict_old).transpose()?;
        let evicted = evicted.unwrap_or_default();
        if !evicted.is_empty() {
            self.went(&Work::default(), evicted);
        }
        Ok(())
    }

    /// Moves a database that is no good out of the way, and counts what was only there.
    fn set_aside(&mut self, why: &str) {
        // It is closed before the files get another name, and nobody reads meanwhile.
        let mut store = self.spool.store();
        *store = None;
        let moved = store::set_aside(&self.disk.directory);
        drop(store);
        let mut held = self.spool.held();
        let lost = held.start_afresh();
        if lost > 0 || moved.is_ok() {
            held.lose(gone(LossKind::SetAside, lost));
        }
        drop(held);
        self.acked.clear();
        self.metrics.spool_damaged.add(lost);
        self.spool.lost.notify_one();
        self.spool.arrived.notify_one();
        match moved {
            Ok((place, removed)) => {
                let place = place.display();
                tracing::error!(why, %place, lost, "the spool's database cannot be used and was set aside; a new one is begun. Keep the file if what it holds matters, delete it otherwise");
                for path in removed {
                    tracing::error!(path = %path.display(), "the oldest database that was set aside was deleted: there are too many. Look into the kernel's log for errors of the disk");
                }
            }
            Err(error) => self.failed(Trouble::system(&self.disk.directory, &error)),
        }
    }

    /// The end in good order, unless something is lost with it.
    fn end(&mut self) {
        let held = self.spool.held();
        let whole = held.volatile_events() == 0 && !held.has_losses();
        drop(held);
        if !whole {
            return;
        }
        if let Some(Err(error)) = self.with_store(|store| store.end()) {
            self.refused(&error);
        }
    }
}
