//! What holders of records send to other processes of the same machine in datagrams of UDP.
//!
//! Who receives may take from anybody, so no pair of ends is known at the receiving socket. The sender's ends are noted as a
//! datagram leaves by the loopback interface, by which all goes that stays on the machine. Where it comes in again its bytes
//! are put down to the socket that it is for, and who receives on that takes them. Ports over which no records go by nature, as those of names, time and the system's log, are told by the sensor.

use aya_ebpf::programs::SkBuffContext;
use sensor_ebpf::layout::{
    edge::LOOPBACK,
    flow::{Ends, UDP},
    proc::Process,
};

use crate::{
    count::{Outcome, Trouble},
    kernel::{read::Typed, sock::Sock},
    maps::{LOCALS, QUIET_PORTS},
};

use super::{
    hand::{hint_local, may_be_local, note, sender},
    waiting,
};

/// `LOOPBACK_IFINDEX` of include/net/flow.h: the loopback interface's number in every network namespace.
const LOOPBACK_INTERFACE: u32 = 1;

/// A holder's datagram leaves: if it stays on this machine, its receiver is to find the holder.
#[inline(always)]
pub(super) fn left(packet: &SkBuffContext, ends: &Ends, process: &Process) {
    if ends.protocol == UDP && stays(packet) {
        noted(ends, process);
    }
}

#[inline(never)]
fn noted(ends: &Ends, process: &Process) {
    if !is_quiet(ends.local_port) && !is_quiet(ends.remote_port) {
        note(ends, process);
    }
}

/// True when what comes in may be a datagram that a holder of this machine has sent; `protocol` is what the IP header says.
#[inline(always)]
pub(super) fn may_be_holders(packet: &SkBuffContext, protocol: u8) -> bool {
    stays(packet) && source_port(packet, protocol).is_none_or(may_be_local)
}

/// The port that a datagram straight after an IP header without options comes from; absent of all others.
#[inline(always)]
fn source_port(packet: &SkBuffContext, protocol: u8) -> Option<u16> {
    const LONG: usize = 40;
    const SHORT: usize = 20;
    // SAFETY: the context is a `__sk_buff`.
    let (start, end) = unsafe {
        (
            (*packet.skb.skb).data as usize,
            (*packet.skb.skb).data_end as usize,
        )
    };
    let header = start as *const u8;
    if protocol != UDP || start + SHORT + 2 > end {
        return None;
    }
    // SAFETY: so many bytes from `header` are the packet's.
    let first = unsafe { *header };
    let ip = if first == 0x45 {
        SHORT
    } else if first >> 4 == 6 && start + LONG + 2 <= end {
        LONG
    } else {
        return None;
    };
    // SAFETY: as above.
    Some(unsafe { u16::from_be_bytes([*header.add(ip), *header.add(ip + 1)]) })
}

/// A datagram has come for the socket with this cookie. True when a holder sent it.
#[inline(never)]
pub(super) fn came(cookie: u64, ends: &Ends, bytes: u64) -> bool {
    // SAFETY: the value is only read; one that the sensor removes meanwhile may be another's.
    let Some(local) = (unsafe { LOCALS.get(sender(ends)) }) else {
        return false;
    };
    hint_local(ends.local_port);
    waiting::put(cookie, local.process, local.stores, bytes);
    true
}

/// The current process has received so many bytes on a socket that is no connection's.
#[inline(always)]
pub(crate) fn received(sock: Sock<Typed>, bytes: i64) -> Result<Outcome, Trouble> {
    if bytes <= 0 || !may_be_local(sock.local_port()?) {
        return Ok(Outcome::Ignored);
    }
    waiting::take(sock.cookie()?, bytes as u64, LOOPBACK)
}

/// True when the packet goes by the loopback interface, as all does that stays on this machine.
#[inline(always)]
fn stays(packet: &SkBuffContext) -> bool {
    // SAFETY: the context is a `__sk_buff`.
    unsafe { (*packet.skb.skb).ifindex == LOOPBACK_INTERFACE }
}

fn is_quiet(port: u16) -> bool {
    QUIET_PORTS.get_ptr(u32::from(port)).is_some()
}
