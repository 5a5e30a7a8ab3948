//! Tells the sensor that there is something new to look at.
//!
//! **Invariant:** what is told was written before: the sensor reads the word first and looks after, so what it does not find
//! yet moves the word later.

use sensor_ebpf::layout::news::News;

use crate::{count::add, maps::NEWS};

/// Only for what is seldom done: all CPUs write to the same word.
#[inline(always)]
pub(crate) fn tell(news: News) {
    if let Some(word) = NEWS.get_ptr_mut(news as u32) {
        // SAFETY: the value of an array map is always there; it is only ever added to, atomically.
        add(unsafe { &mut *word }, 1);
    }
}
