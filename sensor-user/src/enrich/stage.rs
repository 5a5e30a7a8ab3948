//! The stage around the enricher: takes ticks from the source, gives reports to the link.
//!
//! It runs on a thread of its own, because reading /proc blocks.
//!
//! **Invariant:** it ends when the source has ended and everything it gave was passed on.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Enricher;
use crate::clock::{self, Offset};
use crate::event::Event;
use crate::health::Pulse;
use crate::report::{Report, Resend, Tick};

/// Longest wait for events before the stage shows that it is alive.
const TURN: Duration = Duration::from_secs(1);
/// Boot-clock nanoseconds between two comparisons of the table with /proc.
const RECONCILE_NS: u64 = 60_000_000_000;
/// Ticks that may wait for the link to pack them. Packing never blocks, so this is hardly used.
const TICKS_MAX: usize = 8;

/// The stage, ready to start.
#[derive(Debug)]
pub struct Stage {
    enricher: Enricher,
    events: mpsc::Receiver<Vec<Event>>,
    ticks: mpsc::Sender<Tick>,
    resend: Resend,
    pulse: Pulse,
}

impl Stage {
    /// The stage, and what comes out of it.
    #[must_use]
    pub fn new(
        enricher: Enricher,
        events: mpsc::Receiver<Vec<Event>>,
        resend: Resend,
        pulse: Pulse,
    ) -> (Self, mpsc::Receiver<Tick>) {
        let (ticks, out) = mpsc::channel(TICKS_MAX);
        (
            Self {
                enricher,
                events,
                ticks,
                resend,
                pulse,
            },
            out,
        )
    }

    /// Starts it on a thread of its own.
    pub fn start(self, tasks: &mut JoinSet<()>) {
        tasks.spawn_blocking(move || self.run());
    }

    fn run(mut self) {
        self.enricher.scan();
        let mut reconciled = clock::boot_ns();
        loop {
            self.pulse.beat();
            let received = self.receive();
            let round = self.resend.round();
            self.enricher.begin_round(round);
            let mut reports = match received {
                Received::Events(events) => self.enricher.turn(events),
                Received::Nothing => Vec::new(),
                Received::End => return,
            };
            let now = clock::boot_ns();
            if now.saturating_sub(reconciled) >= RECONCILE_NS {
                reconciled = now;
                reports.extend(self.enricher.reconcile(now));
            }
            if !self.pass(round, reports) {
                return;
            }
        }
    }

    /// Waits without the runtime: its timers would wake another thread first, and for a wait this long more than once.
    fn receive(&mut self) -> Received {
        let waker = Waker::from(Arc::new(Sleeper(thread::current())));
        let mut context = Context::from_waker(&waker);
        let until = Instant::now() + TURN;
        loop {
            match self.events.poll_recv(&mut context) {
                Poll::Ready(Some(events)) => return Received::Events(events),
                Poll::Ready(None) => return Received::End,
                Poll::Pending => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Received::Nothing;
            }
            thread::park_timeout(left);
        }
    }

    /// False when nobody takes reports any more.
    fn pass(&self, round: u64, reports: Vec<Report>) -> bool {
        if reports.is_empty() {
            return true;
        }
        self.ticks
            .blocking_send(Tick {
                round,
                offset: Offset::measure(),
                reports,
            })
            .is_ok()
    }
}

/// The stage's thread, asleep until there are events.
struct Sleeper(Thread);

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

enum Received {
    Events(Vec<Event>),
    Nothing,
    End,
}
