//! The kernel source: on a thread of its own, takes what the kernel programs have, tick by tick.
//!
//! A tick takes the sums first and the rings after, so that the name of every record in a sum, and the exec of every
//! process, is in the same tick or an earlier one. While the channel is full the thread waits, the rings fill, and the
//! programs count what finds no room.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt as _};
use rustix::event::{Timespec, epoll};
use sensor_ebpf::layout::access::CANARY_STORE;
use sensor_ebpf::layout::flow::UDP;
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use super::edges::Edges;
use super::flows::Flows;
use super::holders::Holders;
use super::losses::Losses;
use super::places::Places;
use super::services::Services;
use super::sockets::Sockets;
use super::song::Song;
use super::tampers::Tampers;
use crate::clock;
use crate::config::{Kernel as Settings, Store};
use crate::decode;
use crate::event::{Access, Event, Gap, GapReason, StoreId, What};
use crate::health::{self, Health, Pulse};
use crate::load::{self, AttemptError, Found, Kept, Kernel, LoadError};
use crate::pipeline::Source;

/// Events that may gather between two ticks before a tick is made at once.
const EVENTS_MAX: usize = 16_384;
/// How often losses are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often the kernel is asked which programs it left out.
const SKIPS: Duration = Duration::from_secs(10);
/// How often it is written down who holds records: what a sensor that is killed forgets.
const KEEP: Duration = Duration::from_secs(5);
/// How often the books are; as often as the link tells them.
const BOOKS: Duration = Duration::from_secs(5);
/// What the table of mounts is called among the things that are waited for; the rings are 0 and 1.
const MOUNTS: u64 = 2;
/// The same of directories in which programs may come that serve records.
const PROGRAMS: u64 = 3;

/// Why the source did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The programs are not in the kernel.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The rings cannot be waited for.
    #[error("the rings of the kernel programs cannot be waited for: {0}")]
    Rings(std::io::Error),
    /// Its thread could not be started.
    #[error("the thread that reads from the kernel could not be started: {0}")]
    Thread(std::io::Error),
}

/// Loads the kernel programs and starts to read from them.
pub fn start(
    settings: &Settings,
    stores: &[Store],
    ticks: mpsc::Sender<Vec<Event>>,
) -> Result<Source, StartError> {
    let mut kernel = load::load(settings, stores)?;
    load::give_back();
    let song = kernel
        .take_canary()
        .map(|canary| Song::new(canary, settings.canary, clock::boot_ns()));
    let places = kernel
        .take_roots()
        .map(|roots| Places::new(roots, clock::boot_ns()))
        .transpose()
        .map_err(StartError::Rings)?;
    let (kept, found) = kernel.take_kept().unzip();
    let services = kernel.take_programs().map(Services::new);
    let stop = Arc::new(AtomicBool::new(false));
    let pulse = Pulse::new();
    let health = Health {
        backend: kernel.backend().to_owned(),
        backend_reason: reason(&kernel),
        kernel: rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned(),
        ..Health::default()
    };
    tracing::info!(
        backend = health.backend,
        reason = health.backend_reason,
        "the kernel programs run"
    );
    let (health_sender, health) = watch::channel(health);
    let mut reader = Reader {
        kept,
        kept_ns: Some(clock::boot_ns()),
        rings: watch(&kernel, places.as_ref(), services.as_ref()).map_err(StartError::Rings)?,
        places,
        kernel,
        tick: settings.tick,
        kernel_tick_ns: clock::tick_ns(),
        ticks,
        health: health_sender,
        pulse: pulse.clone(),
        stop: Arc::clone(&stop),
        pending: Vec::new(),
        begun: HashMap::new(),
        edges: Edges::default(),
        flows: Flows::default(),
        holders: Holders::default(),
        losses: Losses::default(),
        services,
        sockets: Sockets::new(settings.quiet_sockets.clone()),
        song,
        tampers: Tampers::default(),
        looked: None,
        books: None,
        crowded: false,
        skips: None,
    };
    if let Some(found) = found.flatten() {
        reader.recalled(&found);
    }
    thread::Builder::new()
        .name("kernel".to_owned())
        .spawn(move || reader.run())
        .map_err(StartError::Thread)?;
    Ok(Source {
        health,
        pulse,
        stop: Box::new(move || stop.store(true, Ordering::Release)),
    })
}

struct Reader {
    kept: Option<Kept>,
    /// When it was last kept, boot clock.
    kept_ns: Option<u64>,
    rings: OwnedFd,
    kernel: Kernel,
    tick: Duration,
    kernel_tick_ns: u64,
    ticks: mpsc::Sender<Vec<Event>>,
    health: watch::Sender<Health>,
    pulse: Pulse,
    stop: Arc<AtomicBool>,
    pending: Vec<Event>,
    /// Where in it flows are that have begun since the last tick.
    begun: HashMap<u64, usize>,
    edges: Edges,
    flows: Flows,
    holders: Holders,
    losses: Losses,
    services: Option<Services>,
    sockets: Sockets,
    song: Option<Song>,
    tampers: Tampers,
    places: Option<Places>,
    /// When these were last done, boot clock.
    looked: Option<u64>,
    books: Option<u64>,
    /// An access came by the ring: the map of sums is full, and a tick empties it.
    crowded: bool,
    skips: Option<u64>,
}

impl Reader {
    fn run(mut self) {
        loop {
            // Read before the tick, so that the last tick comes after the request to stop.
            let stopping = self.stop.load(Ordering::Acquire);
            if let Err(error) = self.collect(stopping) {
                tracing::error!(%error, "the kernel programs can no longer be read");
                return;
            }
            let mut events = std::mem::take(&mut self.pending);
            self.begun.clear();
            // An event is large, and sums come in the order of their slots: places are sorted, and each event moved once.
            events.sort_by_cached_key(|event| event.boot_ns);
            if !events.is_empty() && self.ticks.blocking_send(events).is_err() {
                return;
            }
            if stopping {
                return;
            }
            self.pulse.beat();
            self.wait();
        }
    }

    /// Takes everything there is.
    fn collect(&mut self, last: bool) -> Result<(), AttemptError> {
        self.crowded = false;
        let edges = self.edges.look(&self.kernel, clock::boot_ns())?;
        let sums = self.kernel.take_sums()?;
        let now = clock::boot_ns();
        for (key, sum) in &sums {
            self.touched(decode::access(key, sum, self.kernel_tick_ns));
        }
        self.drain_rings();
        if let Some(song) = &mut self.song {
            song.tick(now, &mut self.pending);
        }
        let (kernel, holders) = (&mut self.kernel, &mut self.holders);
        (self.edges).tell(edges, kernel, holders, now, &mut self.pending)?;
        self.flows.tick(&mut self.kernel, now, &mut self.pending)?;
        for event in &self.pending {
            if let What::Flow(flow) = &event.what
                && flow.protocol == UDP
            {
                self.sockets.said(flow, now);
            }
        }
        self.tampers
            .tick(&mut self.kernel, now, &mut self.pending)?;
        self.holders.tick(&mut self.kernel, &self.flows, now)?;
        self.sockets.tick(&mut self.kernel, now)?;
        if let Some(services) = &mut self.services {
            services.tick(&mut self.kernel, now)?;
        }
        if last || is_due(&mut self.looked, now, LOOK) {
            if let Some(places) = &mut self.places {
                places.look(&mut self.kernel, now, &mut self.pending);
            }
            self.losses.look(&mut self.kernel, now, &mut self.pending)?;
            self.kernel.follow_own_files()?;
        }
        if last || is_due(&mut self.skips, now, SKIPS) {
            self.losses.skips(&self.kernel, now, &mut self.pending)?;
        }
        if let Some(kept) = &mut self.kept
            && (last || is_due(&mut self.kept_ns, now, KEEP))
        {
            kept.save(&self.kernel, now, last)?;
        }
        let canary = self.song.as_ref().map(Song::state).unwrap_or_default();
        let has_news = {
            let told = self.health.borrow();
            self.losses.total() != told.lost_events || canary != told.canary
        };
        if last || has_news || is_due(&mut self.books, now, BOOKS) {
            self.tell_health(canary)?;
        }
        Ok(())
    }

    /// The sensor was here before in this boot: connections go on, and what it did not see is a gap.
    fn recalled(&mut self, found: &Found) {
        let now = clock::boot_ns();
        for (cookie, socket, open) in &found.connections {
            // One that was not of this sensor's is left out; the file's check makes that a matter of versions.
            let Ok(flow) = decode::flow(*cookie, socket, !open) else {
                continue;
            };
            self.flows.said(&flow);
            self.pending.push(Event {
                boot_ns: now,
                what: What::Flow(flow),
            });
        }
        let (alive, started) = (found.alive, found.started);
        let gone = found.holders.saturating_sub(alive);
        tracing::info!(
            alive,
            started,
            gone,
            "who held records when the sensor stopped is known"
        );
        let gap = Gap {
            reason: GapReason::Blind,
            count: 0,
            from_boot_ns: found.at_ns,
            to_boot_ns: now,
            detail: format!(
                "the sensor did not run: of {} holders of records {alive} run still, and {started} processes that they started since; what they and others did meanwhile, and whom those that ended have started, is not known",
                found.holders
            ),
        };
        self.push(now, What::Gap(gap));
    }

    fn tell_health(&mut self, canary: health::Canary) -> Result<(), AttemptError> {
        let (hooks, lost) = (self.kernel.counts()?, self.losses.total());
        self.health.send_if_modified(|health| {
            let known = (&health.hooks, health.lost_events, health.canary);
            let changed = known != (&hooks, lost, canary);
            (health.hooks, health.lost_events, health.canary) = (hooks, lost, canary);
            changed
        });
        Ok(())
    }

    fn drain_rings(&mut self) {
        loop {
            let decoded = match self.kernel.next_critical() {
                Some(bytes) => decode::record(&bytes),
                None => break,
            };
            self.take(decoded);
        }
        loop {
            let decoded = match self.kernel.next_bulk() {
                Some(bytes) => decode::record(&bytes),
                None => break,
            };
            self.take(decoded);
        }
    }

    fn take(&mut self, decoded: Result<Event, decode::DecodeError>) {
        match decoded {
            Ok(event) => {
                if let What::Naming(naming) = event.what {
                    self.flows.heard(naming, event.boot_ns, &mut self.pending);
                    return;
                }
                match &event.what {
                    What::Exit(exit) => self.holders.exited(exit.process, event.boot_ns),
                    What::Flow(flow) => {
                        if self.song.as_mut().is_some_and(|song| song.flow(flow)) {
                            return;
                        }
                        self.flows.said(flow);
                        self.sockets.said(flow, event.boot_ns);
                        if !flow.closed {
                            self.begun.insert(flow.id, self.pending.len());
                        } else if let Some(at) = self.begun.remove(&flow.id) {
                            // Its end says all that its beginning does.
                            self.pending[at] = event;
                            return;
                        }
                    }
                    What::Access(access) => {
                        self.crowded = true;
                        return self.touched(access.clone());
                    }
                    What::Fork(fork) => {
                        if fork.holds {
                            self.holders.touched(fork.child);
                        }
                    }
                    What::Exec(_)
                    | What::Name(_)
                    | What::Edge(_)
                    | What::Tamper(_)
                    | What::Naming(_)
                    | What::Gap(_) => {}
                }
                self.push(event.boot_ns, event.what);
            }
            Err(error) => self.losses.undecodable(&error),
        }
    }

    /// Somebody did something with a record, or with what carries data of one.
    fn touched(&mut self, access: Access) {
        self.accessed(&access);
        let at_ns = access.last_boot_ns;
        if decode::is_carrier(access.store.0) {
            for edge in decode::carried(&access) {
                self.push(at_ns, What::Edge(edge));
            }
        } else {
            self.push(at_ns, What::Access(access));
        }
    }

    /// Notes who did something with a record.
    fn accessed(&mut self, access: &Access) {
        if access.store != StoreId(CANARY_STORE) {
            self.holders.touched(access.process);
        } else if let Some(song) = &mut self.song {
            song.access(access);
        }
    }

    /// Keeps an event for this tick; what the sensor's own canary did is nobody's business.
    fn push(&mut self, boot_ns: u64, what: What) {
        let canary = StoreId(CANARY_STORE);
        let own = match &what {
            What::Access(access) => access.store == canary,
            What::Name(name) => name.store == canary,
            What::Fork(_)
            | What::Exec(_)
            | What::Exit(_)
            | What::Flow(_)
            | What::Edge(_)
            | What::Tamper(_)
            | What::Naming(_)
            | What::Gap(_) => false,
        };
        if !own {
            self.pending.push(Event { boot_ns, what });
        }
    }

    /// Sleeps until the next tick, which is at once when the map of sums is full; rings that fill are emptied meanwhile.
    fn wait(&mut self) {
        let until = Instant::now() + self.tick;
        while self.pending.len() < EVENTS_MAX && !self.crowded && !self.stop.load(Ordering::Acquire)
        {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let timeout = Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut woken = [MaybeUninit::uninit(); 4];
            match epoll::wait(&self.rings, &mut woken, Some(&timeout)) {
                Ok((woken, _)) if woken.iter().any(|event| event.data.u64() == PROGRAMS) => {
                    if let Some(services) = &mut self.services {
                        services.change();
                    }
                    return;
                }
                Ok((woken, _)) if woken.iter().any(|event| event.data.u64() == MOUNTS) => {
                    if let Some(places) = &mut self.places {
                        places.change();
                    }
                    self.looked = None;
                    return;
                }
                Ok(([_, ..], _)) => self.drain_rings(),
                // The tick is due; or a signal makes it early, which harms nothing.
                Ok(([], _)) | Err(_) => return,
            }
        }
    }
}

/// True once in such a time.
fn is_due(then: &mut Option<u64>, now: u64, every: Duration) -> bool {
    let due = then.is_none_or(|then| u128::from(now.saturating_sub(then)) >= every.as_nanos());
    if due {
        *then = Some(now);
    }
    due
}

/// Why this backend, and what it does not see here.
fn reason(kernel: &Kernel) -> String {
    if kernel.blind().is_empty() {
        return kernel.reason().to_owned();
    }
    format!(
        "{}; not seen on this kernel: {}",
        kernel.reason(),
        kernel.blind().join(", ")
    )
}

/// Watches the rings for wake-ups. Edge-triggered: a ring with a little in it would always be ready, but the programs
/// wake the reader only when much is waiting. The table of mounts wakes it too.
fn watch(
    kernel: &Kernel,
    places: Option<&Places>,
    services: Option<&Services>,
) -> std::io::Result<OwnedFd> {
    let watch = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (number, ring) in (0..).zip(kernel.rings()) {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&watch, ring, epoll::EventData::new_u64(number), flags)?;
    }
    if let Some(places) = places {
        let flags = epoll::EventFlags::PRI | epoll::EventFlags::ET;
        epoll::add(&watch, places, epoll::EventData::new_u64(MOUNTS), flags)?;
    }
    if let Some(directories) = services.and_then(Services::directories) {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(
            &watch,
            directories,
            epoll::EventData::new_u64(PROGRAMS),
            flags,
        )?;
    }
    Ok(watch)
}
