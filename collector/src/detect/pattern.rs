//! The patterns, one file each. A pattern looks at what one host's processes did and raises or grows alerts.

mod approval;
pub(super) mod bulk;
pub(super) mod chain;
pub(super) mod direct;
mod dns;
pub(super) mod doubled;
mod first_seen;
mod leaving;
mod listed;
pub(super) mod slow;
pub(super) mod tampering;
pub(super) mod wipe;
