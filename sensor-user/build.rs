//! Builds the kernel programs and puts the object where `load/` includes it.
fn main() {}
