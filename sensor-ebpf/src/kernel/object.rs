//! The kernel's own BPF objects: maps, programs and links, by their ids.

use sensor_ebpf::layout::count::Error;

use super::fields;
use super::read::Reach;

/// Id of a `struct bpf_map`.
///
/// # Safety
/// `map` must be one for `R`, or any address for `Probed`.
#[inline(always)]
pub(crate) unsafe fn map_id<R: Reach>(map: *const u8) -> Result<u32, Error> {
    // SAFETY: the caller's promise.
    unsafe { R::get(map, fields::MAP_ID.load()) }
}

/// Id of a `struct bpf_prog`.
///
/// # Safety
/// `program` must be one for `R`, or any address for `Probed`.
#[inline(always)]
pub(crate) unsafe fn program_id<R: Reach>(program: *const u8) -> Result<u32, Error> {
    // SAFETY: the caller's promise; aux is a bpf_prog_aux.
    unsafe {
        let aux: *const u8 = R::get(program, fields::PROG_AUX.load())?;
        R::get(aux, fields::AUX_ID.load())
    }
}

/// Id of a `struct bpf_link`.
///
/// # Safety
/// `link` must be one for `R`, or any address for `Probed`.
#[inline(always)]
pub(crate) unsafe fn link_id<R: Reach>(link: *const u8) -> Result<u32, Error> {
    // SAFETY: the caller's promise.
    unsafe { R::get(link, fields::LINK_ID.load()) }
}
