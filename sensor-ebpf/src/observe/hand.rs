//! What holders of records send to other processes of the same machine: over unix sockets, and over connections that do
//! not leave it.
//!
//! Of a unix socket the receiving one is marked with who sent, and the mark goes with it. Of a connection within the machine the
//! sender's is noted by both ends, and whoever receives looks for it by his own. Sockets whose talk carries no records by nature, as
//! the journal's and the message bus's, are told by the sensor and never marked.

use aya_ebpf::{
    bindings::BPF_SK_STORAGE_GET_F_CREATE,
    helpers::generated::{bpf_probe_read_kernel_str, bpf_sk_storage_get},
};
use sensor_ebpf::layout::{
    count::Error,
    edge::{LOOPBACK, UNIX_SOCKET},
    flow::{Ends, Given, Local, LocalKey, QuietName},
    limits::LOCAL_HINTS_MAX,
    proc::Process,
};

use crate::{
    count::{Outcome, Trouble, lost},
    kernel::{
        read::Typed,
        sock::{Road, Sock},
        task::Task,
    },
    maps::{GIVEN, HOLDERS, LOCAL_HINTS, LOCALS, QUIET},
};

use super::{
    access::{held, noted},
    carrier::{is_hinted, may_be_holder},
    datagram, edge,
};

/// The current process sends to the owner of a unix socket.
#[inline(always)]
pub(crate) fn handed(to: Sock<Typed>) -> Result<Outcome, Trouble> {
    if may_be_holder() {
        give(to)
    } else {
        Ok(Outcome::Ignored)
    }
}

/// The same, to whom a socket is connected.
#[inline(always)]
pub(crate) fn handed_to_peer(sock: Sock<Typed>) -> Result<Outcome, Trouble> {
    if !may_be_holder() {
        return Ok(Outcome::Ignored);
    }
    match sock.peer()? {
        Some(peer) => give(peer),
        None => Ok(Outcome::Ignored),
    }
}

#[inline(never)]
fn give(to: Sock<Typed>) -> Result<Outcome, Trouble> {
    let process = Task::current().process()?;
    let Some(stores) = held(&process) else {
        return Ok(Outcome::Ignored);
    };
    if is_quiet(to)? {
        return Ok(Outcome::Ignored);
    }
    let mut given = Given { process, stores };
    let known = storage(to, &raw mut given, BPF_SK_STORAGE_GET_F_CREATE);
    if known.is_null() {
        return Err(Trouble::Dropped(Error::TalkingFull));
    }
    // SAFETY: the mark is valid for as long as the program runs. Who sent last is who gave; two at once leave one of both.
    unsafe {
        (&raw mut (*known).process).write_volatile(process);
        (*known).stores |= stores;
    }
    Ok(Outcome::Summed)
}

/// True for a unix socket whose talk carries no records by nature.
#[inline(never)]
fn is_quiet(to: Sock<Typed>) -> Result<bool, Error> {
    let Some(name) = to.unix_name()? else {
        return Ok(false);
    };
    let mut key = QuietName { name: [0; 112] };
    // SAFETY: any address may be read; at most as many bytes as there is room for are written.
    let _unnamed =
        unsafe { bpf_probe_read_kernel_str((&raw mut key.name).cast(), 108, name.cast()) };
    Ok(QUIET.get_ptr(&key).is_some())
}

/// The current process has received so many bytes.
#[inline(always)]
pub(crate) fn received_unix(sock: Sock<Typed>, bytes: i64) -> Result<Outcome, Trouble> {
    if bytes <= 0 {
        return Ok(Outcome::Ignored);
    }
    let given = storage(sock, core::ptr::null_mut(), 0);
    if given.is_null() {
        return from_peer(sock, bytes as u64);
    }
    // SAFETY: the mark is valid for as long as the program runs.
    let given = unsafe { *given };
    edge::got_of(given.process, given.stores, UNIX_SOCKET, bytes as u64)
}

/// Nobody was seen sending yet: where that is seen only after it is done, who receives may be faster. Then the process at
/// the other end counts, or that which made both ends.
#[inline(never)]
fn from_peer(sock: Sock<Typed>, bytes: u64) -> Result<Outcome, Trouble> {
    let pid = sock.peer_pid()?;
    if pid == 0 || !is_hinted(pid) || is_quiet(sock)? {
        return Ok(Outcome::Ignored);
    }
    // SAFETY: the value is only read.
    match unsafe { HOLDERS.get(pid) } {
        Some(holder) => edge::got_of(holder.process, holder.stores, UNIX_SOCKET, bytes),
        None => Ok(Outcome::Ignored),
    }
}

/// The same over a socket of IP.
#[inline(always)]
pub(crate) fn received_inet(sock: Sock<Typed>, bytes: i64) -> Result<Outcome, Trouble> {
    match sock.road()? {
        Road::Packets => datagram::received(sock, bytes),
        _ => received_tcp(sock, bytes),
    }
}

/// The same over a TCP connection.
#[inline(always)]
pub(crate) fn received_tcp(sock: Sock<Typed>, bytes: i64) -> Result<Outcome, Trouble> {
    if bytes <= 0 || !may_be_local(sock.remote_port()?) {
        return Ok(Outcome::Ignored);
    }
    from_local(sock, bytes as u64)
}

#[inline(never)]
fn from_local(sock: Sock<Typed>, bytes: u64) -> Result<Outcome, Trouble> {
    let ends = sock.ends(0)?;
    let key = sender(&ends);
    // SAFETY: the value is only read; one that the sensor removes meanwhile may be another's.
    match unsafe { LOCALS.get(&key) } {
        Some(local) => edge::got_of(local.process, local.stores, LOOPBACK, bytes),
        None => Ok(Outcome::Ignored),
    }
}

/// A holder's connection whose other end is on this machine, too, is noted by its ends.
#[inline(always)]
pub(crate) fn note_local(ends: &Ends, process: &Process) {
    if is_local(ends) {
        note(ends, process);
    }
}

#[inline(never)]
pub(super) fn note(ends: &Ends, process: &Process) {
    let Some(stores) = noted(process) else { return };
    let local = Local {
        process: *process,
        stores,
    };
    hint_local(ends.local_port);
    let key = LocalKey {
        local: ends.local,
        remote: ends.remote,
        local_port: ends.local_port,
        remote_port: ends.remote_port,
        protocol: u32::from(ends.protocol),
    };
    if LOCALS.insert(key, &local, 0).is_err() {
        lost(Error::LocalsFull);
    }
}

/// Names the conversation by its ends as they are at the other one.
#[inline(always)]
pub(super) fn sender(ends: &Ends) -> LocalKey {
    LocalKey {
        local: ends.remote,
        remote: ends.local,
        local_port: ends.remote_port,
        remote_port: ends.local_port,
        protocol: u32::from(ends.protocol),
    }
}

/// Notes that a conversation within the machine has such a port.
#[inline(always)]
pub(super) fn hint_local(port: u16) {
    if let Some(word) = LOCAL_HINTS.get_ptr_mut(u32::from(port) & (LOCAL_HINTS_MAX - 1)) {
        // SAFETY: the value of an array map is always there, and is only ever set to one.
        unsafe { word.write_volatile(1) };
    }
}

/// True when the other end is on this machine: its address is a loopback's, or this end's own.
#[inline(always)]
fn is_local(ends: &Ends) -> bool {
    let (local, remote) = (ends.local, ends.remote);
    let loopback = ends.version == 4 && remote[0].to_ne_bytes()[0] == 127;
    loopback
        || local[0] == remote[0]
            && local[1] == remote[1]
            && local[2] == remote[2]
            && local[3] == remote[3]
}

/// True when a conversation of a holder may have such a port on its side, or a socket to which one has sent.
#[inline(always)]
pub(super) fn may_be_local(port: u16) -> bool {
    let Some(word) = LOCAL_HINTS.get_ptr(u32::from(port) & (LOCAL_HINTS_MAX - 1)) else {
        return false;
    };
    // SAFETY: the value of an array map is always there; volatile, because another CPU may set it.
    unsafe { word.read_volatile() != 0 }
}

/// The mark of a socket; null when it has none.
#[inline(always)]
fn storage(sock: Sock<Typed>, first: *mut Given, flags: u32) -> *mut Given {
    let map = core::ptr::from_ref(&GIVEN).cast_mut();
    // SAFETY: the map is one of socket storage, the socket a typed one; the value is copied when there is none yet.
    unsafe { bpf_sk_storage_get(map.cast(), sock.pointer(), first.cast(), u64::from(flags)) }.cast()
}
