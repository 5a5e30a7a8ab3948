//! Tells the programs which files are the sensor's own, so that what changes one is an attempt on the sensor, and which are
//! programs of which something is known: that they serve records, or that they carry none.
//!
//! As with stores' roots (`roots`) only the kernel knows a file's identity for certain: the sensor maps the file, and the
//! mmap hook takes the identity of what this one thread maps.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::ptr;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use sensor_ebpf::layout::access::{OWN_FILES, QUIET_PROGRAM, SERVICES};
use sensor_ebpf::layout::tamper::{
    FILE_AUTHORITY, FILE_CONFIGURATION, FILE_IDENTITY, FILE_KEY, FILE_PROGRAM, FILE_SPOOL,
    FILE_UNIT,
};

use super::{AttemptError, Kernel, baseline};
use crate::config::matches;
use crate::event::Part;

/// Bytes that are mapped; none of them is touched.
const PAGE: usize = 4096;

/// A file of the sensor's own.
#[derive(Debug)]
pub(super) struct OwnFile {
    part: Part,
    path: PathBuf,
    /// What was told. Never closed as long as the file is used: with any descriptor of it that is closed this process loses its
    /// locks on it (fcntl(2)), and with those SQLite keeps others out of the spool.
    told: Option<File>,
}

impl OwnFile {
    pub(super) fn new((part, path): &(Part, PathBuf)) -> Self {
        Self {
            part: *part,
            path: path.clone(),
            told: None,
        }
    }

    /// Whether there is another file than was told, as after a renewal, or when a damaged spool was set aside.
    pub(super) fn is_other(&self) -> bool {
        let identity = |found: &Metadata| (found.dev(), found.ino());
        let there = fs::metadata(&self.path).ok();
        let told = self.told.as_ref().and_then(|file| file.metadata().ok());
        there.is_some() && there.as_ref().map(identity) != told.as_ref().map(identity)
    }

    fn map(&mut self) -> io::Result<()> {
        if self.is_other() || self.told.is_none() {
            self.told = None;
            self.told = Some(File::open(&self.path)?);
        }
        self.told.as_ref().map_or(Ok(()), map)
    }
}

/// Tells all of them. One that cannot be told is not guarded, which is said and no reason not to watch records.
pub(super) fn tell(kernel: &mut Kernel, files: &mut [OwnFile]) -> Result<(), AttemptError> {
    for file in files {
        // A spool that cannot be opened yet has said so itself, and is told when it is there.
        if file.part == Part::Spool && !file.path.exists() {
            continue;
        }
        kernel.arm(OWN_FILES + number(file.part), true)?;
        let mapped = file.map();
        kernel.disarm()?;
        if let Err(error) = mapped {
            tracing::warn!(%error, path = %file.path.display(), "changes of a file of the sensor's own will not be seen");
        }
    }
    // One that was opened before was judged without knowing whose it is.
    kernel.forget_answers()
}

/// Programs of which something is known, by path: these need not be there, and others may be put in their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// Those that a pattern stands for serve the records of the store with this number.
    Serves(u32, String),
    /// It shares memory with everybody, and carries no records by nature.
    Quiet(PathBuf),
}

impl Program {
    /// What it is called in the log, and what its absence means there.
    fn consequence(&self) -> &'static str {
        match self {
            Self::Serves(..) => "what this program serves will not be seen",
            Self::Quiet(_) => "what this program shares will be followed",
        }
    }

    /// Its files, as they are now.
    fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Serves(_, pattern) => matches(pattern),
            Self::Quiet(path) => vec![path.clone()],
        }
    }

    const fn number(&self) -> u32 {
        match self {
            Self::Serves(store, _) => SERVICES + *store,
            Self::Quiet(_) => QUIET_PROGRAM,
        }
    }
}

/// A file as it was when it was told: device, inode, and when that last changed. Another in its place differs in one of them.
type Version = (u64, u64, i64, i64);

/// The programs, and which files the kernel programs know.
#[derive(Debug)]
pub struct Programs {
    programs: Vec<Program>,
    told: HashMap<(u32, PathBuf), Version>,
}

impl Programs {
    /// None of them is told yet.
    #[must_use]
    pub fn new(programs: Vec<Program>) -> Self {
        Self {
            programs,
            told: HashMap::new(),
        }
    }

    /// Patterns of those that serve records.
    pub fn serving(&self) -> impl Iterator<Item = &str> {
        self.programs.iter().filter_map(|program| match program {
            Program::Serves(_, pattern) => Some(pattern.as_str()),
            Program::Quiet(_) => None,
        })
    }

    /// Tells those that have come since. One that is missing is none for now. Who runs already what is told now is found, too.
    ///
    /// # Errors
    ///
    /// When a map of the kernel programs cannot be used.
    pub fn tell(&mut self, kernel: &mut Kernel) -> Result<(), AttemptError> {
        let mut now = HashMap::new();
        let mut fresh = false;
        for program in &self.programs {
            for path in program.files() {
                let key = (program.number(), path);
                let Some(version) = version(&key.1) else {
                    continue;
                };
                if self.told.get(&key) != Some(&version) {
                    tell_program(kernel, program, &key.1)?;
                    fresh = true;
                }
                now.insert(key, version);
            }
        }
        self.told = now;
        if fresh {
            kernel.forget_answers()?;
            baseline::look_for_services(kernel);
        }
        Ok(())
    }
}

fn version(path: &Path) -> Option<Version> {
    let about = path.metadata().ok().filter(Metadata::is_file)?;
    Some((about.dev(), about.ino(), about.ctime(), about.ctime_nsec()))
}

fn tell_program(kernel: &mut Kernel, program: &Program, path: &Path) -> Result<(), AttemptError> {
    kernel.arm(program.number(), true)?;
    let mapped = File::open(path).and_then(|file| map(&file));
    kernel.disarm()?;
    if let Err(error) = mapped {
        tracing::warn!(%error, path = %path.display(), "{}", program.consequence());
    }
    Ok(())
}

const fn number(part: Part) -> u32 {
    match part {
        Part::Program => FILE_PROGRAM,
        Part::Configuration => FILE_CONFIGURATION,
        Part::Key => FILE_KEY,
        Part::Unit => FILE_UNIT,
        Part::Spool => FILE_SPOOL,
        Part::Identity => FILE_IDENTITY,
        Part::Authority => FILE_AUTHORITY,
    }
}

fn map(file: &File) -> io::Result<()> {
    // SAFETY: a new mapping at an address the kernel chooses; nobody reads it, and nobody has a pointer into it when it is
    // removed.
    unsafe {
        let memory = mmap(
            ptr::null_mut(),
            PAGE,
            ProtFlags::READ,
            MapFlags::PRIVATE,
            file,
            0,
        )?;
        munmap(memory, PAGE)?;
    }
    Ok(())
}
