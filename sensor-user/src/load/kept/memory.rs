//! The file: lines of words, the last of them a check of all before.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::KeptError;

/// First line of the file.
const HEAD: &str = "chartwatch holders 1";
/// Most bytes of the file: all holders that there can be, and of the rest what is kept at most.
pub(super) const BYTES_MAX: u64 = 16 << 20;

/// What a file says.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Memory {
    /// Which boot of the host.
    pub(super) boot: String,
    /// When it was written, boot clock, nanoseconds.
    pub(super) at_ns: u64,
    /// Names of stores, by number.
    pub(super) stores: BTreeMap<u32, String>,
    pub(super) rows: Rows,
}

/// Its numbers, as `super` puts them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Rows {
    /// Pid, start (boot clock, nanoseconds), stores.
    pub(super) holders: Vec<[u64; 3]>,
    /// Inode, device, generation, when last written to, stores.
    pub(super) carriers: Vec<[u64; 5]>,
    /// Cookie, pid, start, when it began, address, bytes before, bytes out, bytes in, ends.
    pub(super) sockets: Vec<[u64; 21]>,
    /// Cookie, pid, start, when it began, when its last datagram was, bytes out, bytes in, ends.
    pub(super) datagrams: Vec<[u64; 20]>,
}

impl Memory {
    /// As it is written.
    pub(super) fn format(&self) -> String {
        let mut text = format!("{HEAD}\nboot {}\nat {}\n", self.boot, self.at_ns);
        for (number, name) in &self.stores {
            // To write into a String does not fail.
            let _written = writeln!(text, "store {number} {name}");
        }
        lines(&mut text, "holder", &self.rows.holders);
        lines(&mut text, "carrier", &self.rows.carriers);
        lines(&mut text, "socket", &self.rows.sockets);
        lines(&mut text, "datagrams", &self.rows.datagrams);
        let sum = crc32c::crc32c(text.as_bytes());
        let _written = writeln!(text, "end {sum}");
        text
    }

    /// Reads it again.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, KeptError> {
        if bytes.len() as u64 > BYTES_MAX {
            return Err(KeptError::Long);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| KeptError::Damaged)?;
        let (body, end) = text.rsplit_once("end ").ok_or(KeptError::Damaged)?;
        let sum = end.strip_suffix('\n').and_then(|sum| sum.parse().ok());
        if sum != Some(crc32c::crc32c(body.as_bytes())) {
            return Err(KeptError::Damaged);
        }
        let mut memory = Self::default();
        for (number, line) in (1..).zip(body.lines()) {
            if number != 1 || line != HEAD {
                memory.take(line).ok_or(KeptError::Line(number))?;
            }
        }
        Ok(memory)
    }

    /// Takes in one line; absent when it is none.
    fn take(&mut self, line: &str) -> Option<()> {
        let (kind, rest) = line.split_once(' ')?;
        match kind {
            "boot" => rest.clone_into(&mut self.boot),
            "at" => self.at_ns = rest.parse().ok()?,
            "store" => {
                let (number, name) = rest.split_once(' ')?;
                self.stores.insert(number.parse().ok()?, name.to_owned());
            }
            "holder" => self.rows.holders.push(numbers(rest)?),
            "carrier" => self.rows.carriers.push(numbers(rest)?),
            "socket" => self.rows.sockets.push(numbers(rest)?),
            "datagrams" => self.rows.datagrams.push(numbers(rest)?),
            _ => return None,
        }
        Some(())
    }
}

fn lines<const N: usize>(text: &mut String, kind: &str, rows: &[[u64; N]]) {
    for row in rows {
        text.push_str(kind);
        for number in row {
            let _written = write!(text, " {number}");
        }
        text.push('\n');
    }
}

fn numbers<const N: usize>(rest: &str) -> Option<[u64; N]> {
    let all: Vec<u64> = rest
        .split(' ')
        .map(|word| word.parse().ok())
        .collect::<Option<_>>()?;
    all.try_into().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let memory = Memory {
            boot: "b-1".to_owned(),
            at_ns: 5,
            stores: [(1, "pacs".to_owned()), (2, "lab".to_owned())].into(),
            rows: Rows {
                holders: vec![[10, 1_234_567_891, 2], [11, 2, u64::MAX]],
                carriers: vec![[7, 8, 9, 10, 4]],
                sockets: vec![[3; 21]],
                datagrams: vec![[4; 20]],
            },
        };
        let text = memory.format();
        assert_eq!(Memory::parse(text.as_bytes()).unwrap(), memory);
        let other = text.replace("holder 10", "holder 12");
        assert_eq!(Memory::parse(other.as_bytes()), Err(KeptError::Damaged));
        for len in 0..text.len() {
            let cut = &text.as_bytes()[..len];
            assert_eq!(Memory::parse(cut), Err(KeptError::Damaged), "{len}");
        }
        for line in [
            "holder 10 x 1",
            "holder 1 2",
            "holder 1 2 3 4",
            "owner 1",
            "at",
        ] {
            let body = format!("{HEAD}\n{line}\n");
            let foreign = format!("{body}end {}\n", crc32c::crc32c(body.as_bytes()));
            let read = Memory::parse(foreign.as_bytes());
            assert_eq!(read, Err(KeptError::Line(2)), "{line}");
        }
        let long = vec![b'x'; BYTES_MAX as usize + 1];
        assert_eq!(Memory::parse(&long), Err(KeptError::Long));
        assert_eq!(Memory::parse(&[0xff]), Err(KeptError::Damaged));
    }
}
