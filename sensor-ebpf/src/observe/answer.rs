//! The memory of answers: a slot for each of many inodes, asked before anything else on every open, read and write.
//!
//! A slot is found by arithmetic, not by hashing in the kernel: asking costs a few instructions. Two files may share a
//! slot; then each pushes the other's answer out, and what was pushed out is found again the long way. Directories
//! have slots too: below one that is known to lie outside, no file is a record.
//!
//! An inode is told from others by its number, its generation and its super block. Another file system may come to have
//! that super block after the first is gone; none that is mounted later lies in a store before the sensor says so, and
//! then every answer is void.
//!
//! A slot is several words, and any CPU may read it while another writes. Its `state` tells: whoever writes adds one to
//! it, goes on only if nobody else did, and turns the one into a step of the upper half when done. Whoever reads looks
//! at the state before and after. Loads and stores of x86-64 keep their order.
//!
//! **Invariant:** a slot is only a memory; losing one costs time and nothing else.

use sensor_ebpf::layout::{
    access::{Answer, NO_STORE},
    count::Error,
    limits::ANSWERS_BITS,
};

use crate::{
    count::add,
    kernel::{file::Here, read::Reach},
    maps,
};

/// Writers that are under way, in a slot's state.
const WRITERS: u64 = u32::MAX as u64;
/// What a finished writer leaves in the state.
const WRITTEN: u64 = 1 << 32;

/// A file or directory that lies outside of every store.
pub(crate) const NOWHERE: (u32, u32) = (NO_STORE, 0);

/// A slot's state at some time.
#[derive(Clone, Copy)]
pub(crate) struct Seen(u64);

/// Where the answer for one inode is kept.
#[derive(Clone, Copy)]
pub(crate) struct Slot(*mut Answer);

impl Slot {
    /// The slot of a file or directory.
    #[inline(always)]
    pub(crate) fn of<R: Reach>(inode: &Here<R>) -> Result<Self, Error> {
        // Fibonacci hashing (Knuth 6.4): the upper bits of the product depend on all bits of the number.
        // VERIFIER: no arithmetic on the address of the super block; the generation, most often random, sets two file
        // systems apart as well.
        let mixed =
            (inode.ino ^ (u64::from(inode.generation) << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // SAFETY: there are as many slots as the upper bits can number.
        Ok(Self(unsafe {
            maps::answers().add((mixed >> (64 - ANSWERS_BITS)) as usize)
        }))
    }

    /// The slot as it is now; an answer looked for from here on may be remembered by it.
    #[inline(always)]
    pub(crate) fn seen(self) -> Seen {
        Seen(self.state())
    }

    /// The store that was found for the inode, or `NO_STORE`, and of a record its device; `None` when that is not known or
    /// no longer holds.
    #[inline(always)]
    pub(crate) fn recall<R: Reach>(
        self,
        inode: &Here<R>,
        generation: u32,
        seen: Seen,
    ) -> Option<(u32, u32)> {
        // SAFETY: a value of an array map is always there; volatile, because another CPU may write to it.
        let (sb, ino, of, store, found, dev) = unsafe {
            (
                (&raw const (*self.0).sb).read_volatile(),
                (&raw const (*self.0).ino).read_volatile(),
                (&raw const (*self.0).inode_generation).read_volatile(),
                (&raw const (*self.0).store).read_volatile(),
                (&raw const (*self.0).generation).read_volatile(),
                (&raw const (*self.0).dev).read_volatile(),
            )
        };
        let holds = ino == inode.ino
            && sb == inode.sb as u64
            && of == inode.generation
            && found == generation;
        (holds && seen.0 & WRITERS == 0 && self.state() == seen.0).then_some((store, dev))
    }

    /// True when it is known of the inode that it lies outside of every store.
    #[inline(always)]
    pub(crate) fn is_outside<R: Reach>(self, inode: &Here<R>, generation: u32, seen: Seen) -> bool {
        matches!(self.recall(inode, generation, seen), Some((NO_STORE, _)))
    }

    /// Remembers an answer that was found while `generation` held. False when the slot is no longer as it was seen: then
    /// it is as another writer leaves it, and what was found meanwhile may be wrong.
    #[inline(always)]
    pub(crate) fn remember<R: Reach>(
        self,
        inode: &Here<R>,
        (store, dev): (u32, u32),
        generation: u32,
        seen: Seen,
    ) -> bool {
        if seen.0 & WRITERS != 0 {
            return false;
        }
        self.step(1);
        let alone = self.state() == seen.0 + 1;
        if alone {
            // SAFETY: as in `recall`; nobody else writes, and who reads sees that somebody does.
            unsafe {
                (&raw mut (*self.0).sb).write_volatile(inode.sb as u64);
                (&raw mut (*self.0).ino).write_volatile(inode.ino);
                (&raw mut (*self.0).inode_generation).write_volatile(inode.generation);
                (&raw mut (*self.0).store).write_volatile(store);
                (&raw mut (*self.0).generation).write_volatile(generation);
                (&raw mut (*self.0).dev).write_volatile(dev);
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
