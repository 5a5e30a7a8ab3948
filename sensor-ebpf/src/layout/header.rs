//! What every record in a ring begins with.

/// Kinds of records. Numbers are never used again; a hole says what was there.
pub mod kind {
    /// [`proc::Fork`](super::super::proc::Fork).
    pub const FORK: u32 = 1;
    /// [`proc::Exec`](super::super::proc::Exec) with few arguments.
    pub const EXEC_SMALL: u32 = 2;
    /// [`proc::Exec`](super::super::proc::Exec) with many arguments.
    pub const EXEC_LARGE: u32 = 3;
    /// [`proc::Exit`](super::super::proc::Exit).
    pub const EXIT: u32 = 4;
    /// [`access::Name`](super::super::access::Name) with a short path.
    pub const NAME_SMALL: u32 = 10;
    /// [`access::Name`](super::super::access::Name) with a long path.
    pub const NAME_LARGE: u32 = 11;
    /// [`access::Access`](super::super::access::Access), when there was no room for its sum.
    pub const ACCESS: u32 = 12;
    /// [`flow::Flow`](super::super::flow::Flow).
    pub const FLOW: u32 = 20;
    /// [`flow::Payload`](super::super::flow::Payload).
    pub const PAYLOAD: u32 = 21;
}

/// The first bytes of every record.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Header {
    /// Nanoseconds on the boot clock (`bpf_ktime_get_boot_ns`).
    pub boot_ns: u64,
    /// One of [`kind`].
    pub kind: u32,
    /// Zero.
    pub pad: u32,
}

const _: () = assert!(size_of::<Header>() == 16 && align_of::<Header>() == 8);
