//! Builds the file tree a test machine boots with: init, busybox, the host's own tools with the libraries they
//! need, kernel modules and the test binary.
//!
//! The tools are the host's because what is tested is how real programs read and send; busybox only fills the gaps,
//! behind them in `PATH`. The archive is not compressed: the kernel takes it as it is, and unpacking gzip in an
//! emulated machine takes longer than reading more bytes.
//!
//! **Invariant:** the same host files and settings give the same bytes.

use std::collections::BTreeMap;
use std::fs;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::cpio::{Node, Writer};
use super::package::{self, Programs};

/// Host tools every test machine has.
const TOOLS: &[&str] = &[
    "bash",
    "cat",
    "chmod",
    "cp",
    "curl",
    "dd",
    "find",
    "gzip",
    "head",
    "ip",
    "ln",
    "ls",
    "mkdir",
    "mv",
    "rm",
    "sh",
    "sha256sum",
    "sleep",
    "tar",
    "wc",
];

/// Where tools are looked for, in this order; the same inside the machine.
const SEARCH: &[&str] = &["/usr/bin", "/usr/sbin", "/bin", "/sbin"];

/// Directories that are mount points or must exist before init runs.
const DIRECTORIES: &[&str] = &[
    "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr", "var", "var/tmp",
];

/// Where the test binary lies inside the machine.
pub(crate) const TEST_BINARY: &str = "/usr/lib/chartwatch/tests";

/// Mounts the disk, and has temporary files lie on it.
const MOUNT_DISK: &str = "$b mkdir /disk
$b mount -t xfs /dev/vda /disk
export TMPDIR=/disk
";

/// Lays memory over the host's files, mounts in them what a system has, and makes them the root of the mount namespace: in a copy of
/// it, as `unshare -m` makes one, paths began with `/visit` else.
const MOUNT_HOST: &str = "$b mkdir /host /over /visit
$b mount -t virtiofs -o ro host /host
$b mount -t tmpfs over /over
$b mkdir /over/upper /over/work
$b mount -t overlay -o lowerdir=/host,upperdir=/over/upper,workdir=/over/work overlay /visit
for d in proc sys dev; do $b mount -o rbind /$d /visit/$d; done
for d in run mnt; do $b mount -t tmpfs $d /visit/$d; done
$b mkdir /visit/run/lock
cd /visit
$b mount -o move . /
";

/// A file tree that becomes an initramfs.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// A tree with the directories, the host's tools and `busybox` (a static one).
    ///
    /// # Errors
    /// A tool or one of its libraries is missing on this host.
    pub(crate) fn with_tools(busybox: &Path, extra_tools: &[String]) -> Result<Self> {
        let mut tree = Self::default();
        for directory in DIRECTORIES {
            tree.nodes.insert((*directory).to_owned(), Node::Directory);
        }
        // As on a Debian host: one place, two names.
        for name in ["bin", "sbin", "lib", "lib64"] {
            tree.nodes
                .insert(name.to_owned(), Node::Link(format!("usr/{name}")));
            tree.nodes.insert(format!("usr/{name}"), Node::Directory);
        }
        tree.nodes
            .insert("dev/console".to_owned(), Node::Device(5, 1));
        tree.nodes
            .insert("usr/lib/busybox".to_owned(), Node::Directory);
        tree.file("/usr/bin/busybox", read(busybox)?);
        for tool in TOOLS
            .iter()
            .copied()
            .chain(extra_tools.iter().map(String::as_str))
        {
            tree.tool(tool)?;
        }
        Ok(tree)
    }

    /// Adds a file with its content under an absolute path.
    pub(crate) fn file(&mut self, path: &str, content: Vec<u8>) {
        let path = inside(path);
        for (at, _) in path.match_indices('/') {
            self.nodes
                .entry(path[..at].to_owned())
                .or_insert(Node::Directory);
        }
        self.nodes.insert(path, Node::File(content));
    }

    /// Adds a program of the host with its interpreter and libraries.
    fn tool(&mut self, name: &str) -> Result<()> {
        self.program(name, &find_tool(name)?, None)
    }

    /// Adds programs of a package that is unpacked in `from`, with what they need of there and of the host.
    ///
    /// # Errors
    /// A program or one of its libraries is missing.
    pub(crate) fn packaged(&mut self, programs: &Programs, from: &Path) -> Result<()> {
        for name in programs.names {
            self.program(name, &package::program(from, name)?, Some(from))?;
        }
        Ok(())
    }

    fn program(&mut self, name: &str, path: &Path, package: Option<&Path>) -> Result<()> {
        for library in libraries(path, package)? {
            let content = read(Path::new(&library))?;
            let inside = package.and_then(|tree| Path::new(&library).strip_prefix(tree).ok());
            let inside = inside.map_or(library.clone(), |path| path.display().to_string());
            self.file(&inside, content);
        }
        self.file(&format!("/usr/bin/{name}"), read(path)?);
        Ok(())
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// What creating or writing the file gave.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let file = fs::File::create(path)
            .with_context(|| format!("failed to create {}", path.display()))?;
        let mut writer = Writer::new(BufWriter::new(file));
        for (path, node) in &self.nodes {
            writer
                .add(path, node)
                .with_context(|| format!("failed to archive {path}"))?;
        }
        writer
            .finish()
            .with_context(|| format!("failed to write {}", path.display()))?;
        Ok(())
    }
}

/// What init is told.
#[derive(Debug)]
pub(crate) struct Init<'a> {
    /// Names of kernel modules under `/usr/lib/modules`, in the order they are loaded.
    pub(crate) modules: &'a [String],
    /// The machine has a disk, and the tests' files lie on it.
    pub(crate) disk: bool,
    /// The machine has the host's files, and the program lies there.
    pub(crate) visit: bool,
    /// Environment of the tests.
    pub(crate) environment: &'a [(String, String)],
    /// The program that is run.
    pub(crate) program: &'a str,
    /// Its arguments.
    pub(crate) arguments: &'a [String],
}

impl Init<'_> {
    /// The script that runs as process 1. Lockdown comes after the modules, which are not signed on
    /// every kernel. A command of it that fails ends it, the kernel panics, and the runner reports
    /// a machine that never said `exit=`.
    pub(crate) fn script(&self) -> String {
        let modules = lines(self.modules, |module| {
            format!("$b insmod /usr/lib/modules/{module}.ko\n")
        });
        let disk = if self.disk { MOUNT_DISK } else { "" };
        let (host, program) = if self.visit {
            let here = "$b chroot . /usr/bin/env PATH=/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/mnt ";
            (MOUNT_HOST, format!("{here}{}", quoted(self.program)))
        } else {
            ("", self.program.to_owned())
        };
        let environment = lines(self.environment, |(name, value)| {
            format!("export {name}={}\n", quoted(value))
        });
        let arguments = lines(self.arguments, |argument| format!(" {}", quoted(argument)));
        format!(
            "#!/bin/busybox sh
set -e
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs devtmpfs /dev
$b mkdir -p /dev/pts /dev/shm
$b mount -t devpts devpts /dev/pts
$b mount -t tmpfs shm /dev/shm
$b ln -s /proc/self/fd /dev/fd
$b ln -s fd/0 /dev/stdin
$b ln -s fd/1 /dev/stdout
$b ln -s fd/2 /dev/stderr
$b mount -t securityfs securityfs /sys/kernel/security
$b mount -t tracefs tracefs /sys/kernel/tracing
$b mount -t bpf bpf /sys/fs/bpf
$b mount -t cgroup2 cgroup2 /sys/fs/cgroup
$b mount -t tmpfs tmp /tmp
$b mount -t tmpfs run /run
$b ip link set lo up
$b hostname testhost
$b --install -s /usr/lib/busybox
{modules}$b grep -q lockdown= /proc/cmdline || echo integrity >/sys/kernel/security/lockdown
export PATH=/usr/bin:/usr/sbin:/usr/lib/busybox HOME=/root TMPDIR=/tmp
{disk}{host}{environment}$b stty -F /dev/ttyS1 raw -echo
echo ready >/dev/ttyS1
code=0
{program}{arguments} >/dev/ttyS1 </dev/null || code=$?
echo \"exit=$code\" >/dev/ttyS1
$b poweroff -f
"
        )
    }
}

/// Where a host path goes in the tree: without the leading slash, and through the links of `/bin` and its like.
fn inside(path: &str) -> String {
    let path = path.trim_start_matches('/');
    let linked = ["bin/", "sbin/", "lib/", "lib64/"]
        .iter()
        .any(|name| path.starts_with(name));
    if linked {
        format!("usr/{path}")
    } else {
        path.to_owned()
    }
}

fn find_tool(name: &str) -> Result<PathBuf> {
    let found = SEARCH
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.is_file());
    found.with_context(|| {
        format!(
            "{name} is not installed here ({}): test machines use it",
            SEARCH.join(", ")
        )
    })
}

/// Libraries and the interpreter a program needs, as `ldd` finds them, in its package first; none for a static one.
fn libraries(program: &Path, package: Option<&Path>) -> Result<Vec<String>> {
    let mut command = Command::new("ldd");
    command.arg(program);
    if let Some(tree) = package {
        command.env("LD_LIBRARY_PATH", package::library_path(tree));
    }
    let output = command.output().context("failed to run ldd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("not a dynamic executable") || text.contains("statically linked") {
        return Ok(Vec::new());
    }
    if !output.status.success() {
        bail!("ldd {} failed: {}", program.display(), errors.trim());
    }
    parse_ldd(&text).with_context(|| format!("in the libraries of {}", program.display()))
}

fn parse_ldd(text: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.ends_with("not found") {
            bail!("missing library: {line}");
        }
        let target = line.split_once("=> ").map_or(line, |(_, target)| target);
        if let Some(path) = target
            .split_whitespace()
            .next()
            .filter(|path| path.starts_with('/'))
        {
            found.push(path.to_owned());
        }
    }
    Ok(found)
}

fn lines<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
    items.iter().map(text).collect::<Vec<_>>().concat()
}

/// One word for the shell, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("failed to read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ldd_lines_give_paths() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\
            \tlibacl.so.1 => /lib/x86_64-linux-gnu/libacl.so.1 (0x00007f)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let found = parse_ldd(text).unwrap();
        assert_eq!(
            found,
            [
                "/lib/x86_64-linux-gnu/libacl.so.1",
                "/lib64/ld-linux-x86-64.so.2"
            ]
        );
        assert!(parse_ldd("\tlibx.so => not found\n").is_err());
    }

    #[test]
    fn paths_go_where_the_links_lead() {
        assert_eq!(inside("/lib64/ld.so"), "usr/lib64/ld.so");
        assert_eq!(inside("/usr/bin/cat"), "usr/bin/cat");
        assert_eq!(inside("/init"), "init");
    }

    #[test]
    fn parents_come_before_their_files() {
        let mut tree = Tree::default();
        tree.file("/usr/lib/chartwatch/tests", vec![1]);
        let paths: Vec<&str> = tree.nodes.keys().map(String::as_str).collect();
        assert_eq!(
            paths,
            [
                "usr",
                "usr/lib",
                "usr/lib/chartwatch",
                "usr/lib/chartwatch/tests"
            ]
        );
    }

    #[test]
    fn words_survive_the_shell() {
        let word = "it's $HOME; \"x\"";
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!("printf %s {}", quoted(word)))
            .output()
            .unwrap();
        assert_eq!(output.stdout, word.as_bytes());
    }
}
