//! What sensors and analysts say to the collector and it to them: the generated messages, their limits, and nothing else.
//!
//! The contract is the text in `sensor/v1/*.proto` and `analyst/v1/*.proto`; `cargo xtask codegen` turns it into `gen/`, which is committed.
//!
//! **Invariant:** no domain type, no conversion and no I/O live here.

pub mod limits;

pub use prost;

/// The protocol between an analyst and the collector.
pub mod analyst {
    pub use super::chartwatch_analyst_v1 as v1;
}

/// The protocol between a sensor and the collector.
pub mod sensor {
    pub use super::chartwatch_sensor_v1 as v1;
}

#[doc(hidden)]
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
#[path = "gen/chartwatch.analyst.v1.rs"]
pub mod chartwatch_analyst_v1;

#[doc(hidden)]
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
#[path = "gen/chartwatch.sensor.v1.rs"]
pub mod chartwatch_sensor_v1;
