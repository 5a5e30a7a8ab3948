//! Which program goes where, in which backend.

use sensor_ebpf::layout::helpers::function;

use crate::config::Backend;

/// Where a program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// A BPF LSM hook.
    Lsm(&'static str),
    /// The beginning of a kernel function.
    Fentry(&'static str),
    /// The end of the first of these kernel functions that there is.
    Fexit(&'static [&'static str]),
    /// The end of a system call's own function.
    Call(&'static str),
    /// The beginning of a kernel function, where it takes so many arguments.
    FentryOf(&'static str, usize),
    /// The end of a kernel function, where it takes so many arguments.
    FexitOf(&'static str, usize),
    /// The end of the first kernel function, where there is the second one too: what calls the first changed with that version.
    FexitBeside(&'static str, &'static str),
    /// A tracepoint, with typed arguments.
    Tracepoint(&'static str),
    /// A tracepoint whose arguments differ between kernels: the program is for those that have so many.
    TracepointOf(&'static str, usize),
    /// Packets of the cgroup hierarchy's root.
    Packets,
    /// New sockets of the cgroup hierarchy's root, where the kernel has no such function.
    SocketsWithout(&'static str),
    /// What TCP asks of its connections in the same place, there.
    ConnectionsWithout(&'static str),
    /// Nowhere: the sensor runs it.
    Nowhere,
    /// Nowhere: the sensor has the kernel run it once for each thing of a kind there is.
    Each(&'static str),
}

/// A program of the object.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Its name in the object.
    pub name: &'static str,
    /// Where it is attached.
    pub attach: Attach,
    /// Backends it belongs to.
    pub backends: &'static [Backend],
    /// What the sensor is blind to where the kernel has nothing to attach it to; absent when it cannot do without.
    pub blind: Option<&'static str>,
    /// It refuses, and is there only where attempts on the sensor are refused.
    pub guard: bool,
}

const ALL: &[Backend] = &[Backend::Lsm, Backend::Fentry, Backend::Tracepoint];
const TRAMPOLINES: &[Backend] = &[Backend::Lsm, Backend::Fentry];
const LSM: &[Backend] = &[Backend::Lsm];
const FENTRY: &[Backend] = &[Backend::Fentry];
const TRACEPOINT: &[Backend] = &[Backend::Tracepoint];

/// Nothing: the kernels that lack it have no such road.
pub const NOTHING: &str = "";

/// Two programs are for each of these, of which one fits a kernel: the arguments of what they are attached to differ.
pub const EITHER: &[&str] = &[RING, CHANGED, ATTRIBUTES, LINKS, DELETED, SHOWN];
const RING: &str = "reads and writes by io_uring";
const CHANGED: &str = "changes of mode, owner, times and length by name";
const ATTRIBUTES: &str = "changes of extended attributes";
const LINKS: &str = "new names of records, and records that are read by them";
const DELETED: &str = "deletions";
/// What nobody sees who does not see who sends.
pub const SENT: &str =
    "connections that a process of another made, or the same before it held records";
/// What goes into pipes other than by writing.
const PIPED: &str = "what is spliced into pipes";
/// What unix sockets carry.
pub const HANDED: &str = "what is handed on over unix sockets";
/// What connections within the machine carry.
const HANDED_TCP: &str = "what is handed on over connections within this machine";
/// What pseudo terminals carry; the tracepoint backend has nothing to see it by.
pub const SHOWN: &str = "what is shown on pseudo terminals";
/// The same of what is written to them.
const WRITTEN: &str = "what is written to pseudo terminals";
/// Nobody sees either who does not see who receives.
pub const RECEIVED: &str = "what is handed on over sockets within this machine";
/// The program that finds who runs what serves records.
pub const RUNNING: &str = "running";
/// What it finds.
pub const RUN_BEFORE: &str =
    "services that run since before the start, until they are started anew";
/// How large it is stands in the arguments of the call alone.
pub const UNSIZED: &str = "what is handed on in memory that is no file's";
/// What all programs for requests of `io_uring` that tell no completion are for.
const SILENT: &str = "requests of io_uring that tell no completion";

const fn program(name: &'static str, attach: Attach, backends: &'static [Backend]) -> Program {
    Program {
        name,
        attach,
        backends,
        blind: None,
        guard: false,
    }
}

/// A program the backend can do without, and what it then does not see.
const fn optional(
    name: &'static str,
    attach: Attach,
    backends: &'static [Backend],
    blind: &'static str,
) -> Program {
    Program {
        name,
        attach,
        backends,
        blind: Some(blind),
        guard: false,
    }
}

/// A program that only refuses.
const fn guard(name: &'static str, hook: &'static str) -> Program {
    Program {
        guard: true,
        ..program(name, Attach::Lsm(hook), LSM)
    }
}

/// All programs. Processes and flows come first, so that whoever opens a record is known when it does.
pub const PROGRAMS: &[Program] = &[
    program("fork", Attach::Tracepoint("sched_process_fork"), ALL),
    program("exec", Attach::Tracepoint("sched_process_exec"), ALL),
    program("exit", Attach::Tracepoint("sched_process_exit"), ALL),
    program("flow_state", Attach::Tracepoint("inet_sock_set_state"), ALL),
    optional(
        "socket_made",
        Attach::SocketsWithout(function::SOCKET_COOKIES),
        ALL,
        NOTHING,
    ),
    optional(
        "connection_came",
        Attach::ConnectionsWithout(function::SOCKET_COOKIES),
        ALL,
        NOTHING,
    ),
    program("packet_out", Attach::Packets, ALL),
    program("packet_in", Attach::Packets, ALL),
    program("refresh", Attach::Nowhere, ALL),
    optional(
        "open_at_start",
        Attach::Each("bpf_iter_task_file"),
        ALL,
        "what was open before the start, until it is used",
    ),
    optional(
        "mapped_at_start",
        Attach::Each("bpf_iter_task_vma"),
        ALL,
        "what was mapped before the start",
    ),
    optional(RUNNING, Attach::Each("bpf_iter_task"), ALL, RUN_BEFORE),
    program("fentry_rename", Attach::Fentry("vfs_rename"), TRAMPOLINES),
    program("fentry_replace", Attach::Fentry("vfs_rename"), TRAMPOLINES),
    program("fexit_rename", Attach::Fexit(&["vfs_rename"]), TRAMPOLINES),
    program("fexit_replace", Attach::Fexit(&["vfs_rename"]), TRAMPOLINES),
    program("fexit_read", Attach::Fexit(&["vfs_read"]), TRAMPOLINES),
    program("fexit_readv", Attach::Fexit(&["vfs_readv"]), TRAMPOLINES),
    program("fexit_write", Attach::Fexit(&["vfs_write"]), TRAMPOLINES),
    program("fexit_writev", Attach::Fexit(&["vfs_writev"]), TRAMPOLINES),
    program(
        "fentry_copy",
        Attach::Fentry("vfs_copy_file_range"),
        TRAMPOLINES,
    ),
    program(
        "fexit_copy",
        Attach::Fexit(&["vfs_copy_file_range"]),
        TRAMPOLINES,
    ),
    program(
        "fexit_splice",
        Attach::Fexit(&["do_splice_read", "do_splice_to"]),
        TRAMPOLINES,
    ),
    optional(
        "fexit_clone",
        Attach::Fexit(&["vfs_clone_file_range"]),
        TRAMPOLINES,
        "copies that share their blocks",
    ),
    optional(
        "fentry_mmap_below",
        Attach::Fentry("vma_set_file"),
        TRAMPOLINES,
        "mappings through an overlay",
    ),
    optional(
        "fexit_ring_read",
        Attach::Fexit(&["io_read"]),
        TRAMPOLINES,
        SILENT,
    ),
    optional(
        "fexit_ring_write",
        Attach::Fexit(&["io_write"]),
        TRAMPOLINES,
        SILENT,
    ),
    optional(
        "fentry_ring_waited",
        Attach::Fentry("io_req_rw_complete"),
        TRAMPOLINES,
        SILENT,
    ),
    optional(
        "fexit_aio_read",
        Attach::Fexit(&["aio_read"]),
        TRAMPOLINES,
        "reads by Linux AIO",
    ),
    optional(
        "fexit_aio_write",
        Attach::Fexit(&["aio_write"]),
        TRAMPOLINES,
        "writes by Linux AIO",
    ),
    program(
        "fexit_iter_read",
        Attach::Fexit(&["vfs_iter_read"]),
        TRAMPOLINES,
    ),
    program(
        "fexit_iocb_read",
        Attach::Fexit(&["vfs_iocb_iter_read"]),
        TRAMPOLINES,
    ),
    program(
        "fexit_iter_write",
        Attach::Fexit(&["vfs_iter_write"]),
        TRAMPOLINES,
    ),
    optional(
        "fexit_splice_write",
        Attach::FexitBeside("iter_file_splice_write", "do_splice_read"),
        TRAMPOLINES,
        NOTHING,
    ),
    program(
        "fexit_iocb_write",
        Attach::Fexit(&["vfs_iocb_iter_write"]),
        TRAMPOLINES,
    ),
    optional(
        "fexit_change",
        Attach::FexitOf("notify_change", 4),
        TRAMPOLINES,
        CHANGED,
    ),
    optional(
        "fexit_change_3",
        Attach::FexitOf("notify_change", 3),
        TRAMPOLINES,
        CHANGED,
    ),
    optional(
        "fexit_xattr",
        Attach::FexitOf("__vfs_setxattr_noperm", 6),
        TRAMPOLINES,
        ATTRIBUTES,
    ),
    optional(
        "fexit_xattr_5",
        Attach::FexitOf("__vfs_setxattr_noperm", 5),
        TRAMPOLINES,
        ATTRIBUTES,
    ),
    program(
        "fexit_allocate",
        Attach::Fexit(&["vfs_fallocate"]),
        TRAMPOLINES,
    ),
    program("fexit_list", Attach::Fexit(&["iterate_dir"]), TRAMPOLINES),
    optional(
        "fexit_link",
        Attach::FexitOf("vfs_link", 5),
        TRAMPOLINES,
        LINKS,
    ),
    optional(
        "fexit_link_4",
        Attach::FexitOf("vfs_link", 4),
        TRAMPOLINES,
        LINKS,
    ),
    optional(
        "fentry_unlink",
        Attach::FentryOf("vfs_unlink", 4),
        TRAMPOLINES,
        DELETED,
    ),
    optional(
        "fentry_unlink_3",
        Attach::FentryOf("vfs_unlink", 3),
        TRAMPOLINES,
        DELETED,
    ),
    optional(
        "ring",
        Attach::TracepointOf("io_uring_complete", 7),
        ALL,
        RING,
    ),
    optional(
        "ring_cqe",
        Attach::TracepointOf("io_uring_complete", 3),
        ALL,
        RING,
    ),
    program(
        "fexit_peek",
        Attach::Fexit(&["ptrace_access_vm"]),
        TRAMPOLINES,
    ),
    optional(
        "fexit_mem",
        Attach::Fexit(&["mem_read"]),
        TRAMPOLINES,
        "memory read through /proc",
    ),
    optional(
        "fexit_vm_readv",
        Attach::Call("__x64_sys_process_vm_readv"),
        TRAMPOLINES,
        "memory read by process_vm_readv",
    ),
    optional(
        "ring_splice",
        Attach::TracepointOf("io_uring_complete", 7),
        TRACEPOINT,
        NOTHING,
    ),
    optional(
        "ring_cqe_splice",
        Attach::TracepointOf("io_uring_complete", 3),
        TRACEPOINT,
        NOTHING,
    ),
    program(
        "exec_record",
        Attach::Tracepoint("sched_process_exec"),
        TRACEPOINT,
    ),
    program("lsm_ptrace", Attach::Lsm("ptrace_access_check"), LSM),
    program("lsm_accept", Attach::Lsm("sock_graft"), LSM),
    program("lsm_send", Attach::Lsm("socket_sendmsg"), LSM),
    optional(
        "fentry_send_page",
        Attach::Fentry("kernel_sendpage"),
        TRAMPOLINES,
        NOTHING,
    ),
    optional(
        "fentry_pipe_write",
        Attach::Fentry("pipe_write"),
        TRAMPOLINES,
        NOTHING,
    ),
    optional(
        "fentry_pipe_write_anon",
        Attach::Fentry("anon_pipe_write"),
        TRAMPOLINES,
        NOTHING,
    ),
    optional(
        "fentry_pipe_splice",
        Attach::Fentry("do_splice"),
        TRAMPOLINES,
        PIPED,
    ),
    optional(
        "fentry_pipe_tee",
        Attach::Fentry("do_tee"),
        TRAMPOLINES,
        PIPED,
    ),
    optional(
        "fentry_pipe_sendfile",
        Attach::Fentry("__x64_sys_sendfile64"),
        TRAMPOLINES,
        PIPED,
    ),
    optional(
        "fentry_pipe_vmsplice",
        Attach::Fentry("__x64_sys_vmsplice"),
        TRAMPOLINES,
        PIPED,
    ),
    optional(
        "fexit_pipe_splice",
        Attach::Fexit(&["do_splice"]),
        TRAMPOLINES,
        PIPED,
    ),
    optional(
        "fexit_pipe_tee",
        Attach::Fexit(&["do_tee"]),
        TRAMPOLINES,
        PIPED,
    ),
    optional(
        "fexit_pipe_sendfile",
        Attach::Call("__x64_sys_sendfile64"),
        TRAMPOLINES,
        PIPED,
    ),
    optional(
        "fexit_pipe_vmsplice",
        Attach::Call("__x64_sys_vmsplice"),
        TRAMPOLINES,
        PIPED,
    ),
    optional(
        "fentry_unix_stream",
        Attach::Fentry("unix_stream_sendmsg"),
        TRAMPOLINES,
        HANDED,
    ),
    optional(
        "fentry_unix_packet",
        Attach::Fentry("unix_seqpacket_sendmsg"),
        TRAMPOLINES,
        HANDED,
    ),
    optional(
        "fentry_unix_page",
        Attach::Fentry("unix_stream_sendpage"),
        TRAMPOLINES,
        NOTHING,
    ),
    optional(
        "fexit_unix_received",
        Attach::Fexit(&["unix_stream_recvmsg"]),
        TRAMPOLINES,
        HANDED,
    ),
    optional(
        "fexit_unix_datagram",
        Attach::Fexit(&["unix_dgram_recvmsg"]),
        TRAMPOLINES,
        HANDED,
    ),
    optional(
        "fexit_unix_spliced",
        Attach::Fexit(&["unix_stream_splice_read"]),
        TRAMPOLINES,
        HANDED,
    ),
    optional(
        "fexit_inet_received",
        Attach::Fexit(&["inet_recvmsg"]),
        TRAMPOLINES,
        HANDED_TCP,
    ),
    optional(
        "fexit_inet6_received",
        Attach::Fexit(&["inet6_recvmsg"]),
        TRAMPOLINES,
        HANDED_TCP,
    ),
    optional(
        "fentry_terminal_write",
        Attach::Fentry("n_tty_write"),
        TRAMPOLINES,
        WRITTEN,
    ),
    optional(
        "fexit_terminal_write",
        Attach::FexitOf("n_tty_write", 4),
        TRAMPOLINES,
        WRITTEN,
    ),
    optional(
        "fexit_terminal_read",
        Attach::FexitOf("tty_read", 2),
        TRAMPOLINES,
        SHOWN,
    ),
    optional(
        "fexit_terminal_read_4",
        Attach::FexitOf("tty_read", 4),
        TRAMPOLINES,
        SHOWN,
    ),
    optional(
        "fentry_terminal_gone",
        Attach::Fentry("pty_cleanup"),
        TRAMPOLINES,
        NOTHING,
    ),
    optional("lsm_may_send", Attach::Lsm("unix_may_send"), LSM, HANDED),
    program("lsm_mmap", Attach::Lsm("mmap_file"), LSM),
    program("lsm_open", Attach::Lsm("file_open"), LSM),
    program(
        "fexit_ptrace",
        Attach::Fexit(&["security_ptrace_access_check"]),
        FENTRY,
    ),
    program(
        "fentry_accept",
        Attach::Fentry("security_sock_graft"),
        FENTRY,
    ),
    program(
        "fentry_send",
        Attach::Fentry("security_socket_sendmsg"),
        FENTRY,
    ),
    optional(
        "fentry_may_send",
        Attach::Fentry("security_unix_may_send"),
        FENTRY,
        HANDED,
    ),
    program("fentry_mmap", Attach::Fentry("security_mmap_file"), FENTRY),
    program("fentry_open", Attach::Fentry("security_file_open"), FENTRY),
    optional(
        "sent",
        Attach::TracepointOf("sock_send_length", 3),
        TRACEPOINT,
        SENT,
    ),
    optional(
        "received",
        Attach::TracepointOf("sock_recv_length", 3),
        TRACEPOINT,
        RECEIVED,
    ),
    program("lsm_kill", Attach::Lsm("task_kill"), LSM),
    program("lsm_map", Attach::Lsm("bpf_map"), LSM),
    program("lsm_program", Attach::Lsm("bpf_prog"), LSM),
    program("lsm_link", Attach::Lsm("bpf"), LSM),
    guard("lsm_guard_open", "file_open"),
    guard("lsm_guard_truncate", "path_truncate"),
    guard("lsm_guard_unlink", "inode_unlink"),
    guard("lsm_guard_rename", "inode_rename"),
    program("fentry_kill", Attach::Fentry("security_task_kill"), FENTRY),
    program("fentry_map", Attach::Fentry("security_bpf_map"), FENTRY),
    program(
        "fentry_program",
        Attach::Fentry("security_bpf_prog"),
        FENTRY,
    ),
    program("fentry_link", Attach::Fentry("security_bpf"), FENTRY),
    program("signal", Attach::Tracepoint("signal_generate"), TRACEPOINT),
    program("sys_exit", Attach::Tracepoint("sys_exit"), TRACEPOINT),
];
