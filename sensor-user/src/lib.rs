//! The host room: loads the kernel programs, makes events of what they see, and delivers them to the collector.
//!
//! The pipeline, which [`run`] puts together; every arrow is a bounded channel or the bounded queue:
//!
//! ```text
//!  source ──► enrich ──► pack ──► spool ──► link ──► collector
//!  (kernel ring    │ /proc, tokens   │  refused:      │ Persisted:
//!   or recording)  │ own thread      │  a gap         │ forgotten
//!                  ◄── resend ───────┴────────────────┘
//! ```
//!
//! It is shut down along the data: the source stops and drops its sender, each stage ends when the one before it has,
//! the queue drains to the collector for as long as the configuration grants, and what is left then is counted.
//!
//! **Invariant:** the source is a parameter; whatever gives ticks of events can stand in its place.

pub mod cli;
pub mod config;
pub mod preflight;

mod pipeline;

pub mod decode;
pub mod event;
pub mod load;
pub mod source;

pub mod enrich;
pub mod privacy;
pub mod report;

pub mod link;
pub mod spool;

pub mod clock;
mod durable;
pub mod health;
pub mod metrics;
pub mod mounts;
mod service;

pub use pipeline::{End, RunError, Source, TICKS_MAX, run, run_with};
