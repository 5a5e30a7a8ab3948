//! The analyst's commands: what can be asked, what role it needs, and how it is carried out, beside the data or over the network alike.
//!
//! `chartwatch` carries commands out itself where the data lies, or has the collector do it ([`Interface`], gRPC over TLS with a
//! certificate under the analyst's name). It is the same code, so it prints the same.
//!
//! **Invariant:** a command that comes over the network is one of [`Command`], with arguments that are checked; none names a file of the collector's.
//! Nothing is carried out that the audit log could not take.

mod approve;
mod command;
mod limits;
mod pipe;
mod refusal;
mod renewal;
mod run;
mod serve;
mod wire;

pub use approve::Approval;
pub use command::{Command, Form};
pub use limits::{Share, TooMuch};
pub use run::{AnalystError, Bench, find, run};
pub use serve::{Interface, Now, serve};
pub use wire::{OutOfBounds, command, request};
