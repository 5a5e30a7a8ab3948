//! The memory of answers: a slot for each of many inodes, asked before anything else on every open, read and write.
//!
//! A slot is found by arithmetic, not by hashing in the kernel: asking costs a few instructions. Two files may share a
//! slot; then each pushes the other's answer out, and what was pushed out is found again the long way. Directories
//! have slots too: below one that is known to lie outside, no file is a record.
//!
//! A slot is several words, and any CPU may read it while another writes. Its `state` tells: whoever writes adds one to
//! it, goes on only if nobody else did, and turns the one into a step of the upper half when done. Whoever reads looks
//! at the state before and after. Loads and stores of x86-64 keep their order.
//!
//! **Invariant:** a slot is only a memory; losing one costs time and nothing else.

use sensor_ebpf::layout::{
    access::{Answer, Inode},
    count::Error,
    limits::ANSWERS_BITS,
};

use crate::{count::add, maps::ANSWERS};

/// Writers that are under way, in a slot's state.
const WRITERS: u64 = u32::MAX as u64;
/// What a finished writer leaves in the state.
const WRITTEN: u64 = 1 << 32;

/// A slot's state at some time.
#[derive(Clone, Copy)]
pub(crate) struct Seen(u64);

/// Where the answer for one inode is kept.
#[derive(Clone, Copy)]
pub(crate) struct Slot(*mut Answer);

impl Slot {
    /// The slot of a file.
    #[inline(always)]
    pub(crate) fn of(file: &Inode) -> Result<Self, Error> {
        // Fibonacci hashing (Knuth 6.4): the upper bits of the product depend on all bits of the number.
        let mixed = (file.ino ^ (u64::from(file.dev) << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ANSWERS
            .get_ptr_mut((mixed >> (64 - ANSWERS_BITS)) as u32)
            .map(Self)
            .ok_or(Error::NoControl)
    }

    /// The slot as it is now; an answer looked for from here on may be remembered by it.
    #[inline(always)]
    pub(crate) fn seen(self) -> Seen {
        Seen(self.state())
    }

    /// The store that was found for the file, or `NO_STORE`; `None` when that is not known or no longer holds.
    #[inline(always)]
    pub(crate) fn recall(self, file: &Inode, generation: u32, seen: Seen) -> Option<u32> {
        // SAFETY: a value of an array map is always there; volatile, because another CPU may write to it.
        let (of, store, found) = unsafe {
            (
                (&raw const (*self.0).file).read_volatile(),
                (&raw const (*self.0).store).read_volatile(),
                (&raw const (*self.0).generation).read_volatile(),
            )
        };
        let holds = of.ino == file.ino
            && of.dev == file.dev
            && of.generation == file.generation
            && found == generation;
        (holds && seen.0 & WRITERS == 0 && self.state() == seen.0).then_some(store)
    }

    /// Remembers an answer that was found while `generation` held. False when the slot is no longer as it was seen: then
    /// it is as another writer leaves it, and what was found meanwhile may be wrong.
    #[inline(always)]
    pub(crate) fn remember(self, file: &Inode, store: u32, generation: u32, seen: Seen) -> bool {
        if seen.0 & WRITERS != 0 {
            return false;
        }
        self.step(1);
        let alone = self.state() == seen.0 + 1;
        if alone {
            // SAFETY: as in `recall`; nobody else writes, and who reads sees that somebody does.
            unsafe {
                (&raw mut (*self.0).file).write_volatile(*file);
                (&raw mut (*self.0).store).write_volatile(store);
                (&raw mut (*self.0).generation).write_volatile(generation);
            }
        }
        self.step(if alone { WRITTEN - 1 } else { u64::MAX });
        alone
    }

    #[inline(always)]
    fn state(self) -> u64 {
        // SAFETY: as in `recall`.
        unsafe { (&raw const (*self.0).state).read_volatile() }
    }

    #[inline(always)]
    fn step(self, n: u64) {
        // SAFETY: the word is only ever added to, atomically.
        add(unsafe { &mut (*self.0).state }, n);
    }
}
