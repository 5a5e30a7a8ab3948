//! What a hook does, written once for all backends.

pub(crate) mod access;
pub(crate) mod answer;
pub(crate) mod baseline;
pub(crate) mod carrier;
pub(crate) mod datagram;
pub(crate) mod edge;
pub(crate) mod flow;
pub(crate) mod hand;
pub(crate) mod packet;
pub(crate) mod proc;
pub(crate) mod record;
pub(crate) mod rename;
pub(crate) mod share;
pub(crate) mod sum;
pub(crate) mod talk;
pub(crate) mod tamper;
pub(crate) mod terminal;
pub(crate) mod unit;
mod waiting;
