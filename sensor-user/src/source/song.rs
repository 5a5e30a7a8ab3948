//! The canary's song: every so often the sensor does what it is there to see, and says so when it does not see it.

use std::time::{Duration, Instant};

use crate::event::{Access, Event, Flow, Gap, GapReason, What};
use crate::health;
use crate::load::Canary;

/// How long what the canary did may take to come up: a good many ticks.
const PATIENCE: Duration = Duration::from_secs(10);

/// What has come up of the last song. An access may come up in parts, at two ticks.
#[derive(Debug, Default, Clone, Copy)]
struct Heard {
    opens: u64,
    read: u64,
    flow: bool,
}

/// The canary and what is known of its songs.
#[derive(Debug)]
pub(super) struct Song {
    canary: Canary,
    every: Duration,
    next: Instant,
    /// When the song that is listened for began.
    sung: Option<Instant>,
    heard: Heard,
    /// Since when nothing is known to be missing, boot clock.
    good_ns: u64,
    state: health::Canary,
}

impl Song {
    pub(super) fn new(canary: Canary, every: Duration, now_ns: u64) -> Self {
        Self {
            canary,
            every,
            next: Instant::now(),
            sung: None,
            heard: Heard::default(),
            good_ns: now_ns,
            state: health::Canary::default(),
        }
    }

    /// What is known of its songs.
    pub(super) fn state(&self) -> health::Canary {
        self.state
    }

    /// An access of the canary's store came up.
    pub(super) fn access(&mut self, access: &Access) {
        self.heard.opens += access.opens;
        self.heard.read += access.bytes_read;
    }

    fn has_heard_access(&self) -> bool {
        self.canary.is_own_access(self.heard.opens, self.heard.read)
    }

    /// True when a flow is the canary's, and then nobody else's business.
    pub(super) fn flow(&mut self, flow: &Flow) -> bool {
        let own = self.canary.is_own_flow(flow);
        self.heard.flow |= own;
        own
    }

    /// Sings when it is time, and says when a song was not heard.
    pub(super) fn tick(&mut self, now_ns: u64, events: &mut Vec<Event>) {
        if let Some(since) = self.sung {
            if self.has_heard_access() && self.heard.flow {
                self.sung = None;
                self.good_ns = now_ns;
                if self.state.seen == Some(false) {
                    tracing::info!("the canary is seen again");
                }
                self.state = health::Canary {
                    seen: Some(true),
                    seen_boot_ns: now_ns,
                };
            } else if since.elapsed() > PATIENCE {
                self.sung = None;
                self.unheard(now_ns, events);
            }
        }
        if self.sung.is_none() && Instant::now() >= self.next {
            self.next = Instant::now() + self.every;
            self.heard = Heard::default();
            self.sung = Some(Instant::now());
            if let Err(error) = self.canary.sing() {
                tracing::warn!(%error, "the canary could not do what the sensor should see");
            }
        }
    }

    fn unheard(&mut self, now_ns: u64, events: &mut Vec<Event>) {
        let missing = match (self.has_heard_access(), self.heard.flow) {
            (false, false) => "neither the canary's access nor its flow came up",
            (false, true) => "the canary's access did not come up",
            (true, _) => "the canary's flow did not come up",
        };
        tracing::error!(
            missing,
            "blind: the sensor does not see what it does itself"
        );
        self.state.seen = Some(false);
        let gap = Gap {
            reason: GapReason::Blind,
            count: 0,
            from_boot_ns: self.good_ns,
            to_boot_ns: now_ns,
            detail: missing.to_owned(),
        };
        events.push(Event {
            boot_ns: now_ns,
            what: What::Gap(gap),
        });
    }
}
