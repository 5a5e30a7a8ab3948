//! The way to the collector: reports become batches, batches go out, and what is durable there is forgotten here.
//!
//! **Invariant:** only this room knows the protocol, and nothing in it ever holds the source up: what cannot be queued is
//! refused, counted, and said in a gap.

mod client;
mod encode;
mod enroll;
mod identity;
mod lane;
mod pack;
mod session;
mod tls;
mod wire;

pub use client::{Client, Settings};
pub use enroll::{EnrollError, Token, enroll};
pub use identity::{Files, IdentityError};
pub use pack::{Host, Packer};
