//! Empties a map with few system calls: aya asks three for every entry, and a storm fills a map with thousands of them
//! between two ticks.

#![allow(
    unsafe_code,
    reason = "a system call that no library wraps is made here and nowhere else"
)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::Pod;
use aya::maps::{HashMap, IterableMap as _, MapData};

/// `BPF_MAP_LOOKUP_AND_DELETE_BATCH` of include/uapi/linux/bpf.h; for hashes since Linux 5.6.
const LOOKUP_AND_DELETE_BATCH: libc::c_long = 25;
/// Entries taken by one call.
const ENTRIES: usize = 1024;

/// The part of `union bpf_attr` that batches use.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Takes every entry out of a map. Nobody may write to the map meanwhile, or what comes late is left in it.
pub(super) fn empty<K: Pod, V: Pod>(
    map: &HashMap<MapData, K, V>,
    mut take: impl FnMut(K, V),
) -> io::Result<()> {
    let mut keys: Vec<MaybeUninit<K>> = vec![MaybeUninit::uninit(); ENTRIES];
    let mut values: Vec<MaybeUninit<V>> = vec![MaybeUninit::uninit(); ENTRIES];
    let mut from = None;
    loop {
        let (taken, next) = take_some(map, from, &mut keys, &mut values)?;
        for (key, value) in keys.iter().zip(&values).take(taken) {
            // SAFETY: the kernel has written so many keys and values, and any bytes are a K and a V (Pod).
            unsafe { take(key.assume_init(), value.assume_init()) };
        }
        match next {
            None => return Ok(()),
            // One bucket holds more than there is room for; it is asked again with more.
            Some(_) if taken == 0 => {
                keys.resize(keys.len() * 2, MaybeUninit::uninit());
                values.resize(values.len() * 2, MaybeUninit::uninit());
            }
            Some(_) => from = next,
        }
    }
}

/// Takes as many entries as there is room for; says how many those were and, unless they were the last, where to go on.
fn take_some<K: Pod, V: Pod>(
    map: &HashMap<MapData, K, V>,
    from: Option<u32>,
    keys: &mut [MaybeUninit<K>],
    values: &mut [MaybeUninit<V>],
) -> io::Result<(usize, Option<u32>)> {
    let mut next = 0_u32;
    let mut attributes = Attributes {
        in_batch: from
            .as_ref()
            .map_or(0, |from| std::ptr::from_ref(from) as u64),
        out_batch: (&raw mut next) as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: keys.len().min(values.len()) as u32,
        map_fd: map.map().fd().as_fd().as_raw_fd() as u32,
        ..Attributes::default()
    };
    // SAFETY: the attributes are those of this command and as long as said; the descriptor is the map's, whose keys and
    // values are K and V (aya checks their sizes); both buffers have room for `count` entries, and a hash's position is
    // an u32 (generic_map_lookup_batch, kernel/bpf/hashtab.c).
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            LOOKUP_AND_DELETE_BATCH,
            &raw mut attributes,
            size_of::<Attributes>(),
        )
    };
    let taken = attributes.count as usize;
    match result {
        0 => Ok((taken, Some(next))),
        _ => match io::Error::last_os_error() {
            // The last ones.
            e if e.raw_os_error() == Some(libc::ENOENT) => Ok((taken, None)),
            e if e.raw_os_error() == Some(libc::ENOSPC) => Ok((0, from.or(Some(0)))),
            e => Err(e),
        },
    }
}
