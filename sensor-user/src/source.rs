//! Where events come from. All sources give the same: ticks of events in the order of their time.
//!
//! **Invariant:** only this module and `load/` see the kernel.

mod edges;
mod flows;
mod holders;
pub mod kernel;
mod losses;
mod names;
mod places;
mod services;
mod sockets;
mod song;
mod tampers;
