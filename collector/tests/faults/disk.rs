//! A disk whose power can be cut and which can be made to fail: a file system in memory, spoken to by the kernel over FUSE.
//!
//! Every change and every sync is one step. Steps are counted, and the power goes in place of a chosen one: from then on everything
//! is an error, until the disk is mounted again with what was left. The index of a write-ahead log (`-shm`) is written through shared
//! memory, whenever the kernel likes, so what is done to it is no step; it is lost like all else.
//!
//! Needs root, as mounting does, and a mount namespace of its own so that nothing stays behind. This process itself looks at copies only.

// Said in full since the sensor's tests take this file from another place.
#[path = "disk/model.rs"]
pub(crate) mod model;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};

use model::{Change, Cut, Model, ROOT};

/// Nobody but the kernel changes anything, so it may remember all it was told.
const REMEMBER: Duration = Duration::from_hours(1);

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Write,
    Sync,
}

/// Something that does not work.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    /// How the names of the files end.
    pub(crate) files: &'static str,
    pub(crate) kind: Kind,
    pub(crate) error: Errno,
}

/// The disk and what is wrong with it.
#[derive(Debug)]
struct State {
    model: Model,
    /// Steps since it was mounted.
    steps: u64,
    cut_at: Option<u64>,
    has_power: bool,
    faults: Vec<Fault>,
    failed: u64,
    /// Every name an inode has had, to find those a fault is for.
    called: Vec<(u64, OsString)>,
    no_steps: BTreeSet<u64>,
}

impl State {
    /// One step; an error when it cannot be done, and then nothing of it is.
    fn step(&mut self, inode: u64, kind: Kind) -> Result<(), Errno> {
        if !self.has_power {
            return Err(Errno::EIO);
        }
        if self.no_steps.contains(&inode) {
            return Ok(());
        }
        self.steps += 1;
        if self.cut_at == Some(self.steps) {
            self.has_power = false;
            return Err(Errno::EIO);
        }
        let is_called = |end: &str| {
            (self.called.iter())
                .any(|(of, name)| *of == inode && name.to_string_lossy().ends_with(end))
        };
        let mut faults = self.faults.iter();
        let fault = faults.find(|fault| fault.kind == kind && is_called(fault.files));
        if let Some(fault) = fault.cloned() {
            self.failed += 1;
            if kind == Kind::Sync {
                self.model.sync_failed(inode);
            }
            return Err(fault.error);
        }
        Ok(())
    }

    fn name(&mut self, directory: u64, name: &OsStr, inode: u64) {
        self.called.push((inode, name.to_owned()));
        if name.to_string_lossy().ends_with("-shm") {
            self.no_steps.insert(inode);
        }
        let names = vec![(directory, name.to_owned(), Some(inode))];
        self.model.change(Change::Names(names));
    }

    fn make(
        &mut self,
        directory: u64,
        name: &OsStr,
        mode: u32,
        is_directory: bool,
    ) -> Result<FileAttr, Errno> {
        self.step(directory, Kind::Write)?;
        let inode = self.model.make(mode & 0o7777, is_directory);
        self.name(directory, name, inode);
        self.attributes(inode)
    }

    fn find(&self, directory: u64, name: &OsStr) -> Result<u64, Errno> {
        let found = self.model.now.named(directory, &name.to_owned());
        found.ok_or(Errno::ENOENT)
    }

    fn attributes(&self, inode: u64) -> Result<FileAttr, Errno> {
        let tree = &self.model.now;
        let (kind, size) = match (tree.files.get(&inode), tree.directories.get(&inode)) {
            (Some(file), _) => (FileType::RegularFile, file.len() as u64),
            (None, Some(_)) => (FileType::Directory, 0),
            (None, None) => return Err(Errno::ENOENT),
        };
        let mode = self.model.modes.get(&inode).copied().unwrap_or(0o700);
        Ok(FileAttr {
            ino: INodeNo(inode),
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm: mode as u16,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    fn write(&mut self, inode: u64, at: u64, bytes: &[u8]) -> Result<u32, Errno> {
        self.step(inode, Kind::Write)?;
        let at = at as usize;
        let bytes = bytes.to_vec();
        let written = bytes.len() as u32;
        self.model.change(Change::Data { inode, at, bytes });
        Ok(written)
    }

    fn set(&mut self, inode: u64, mode: Option<u32>, size: Option<u64>) -> Result<FileAttr, Errno> {
        if let Some(size) = size {
            self.step(inode, Kind::Write)?;
            let size = size as usize;
            self.model.change(Change::Size { inode, size });
        }
        if let Some(mode) = mode {
            self.model.modes.insert(inode, mode & 0o7777);
        }
        self.attributes(inode)
    }

    fn unlink(&mut self, directory: u64, name: &OsStr) -> Result<(), Errno> {
        self.find(directory, name)?;
        self.step(directory, Kind::Write)?;
        let names = vec![(directory, name.to_owned(), None)];
        self.model.change(Change::Names(names));
        Ok(())
    }

    fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr)) -> Result<(), Errno> {
        let inode = self.find(from.0, from.1)?;
        self.step(to.0, Kind::Write)?;
        self.called.push((inode, to.1.to_owned()));
        self.model.change(Change::Names(vec![
            (from.0, from.1.to_owned(), None),
            (to.0, to.1.to_owned(), Some(inode)),
        ]));
        Ok(())
    }

    fn sync(&mut self, inode: u64) -> Result<(), Errno> {
        self.step(inode, Kind::Sync)?;
        self.model.sync(inode);
        Ok(())
    }
}

/// A disk that is mounted.
pub(crate) struct Disk {
    state: Arc<Mutex<State>>,
    place: tempfile::TempDir,
    mounted: Option<BackgroundSession>,
    stall: Arc<Stall>,
}

impl Disk {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let state = State {
            model: Model::new(),
            steps: 0,
            cut_at: None,
            has_power: true,
            faults: Vec::new(),
            failed: 0,
            called: Vec::new(),
            no_steps: BTreeSet::new(),
        };
        let mut disk = Self {
            state: Arc::new(Mutex::new(state)),
            place: tempfile::tempdir().unwrap(),
            mounted: None,
            stall: Arc::default(),
        };
        disk.mount();
        disk
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.place.path().to_owned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The power is to go in place of this step, counted from now on.
    pub(crate) fn cut_at(&self, step: u64) {
        let mut state = self.state();
        state.steps = 0;
        state.cut_at = Some(step);
    }

    /// Nothing works any more.
    pub(crate) fn cut_now(&self) {
        self.state().has_power = false;
    }

    pub(crate) fn has_power(&self) -> bool {
        self.state().has_power
    }

    /// Steps since it was mounted or told when to lose power.
    pub(crate) fn steps(&self) -> u64 {
        self.state().steps
    }

    /// What does not work from now on.
    pub(crate) fn fails(&self, faults: &[Fault]) {
        self.state().faults = faults.to_vec();
    }

    /// From now on nothing is answered, or all of it again.
    pub(crate) fn stall(&self, is_on: bool) {
        *self.stall.is_on() = is_on;
        self.stall.is_over.notify_all();
    }

    /// How many questions had to wait.
    pub(crate) fn stalled(&self) -> u64 {
        self.stall.waiting.load(Ordering::Relaxed)
    }

    /// Steps that did not work.
    pub(crate) fn failed(&self) -> u64 {
        self.state().failed
    }

    /// What programs see, as a copy on an ordinary disk. The process that answers for a file system must not map files of it into its
    /// memory, and that is what reading a database does: the kernel may need the answer to give the memory back.
    pub(crate) fn copy(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        let state = self.state();
        let mut to_do = vec![(ROOT, copy.path().to_owned())];
        while let Some((directory, to)) = to_do.pop() {
            for (name, inode) in &state.model.now.directories[&directory] {
                let to = to.join(name);
                if let Some(file) = state.model.now.files.get(inode) {
                    std::fs::write(to, file).unwrap();
                } else {
                    std::fs::create_dir(&to).unwrap();
                    to_do.push((*inode, to));
                }
            }
        }
        copy
    }

    /// The power is back. Whoever had files open must be gone.
    pub(crate) fn power_on(&mut self, cut: Cut) {
        self.unmount();
        {
            let mut state = self.state();
            state.model.cut(cut);
            state.has_power = true;
            state.cut_at = None;
            state.steps = 0;
        }
        self.mount();
    }

    fn mount(&mut self) {
        let files = Files(Arc::clone(&self.state), Arc::clone(&self.stall));
        let session = fuser::spawn_mount(files, self.place.path(), &Config::default());
        self.mounted = Some(session.expect("a FUSE file system can be mounted"));
    }

    fn unmount(&mut self) {
        if let Some(session) = self.mounted.take() {
            match session.umount_and_join() {
                Ok(()) => {}
                // How the kernel says it to whoever waited for its next question in that moment.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => panic!("the disk is in use: {error}"),
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.stall(false);
        // A child that a failed test leaves behind may be on it still; the namespace ends with this process.
        drop(self.mounted.take());
    }
}

/// Whether disks can be mounted here; why not, otherwise.
pub(crate) fn lacks() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("mounting needs root".to_owned());
    }
    let device = Path::new("/dev/fuse");
    (!device.exists()).then(|| format!("no {} here", device.display()))
}

/// What the kernel asks.
struct Files(Arc<Mutex<State>>, Arc<Stall>);

impl Files {
    fn state(&self) -> MutexGuard<'_, State> {
        self.1.wait();
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A disk that does not answer, and how many wait for it.
#[derive(Debug, Default)]
struct Stall {
    is_on: Mutex<bool>,
    is_over: Condvar,
    waiting: AtomicU64,
}

impl Stall {
    fn is_on(&self) -> MutexGuard<'_, bool> {
        self.is_on.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self) {
        let mut is_on = self.is_on();
        if *is_on {
            self.waiting.fetch_add(1, Ordering::Relaxed);
        }
        while *is_on {
            let woken = self.is_over.wait(is_on);
            is_on = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn entry(reply: ReplyEntry, found: Result<FileAttr, Errno>) {
    match found {
        Ok(found) => reply.entry(&REMEMBER, &found, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn attributes(reply: ReplyAttr, found: Result<FileAttr, Errno>) {
    match found {
        Ok(found) => reply.attr(&REMEMBER, &found),
        Err(error) => reply.error(error),
    }
}

fn done(reply: ReplyEmpty, done: Result<(), Errno>) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Files {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let state = self.state();
        let found = state.find(parent.0, name);
        entry(reply, found.and_then(|inode| state.attributes(inode)));
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        attributes(reply, self.state().attributes(inode.0));
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        attributes(reply, self.state().set(inode.0, mode, size));
    }

    fn mkdir(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let mode = mode & !umask;
        entry(reply, self.state().make(parent.0, name, mode, true));
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let made = self.state().make(parent.0, name, mode & !umask, false);
        match made {
            Ok(made) => reply.created(
                &REMEMBER,
                &made,
                Generation(0),
                FileHandle(0),
                FopenFlags::FOPEN_KEEP_CACHE,
            ),
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.state().unlink(parent.0, name));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.state().unlink(parent.0, name));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to: INodeNo,
        new: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let renamed = self.state().rename((parent.0, name), (to.0, new));
        done(reply, renamed);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let state = self.state();
        match state.model.now.files.get(&inode.0) {
            Some(file) if state.has_power => {
                let from = file.len().min(offset as usize);
                let to = file.len().min(from + size as usize);
                reply.data(&file[from..to]);
            }
            _ => reply.error(Errno::EIO),
        }
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.state().write(inode.0, offset, data) {
            Ok(written) => reply.written(written),
            Err(error) => reply.error(error),
        }
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(reply, self.state().sync(inode.0));
    }

    fn fsyncdir(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(reply, self.state().sync(inode.0));
    }

    fn readdir(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let state = self.state();
        let dots = [".", ".."].map(|dot| (OsString::from(dot), ROOT));
        let names = state.model.now.directories.get(&inode.0);
        let names = names.into_iter().flatten();
        let all = dots
            .into_iter()
            .chain(names.map(|(name, inode)| (name.clone(), *inode)));
        for (place, (name, inode)) in (1..).zip(all).skip(offset as usize) {
            let kind = match state.attributes(inode) {
                Ok(found) => found.kind,
                Err(_) => FileType::RegularFile,
            };
            if reply.add(INodeNo(inode), place, kind, &name) {
                break;
            }
        }
        reply.ok();
    }
}
