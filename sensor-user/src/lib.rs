//! The host room: loads the kernel programs, makes events of what they see, and delivers them to the collector.

pub mod clock;
pub mod config;
pub mod event;
pub mod health;
pub mod metrics;
pub mod privacy;
