//! UDP conversations of processes that hold records, datagram by datagram.
//!
//! What a process sends before it has touched a record cannot hold one, so nothing is kept of it. A datagram leaves in
//! the context of its sender (udp_sendmsg → ip_finish_output), and comes in for a socket whose conversation is known.

use aya_ebpf::{helpers::generated::bpf_get_socket_cookie, programs::SkBuffContext};
use sensor_ebpf::layout::{
    count::Error,
    flow::{CONNECTED, DatagramKey, Datagrams, Ends, UDP},
};

use crate::{
    count::{Outcome, Trouble, add},
    emit,
    kernel::task::Task,
    maps::DATAGRAMS,
};

use super::access::is_holder;

const UDP_HEADER: u64 = 8;
const IPV6_HEADER: u64 = 40;

/// A datagram's header, seen from this host.
struct Datagram {
    ends: Ends,
    payload: u64,
}

/// A packet leaves.
#[inline(always)]
pub(crate) fn left(packet: &SkBuffContext) -> Result<Outcome, Trouble> {
    if !is_udp(packet) {
        return Ok(Outcome::Ignored);
    }
    let process = Task::current().process()?;
    if !is_holder(&process) {
        return Ok(Outcome::Ignored);
    }
    let datagram = parse(packet, true)?;
    let key = key(packet, &datagram.ends);
    let now = emit::now();
    if let Some(known) = DATAGRAMS.get_ptr_mut(&key) {
        // SAFETY: the sensor removes a conversation only when it has long been still.
        let known = unsafe { &mut *known };
        add(&mut known.out, datagram.payload);
        known.last_ns = now;
        return Ok(Outcome::Summed);
    }
    let first = Datagrams {
        process,
        opened_ns: now,
        last_ns: now,
        out: datagram.payload,
        r#in: 0,
        ends: datagram.ends,
        pad: 0,
    };
    match DATAGRAMS.insert(&key, &first, 0) {
        Ok(()) => Ok(Outcome::Summed),
        Err(_) => Err(Trouble::Dropped(Error::DatagramsFull)),
    }
}

/// A packet comes in.
#[inline(always)]
pub(crate) fn came(packet: &SkBuffContext) -> Result<Outcome, Trouble> {
    if !is_udp(packet) {
        return Ok(Outcome::Ignored);
    }
    let datagram = parse(packet, false)?;
    match DATAGRAMS.get_ptr_mut(key(packet, &datagram.ends)) {
        Some(known) => {
            // SAFETY: as in `left`.
            let known = unsafe { &mut *known };
            add(&mut known.r#in, datagram.payload);
            known.last_ns = emit::now();
            Ok(Outcome::Summed)
        }
        None => Ok(Outcome::Ignored),
    }
}

#[inline(always)]
fn key(packet: &SkBuffContext, ends: &Ends) -> DatagramKey {
    // SAFETY: the helper takes the packet's context; a packet without socket has cookie 0.
    let cookie = unsafe { bpf_get_socket_cookie(packet.skb.skb.cast()) };
    DatagramKey {
        cookie,
        remote: ends.remote,
        remote_port: ends.remote_port,
        version: ends.version,
        pad: [0; 5],
    }
}

#[inline(always)]
fn version(packet: &SkBuffContext) -> u8 {
    match packet.load::<u8>(0) {
        Ok(first) => first >> 4,
        Err(_) => 0,
    }
}

/// True for UDP. An IPv6 packet with extension headers before UDP is not recognised.
#[inline(always)]
fn is_udp(packet: &SkBuffContext) -> bool {
    let protocol = match version(packet) {
        4 => packet.load::<u8>(9),
        6 => packet.load::<u8>(6),
        _ => return false,
    };
    matches!(protocol, Ok(UDP))
}

#[inline(always)]
fn parse(packet: &SkBuffContext, leaving: bool) -> Result<Datagram, Error> {
    let fault = |_| Error::Fault;
    let (version, header) = match packet.load::<u8>(0).map_err(fault)? {
        first if first >> 4 == 4 => (4, u64::from(first & 15) * 4),
        _ => (6, IPV6_HEADER),
    };
    let (mut source, mut target) = ([0; 4], [0; 4]);
    if version == 4 {
        source[0] = packet.load::<u32>(12).map_err(fault)?;
        target[0] = packet.load::<u32>(16).map_err(fault)?;
    } else {
        source = packet.load::<[u32; 4]>(8).map_err(fault)?;
        target = packet.load::<[u32; 4]>(24).map_err(fault)?;
    }
    let ports = packet.load::<[u16; 2]>(header as usize).map_err(fault)?;
    let (source_port, target_port) = (u16::from_be(ports[0]), u16::from_be(ports[1]));
    let (local, local_port, remote, remote_port) = if leaving {
        (source, source_port, target, target_port)
    } else {
        (target, target_port, source, source_port)
    };
    let ends = Ends {
        local,
        remote,
        local_port,
        remote_port,
        version,
        protocol: UDP,
        direction: CONNECTED,
        pad: 0,
    };
    // The packet's length, not the header's: with segmentation offload one packet carries many datagrams' payload.
    Ok(Datagram {
        ends,
        payload: u64::from(packet.len()).saturating_sub(header + UDP_HEADER),
    })
}
