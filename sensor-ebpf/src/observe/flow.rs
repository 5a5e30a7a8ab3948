//! TCP conversations: who owns a socket, and what went over it.
//!
//! Only the sockets of processes that hold records are kept, found by their cookies, from the moment on when one connects,
//! accepts, or first sends on a socket that it had before or that another process opened. Where several send on one, it is
//! one's after the other. While one is open the sensor has
//! its counters looked at. Of all other sockets nothing is kept.

use sensor_ebpf::layout::{
    count::Error,
    flow::{ACCEPTED, CONNECTED, Ends, Flow, Socket, TCP},
    header::kind,
    proc::Process,
};

use crate::{
    count::{Outcome, Trouble},
    emit,
    kernel::{
        helpers,
        read::{Probed, Reach, Typed},
        sock::{Road, Sock},
        task::Task,
    },
    maps::{CRITICAL, SOCKETS},
};

use super::{access::is_holder, hand, packet, record::control, talk};

/// TCP states of include/net/tcp_states.h.
const ESTABLISHED: i32 = 1;
const SYN_SENT: i32 = 2;
const SYN_RECV: i32 = 3;
const CLOSE: i32 = 7;
/// A socket does not change hands sooner than this after it last did, nanoseconds.
const TURN_NS: u64 = 200_000;

/// A socket went from one state to another.
#[inline(always)]
pub(crate) fn changed(sock: Sock<Typed>, old: i32, new: i32) -> Result<Outcome, Trouble> {
    match (old, new) {
        (_, SYN_SENT) => connecting(sock),
        (SYN_RECV, ESTABLISHED) => arrived(sock),
        (SYN_SENT, ESTABLISHED) => connected(sock),
        (_, CLOSE) => closed(sock),
        _ => Ok(Outcome::Ignored),
    }
}

#[inline(always)]
fn connecting(sock: Sock<Typed>) -> Result<Outcome, Trouble> {
    if !sock.is_tcp()? {
        return Ok(Outcome::Ignored);
    }
    // Whoever it is: who comes to hold records by a call that sends them has no other moment for it (`sent_file`).
    let cookie = sock.make_cookie()?;
    let process = Task::current().process()?;
    if !(is_holder(&process) || is_canary(sock, &process)?) {
        return Ok(Outcome::Ignored);
    }
    if helpers::SOCKET_STORAGE.load() != 0 {
        // SAFETY: the tracepoint's socket, by typed pointer.
        unsafe { talk::mark(sock.pointer(), sock.remote_port()?, TCP) };
    }
    keep(sock, cookie, process, CONNECTED, 0)
}

/// A connection has come in; who takes it is known when it is accepted, where a cookie cannot be made in all backends.
#[inline(always)]
fn arrived(sock: Sock<Typed>) -> Result<Outcome, Trouble> {
    let _cookie = sock.make_cookie()?;
    Ok(Outcome::Ignored)
}

/// The port of this host is chosen after SYN_SENT is entered (tcp_v4_connect), so it is taken now.
#[inline(always)]
fn connected(sock: Sock<Typed>) -> Result<Outcome, Trouble> {
    let Some(socket) = known(sock.cookie()?) else {
        return Ok(Outcome::Ignored);
    };
    let port = sock.local_port()?;
    // SAFETY: the entry is removed only when the socket closes; the port is one word.
    let socket = unsafe { &mut *socket };
    socket.ends.local_port = port;
    hand::note_local(&socket.ends, &socket.process);
    Ok(Outcome::Summed)
}

#[inline(always)]
fn closed(sock: Sock<Typed>) -> Result<Outcome, Trouble> {
    let cookie = sock.cookie()?;
    let Some(known) = known(cookie) else {
        return Ok(Outcome::Ignored);
    };
    let bytes = sock.tcp_bytes();
    // SAFETY: the entry is removed below, by nobody else.
    let mut socket = unsafe { *known };
    let _absent = SOCKETS.remove(cookie);
    let (sent, received) = bytes?;
    (socket.out, socket.r#in) = (sent.saturating_sub(socket.before), received);
    report(cookie, &socket, true)
}

/// A process takes a connection that has come in.
#[inline(always)]
pub(crate) fn accepted<R: Reach>(sock: Sock<R>) -> Result<Outcome, Trouble> {
    let process = Task::current().process()?;
    if !is_holder(&process) || !sock.is_tcp()? {
        return Ok(Outcome::Ignored);
    }
    match sock.cookie()? {
        // It came in before the programs were there; the first bytes the process sends tell of it.
        0 => Ok(Outcome::Ignored),
        cookie => keep(sock, cookie, process, ACCEPTED, 0),
    }
}

/// A process sends so many bytes on a socket; `taken` says whether the socket has them already.
#[inline(always)]
pub(crate) fn sends(sock: Sock<Typed>, bytes: u64, taken: bool) -> Result<Outcome, Trouble> {
    let road = sock.road()?;
    if matches!(road, Road::Packets | Road::Unix | Road::Inner) {
        return Ok(Outcome::Ignored);
    }
    let process = Task::current().process()?;
    if !is_holder(&process) {
        return Ok(Outcome::Ignored);
    }
    match road {
        Road::Past(family) => message(sock, process, packet::past(family), bytes),
        // Where the holder connected, the socket below is kept, and counts.
        Road::Multipath if known(sock.first_cookie()?).is_some() => Ok(Outcome::Ignored),
        Road::Multipath => message(sock, process, sock.ends(direction(sock)?)?, bytes),
        Road::Connected(protocol) => {
            let mut ends = sock.ends(CONNECTED)?;
            ends.protocol = protocol;
            message(sock, process, ends, bytes)
        }
        _ => adopt(sock, process, if taken { bytes } else { 0 }),
    }
}

/// The call by which a process has come to hold records has sent so many bytes of them on a socket: the socket is its own from before
/// that on.
#[inline(always)]
pub(crate) fn sent_file<R: Reach>(sock: Sock<R>, bytes: u64) -> Result<Outcome, Trouble> {
    let process = Task::current().process()?;
    if !is_holder(&process) || !sock.is_tcp()? {
        return Ok(Outcome::Ignored);
    }
    let cookie = sock.cookie()?;
    // Without a cookie it is one of before the programs were there; the next bytes that are sent tell of it.
    if cookie == 0 || known(cookie).is_some() || !sock.is_open()? {
        return Ok(Outcome::Ignored);
    }
    let before = sock.tcp_taken()?.saturating_sub(bytes);
    keep(sock, cookie, process, direction(sock)?, before)
}

/// What is counted message by message, since its packets are not their sender's or none of IP.
#[inline(always)]
fn message(
    sock: Sock<Typed>,
    process: Process,
    ends: Ends,
    bytes: u64,
) -> Result<Outcome, Trouble> {
    packet::message(sock.make_cookie()?, process, ends, bytes)
}

/// If the socket is nobody's yet, or another process's, it is the holder's from now on; `sent` of the bytes it has taken are its
/// own already.
#[inline(always)]
fn adopt(sock: Sock<Typed>, process: Process, sent: u64) -> Result<Outcome, Trouble> {
    let cookie = sock.make_cookie()?;
    let owner = known(cookie);
    // One that has no conversation yet is kept when it begins one.
    if owner.is_some_and(|owner| stays(owner, &process)) || !sock.is_open()? {
        return Ok(Outcome::Ignored);
    }
    let before = sock.tcp_taken()?.saturating_sub(sent);
    if let Some(owner) = owner {
        handed_over(sock, cookie, owner, before)?;
    }
    keep(sock, cookie, process, direction(sock)?, before)
}

/// True when a socket stays its owner's although this process sends on it: itself, or one that comes so soon after that to tell
/// of each would be a flood.
#[inline(always)]
fn stays(owner: *mut Socket, process: &Process) -> bool {
    // SAFETY: as in `connected`; what is told of the owner is written once.
    let (known, since) = unsafe { ((*owner).process, (*owner).opened_ns) };
    (known.pid == process.pid && known.start_ns == process.start_ns)
        || emit::now().saturating_sub(since) < TURN_NS
}

/// Another holder sends on a socket from now on: for the one before the conversation ends with what the socket had taken.
#[inline(always)]
fn handed_over(
    sock: Sock<Typed>,
    cookie: u64,
    owner: *mut Socket,
    taken: u64,
) -> Result<(), Trouble> {
    let (_, received) = sock.tcp_bytes()?;
    // SAFETY: as in `closed`, and in its place, for which the stack has no room; two that take over at once tell of its end twice, with
    // the same figures but for bytes between.
    let socket = unsafe { &mut *owner };
    (socket.out, socket.r#in) = (taken.saturating_sub(socket.before), received);
    report(cookie, socket, true).map(|_| ())
}

/// Who began the conversation of a socket.
#[inline(always)]
fn direction<R: Reach>(sock: Sock<R>) -> Result<u8, Error> {
    Ok(if sock.was_accepted()? {
        ACCEPTED
    } else {
        CONNECTED
    })
}

/// Looks at the counters of an open socket, for the sensor.
#[inline(always)]
pub(crate) fn refreshed(cookie: u64) -> Result<Outcome, Trouble> {
    let Some(socket) = SOCKETS.get_ptr_mut(cookie) else {
        return Ok(Outcome::Ignored);
    };
    // SAFETY: as in `connected`.
    let socket = unsafe { &mut *socket };
    let sock = Sock::<Probed>::new(socket.sk as *const u8);
    let (sent, received) = sock.tcp_bytes()?;
    // The memory may belong to another socket by now; its cookie tells.
    if sock.cookie()? != cookie {
        return Ok(Outcome::Ignored);
    }
    (socket.out, socket.r#in) = (sent.saturating_sub(socket.before), received);
    Ok(Outcome::Summed)
}

/// The other end's port of a connection that is kept.
#[inline(always)]
pub(crate) fn kept(cookie: u64) -> Option<u16> {
    // SAFETY: a value of a map is valid for as long as the program runs; the port is written once.
    known(cookie).map(|socket| unsafe { (*socket).ends.remote_port })
}

/// The entry of a socket that has one. One that nobody asked about has no cookie.
#[inline(always)]
fn known(cookie: u64) -> Option<*mut Socket> {
    if cookie == 0 {
        None
    } else {
        SOCKETS.get_ptr_mut(cookie)
    }
}

/// The canary's own conversation is reported, although the sensor is no holder.
#[inline(always)]
fn is_canary(sock: Sock<Typed>, process: &Process) -> Result<bool, Error> {
    let control = control()?;
    Ok(control.canary_port != 0
        && control.own_pid == process.pid
        && control.canary_port == u32::from(sock.remote_port()?))
}

/// Keeps a socket of a holder, and says so.
#[inline(always)]
fn keep<R: Reach>(
    sock: Sock<R>,
    cookie: u64,
    process: Process,
    direction: u8,
    before: u64,
) -> Result<Outcome, Trouble> {
    if cookie == 0 {
        return Err(Trouble::Failed(Error::NoCookie));
    }
    let socket = Socket {
        process,
        opened_ns: emit::now(),
        sk: sock.address(),
        before,
        out: 0,
        r#in: 0,
        ends: sock.ends(direction)?,
    };
    SOCKETS
        .insert(cookie, &socket, 0)
        .map_err(|_| Trouble::Dropped(Error::SocketsFull))?;
    hand::note_local(&socket.ends, &socket.process);
    report(cookie, &socket, false)
}

#[inline(always)]
fn report(cookie: u64, socket: &Socket, closed: bool) -> Result<Outcome, Trouble> {
    emit::record(&CRITICAL, Error::CriticalRingFull, |out: *mut Flow| {
        let flow = Flow {
            header: emit::header(kind::FLOW),
            cookie,
            socket: *socket,
            closed: u32::from(closed),
            pad: 0,
        };
        // SAFETY: `out` is a Flow in the ring.
        unsafe { out.write(flow) }
    })
}
