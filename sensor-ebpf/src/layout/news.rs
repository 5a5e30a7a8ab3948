//! That there is something new in a map: a word for each kind, which the sensor reads as memory of its own, so that to find
//! nothing new costs no system call.

/// What is told. Numbers index the map `NEWS`; each word there is only ever added to, after what it tells was written.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// An edge was added to.
    Edge = 0,
    /// A conversation without a connection began.
    Datagrams = 1,
    /// Something was tried on the sensor.
    Tamper = 2,
    /// Something went wrong.
    Loss = 3,
}

/// Words of the map.
pub const NEWS_WORDS: u32 = 4;

const _: () = assert!(News::Loss as u32 + 1 == NEWS_WORDS);
