//! The border layout, one file per thing that crosses the border.

/// Sums of what processes do with records, and names of records.
pub mod access;
/// What the sensor tells the programs, beside the field offsets.
pub mod config;
/// The books of each hook.
pub mod count;
/// What goes from one process to another.
pub mod edge;
/// Kernel struct members the programs read, with the offsets the sensor finds in BTF.
pub mod fields;
/// Conversations over the network.
pub mod flow;
/// What every record in a ring begins with.
pub mod header;
/// What the kernel's programs can call only where the kernel has it.
pub mod helpers;
/// Bounds, and how they depend on each other.
pub mod limits;
/// What the programs have put into their maps for the sensor to look at.
pub mod news;
/// Processes.
pub mod proc;
/// What is tried on the sensor itself.
pub mod tamper;
