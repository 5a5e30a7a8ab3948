//! A BTF blob made by hand, whole, cut short and garbled.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[derive(Default)]
struct Maker {
    types: Vec<u32>,
    texts: Vec<u8>,
}

impl Maker {
    fn name(&mut self, name: &str) -> u32 {
        if self.texts.is_empty() {
            self.texts.push(0);
        }
        let at = self.texts.len() as u32;
        self.texts.extend_from_slice(name.as_bytes());
        self.texts.push(0);
        if name.is_empty() { 0 } else { at }
    }

    fn add(&mut self, name: &str, kind: u32, count: u32, flag: bool, size: u32, rest: &[u32]) {
        let name = self.name(name);
        self.types
            .extend([name, u32::from(flag) << 31 | kind << 24 | count, size]);
        self.types.extend(rest);
    }

    fn blob(&self) -> Vec<u8> {
        let types: Vec<u8> = self.types.iter().flat_map(|w| w.to_ne_bytes()).collect();
        let mut out = Vec::new();
        out.extend(MAGIC.to_ne_bytes());
        out.extend([1, 0]);
        for word in [24, 0, types.len(), types.len(), self.texts.len()] {
            out.extend((word as u32).to_ne_bytes());
        }
        out.extend(types);
        out.extend(&self.texts);
        out
    }
}

/// 1 int, 2 struct inode {int ino}, 3 ptr to 2, 4 const 3, 5 unnamed union {int mode; int alias}, 6 struct file with
/// a pointer, the union and a bit field, 7 func.
fn sample() -> Vec<u8> {
    let mut m = Maker::default();
    m.add("int", 1, 0, false, 4, &[32]);
    let ino = m.name("ino");
    m.add("inode", 4, 1, false, 4, &[ino, 1, 0]);
    m.add("", 2, 0, false, 2, &[]);
    m.add("", 10, 0, false, 3, &[]);
    let (mode, alias) = (m.name("mode"), m.name("alias"));
    m.add("", 5, 2, false, 4, &[mode, 1, 0, alias, 1, 0]);
    let (inode, bits, inner) = (m.name("f_inode"), m.name("bits"), m.name("inner"));
    m.add(
        "file",
        4,
        4,
        true,
        24,
        &[
            inode,
            4,
            0,
            0,
            5,
            64,
            bits,
            1,
            0x60 | 3 << 24,
            inner,
            2,
            128,
        ],
    );
    m.add("vfs_read", 12, 0, false, 0, &[]);
    m.blob()
}

#[test]
fn members_are_found_with_kind_and_size() {
    let blob = sample();
    let btf = Btf::parse(&blob).unwrap();
    let cases = [
        (
            "f_inode",
            Some((0, 8, What::Pointer(Some("inode".to_owned())))),
        ),
        ("mode", Some((8, 4, What::Number))),
        ("alias", Some((8, 4, What::Number))),
        ("bits", Some((12, 4, What::Bits))),
        ("inner", Some((16, 4, What::Composite))),
        ("inner.ino", Some((16, 4, What::Number))),
        ("absent", None),
        ("mode.x", None),
    ];
    for (path, expected) in cases {
        let expected = expected.map(|(offset, size, what)| Place { offset, size, what });
        assert_eq!(btf.member("file", path), expected, "{path}");
    }
    assert_eq!(btf.member("nothing", "x"), None);
    assert!(btf.has_function("vfs_read"));
    assert!(!btf.has_function("vfs_write"));
}

#[test]
fn structs_that_hold_each_other_come_to_an_end() {
    let mut m = Maker::default();
    let twice = [0, 1, 0, 0, 1, 0];
    m.add("a", 4, 2, false, 8, &twice);
    let blob = m.blob();
    assert_eq!(Btf::parse(&blob).unwrap().member("a", "b"), None);
}

#[test]
fn every_truncation_is_an_error_or_a_smaller_blob() {
    let blob = sample();
    for len in 0..blob.len() {
        assert!(
            Btf::parse(&blob[..len]).is_err(),
            "{len} bytes were taken for whole"
        );
    }
}

#[test]
fn garbage_never_panics() {
    let blob = sample();
    for at in 0..blob.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bad = blob.clone();
            bad[at] = value;
            if let Ok(btf) = Btf::parse(&bad) {
                let _place = btf.member("file", "inner.ino");
                let _place = btf.member("file", "mode");
            }
        }
    }
}

#[test]
fn a_loop_of_names_ends() {
    let mut m = Maker::default();
    let x = m.name("x");
    m.add("s", 4, 1, false, 8, &[x, 2, 0]);
    m.add("t", 8, 0, false, 2, &[]);
    let blob = m.blob();
    assert_eq!(Btf::parse(&blob).unwrap().member("s", "x"), None);
}

#[test]
fn the_running_kernel_has_what_every_kernel_has() {
    let Ok(blob) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        eprintln!("skipped: this kernel has no BTF");
        return;
    };
    let btf = Btf::parse(&blob).unwrap();
    let place = btf.member("task_struct", "group_leader").unwrap();
    assert_eq!(
        (place.size, place.what),
        (8, What::Pointer(Some("task_struct".to_owned())))
    );
    assert!(btf.has_function("vfs_read"));
    assert_eq!(btf.tracepoint_arguments("sched_process_fork"), Some(2));
    assert_eq!(btf.tracepoint_arguments("no_such_tracepoint"), None);
    assert_eq!(btf.function_arguments("vfs_read"), Some(4));
    assert_eq!(btf.function_arguments("no_such_function"), None);
}

#[test]
fn an_excerpt_keeps_numbers_and_leaves_out_the_rest() {
    let blob = sample();
    let whole = Btf::parse(&blob).unwrap();
    let excerpt = whole.excerpt(&HashSet::from(["vfs_read", "inode"]));
    let short = Btf::parse(&excerpt).unwrap();
    assert_eq!(short.starts.len(), whole.starts.len());
    assert!(short.has_function("vfs_read") && !short.has_function("vfs"));
    let number = |btf: &Btf<'_>| {
        (1..btf.starts.len()).find(|id| btf.get(*id as u32).unwrap().kind() == kind::FUNC)
    };
    assert_eq!(number(&short), number(&whole));
    // A struct is neither a function nor a typedef.
    assert!(short.structs.is_empty());
}
