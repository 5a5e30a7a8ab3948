//! The border layout: what the kernel programs and the sensor must agree on, byte for byte.
//!
//! **Invariant:** `no_std`, no dependency, no unsafe. Every type is `repr(C)` of fixed-width integers and byte arrays,
//! with named padding; sizes and offsets are asserted, since two compilers for two machines lay it out.
#![no_std]
#![forbid(unsafe_code)]

pub mod layout;
