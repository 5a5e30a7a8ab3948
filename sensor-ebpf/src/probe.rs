//! One file per hook. A file holds the contract with the kernel in its header and thin entries, one per backend; what
//! they observe is in `observe/`.

mod accept;
mod aio;
mod baseline;
mod change;
mod copy;
mod exec;
mod exit;
mod flow;
mod fork;
mod guard;
mod hand;
mod inner;
mod list;
mod memory;
mod mmap;
mod open;
mod packet;
mod pipe;
mod read;
mod receive;
mod refresh;
mod rename;
mod ring;
mod send;
mod socket;
mod syscall;
mod tamper;
mod terminal;
mod write;
