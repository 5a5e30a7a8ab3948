//! Runs `feed_warnings` on whatever comes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::feed_warnings(bytes));
