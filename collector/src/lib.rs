//! The receiving room: events come in over gRPC, are made durable, looked at, and leave as alerts.
//!
//! ```text
//!  sensors ─gRPC─► ingest ──► log ──────► detect ─────► alerts ──► sinks: file, syslog
//!                    ▲   256   │  LOGGED     │  RAISED     │ watch     (each with its own cursor)
//!                    └─────────┘             └─► fleet     └─► chartwatch (reads the databases)
//!                  durable: acknowledge
//! ```
//!
//! Beside it a thread pulls feeds of threat intelligence into files, and has them read again when something new came.
//!
//! Every arrow is a bounded channel; when the right side is slow the left side waits, back to the sensors, which keep
//! what is not acknowledged. Shutdown follows the data: streams end, then each stage ends when its input does.
//!
//! **Invariant:** what is acknowledged is in the log, and what is in the log is looked at, if not now then at the next
//! start. This crate never heard of BPF.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod admin;
pub mod alerts;
pub mod analyst;
pub mod audit;
pub mod checkpoint;
pub mod config;
pub mod console;
mod database;
pub mod detect;
pub mod durable;
pub mod event;
pub mod fleet;
pub mod identity;
pub mod ingest;
pub mod intel;
pub mod log;
mod pipeline;
pub mod privacy;
pub mod replay;
pub mod sink;
pub mod text;

pub use pipeline::{Collector, Detection, StartError, decode};
