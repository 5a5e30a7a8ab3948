//! Reads what the sensor needs from the kernel's BTF: where struct members lie, and which functions there are.
//!
//! The format is that of `Documentation/bpf/btf.rst` (6.12). The bytes come from the kernel, but nothing here trusts them:
//! every index and offset is checked, and nesting is bounded.
//!
//! **Invariant:** no I/O, no panic on any input.

use std::collections::{HashMap, HashSet};

use thiserror::Error;

/// `BTF_MAGIC`.
const MAGIC: u16 = 0xeb9f;
/// Bytes of the header (`struct btf_header`).
const HEADER: u32 = 24;
/// Structs inside structs, and names for types, at most.
const NESTING_MAX: usize = 32;
/// Members that are looked at for one that is looked for: unnamed structs could hold each other, and twice. The kernel's have hundreds.
const MEMBERS_MAX: usize = 65_536;
/// Longest name (`KSYM_NAME_LEN`).
const NAME_MAX: usize = 512;

/// Why BTF cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BtfError {
    /// The bytes end before what they announce.
    #[error("BTF is cut short at byte {0}")]
    Short(usize),
    /// It does not begin with the magic number in this machine's byte order.
    #[error("not BTF: magic number {0:#06x} instead of 0xeb9f")]
    Magic(u16),
    /// A kind this reader does not know, whose length it therefore cannot skip.
    #[error("BTF type {id} is of the unknown kind {kind}")]
    Kind {
        /// The type.
        id: usize,
        /// Its kind.
        kind: u32,
    },
}

/// A BTF blob whose types have been found. Members are read when they are asked for: a kernel has 100,000 types, and the
/// programs need a few dozen members.
#[derive(Debug)]
pub struct Btf<'a> {
    types: &'a [u8],
    texts: &'a [u8],
    /// Where each type begins in `types`; the first, void, has no bytes.
    starts: Vec<u32>,
    structs: HashMap<&'a str, Vec<u32>>,
}

/// The part that all types have (`struct btf_type`), and where what follows it begins.
#[derive(Debug, Clone, Copy)]
struct Type {
    /// Where its name begins among the texts.
    name: u32,
    info: u32,
    /// Size in bytes, or the type referred to.
    size_or_target: u32,
    rest: usize,
}

/// `BTF_KIND_*` of include/uapi/linux/btf.h, as far as the reader has to tell them apart.
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const PTR: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

impl Type {
    const fn kind(&self) -> u32 {
        self.info >> 24 & 0x1f
    }

    const fn count(&self) -> usize {
        (self.info & 0xffff) as usize
    }

    const fn is_composite(&self) -> bool {
        matches!(self.kind(), kind::STRUCT | kind::UNION)
    }

    const fn is_number(&self) -> bool {
        matches!(self.kind(), kind::INT | kind::ENUM | kind::ENUM64)
    }

    /// typedef, volatile, const, restrict, type tag.
    const fn is_alias(&self) -> bool {
        matches!(self.kind(), kind::TYPEDEF..=kind::RESTRICT | kind::TYPE_TAG)
    }

    /// 32-bit words that follow the common part (Documentation/bpf/btf.rst); absent for a kind that is not known.
    fn words(&self) -> Option<usize> {
        Some(match self.kind() {
            2 | 7..=12 | 16 | 18 => 0,
            1 | 14 | 17 => 1,
            3 => 3,
            6 | 13 => 2 * self.count(),
            4 | 5 | 15 | 19 => 3 * self.count(),
            _ => return None,
        })
    }
}

#[derive(Debug)]
struct Member<'a> {
    name: &'a str,
    target: u32,
    bit_offset: u32,
    bit_field: bool,
}

/// Where a member lies and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Bytes from the beginning of the struct.
    pub offset: u64,
    /// Bytes it takes.
    pub size: u32,
    /// What it is.
    pub what: What,
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// An integer or enum.
    Number,
    /// A pointer, and the name of the struct it points to, if it is one.
    Pointer(Option<String>),
    /// A struct or union.
    Composite,
    /// An array.
    Array,
    /// A member of some bits: it has no address of its own.
    Bits,
    /// Anything else.
    Other,
}

/// The word at a place, if it is there.
fn word(bytes: &[u8], at: usize) -> Result<u32, BtfError> {
    let end = at.checked_add(4).ok_or(BtfError::Short(at))?;
    let word = bytes.get(at..end).ok_or(BtfError::Short(at))?;
    Ok(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]))
}

impl<'a> Btf<'a> {
    /// Finds the types of a blob such as `/sys/kernel/btf/vmlinux`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        let magic = word(bytes, 0)? as u16;
        if magic != MAGIC {
            return Err(BtfError::Magic(magic));
        }
        let header = word(bytes, 4)? as usize;
        let section = |at: u32, len: u32| {
            let start = header
                .checked_add(at as usize)
                .ok_or(BtfError::Short(header))?;
            let end = start
                .checked_add(len as usize)
                .ok_or(BtfError::Short(start))?;
            bytes.get(start..end).ok_or(BtfError::Short(start))
        };
        let types = section(word(bytes, 8)?, word(bytes, 12)?)?;
        let texts = section(word(bytes, 16)?, word(bytes, 20)?)?;
        let mut btf = Self {
            types,
            texts,
            starts: vec![0],
            structs: HashMap::new(),
        };
        btf.find_types()?;
        Ok(btf)
    }

    fn find_types(&mut self) -> Result<(), BtfError> {
        let mut at = 0;
        while at < self.types.len() {
            let id = self.starts.len();
            let found = self.read(at)?;
            let words = found.words().ok_or(BtfError::Kind {
                id,
                kind: found.kind(),
            })?;
            let end = words
                .checked_mul(4)
                .and_then(|len| found.rest.checked_add(len))
                .ok_or(BtfError::Short(at))?;
            if end > self.types.len() {
                return Err(BtfError::Short(at));
            }
            if found.kind() == kind::STRUCT {
                let name = text(self.texts, found.name);
                if !name.is_empty() {
                    self.structs.entry(name).or_default().push(id as u32);
                }
            }
            self.starts.push(at as u32);
            at = end;
        }
        Ok(())
    }

    fn read(&self, at: usize) -> Result<Type, BtfError> {
        Ok(Type {
            name: word(self.types, at)?,
            info: word(self.types, at + 4)?,
            size_or_target: word(self.types, at + 8)?,
            rest: at + 12,
        })
    }

    /// A type by its number; absent for void and for numbers no type has.
    fn get(&self, id: u32) -> Option<Type> {
        if id == 0 {
            return None;
        }
        self.read(*self.starts.get(id as usize)? as usize).ok()
    }

    /// Types of a kind and name. Names are compared as bytes, and those of other kinds not at all: a kernel has 100,000 types.
    fn called(&self, kind: u32, name: &str) -> impl Iterator<Item = Type> {
        let types = (1..self.starts.len()).filter_map(|id| self.get(id as u32));
        types.filter(move |t| t.kind() == kind && is_text(self.texts, t.name, name))
    }

    /// A description with nothing in it but the functions and typedefs of these names, under their numbers: for a reader that
    /// wants their numbers only, and would else make an object of each type of the kernel.
    #[must_use]
    pub fn excerpt(&self, names: &HashSet<&str>) -> Vec<u8> {
        let (mut types, mut texts) = (Vec::with_capacity(self.starts.len() * 12), vec![0]);
        for found in (1..self.starts.len()).map(|id| self.get(id as u32)) {
            let kept = found
                .filter(|t| matches!(t.kind(), kind::FUNC | kind::TYPEDEF))
                .filter(|t| names.contains(text(self.texts, t.name)));
            // Any type as short as these would do as a stand-in; a pointer has no name.
            let words = match kept {
                Some(kept) => {
                    let name = texts.len() as u32;
                    texts.extend_from_slice(text(self.texts, kept.name).as_bytes());
                    texts.push(0);
                    [name, kept.info, 0]
                }
                None => [0, kind::PTR << 24, 0],
            };
            types.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        }
        let mut blob = Vec::with_capacity(HEADER as usize + types.len() + texts.len());
        blob.extend(MAGIC.to_ne_bytes());
        blob.extend([1, 0]);
        let (types_len, texts_len) = (types.len() as u32, texts.len() as u32);
        for word in [HEADER, 0, types_len, types_len, texts_len] {
            blob.extend(word.to_ne_bytes());
        }
        blob.extend(types);
        blob.extend(texts);
        blob
    }

    /// Members of a struct or union.
    fn members(&self, of: Type) -> impl Iterator<Item = Member<'a>> + '_ {
        let with_widths = of.info >> 31 == 1;
        (0..of.count()).filter_map(move |n| {
            let at = of.rest + n * 12;
            let offset = word(self.types, at + 8).ok()?;
            // With kind_flag the upper eight bits are the width of a bit field, 0 for a whole member.
            let (bit_offset, width) = if with_widths {
                (offset & 0xff_ffff, offset >> 24)
            } else {
                (offset, 0)
            };
            Some(Member {
                name: text(self.texts, word(self.types, at).ok()?),
                target: word(self.types, at + 4).ok()?,
                bit_offset,
                bit_field: width != 0,
            })
        })
    }

    /// True when the kernel has exactly one function of this name, which programs can then attach to by name.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        self.called(kind::FUNC, name).count() == 1
    }

    /// True when there is a system call's own function of that name. There may be two of them: the other is the stand-in
    /// of kernels without the call, with the same prototype (`COND_SYSCALL`), and only one of them is linked.
    #[must_use]
    pub fn has_call(&self, name: &str) -> bool {
        self.called(kind::FUNC, name).next().is_some()
    }

    /// Arguments of the one function of this name.
    #[must_use]
    pub fn function_arguments(&self, name: &str) -> Option<usize> {
        let mut called = self.called(kind::FUNC, name);
        let (function, None) = (called.next()?, called.next()) else {
            return None;
        };
        let prototype = self
            .get(function.size_or_target)
            .filter(|t| t.kind() == kind::FUNC_PROTO)?;
        Some(prototype.count())
    }

    /// Arguments of a tracepoint, by its `btf_trace_NAME` type; the first of that, which is the tracer's own, not counted.
    #[must_use]
    pub fn tracepoint_arguments(&self, name: &str) -> Option<usize> {
        let wanted = format!("btf_trace_{name}");
        let alias = self.called(kind::TYPEDEF, &wanted).next()?;
        let pointer = self
            .get(alias.size_or_target)
            .filter(|t| t.kind() == kind::PTR)?;
        let prototype = self
            .get(pointer.size_or_target)
            .filter(|t| t.kind() == kind::FUNC_PROTO)?;
        prototype.count().checked_sub(1)
    }

    /// Finds a member of a struct by its name, with dots into structs inside. Absent when there is no such struct or
    /// member, or when several structs of the name disagree about it.
    #[must_use]
    pub fn member(&self, container: &str, path: &str) -> Option<Place> {
        let mut found = None;
        let mut left = MEMBERS_MAX;
        for id in self.structs.get(container)? {
            let place = self.follow(*id, path, &mut left);
            if found.is_some() && found != Some(place.clone()) {
                return None;
            }
            found = Some(place);
        }
        found.flatten()
    }

    fn follow(&self, container: u32, path: &str, left: &mut usize) -> Option<Place> {
        let (mut id, mut bits, mut bit_field) = (container, 0_u32, false);
        for part in path.split('.') {
            let member = self.find(id, part, NESTING_MAX, left)?;
            bits = bits.checked_add(member.bit_offset)?;
            (id, bit_field) = (self.plain(member.target)?, member.bit_field);
        }
        let size = self.size(id, NESTING_MAX)?;
        let what = if bit_field {
            What::Bits
        } else {
            self.what(id)?
        };
        (bits % 8 == 0).then_some(Place {
            offset: u64::from(bits / 8),
            size,
            what,
        })
    }

    /// A member that may lie in unnamed structs and unions; its offset is counted from the container. None when it would take
    /// more looks than are left.
    fn find(
        &self,
        container: u32,
        name: &str,
        depth: usize,
        left: &mut usize,
    ) -> Option<Member<'a>> {
        let of = self.get(container).filter(Type::is_composite)?;
        for member in self.members(of) {
            *left = left.checked_sub(1)?;
            if member.name == name {
                return Some(member);
            }
            if member.name.is_empty() && depth > 0 {
                let inner = self.plain(member.target)?;
                if let Some(found) = self.find(inner, name, depth - 1, left) {
                    let bit_offset = member.bit_offset.checked_add(found.bit_offset)?;
                    return Some(Member {
                        bit_offset,
                        ..found
                    });
                }
            }
        }
        None
    }

    /// The type behind typedefs and qualifiers.
    fn plain(&self, mut id: u32) -> Option<u32> {
        for _ in 0..NESTING_MAX {
            match self.get(id) {
                Some(found) if found.is_alias() => id = found.size_or_target,
                _ => return Some(id),
            }
        }
        None
    }

    fn size(&self, id: u32, depth: usize) -> Option<u32> {
        let found = self.get(self.plain(id)?)?;
        match found.kind() {
            kind::PTR => Some(8),
            kind::ARRAY if depth > 0 => {
                let (element, length) = (
                    word(self.types, found.rest).ok()?,
                    word(self.types, found.rest + 8).ok()?,
                );
                self.size(element, depth - 1)?.checked_mul(length)
            }
            _ => (found.is_number() || found.is_composite()).then_some(found.size_or_target),
        }
    }

    fn what(&self, id: u32) -> Option<What> {
        let found = self.get(id)?;
        Some(match found.kind() {
            kind::PTR => What::Pointer(self.pointee(found.size_or_target)),
            kind::ARRAY => What::Array,
            _ if found.is_number() => What::Number,
            _ if found.is_composite() => What::Composite,
            _ => What::Other,
        })
    }

    fn pointee(&self, id: u32) -> Option<String> {
        let found = self.get(self.plain(id)?)?;
        found
            .is_composite()
            .then(|| text(self.texts, found.name).to_owned())
    }
}

/// A name; empty when it is out of bounds, too long or no UTF-8, which no name that is looked for is.
fn text(texts: &[u8], at: u32) -> &str {
    let Some(rest) = texts.get(at as usize..) else {
        return "";
    };
    let mut bytes = rest.iter().take(NAME_MAX);
    let end = bytes.position(|b| *b == 0).unwrap_or(0);
    std::str::from_utf8(&rest[..end]).unwrap_or("")
}

/// True when the name at a place is this one, which is not empty.
fn is_text(texts: &[u8], at: u32, name: &str) -> bool {
    let rest = texts.get(at as usize..).unwrap_or_default();
    rest.strip_prefix(name.as_bytes())
        .is_some_and(|rest| rest.first() == Some(&0))
}

#[cfg(test)]
mod tests;
