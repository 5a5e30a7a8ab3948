//! Conversations without a connection, of processes that hold records, packet by packet: UDP, echoes, raw IP.
//!
//! What a process sends before it has touched a record cannot hold one, so nothing is kept of it. A packet leaves in the
//! context of its sender (udp_sendmsg → ip_finish_output); what comes in counts where the conversation is known. The
//! first question is asked of every packet of the host, so it is the cheapest: of one that leaves its protocol, and then
//! whether its process holds records; of one that comes its protocol, and then whether its socket is marked as talking.

use aya_ebpf::{
    helpers::generated::{bpf_get_socket_cookie, bpf_sk_fullsock},
    programs::SkBuffContext,
};
use sensor_ebpf::layout::{
    count::Error,
    flow::{CONNECTED, DCCP, DatagramKey, Datagrams, Ends, ICMP, ICMP6, SCTP, TCP, UDP},
    news::News,
    proc::Process,
};

use crate::{
    count::{Outcome, Trouble, add},
    emit,
    kernel::{helpers, task::Task},
    maps::DATAGRAMS,
    news,
};

use super::{access::is_holder, datagram, flow, talk};

/// Of IPv4 without options.
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: u64 = 40;
/// Of UDP, and of an echo.
const SHORT_HEADER: u64 = 8;
/// Extension headers of IPv6 that others may follow (hop by hop, routing, destination), and how many are looked beyond.
const EXTENSIONS: [u8; 3] = [0, 43, 60];
const EXTENSIONS_MAX: u32 = 4;
/// Internet Group Management Protocol, which is the kernel's own business.
const IGMP: u8 = 2;
/// Echo requests, of ICMP and `ICMPv6`. The other messages the kernel sends as well, on behalf of whoever is running.
const ECHO: u8 = 8;
const ECHO6: u8 = 128;

/// A packet's header, seen from this host.
struct Packet {
    ends: Ends,
    /// Where its payload begins.
    offset: u64,
    payload: u64,
}

/// A packet leaves.
#[inline(always)]
pub(crate) fn left(packet: &SkBuffContext) -> Result<Outcome, Trouble> {
    let protocol = protocol(packet)?;
    if protocol == IGMP {
        return Ok(Outcome::Ignored);
    }
    if is_connected(protocol) && !is_raw(packet) {
        return said(packet, protocol, true);
    }
    let process = match Task::current().process() {
        // What the kernel sends while a CPU idles is nobody's; the idle task has no time of start.
        Err(Error::NoTask) => return Ok(Outcome::Ignored),
        process => process?,
    };
    if !is_holder(&process) {
        return Ok(Outcome::Ignored);
    }
    let Some(parsed) = parse(packet, protocol, true)? else {
        return Ok(Outcome::Ignored);
    };
    if is_connected(parsed.ends.protocol) && !is_raw(packet) {
        return Ok(Outcome::Ignored);
    }
    let sk = talk::socket(packet);
    if !sk.is_null() {
        // SAFETY: `sk` is the packet's socket.
        unsafe { talk::mark(sk, parsed.ends.remote_port, parsed.ends.protocol) };
    }
    datagram::left(packet, &parsed.ends, &process);
    let key = key(cookie(packet), &parsed.ends);
    let outcome = sent(&key, process, &parsed)?;
    keep(packet, &key, &parsed, true);
    Ok(outcome)
}

/// A packet comes in.
#[inline(always)]
pub(crate) fn came(packet: &SkBuffContext) -> Result<Outcome, Trouble> {
    let protocol = protocol(packet)?;
    if is_connected(protocol) {
        return said(packet, protocol, false);
    }
    let may_be_holders = datagram::may_be_holders(packet, protocol);
    if !may_be_holders && talk::of(packet).is_null() {
        return Ok(Outcome::Ignored);
    }
    let Some(parsed) = parse(packet, protocol, false)? else {
        return Ok(Outcome::Ignored);
    };
    let key = key(cookie(packet), &parsed.ends);
    let is_holders = may_be_holders && datagram::came(key.cookie, &parsed.ends, parsed.payload);
    let Some(known) = DATAGRAMS.get_ptr_mut(&key) else {
        return Ok(if is_holders {
            Outcome::Summed
        } else {
            Outcome::Ignored
        });
    };
    // SAFETY: as in `sent`.
    let known = unsafe { &mut *known };
    add(&mut known.r#in, parsed.payload);
    known.last_ns = emit::now();
    keep(packet, &key, &parsed, false);
    Ok(Outcome::Summed)
}

/// True for protocols whose packets the kernel sends when it likes, so that their bytes are counted at the socket.
#[inline(always)]
fn is_connected(protocol: u8) -> bool {
    matches!(protocol, TCP | SCTP | DCCP)
}

/// True when the process made the packet itself, whatever protocol it says it is of.
#[inline(always)]
fn is_raw(packet: &SkBuffContext) -> bool {
    const SOCK_RAW: u32 = 3;
    let sk = talk::socket(packet);
    if sk.is_null() {
        return false;
    }
    // SAFETY: `sk` is the packet's socket; what the helper gives is null or one that can be read.
    unsafe {
        let full = bpf_sk_fullsock(sk.cast());
        !full.is_null() && (*full).type_ == SOCK_RAW
    }
}

/// A packet of a connection: its bytes are the socket's to count, but what it says may be wanted.
#[inline(always)]
fn said(packet: &SkBuffContext, protocol: u8, leaving: bool) -> Result<Outcome, Trouble> {
    if helpers::SOCKET_STORAGE.load() == 0 && leaving && protocol == TCP {
        mark_kept(packet);
    }
    if protocol != TCP || says_nothing(packet) || !talk::wants(talk::of(packet), leaving) {
        return Ok(Outcome::Ignored);
    }
    if let Some(parsed) = parse(packet, TCP, leaving)? {
        keep(packet, &key(cookie(packet), &parsed.ends), &parsed, leaving);
    }
    Ok(Outcome::Summed)
}

/// Marks the socket of a holder's connection as soon as a packet of it leaves: before 5.11 it cannot be done when it is made.
#[inline(always)]
fn mark_kept(packet: &SkBuffContext) {
    let sk = talk::socket(packet);
    if sk.is_null() || !talk::of(packet).is_null() {
        return;
    }
    if let Some(remote_port) = flow::kept(cookie(packet)) {
        // SAFETY: `sk` is the packet's socket.
        unsafe { talk::mark(sk, remote_port, TCP) };
    }
}

/// True for a segment of TCP, straight after an IP header without options, that carries nothing: it begins, acknowledges or
/// ends a conversation. Asked first, since of a short conversation most are.
#[inline(always)]
fn says_nothing(packet: &SkBuffContext) -> bool {
    /// Where the length of TCP's header stands in it.
    const WORDS: usize = 12;
    // SAFETY: the context is a `__sk_buff`.
    let (start, end, len) = unsafe {
        let skb = packet.skb.skb;
        (
            (*skb).data as usize,
            (*skb).data_end as usize,
            (*skb).len as usize,
        )
    };
    let header = start as *const u8;
    let (long, short) = (IPV6_HEADER as usize, IPV4_HEADER);
    if start + short + WORDS + 1 > end {
        return false;
    }
    // SAFETY: so many bytes from `header` are the packet's.
    let first = unsafe { *header };
    let ip = if first == 0x45 {
        short
    } else if first >> 4 == 6 && start + long + WORDS + 1 <= end {
        long
    } else {
        return false;
    };
    // SAFETY: as above.
    let words = unsafe { *header.add(ip + WORDS) } >> 4;
    len == ip + usize::from(words) * 4
}

/// Keeps the payload if it is wanted.
#[inline(never)]
fn keep(packet: &SkBuffContext, key: &DatagramKey, parsed: &Packet, leaving: bool) {
    let talk = talk::of(packet);
    if talk::wants(talk, leaving) {
        let part = (parsed.offset, parsed.payload);
        talk::keep(packet, talk, key, parsed.ends.protocol, leaving, part);
    }
}

/// The ends of a conversation past IP, over sockets of this family: not known.
#[inline(always)]
pub(crate) fn past(family: u8) -> Ends {
    Ends {
        local: [0; 4],
        remote: [0; 4],
        local_port: 0,
        remote_port: 0,
        version: 0,
        protocol: family,
        direction: CONNECTED,
        pad: 0,
    }
}

/// A holder sends a message over a socket whose packets do not count.
#[inline(always)]
pub(crate) fn message(
    cookie: u64,
    process: Process,
    ends: Ends,
    bytes: u64,
) -> Result<Outcome, Trouble> {
    let packet = Packet {
        ends,
        offset: 0,
        payload: bytes,
    };
    sent(&key(cookie, &packet.ends), process, &packet)
}

/// Adds to a conversation, or begins one.
#[inline(always)]
fn sent(key: &DatagramKey, process: Process, packet: &Packet) -> Result<Outcome, Trouble> {
    let now = emit::now();
    if let Some(known) = DATAGRAMS.get_ptr_mut(key) {
        // SAFETY: the sensor removes a conversation only when it has long been still.
        let known = unsafe { &mut *known };
        add(&mut known.out, packet.payload);
        known.last_ns = now;
        return Ok(Outcome::Summed);
    }
    let first = Datagrams {
        process,
        opened_ns: now,
        last_ns: now,
        out: packet.payload,
        r#in: 0,
        ends: packet.ends,
        pad: 0,
    };
    match DATAGRAMS.insert(key, &first, 0) {
        Ok(()) => {
            news::tell(News::Datagrams);
            Ok(Outcome::Summed)
        }
        Err(_) => Err(Trouble::Dropped(Error::DatagramsFull)),
    }
}

#[inline(always)]
fn cookie(packet: &SkBuffContext) -> u64 {
    // SAFETY: the helper takes the packet's context; a packet without socket has cookie 0.
    unsafe { bpf_get_socket_cookie(packet.skb.skb.cast()) }
}

#[inline(always)]
fn key(cookie: u64, ends: &Ends) -> DatagramKey {
    DatagramKey {
        cookie,
        remote: ends.remote,
        remote_port: ends.remote_port,
        version: ends.version,
        pad: [0; 5],
    }
}

/// What the IP header says comes after it: of IPv6 with extension headers, the first of them.
#[inline(always)]
fn protocol(packet: &SkBuffContext) -> Result<u8, Error> {
    // SAFETY: the context is a `__sk_buff`.
    let (start, end) = unsafe {
        (
            (*packet.skb.skb).data as usize,
            (*packet.skb.skb).data_end as usize,
        )
    };
    // A header of IP lies in one piece when it comes here (ip_rcv, ip6_rcv_core); 20 bytes are the least it has.
    if start + 20 > end {
        return Err(Error::Fault);
    }
    let header = start as *const u8;
    // SAFETY: 20 bytes from `header` are the packet's.
    unsafe {
        Ok(if *header >> 4 == 4 {
            *header.add(9)
        } else {
            *header.add(6)
        })
    }
}

/// Version 6, the protocol beyond the extension headers, and where its header begins. TCP in very large segments comes
/// after one (BIG TCP, `struct hop_jumbo_hdr`).
#[inline(always)]
fn beyond(packet: &SkBuffContext, first: u8) -> Result<(u8, u8, u64), Error> {
    let (mut protocol, mut at) = (first, IPV6_HEADER);
    for _ in 0..EXTENSIONS_MAX {
        if !EXTENSIONS.contains(&protocol) {
            break;
        }
        let [next, len]: [u8; 2] = packet.load(at as usize).map_err(|_| Error::Fault)?;
        at += (u64::from(len) + 1) * 8;
        protocol = next;
    }
    Ok((6, protocol, at))
}

/// Ends and payload; nothing of what the kernel sends as well.
#[inline(always)]
fn parse(packet: &SkBuffContext, protocol: u8, leaving: bool) -> Result<Option<Packet>, Error> {
    let fault = |_| Error::Fault;
    let (version, protocol, header) = match packet.load::<u8>(0).map_err(fault)? {
        first if first >> 4 == 4 => (4, protocol, u64::from(first & 15) * 4),
        _ => beyond(packet, protocol)?,
    };
    let (mut source, mut target) = ([0; 4], [0; 4]);
    if version == 4 {
        source[0] = packet.load::<u32>(12).map_err(fault)?;
        target[0] = packet.load::<u32>(16).map_err(fault)?;
    } else {
        source = packet.load::<[u32; 4]>(8).map_err(fault)?;
        target = packet.load::<[u32; 4]>(24).map_err(fault)?;
    }
    let (mut ports, mut inner) = ([0; 2], 0);
    match protocol {
        UDP => {
            ports = packet.load::<[u16; 2]>(header as usize).map_err(fault)?;
            inner = SHORT_HEADER;
        }
        TCP => {
            ports = packet.load::<[u16; 2]>(header as usize).map_err(fault)?;
            let words = packet.load::<u8>(header as usize + 12).map_err(fault)? >> 4;
            inner = u64::from(words) * 4;
        }
        ICMP | ICMP6 => {
            let kind = packet.load::<u8>(header as usize).map_err(fault)?;
            if leaving && kind != if version == 4 { ECHO } else { ECHO6 } {
                return Ok(None);
            }
            inner = SHORT_HEADER;
        }
        _ => {}
    }
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
        protocol,
        direction: CONNECTED,
        pad: 0,
    };
    // The packet's length, not the header's: with segmentation offload one packet carries many datagrams' payload.
    Ok(Some(Packet {
        ends,
        offset: header + inner,
        payload: u64::from(packet.len()).saturating_sub(header + inner),
    }))
}
