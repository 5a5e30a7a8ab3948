//! The only reads of kernel memory: newtypes over kernel pointers whose getters know the offsets.
//!
//! Where the kernel hands out typed pointers they are read directly, which the verifier checks against BTF; where it only
//! hands out numbers (the tracepoint backend's files) the same getters go through `bpf_probe_read_kernel`. Which of the
//! two is [`read::Reach`], chosen at compile time, so what is observed is written once.

pub(crate) mod fields;
pub(crate) mod file;
pub(crate) mod helpers;
pub(crate) mod object;
pub(crate) mod read;
pub(crate) mod regs;
pub(crate) mod request;
pub(crate) mod sock;
pub(crate) mod task;
pub(crate) mod terminal;
