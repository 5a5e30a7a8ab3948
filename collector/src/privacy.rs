//! The hospital's key and what it turns back: tokens of record names, as `proto/TOKENS.md` describes them.
//!
//! The collector makes the key at its first start and gives it to sensors that enrol; it works without ever using it itself, but for
//! `chartwatch reveal`.
//!
//! **Invariant:** a key that others can read is not used, one that is there is never written over, one that was there is never replaced in
//! silence, and none is printed.

mod key;
mod reveal;

pub use key::{Key, KeyError};
pub use reveal::{Names, TOKEN_PREFIX, TokenError};
pub(crate) use reveal::{as_text, mentioned};
