//! How big the storms are. An emulated machine is some twenty times slower, and so are its storms smaller.

use std::sync::OnceLock;

/// Records of the forest.
pub(crate) fn trees() -> usize {
    scaled(100_000)
}

/// Reads of one byte each, of one record.
pub(crate) fn single_bytes() -> usize {
    scaled(1_000_000)
}

/// Short processes.
pub(crate) fn processes() -> usize {
    scaled(200_000)
}

/// Short connections. No more: they leave each its port taken for a minute.
pub(crate) fn connections() -> usize {
    scaled(20_000)
}

/// Reads by each thread: of the common record, and of its own.
pub(crate) fn thread_reads() -> (usize, usize) {
    (scaled(20_000), scaled(10_000))
}

/// True in a machine made for the tests.
pub(crate) fn is_emulated() -> bool {
    static EMULATED: OnceLock<bool> = OnceLock::new();
    *EMULATED.get_or_init(|| {
        std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains("QEMU TCG"))
    })
}

fn scaled(size: usize) -> usize {
    if is_emulated() { size / 20 } else { size }
}
