//! Reads what the sensor needs from the kernel's BTF: where struct members lie, and which functions there are.
//!
//! The format is that of `Documentation/bpf/btf.rst` (6.12). The bytes come from the kernel, but nothing here trusts them:
//! every index and offset is checked, and nesting is bounded.
//!
//! **Invariant:** no I/O, no panic on any input.

use std::collections::HashMap;

use thiserror::Error;

/// `BTF_MAGIC`.
const MAGIC: u16 = 0xeb9f;
/// Structs inside structs, and names for types, at most.
const NESTING_MAX: usize = 32;

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

/// A parsed BTF blob.
#[derive(Debug)]
pub struct Btf<'a> {
    types: Vec<Type<'a>>,
    structs: HashMap<&'a str, Vec<u32>>,
    functions: HashMap<&'a str, u32>,
}

#[derive(Debug)]
struct Type<'a> {
    name: &'a str,
    /// Size in bytes, or the type referred to.
    size_or_target: u32,
    shape: Shape<'a>,
}

#[derive(Debug)]
enum Shape<'a> {
    Void,
    Number,
    Pointer,
    Array {
        element: u32,
        length: u32,
    },
    Composite(Vec<Member<'a>>),
    /// typedef, const, volatile, restrict, type tag.
    Alias,
    Other,
}

#[derive(Debug)]
struct Member<'a> {
    name: &'a str,
    kind: u32,
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

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn u32(&mut self) -> Result<u32, BtfError> {
        let end = self.at.checked_add(4).ok_or(BtfError::Short(self.at))?;
        let word = self
            .bytes
            .get(self.at..end)
            .ok_or(BtfError::Short(self.at))?;
        self.at = end;
        Ok(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]))
    }

    fn skip(&mut self, words: usize) -> Result<(), BtfError> {
        let end = words
            .checked_mul(4)
            .and_then(|n| self.at.checked_add(n))
            .ok_or(BtfError::Short(self.at))?;
        if end > self.bytes.len() {
            return Err(BtfError::Short(self.at));
        }
        self.at = end;
        Ok(())
    }
}

impl<'a> Btf<'a> {
    /// Parses a blob such as `/sys/kernel/btf/vmlinux`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        let mut head = Cursor { bytes, at: 0 };
        let magic = head.u32()?;
        if magic as u16 != MAGIC {
            return Err(BtfError::Magic(magic as u16));
        }
        let header = head.u32()? as usize;
        let (type_at, type_len) = (head.u32()? as usize, head.u32()? as usize);
        let (text_at, text_len) = (head.u32()? as usize, head.u32()? as usize);
        let section = |at: usize, len: usize| {
            let start = header.checked_add(at).ok_or(BtfError::Short(header))?;
            let end = start.checked_add(len).ok_or(BtfError::Short(start))?;
            bytes.get(start..end).ok_or(BtfError::Short(start))
        };
        let (types, texts) = (section(type_at, type_len)?, section(text_at, text_len)?);
        Self::read_types(types, texts)
    }

    fn read_types(bytes: &'a [u8], texts: &'a [u8]) -> Result<Self, BtfError> {
        let mut types = vec![Type {
            name: "",
            size_or_target: 0,
            shape: Shape::Void,
        }];
        let (mut structs, mut functions): (HashMap<_, Vec<u32>>, _) =
            (HashMap::new(), HashMap::new());
        let mut cursor = Cursor { bytes, at: 0 };
        while cursor.at < bytes.len() {
            let id = types.len() as u32;
            let name = text(texts, cursor.u32()?);
            let info = cursor.u32()?;
            let size_or_target = cursor.u32()?;
            let kind = info >> 24 & 0x1f;
            let shape = read_shape(&mut cursor, texts, id, info)?;
            if kind == 4 && !name.is_empty() {
                structs.entry(name).or_default().push(id);
            } else if kind == 12 {
                *functions.entry(name).or_insert(0) += 1;
            }
            types.push(Type {
                name,
                size_or_target,
                shape,
            });
        }
        Ok(Self {
            types,
            structs,
            functions,
        })
    }

    /// True when the kernel has exactly one function of this name that programs can attach to by name.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        self.functions.get(name) == Some(&1)
    }

    /// Finds a member of a struct by its name, with dots into structs inside. Absent when there is no such struct or
    /// member, or when several structs of the name disagree about it.
    #[must_use]
    pub fn member(&self, container: &str, path: &str) -> Option<Place> {
        let mut found = None;
        for id in self.structs.get(container)? {
            let place = self.follow(*id, path);
            if found.is_some() && found != Some(place.clone()) {
                return None;
            }
            found = Some(place);
        }
        found.flatten()
    }

    fn follow(&self, container: u32, path: &str) -> Option<Place> {
        let (mut id, mut bits, mut bit_field) = (container, 0_u32, false);
        for part in path.split('.') {
            let member = self.find(id, part, NESTING_MAX)?;
            bits = bits.checked_add(member.0)?;
            (id, bit_field) = (self.plain(member.1)?, member.2);
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

    /// Offset in bits, type, and whether it is a bit field, of a member that may lie in unnamed structs and unions.
    fn find(&self, container: u32, name: &str, depth: usize) -> Option<(u32, u32, bool)> {
        let Shape::Composite(members) = &self.types.get(container as usize)?.shape else {
            return None;
        };
        for member in members {
            if member.name == name {
                return Some((member.bit_offset, member.kind, member.bit_field));
            }
            if member.name.is_empty() && depth > 0 {
                let inner = self.plain(member.kind)?;
                if let Some(found) = self.find(inner, name, depth - 1) {
                    return Some((member.bit_offset.checked_add(found.0)?, found.1, found.2));
                }
            }
        }
        None
    }

    /// The type behind typedefs and qualifiers.
    fn plain(&self, mut id: u32) -> Option<u32> {
        for _ in 0..NESTING_MAX {
            let kind = self.types.get(id as usize)?;
            if !matches!(kind.shape, Shape::Alias) {
                return Some(id);
            }
            id = kind.size_or_target;
        }
        None
    }

    fn size(&self, id: u32, depth: usize) -> Option<u32> {
        let kind = self.types.get(self.plain(id)? as usize)?;
        match &kind.shape {
            Shape::Number | Shape::Composite(_) => Some(kind.size_or_target),
            Shape::Pointer => Some(8),
            Shape::Array { element, length } if depth > 0 => {
                self.size(*element, depth - 1)?.checked_mul(*length)
            }
            Shape::Array { .. } | Shape::Void | Shape::Alias | Shape::Other => None,
        }
    }

    fn what(&self, id: u32) -> Option<What> {
        let kind = self.types.get(id as usize)?;
        Some(match &kind.shape {
            Shape::Number => What::Number,
            Shape::Composite(_) => What::Composite,
            Shape::Array { .. } => What::Array,
            Shape::Pointer => What::Pointer(self.pointee(kind.size_or_target)),
            Shape::Void | Shape::Alias | Shape::Other => What::Other,
        })
    }

    fn pointee(&self, id: u32) -> Option<String> {
        let kind = self.types.get(self.plain(id)? as usize)?;
        matches!(kind.shape, Shape::Composite(_)).then(|| kind.name.to_owned())
    }
}

/// Reads what follows the common part of a type, by its kind (`BTF_KIND_*`, include/uapi/linux/btf.h).
fn read_shape<'a>(
    cursor: &mut Cursor<'_>,
    texts: &'a [u8],
    id: u32,
    info: u32,
) -> Result<Shape<'a>, BtfError> {
    let count = (info & 0xffff) as usize;
    Ok(match info >> 24 & 0x1f {
        1 => skipped(cursor, 1, Shape::Number)?,
        2 => Shape::Pointer,
        3 => {
            let (element, _index, length) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
            Shape::Array { element, length }
        }
        4 | 5 => Shape::Composite(read_members(cursor, texts, count, info >> 31 == 1)?),
        6 => skipped(cursor, 2 * count, Shape::Number)?,
        19 => skipped(cursor, 3 * count, Shape::Number)?,
        8..=11 | 18 => Shape::Alias,
        7 | 12 | 16 => Shape::Other,
        13 => skipped(cursor, 2 * count, Shape::Other)?,
        14 | 17 => skipped(cursor, 1, Shape::Other)?,
        15 => skipped(cursor, 3 * count, Shape::Other)?,
        kind => {
            return Err(BtfError::Kind {
                id: id as usize,
                kind,
            });
        }
    })
}

fn skipped<'a>(
    cursor: &mut Cursor<'_>,
    words: usize,
    shape: Shape<'a>,
) -> Result<Shape<'a>, BtfError> {
    cursor.skip(words)?;
    Ok(shape)
}

fn read_members<'a>(
    cursor: &mut Cursor<'_>,
    texts: &'a [u8],
    count: usize,
    with_widths: bool,
) -> Result<Vec<Member<'a>>, BtfError> {
    (0..count)
        .map(|_| {
            let (name, kind, offset) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
            // With kind_flag the upper eight bits are the width of a bit field, 0 for a whole member.
            let (bit_offset, width) = if with_widths {
                (offset & 0xff_ffff, offset >> 24)
            } else {
                (offset, 0)
            };
            Ok(Member {
                name: text(texts, name),
                kind,
                bit_offset,
                bit_field: width != 0,
            })
        })
        .collect()
}

/// A name; empty when it is out of bounds or no UTF-8, which no name that is looked for is.
fn text(texts: &[u8], at: u32) -> &str {
    let Some(rest) = texts.get(at as usize..) else {
        return "";
    };
    let end = rest.iter().position(|b| *b == 0).unwrap_or(0);
    std::str::from_utf8(&rest[..end]).unwrap_or("")
}

#[cfg(test)]
mod tests;
