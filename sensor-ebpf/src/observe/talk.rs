//! What conversations of processes that hold records begin with, for the names in it: questions and answers of DNS, and the
//! server that a TLS hello asks for. Their sockets carry a mark with the number of packets whose payload is still kept.

use aya_ebpf::{
    bindings::BPF_SK_STORAGE_GET_F_CREATE,
    helpers::generated::{bpf_sk_storage_get, bpf_skb_load_bytes},
    programs::SkBuffContext,
};
use core::ffi::c_void;
use sensor_ebpf::layout::{
    count::Error,
    flow::{DNS_PORT, DatagramKey, Payload, TCP, Talk},
    header::kind,
    limits::{PAYLOAD_MAX, PAYLOADS_DNS},
};

use crate::{
    count::lost,
    emit,
    maps::{BULK, TALKING},
};

/// What is kept of a conversation with this port and protocol.
#[inline(always)]
fn talk(remote_port: u16, protocol: u8) -> Talk {
    match (remote_port, protocol) {
        (DNS_PORT, _) => Talk {
            out: PAYLOADS_DNS,
            r#in: PAYLOADS_DNS,
        },
        // A hello is the first thing said over TLS.
        (_, TCP) => Talk { out: 1, r#in: 0 },
        _ => Talk { out: 0, r#in: 0 },
    }
}

/// Marks a socket; one that is marked stays as it is.
///
/// # Safety
/// `sk` must be a pointer to a socket that the verifier knows, and not null.
#[inline(always)]
pub(crate) unsafe fn mark(sk: *mut c_void, remote_port: u16, protocol: u8) {
    let mut first = talk(remote_port, protocol);
    // SAFETY: see above; the value is copied when there is none yet.
    if unsafe { storage(sk, &raw mut first, BPF_SK_STORAGE_GET_F_CREATE) }.is_null() {
        lost(Error::TalkingFull);
    }
}

/// The mark of a packet's socket; null when it has none.
#[inline(always)]
pub(crate) fn of(packet: &SkBuffContext) -> *mut Talk {
    let sk = socket(packet);
    if sk.is_null() {
        return core::ptr::null_mut();
    }
    // SAFETY: `sk` is a packet's socket.
    unsafe { storage(sk, core::ptr::null_mut(), 0) }
}

/// The socket of a packet; null when it has none.
#[inline(always)]
pub(crate) fn socket(packet: &SkBuffContext) -> *mut c_void {
    // SAFETY: the context is a `__sk_buff`; the union has no other member.
    unsafe { (*packet.skb.skb).__bindgen_anon_2.sk }.cast()
}

/// # Safety
/// As for [`mark`]; `first` must be null or a mark.
#[inline(always)]
unsafe fn storage(sk: *mut c_void, first: *mut Talk, flags: u32) -> *mut Talk {
    let map = core::ptr::from_ref(&TALKING).cast_mut();
    // SAFETY: the map is one of socket storage; the rest is the caller's.
    unsafe { bpf_sk_storage_get(map.cast(), sk.cast(), first.cast(), u64::from(flags)) }.cast()
}

/// True when the payload of the next packet is to be kept.
#[inline(always)]
pub(crate) fn wants(talk: *const Talk, leaving: bool) -> bool {
    if talk.is_null() {
        return false;
    }
    // SAFETY: the mark is valid for as long as the program runs.
    let talk = unsafe { &*talk };
    (if leaving { talk.out } else { talk.r#in }) != 0
}

/// Keeps the payload of a packet, `len` bytes at `offset`, in the ring. Two packets of one socket that come at once may be
/// counted as one.
#[inline(always)]
pub(crate) fn keep(
    packet: &SkBuffContext,
    talk: *mut Talk,
    key: &DatagramKey,
    protocol: u8,
    leaving: bool,
    (offset, len): (u64, u64),
) {
    if len == 0 {
        return;
    }
    // SAFETY: as in `wants`, which has been asked.
    unsafe {
        if leaving {
            (*talk).out = (*talk).out.saturating_sub(1);
        } else {
            (*talk).r#in = (*talk).r#in.saturating_sub(1);
        }
    }
    let Some(mut record) = BULK.reserve::<Payload>(0) else {
        lost(Error::BulkRingFull);
        return;
    };
    let out = record.as_mut_ptr();
    let kept = len.min(PAYLOAD_MAX as u64);
    // SAFETY: `out` is a Payload in the ring, of whose bytes `len` are written; `bound` is `kept`, from 1 to PAYLOAD_MAX.
    let read = unsafe {
        (&raw mut (*out).header).write(emit::header(kind::PAYLOAD));
        (&raw mut (*out).key).write(*key);
        (&raw mut (*out).protocol).write(protocol);
        (&raw mut (*out).incoming).write(u8::from(!leaving));
        (&raw mut (*out).pad).write(0);
        (&raw mut (*out).len).write(kept as u32);
        let bytes: *mut u8 = (&raw mut (*out).bytes).cast();
        // VERIFIER: 6.1 loses bounds over the calls above, learns nothing from `!= 0`, and refuses a length that may be zero
        // ("R3 min value is outside of the allowed memory range"); the compiler would drop a mask it can prove useless.
        let bound = (core::hint::black_box(kept - 1) & (PAYLOAD_MAX as u64 - 1)) + 1;
        bpf_skb_load_bytes(
            packet.skb.skb.cast(),
            offset as u32,
            bytes.cast(),
            bound as u32,
        )
    };
    if read == 0 {
        emit::submit(record, &BULK);
    } else {
        record.discard(0);
        lost(Error::Fault);
    }
}
