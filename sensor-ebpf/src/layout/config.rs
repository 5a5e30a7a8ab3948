//! What the sensor tells the programs, beside the field offsets.

use super::proc::Process;

/// The one value of the map `CONTROL`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Control {
    /// Which of the two buffers of access sums is written to: 0 or 1.
    pub active: u32,
    /// The sensor's own process id: what it does with records other than the canary is not counted.
    pub own_pid: u32,
    /// Thread whose next open tells a store's root; 0 when none is being told.
    pub arming_tid: u32,
    /// Store of that root.
    pub arming_store: u32,
    /// 1 when what is opened is no root but a record with several names; else 0.
    pub arming_linked: u32,
    /// Port the canary connects to: this one flow of the sensor's own is reported. 0 before there is one.
    pub canary_port: u32,
    /// 1 when attempts on the sensor are refused, where the backend can; else 0.
    pub guard: u32,
    /// Units in the map `UNITS`: without one nobody's is looked for.
    pub units: u32,
}

/// Name of a systemd unit as its control group is called, then zeroes.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitName {
    /// At most [`UNIT_NAME_MAX`](super::limits::UNIT_NAME_MAX) - 1 bytes.
    pub name: [u8; super::limits::UNIT_NAME_MAX],
}

impl Control {
    /// Nothing told yet.
    pub const NONE: Self = Self {
        active: 0,
        own_pid: 0,
        arming_tid: 0,
        arming_store: 0,
        arming_linked: 0,
        canary_port: 0,
        guard: 0,
        units: 0,
    };
}

/// A process that has touched records.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Holder {
    /// The process: its pid is also the key, its start tells it from a later one.
    pub process: Process,
    /// Bit `n % 64` for store `n`.
    pub stores: u64,
}

/// A process that held records when the sensor stopped, or was started by one since.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptHolder {
    /// It began then at the earliest, boot clock, nanoseconds.
    pub from_ns: u64,
    /// And then at the latest.
    pub to_ns: u64,
    /// As [`Holder::stores`].
    pub stores: u64,
}

const _: () = assert!(size_of::<KeptHolder>() == 24);
const _: () = assert!(size_of::<Control>() == 32);
const _: () = assert!(size_of::<Holder>() == 24);
