//! The host room: loads the kernel programs, makes events of what they see, and delivers them to the collector.

pub mod event;
pub mod health;
