//! What sensor and collector say to each other: the generated messages and nothing else.
//!
//! The contract is the text in `sensor/v1/*.proto`; `cargo xtask codegen` turns it into `gen/`, which is committed.
//!
//! **Invariant:** no domain type, no conversion and no I/O live here.

pub use prost;

/// The protocol between a sensor and the collector, version 1.
pub mod sensor {
    #[allow(
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        reason = "generated"
    )]
    #[path = "../gen/chartwatch.sensor.v1.rs"]
    pub mod v1;
}
