//! What the fuzz targets do: each takes bytes that somebody else chose and holds what comes of them against what must always be.
//!
//! A target here is a function with the name of a file in `fuzz_targets/`, which only hands it the fuzzer's bytes, and of a folder in
//! `seeds/`: small inputs to begin with, and one for each mistake that was found. A target fails by a panic. Beside what the read code
//! itself asserts, it panics when more comes out than the bytes that went in can hold.
//!
//! **Invariant:** only what a stranger's bytes really reach is called, by the way on which they reach it. Same bytes, same end: no clock,
//! no randomness, and no state that one input leaves to the next.

mod batch;
mod bytes;
mod config;
mod feed;
mod kernel;
mod pull;
mod request;

pub use batch::{block, detect, message};
pub use config::{collector_config, sensor_config};
pub use feed::{feed_list, feed_misp, feed_misp_manifest, feed_onionoo, feed_stix, feed_warnings};
pub use kernel::{btf, payload, record, sums};
pub use pull::pull_taxii;
pub use request::request;

#[cfg(test)]
mod tests;
