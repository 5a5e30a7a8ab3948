//! How much a message may hold. The sensor cuts what is longer and says so; the collector refuses it.
//!
//! Part of the contract: within a version of the protocol they may only grow (see COMPATIBILITY.md).

/// Largest payload of a batch, bytes.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;
/// Most events of a batch. The shortest that says something has 16 bytes, so the payload's own limit is reached first.
pub const EVENTS_MAX: usize = PAYLOAD_BYTES_MAX / 16;
/// Longest name, bytes: sensor, host, boot, store, user, unit, container, backend, version, name of a flow.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest path, argument, token or detail, bytes. The kernel ends paths at 4,096; a token is 4/3 of that and more.
pub const TEXT_BYTES_MAX: usize = 8 * 1024;
/// Most arguments of one process.
pub const ARGUMENTS_MAX: usize = 4096;
/// Most hooks or stores in a heartbeat, and stores of an edge.
pub const LIST_MAX: usize = 1024;
