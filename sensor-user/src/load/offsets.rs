//! Fills the layout's table of kernel struct members with offsets from BTF, and refuses what does not fit.

use sensor_ebpf::layout::fields::{ABSENT, FIELDS, Field, Kind};
use sensor_ebpf::layout::helpers::{HELPERS, Helper};
use thiserror::Error;

use super::btf::{Btf, Place, What};

/// Why a kernel's structs cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum OffsetError {
    /// A required member is not there.
    #[error("this kernel has no member {container}.{member}, which the programs need")]
    Missing {
        /// The struct.
        container: &'static str,
        /// The member.
        member: &'static str,
    },
    /// A member is not what the programs take it for.
    #[error(
        "{container}.{member} is {found:?} of {size} bytes in this kernel; the programs expect {expected:?}"
    )]
    Unlike {
        /// The struct.
        container: &'static str,
        /// The member.
        member: &'static str,
        /// What it is.
        found: What,
        /// Its bytes.
        size: u32,
        /// What it should be.
        expected: Kind,
    },
}

/// Offsets by the name of the global that takes each.
pub fn resolve(btf: &Btf<'_>) -> Result<Vec<(&'static str, u64)>, OffsetError> {
    FIELDS
        .iter()
        .map(|field| Ok((field.global, offset(btf, field)?)))
        .collect()
}

/// Which helpers the kernel has, 1 or 0, by the name of the global that says so.
pub fn helpers(btf: &Btf<'_>) -> impl Iterator<Item = (&'static str, u64)> {
    let has = |helper: &Helper| u64::from(btf.has_function(helper.function));
    HELPERS
        .iter()
        .map(move |helper| (helper.global, has(helper)))
}

fn offset(btf: &Btf<'_>, field: &Field) -> Result<u64, OffsetError> {
    let (container, member) = (field.container, field.member);
    match btf.member(container, member) {
        None if field.required => Err(OffsetError::Missing { container, member }),
        None => Ok(ABSENT),
        Some(place) if fits(field, &place) => Ok(place.offset),
        Some(place) => Err(OffsetError::Unlike {
            container,
            member,
            found: place.what,
            size: place.size,
            expected: field.kind,
        }),
    }
}

fn fits(field: &Field, place: &Place) -> bool {
    let large_enough = match field.kind {
        Kind::Low => place.size >= field.size,
        Kind::Array => true,
        _ => place.size == field.size,
    };
    large_enough
        && match (&field.kind, &place.what) {
            (Kind::Int | Kind::Low, What::Number)
            | (Kind::Struct, What::Composite)
            | (Kind::Array, What::Array)
            | (Kind::Opaque, What::Pointer(_)) => true,
            (Kind::Pointer(target), What::Pointer(Some(found))) => found == target,
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn kind_and_size_must_fit() {
        let field = |kind| Field {
            global: "G",
            container: "c",
            member: "m",
            kind,
            size: 8,
            required: true,
        };
        let place = |size, what| Place {
            offset: 0,
            size,
            what,
        };
        let cases = [
            (Kind::Int, place(8, What::Number), true),
            (Kind::Int, place(4, What::Number), false),
            (Kind::Int, place(8, What::Bits), false),
            (Kind::Low, place(16, What::Number), true),
            (Kind::Low, place(4, What::Number), false),
            (Kind::Int, place(8, What::Pointer(None)), false),
            (
                Kind::Pointer("inode"),
                place(8, What::Pointer(Some("inode".to_owned()))),
                true,
            ),
            (
                Kind::Pointer("inode"),
                place(8, What::Pointer(Some("file".to_owned()))),
                false,
            ),
            (Kind::Pointer("inode"), place(8, What::Pointer(None)), false),
            (Kind::Opaque, place(8, What::Pointer(None)), true),
            (Kind::Struct, place(8, What::Composite), true),
            (Kind::Struct, place(8, What::Array), false),
        ];
        for (kind, place, expected) in cases {
            assert_eq!(fits(&field(kind), &place), expected, "{kind:?} {place:?}");
        }
    }

    #[test]
    fn a_missing_member_is_named() {
        let blob = [
            0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        let error = resolve(&Btf::parse(&blob).unwrap()).unwrap_err();
        assert_eq!(
            error,
            OffsetError::Missing {
                container: "task_struct",
                member: "pid"
            }
        );
    }
}
