//! Numbers and the like out of a fuzzer's bytes, from front to back; past their end they are zeroes.

/// Bytes that are not used up yet.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn fixed<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let taken = self.take(N);
        out[..taken.len()].copy_from_slice(taken);
        out
    }

    /// So many of them, or what is left.
    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(crate) fn u8(&mut self) -> u8 {
        self.fixed::<1>()[0]
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_ne_bytes(self.fixed())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.fixed())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_ne_bytes(self.fixed())
    }
}
