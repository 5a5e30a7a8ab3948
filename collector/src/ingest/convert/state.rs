//! What a sensor says of itself: its introduction and its heartbeats.

use std::sync::Arc;

use proto::limits::LIST_MAX;
use proto::sensor::v1 as wire;

use super::{WireError, at_most, bounded, epoch, long, required, short};
use crate::fleet::{Canary, Clocks, Heartbeat, HookBooks, SpoolDepth};
use crate::log::{Epoch, OWN_EPOCH};

/// A sensor that has introduced itself.
#[derive(Debug, Clone)]
pub(in crate::ingest) struct Hello {
    pub(in crate::ingest) sensor: Arc<str>,
    pub(in crate::ingest) version: String,
    pub(in crate::ingest) epoch: Epoch,
    /// It keeps to credits.
    pub(in crate::ingest) keeps_credit: bool,
    pub(in crate::ingest) clocks: Option<Clocks>,
    /// Which start of the sensor it is; `None` of an older one.
    pub(in crate::ingest) live_epoch: Option<Epoch>,
    /// The live epoch, when the sensor would deliver it ahead of `epoch` on the same stream, and the first number of it that is held.
    pub(in crate::ingest) live_lane: Option<(Epoch, u64)>,
    pub(super) first_unacknowledged: u64,
}

impl Hello {
    /// Last number that the sensor had given up, or knew to be durable, when it connected.
    pub(in crate::ingest) fn given_up(&self) -> u64 {
        self.first_unacknowledged.saturating_sub(1)
    }

    /// First number of an epoch that it held then; `None` of an epoch that is not delivered on its stream.
    pub(super) fn offered_from(&self, epoch: Epoch) -> Option<u64> {
        if epoch == self.epoch {
            return Some(self.first_unacknowledged);
        }
        let live = self.live_lane.filter(|(live, _)| *live == epoch);
        live.map(|(_, first)| first)
    }
}

pub(in crate::ingest) fn hello(hello: wire::Hello) -> Result<Hello, WireError> {
    at_most("hello.capabilities", hello.capabilities.len(), LIST_MAX)?;
    let of_sensor = |bytes: &[u8]| match epoch(bytes)? {
        OWN_EPOCH => Err(WireError::OwnEpoch),
        epoch => Ok(epoch),
    };
    let turn = of_sensor(&hello.epoch)?;
    let live_lane = match hello.live_first_unacknowledged {
        Some(first) => Some((
            of_sensor(&hello.live_epoch)?,
            bounded("hello.live_first_unacknowledged", first)?,
        )),
        None => None,
    };
    Ok(Hello {
        live_lane: live_lane.filter(|(live, _)| *live != turn),
        keeps_credit: hello
            .capabilities()
            .any(|known| known == wire::Capability::Credit),
        clocks: hello.clocks.map(clocks).transpose()?,
        live_epoch: (!hello.live_epoch.is_empty())
            .then(|| epoch(&hello.live_epoch))
            .transpose()?,
        sensor: required("hello.sensor_id", &hello.sensor_id)?.into(),
        version: short("hello.version", hello.version)?,
        epoch: turn,
        first_unacknowledged: bounded("hello.first_unacknowledged", hello.first_unacknowledged)?,
    })
}

pub(in crate::ingest) fn heartbeat(raw: wire::Heartbeat) -> Result<Heartbeat, WireError> {
    at_most("heartbeat.hooks", raw.hooks.len(), LIST_MAX)?;
    at_most("heartbeat.stores", raw.stores.len(), LIST_MAX)?;
    let hooks = raw.hooks.into_iter().map(|hook| {
        Ok(HookBooks {
            hook: short("heartbeat.hooks.hook", hook.hook)?,
            seen: hook.seen,
            reported: hook.reported,
            summed: hook.summed,
            ignored: hook.ignored,
            failed: hook.failed,
            dropped: hook.dropped,
        })
    });
    Ok(Heartbeat {
        said_ns: bounded("heartbeat.time_unix_ns", raw.time_unix_ns)?,
        backend: short("heartbeat.backend", raw.backend)?,
        backend_reason: long("heartbeat.backend_reason", raw.backend_reason)?,
        kernel: short("heartbeat.kernel", raw.kernel)?,
        hooks: hooks.collect::<Result<_, WireError>>()?,
        queued_events: raw.queued_events,
        lost_events: raw.lost_events,
        stores: raw
            .stores
            .into_iter()
            .map(|store| short("heartbeat.stores", store))
            .collect::<Result<_, _>>()?,
        spool: raw.spool.map(|depth| SpoolDepth {
            events: depth.events,
            memory_bytes: depth.memory_bytes,
            disk_bytes: depth.disk_bytes,
            backlog_events: depth.backlog_events,
            backlog_since_ns: depth.backlog_since_unix_ns,
        }),
        canary: raw.canary.map(canary).transpose()?.flatten(),
        clocks: raw.clocks.map(clocks).transpose()?,
    })
}

fn clocks(raw: wire::Clocks) -> Result<Clocks, WireError> {
    Ok(Clocks {
        boot_ns: bounded("clocks.boot_ns", raw.boot_ns)?,
        unix_ns: bounded("clocks.unix_ns", raw.unix_ns)?,
    })
}

/// None before the first test has ended.
fn canary(raw: wire::Canary) -> Result<Option<Canary>, WireError> {
    let seen_ns = bounded("canary.seen_unix_ns", raw.seen_unix_ns)?;
    let seen = match wire::CanaryState::try_from(raw.state) {
        Ok(wire::CanaryState::Seen) => true,
        Ok(wire::CanaryState::Missed) => false,
        Ok(wire::CanaryState::Unspecified) | Err(_) => return Ok(None),
    };
    Ok(Some(Canary { seen, seen_ns }))
}
