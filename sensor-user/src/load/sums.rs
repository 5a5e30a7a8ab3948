//! The access sums, read where they lie: the array that the programs add to is mapped into the sensor's memory.
//!
//! **Invariant:** only that half is looked into to which no program writes; but for the words that tell which slots are
//! used.

#![allow(
    unsafe_code,
    reason = "memory shared with the kernel programs is read and written through pointers"
)]

use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

use aya::Ebpf;
use aya::maps::{Map, MapData};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use sensor_ebpf::layout::access::{AccessKey, AccessSum, SumSlot};
use sensor_ebpf::layout::limits::{SUMS_BITS, SUMS_MAX, USED_WORDS};

use super::AttemptError;
use super::kernel::broken;

/// Words of one buffer.
const WORDS: usize = USED_WORDS as usize;

/// The array of sums and the words that tell which are used, both with a half for each buffer.
pub(super) struct Slots {
    slots: Shared<SumSlot>,
    used: Shared<u64>,
}

impl Slots {
    pub(super) fn new(object: &mut Ebpf) -> Result<Self, AttemptError> {
        Ok(Self {
            slots: Shared::new(object, "SUMS", SUMS_MAX as usize)?,
            used: Shared::new(object, "USED", 2 * WORDS)?,
        })
    }

    /// True when there is a sum in this buffer, be it here or in the buffer's hash map.
    pub(super) fn are_used(&self, buffer: usize) -> bool {
        (0..WORDS).any(|word| self.used.get(buffer * WORDS + word) != 0)
    }

    /// Takes the sums of a buffer to which no program can write any more. The second half of what it gives is true when
    /// there are others in the buffer's hash map.
    pub(super) fn take(&mut self, buffer: usize) -> (Vec<(AccessKey, AccessSum)>, bool) {
        let mut sums = Vec::new();
        for word in 0..WORDS - 1 {
            let mut bits = self.used.take(buffer * WORDS + word);
            while bits != 0 {
                let slot = (buffer << SUMS_BITS) + word * 64 + bits.trailing_zeros() as usize;
                let taken = self.slots.get(slot);
                self.slots.set(slot, SumSlot { state: 0, ..taken });
                sums.push((taken.key, taken.sum));
                bits &= bits - 1;
            }
        }
        let others = self.used.take(buffer * WORDS + WORDS - 1) != 0;
        (sums, others)
    }
}

/// The values of an array map, mapped.
pub(super) struct Shared<T> {
    /// The map stays as long as its memory is mapped.
    _map: MapData,
    values: NonNull<T>,
    len: usize,
}

// SAFETY: the memory belongs to the value, and its pointer to no thread.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T: Copy> Shared<T> {
    /// `T` must be the layout's type of the map's values: integers without padding, and a multiple of 8 bytes, so that the
    /// kernel puts no room between two of them (kernel/bpf/arraymap.c).
    pub(super) fn new(
        object: &mut Ebpf,
        name: &'static str,
        len: usize,
    ) -> Result<Self, AttemptError> {
        let Some(Map::Array(map)) = object.take_map(name) else {
            return Err(broken(name, "is no array in the object"));
        };
        let fd: BorrowedFd<'_> = std::os::fd::AsFd::as_fd(map.fd());
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping of the map's own size, at an address the kernel chooses.
        let memory = unsafe {
            mmap(
                ptr::null_mut(),
                len * size_of::<T>(),
                protection,
                MapFlags::SHARED,
                fd,
                0,
            )
        };
        let values = memory
            .ok()
            .and_then(|memory| NonNull::new(memory.cast()))
            .ok_or_else(|| broken(name, "cannot be mapped"))?;
        Ok(Self {
            _map: map,
            values,
            len,
        })
    }

    pub(super) fn get(&self, index: usize) -> T {
        assert!(index < self.len, "slots are counted");
        // SAFETY: within the mapping; volatile, because the programs write there.
        unsafe { self.values.add(index).read_volatile() }
    }

    fn take(&mut self, index: usize) -> T
    where
        T: Default,
    {
        let value = self.get(index);
        self.set(index, T::default());
        value
    }

    fn set(&mut self, index: usize, value: T) {
        assert!(index < self.len, "slots are counted");
        // SAFETY: as above.
        unsafe { self.values.add(index).write_volatile(value) }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping is the value's own, and nobody has a pointer into it.
        let unmapped = unsafe { munmap(self.values.as_ptr().cast(), self.len * size_of::<T>()) };
        debug_assert!(unmapped.is_ok(), "what was mapped can be unmapped");
    }
}
