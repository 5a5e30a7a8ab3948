//! Runs `feed_misp_manifest` on whatever comes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::feed_misp_manifest(bytes));
