//! Ways to read a record through memory that maps it.

use std::io;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mprotect};

use crate::way::{self, Expect, LEN, Place, Way, way, whole};

const MAPPED: &[Expect] = &[Expect::Mapped(LEN as u64)];

pub(crate) const WAYS: &[Way] = &[
    way("mmap-private", private, MAPPED),
    way("mmap-shared", shared, MAPPED),
    way("mmap-touched-later", later, MAPPED),
    way("mmap-then-mprotect", protected, MAPPED),
    way("mmap-opened-before-start", early, MAPPED).early(),
    way("mmap-mapped-before-start", mapped_early, MAPPED).early(),
];

/// A mapping of the whole record; it stays until the process ends.
struct Mapping(*mut u8);

impl Mapping {
    fn of(file: &std::fs::File, protection: ProtFlags, flags: MapFlags) -> io::Result<Self> {
        // SAFETY: a new mapping of an open file at an address the kernel chooses; nothing else lies there.
        let start = unsafe { mmap(std::ptr::null_mut(), LEN, protection, flags, file, 0) }?;
        Ok(Self(start.cast()))
    }

    fn content(&self) -> &[u8] {
        // SAFETY: the mapping is as long as the file, is never unmapped, and nobody writes to the file meanwhile.
        unsafe { std::slice::from_raw_parts(self.0, LEN) }
    }
}

fn private(place: &Place) -> io::Result<()> {
    whole(Mapping::of(&place.open()?, ProtFlags::READ, MapFlags::PRIVATE)?.content())
}

fn shared(place: &Place) -> io::Result<()> {
    whole(Mapping::of(&place.open()?, ProtFlags::READ, MapFlags::SHARED)?.content())
}

/// Descriptor and name are gone when the pages are touched.
fn later(place: &Place) -> io::Result<()> {
    let mapping = Mapping::of(&place.open()?, ProtFlags::READ, MapFlags::PRIVATE)?;
    std::fs::rename(place.record(), place.inside().join("another-name"))?;
    whole(mapping.content())
}

/// Mapped so that it cannot be read; made readable afterwards.
fn protected(place: &Place) -> io::Result<()> {
    let mapping = Mapping::of(&place.open()?, ProtFlags::empty(), MapFlags::PRIVATE)?;
    // SAFETY: the whole of our own mapping.
    unsafe { mprotect(mapping.0.cast(), LEN, MprotectFlags::READ) }?;
    whole(mapping.content())
}

fn early(place: &Place) -> io::Result<()> {
    let file = place.open()?;
    way::pause()?;
    whole(Mapping::of(&file, ProtFlags::READ, MapFlags::PRIVATE)?.content())
}

fn mapped_early(place: &Place) -> io::Result<()> {
    let mapping = Mapping::of(&place.open()?, ProtFlags::READ, MapFlags::PRIVATE)?;
    way::pause()?;
    whole(mapping.content())
}
