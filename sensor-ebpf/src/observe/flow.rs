//! TCP conversations: who owns a socket, and what went over it.
//!
//! Every TCP socket that connects or is accepted gets an entry, found by its cookie; only those of processes that hold
//! records are reported, when they begin and when they end. While one is open the sensor has its counters looked at.

use sensor_ebpf::layout::{
    count::Error,
    flow::{ACCEPTED, CONNECTED, Flow, Socket},
    header::kind,
    proc::Process,
};

use crate::{
    count::{Outcome, Trouble},
    emit,
    kernel::{read::Typed, sock::Sock, task::Task},
    maps::{CRITICAL, SOCKETS},
};

use super::{access::is_holder, record::control};

/// TCP states of include/net/tcp_states.h.
const ESTABLISHED: i32 = 1;
const SYN_SENT: i32 = 2;
const SYN_RECV: i32 = 3;
const CLOSE: i32 = 7;

/// Nobody yet.
const NOBODY: Process = Process {
    start_ns: 0,
    pid: 0,
    pad: 0,
};

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
    if sock.tcp_bytes()?.is_none() {
        return Ok(Outcome::Ignored);
    }
    let process = Task::current().process()?;
    let socket = socket(sock, process, CONNECTED)?;
    let cookie = sock.make_cookie();
    SOCKETS
        .insert(cookie, &socket, 0)
        .map_err(|_| Trouble::Dropped(Error::SocketsFull))?;
    began(cookie, &socket)
}

/// A connection has come in; who takes it is known when it is accepted.
#[inline(always)]
fn arrived(sock: Sock<Typed>) -> Result<Outcome, Trouble> {
    if sock.tcp_bytes()?.is_none() {
        return Ok(Outcome::Ignored);
    }
    let socket = socket(sock, NOBODY, ACCEPTED)?;
    SOCKETS
        .insert(sock.make_cookie(), &socket, 0)
        .map_err(|_| Trouble::Dropped(Error::SocketsFull))?;
    Ok(Outcome::Summed)
}

#[inline(always)]
fn socket(sock: Sock<Typed>, process: Process, direction: u8) -> Result<Socket, Error> {
    Ok(Socket {
        process,
        opened_ns: emit::now(),
        sk: sock.address(),
        out: 0,
        r#in: 0,
        ends: sock.ends(direction)?,
        pad: 0,
    })
}

/// The port of this host is chosen after SYN_SENT is entered (tcp_v4_connect), so it is taken now.
#[inline(always)]
fn connected(sock: Sock<Typed>) -> Result<Outcome, Trouble> {
    let Some(socket) = SOCKETS.get_ptr_mut(sock.cookie()?) else {
        return Ok(Outcome::Ignored);
    };
    let port = sock.local_port()?;
    // SAFETY: the entry is removed only when the socket closes; the port is one word.
    unsafe { (*socket).ends.local_port = port };
    Ok(Outcome::Summed)
}

#[inline(always)]
fn closed(sock: Sock<Typed>) -> Result<Outcome, Trouble> {
    let cookie = sock.cookie()?;
    let Some(known) = SOCKETS.get_ptr_mut(cookie) else {
        return Ok(Outcome::Ignored);
    };
    let bytes = sock.tcp_bytes()?;
    // SAFETY: the entry is removed below, by nobody else.
    let mut socket = unsafe { *known };
    let _absent = SOCKETS.remove(cookie);
    if let Some((out, r#in)) = bytes {
        (socket.out, socket.r#in) = (out, r#in);
    }
    if !is_wanted(&socket) {
        return Ok(Outcome::Ignored);
    }
    report(cookie, &socket, true)
}

/// A process takes a connection that has come in.
#[inline(always)]
pub(crate) fn accepted(cookie: u64) -> Result<Outcome, Trouble> {
    let Some(socket) = SOCKETS.get_ptr_mut(cookie) else {
        return Ok(Outcome::Ignored);
    };
    let process = Task::current().process()?;
    // SAFETY: the entry is removed only when the socket closes, and accepted once.
    let socket = unsafe {
        (*socket).process = process;
        *socket
    };
    began(cookie, &socket)
}

/// Looks at the counters of an open socket, for the sensor.
#[inline(always)]
pub(crate) fn refreshed(cookie: u64) -> Result<Outcome, Trouble> {
    use crate::kernel::read::Probed;
    let Some(socket) = SOCKETS.get_ptr_mut(cookie) else {
        return Ok(Outcome::Ignored);
    };
    // SAFETY: as in `accepted`.
    let socket = unsafe { &mut *socket };
    let sock = Sock::<Probed>::new(socket.sk as *const u8);
    // The memory may belong to another socket by now; its cookie tells.
    if sock.cookie()? != cookie {
        return Ok(Outcome::Ignored);
    }
    (socket.out, socket.r#in) = sock.tcp_bytes()?;
    Ok(Outcome::Summed)
}

/// Conversations of holders are reported, and the canary's own.
#[inline(always)]
fn is_wanted(socket: &Socket) -> bool {
    if is_holder(&socket.process) {
        return true;
    }
    let Ok(control) = control() else {
        return false;
    };
    control.canary_port != 0
        && control.own_pid == socket.process.pid
        && control.canary_port == u32::from(socket.ends.remote_port)
}

#[inline(always)]
fn began(cookie: u64, socket: &Socket) -> Result<Outcome, Trouble> {
    if is_wanted(socket) {
        report(cookie, socket, false)
    } else {
        Ok(Outcome::Summed)
    }
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
