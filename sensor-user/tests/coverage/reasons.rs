//! Why a way is not seen, or not with its bytes.
//!
//! **Invariant:** a cell that is seen has no reason, and one without a line here says `unexplained`.

const BY_PATH: &str =
    "the call names the record by a path in the process's memory, of which nothing is believed";

const NO_SENDER: &str =
    "before Linux 6.3 no tracepoint tells who sends on a socket that was there before";

const NO_REQUEST: &str =
    "before Linux 5.19 the tracepoint where a request completes does not name the request";

const NO_COOKIE: &str =
    "before Linux 5.12 only a process that makes an IP socket gives it a number to be known by";

const NO_PEER: &str = "before Linux 5.16 programs are not shown a unix socket's other end";

/// Kernel, way, backend, reason: what an older kernel does not give. Asked first.
const OF_KERNELS: &[(&str, &str, &str, &str)] = &[
    ("5.10", "io-uring-*", "*", NO_REQUEST),
    (
        "5.10",
        "mmap-mapped-before-start",
        "*",
        "before Linux 5.12 no program is shown what is mapped already",
    ),
    ("5.10", "tcp-accepted", "tracepoint", NO_SENDER),
    ("5.10", "tcp-connected-*", "tracepoint", NO_SENDER),
    ("5.10", "tcp-socket-*", "tracepoint", NO_SENDER),
    ("5.10", "sctp", "tracepoint", NO_SENDER),
    ("5.10", "packet-socket", "tracepoint", NO_SENDER),
    ("5.10", "vsock", "tracepoint", NO_SENDER),
    ("5.10", "tcp-connected-before-start", "*", NO_COOKIE),
    ("5.10", "vsock", "*", NO_COOKIE),
    ("5.10", "handed-by-unix-stream", "lsm", NO_PEER),
    ("5.10", "handed-by-unix-stream", "fentry", NO_PEER),
    ("5.10", "handed-by-unix-datagram", "lsm", NO_PEER),
    ("5.10", "handed-by-unix-datagram", "fentry", NO_PEER),
    ("5.10", "handed-by-unix-abstract", "lsm", NO_PEER),
    ("5.10", "handed-by-unix-abstract", "fentry", NO_PEER),
    (
        "5.10",
        "overlay-lower-mmap",
        "*",
        "before Linux 5.11 the file below an overlay gets into a mapping without a function to attach to",
    ),
    (
        "7.3",
        "memory-by-ptrace",
        "*",
        "not watched yet: on 7.3 a peek does not come out of ptrace_access_vm, where it is seen before",
    ),
    ("6.1", "tcp-accepted", "*", NO_SENDER),
    ("6.1", "tcp-connected-*", "*", NO_SENDER),
    ("6.1", "tcp-socket-*", "*", NO_SENDER),
    ("6.1", "sctp", "*", NO_SENDER),
    ("6.1", "packet-socket", "*", NO_SENDER),
    ("6.1", "vsock", "*", NO_SENDER),
];

/// Way (with `*` at its beginning or end for any text), backend (or `*`), reason. The first line that fits counts.
const REASONS: &[(&str, &str, &str)] = &[
    (
        "linux-aio",
        "tracepoint",
        "io_submit names its files in the process's memory, of which nothing is believed",
    ),
    (
        "reflink",
        "tracepoint",
        "not watched yet: the ioctl by which two files come to share their blocks",
    ),
    (
        "*-without-completion",
        "tracepoint",
        "a request that asks for silence passes no tracepoint with its result",
    ),
    (
        "overlay-*",
        "tracepoint",
        "the descriptor leads to the overlay's own inode; the record's lies below it and passes no system call",
    ),
    (
        "memory-by-proc-mem",
        "tracepoint",
        "the opening is seen; reads of it look like those of any other file",
    ),
    (
        "handed-by-terminal",
        "tracepoint",
        "no tracepoint tells what is written to a terminal, and from the file alone it is not told which one is its other end",
    ),
    ("hard-link-after-start", "tracepoint", BY_PATH),
    ("hard-link-alone", "tracepoint", BY_PATH),
    ("rename", "tracepoint", BY_PATH),
    ("truncate-by-path", "tracepoint", BY_PATH),
    ("rename-over", "tracepoint", BY_PATH),
    ("unlink*", "tracepoint", BY_PATH),
    ("link", "tracepoint", BY_PATH),
    ("chmod", "tracepoint", BY_PATH),
    ("chown", "tracepoint", BY_PATH),
    ("setxattr", "tracepoint", BY_PATH),
    ("*-out-of-the-store", "tracepoint", BY_PATH),
    (
        "handed-by-unix-datagram",
        "tracepoint",
        "to whom a datagram goes that is sent without a connection, no tracepoint says",
    ),
    (
        "handed-by-unix-*",
        "tracepoint",
        "what is received over sockets is told by a tracepoint from Linux 6.3 on",
    ),
    (
        "handed-by-loopback",
        "tracepoint",
        "what is received over sockets is told by a tracepoint from Linux 6.3 on",
    ),
    (
        "handed-by-udp",
        "tracepoint",
        "what is received over sockets is told by a tracepoint from Linux 6.3 on",
    ),
    (
        "loop-device",
        "*",
        "the opening is seen; the bytes are read by the device's own thread, for whoever reads the device",
    ),
];

/// The reason for a cell that is not `yes`. A kernel that preempts in real time lacks what the plain one lacks.
pub(crate) fn of(way: &str, backend: &str, kernel: &str) -> &'static str {
    let kernel = kernel.trim_end_matches("-rt");
    let of_kernel = OF_KERNELS
        .iter()
        .find(|(kernels, ways, backends, _)| {
            *kernels == kernel && fits(ways, way) && fits(backends, backend)
        })
        .map(|(.., reason)| *reason);
    let of_backend = || {
        let mut rows = REASONS.iter();
        rows.find(|(ways, backends, _)| fits(ways, way) && fits(backends, backend))
            .map(|(.., reason)| *reason)
    };
    of_kernel.or_else(of_backend).unwrap_or("unexplained")
}

/// A line that is for no way there is.
pub(crate) fn stray(ways: &[&str]) -> Option<&'static str> {
    let of_kernels = OF_KERNELS.iter().map(|(_, pattern, ..)| *pattern);
    let mut patterns = REASONS
        .iter()
        .map(|(pattern, ..)| *pattern)
        .chain(of_kernels);
    patterns.find(|pattern| !ways.iter().any(|way| fits(pattern, way)))
}

fn fits(pattern: &str, text: &str) -> bool {
    match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
        (Some(beginning), _) => text.starts_with(beginning),
        (_, Some(end)) => text.ends_with(end),
        (None, None) => pattern == text,
    }
}
