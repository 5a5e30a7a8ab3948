//! Files, inodes and directory entries.

use core::marker::PhantomData;

use sensor_ebpf::layout::{access::Inode as Key, count::Error};

use super::fields;
use super::read::{Probed, Reach, Typed};

/// `S_IFMT`, `S_IFREG`, `S_IFDIR`, `S_IFSOCK`, `S_IFBLK` and `S_IFIFO` of include/uapi/linux/stat.h.
const TYPE: u16 = 0o170_000;
const REGULAR: u16 = 0o100_000;
const DIRECTORY: u16 = 0o040_000;
const SOCKET: u16 = 0o140_000;
const BLOCK: u16 = 0o060_000;
const FIFO: u16 = 0o010_000;
/// `FMODE_WRITE` of include/linux/fs.h.
const WRITABLE: u32 = 2;
/// `FMODE_PATH` of include/linux/fs.h, the same from 5.10 on.
const PATH: u32 = 0x4000;
/// `PROC_SUPER_MAGIC` of include/uapi/linux/magic.h.
const PROC: u64 = 0x9fa0;
/// `RENAME_EXCHANGE` of include/uapi/linux/fs.h.
const EXCHANGE: u32 = 2;

/// A `struct file`.
#[derive(Clone, Copy)]
pub(crate) struct File<R>(*const u8, PhantomData<R>);

impl<R: Reach> File<R> {
    /// Takes a pointer that can be read the way `R` says.
    #[inline(always)]
    pub(crate) const fn new(pointer: *const u8) -> Self {
        Self(pointer, PhantomData)
    }

    /// True for a hook's argument that may be absent and is.
    #[inline(always)]
    pub(crate) fn is_absent(self) -> bool {
        self.0.is_null()
    }

    /// What the file is open on.
    #[inline(always)]
    pub(crate) fn inode(self) -> Result<Inode<R>, Error> {
        // SAFETY: `self.0` is a struct file for `R`.
        Inode::new(unsafe { R::get(self.0, fields::FILE_INODE.load())? })
    }

    /// A name of what it is open on: that it was opened by or, where that is another's (before Linux 6.7 overlayfs opens
    /// the file below by its own name), any one the kernel has. Absent where it cannot be reached; where the kernel keeps
    /// names elsewhere (7.3), the name is always the file's own. `inode` is what it is open on.
    #[inline(always)]
    pub(crate) fn entry(self, inode: Inode<R>) -> Result<Option<Entry<R>>, Error> {
        // SAFETY: `self.0` is a struct file for `R`, f_path.dentry its dentry, and that is never null.
        let (entry, named): (*const u8, *const u8) = unsafe {
            let entry = R::get(self.0, fields::FILE_DENTRY.load())?;
            (entry, R::get(entry, fields::DENTRY_INODE.load())?)
        };
        if named == inode.0 {
            return Ok(Some(Entry(entry, PhantomData)));
        }
        if !R::COMPUTED || fields::DENTRY_ALIAS.load() == fields::ABSENT {
            return Ok(None);
        }
        // SAFETY: `inode.0` is a struct inode for `R`.
        let alias: *const u8 = unsafe { R::get(inode.0, fields::INODE_ALIASES.load())? };
        Ok(if alias.is_null() {
            None
        } else {
            let start = alias.wrapping_sub(fields::DENTRY_ALIAS.load() as usize);
            Some(Entry(start, PhantomData))
        })
    }

    /// True for one that may be written to.
    #[inline(always)]
    pub(crate) fn is_writable(self) -> Result<bool, Error> {
        // SAFETY: `self.0` is a struct file for `R`.
        let mode: u32 = unsafe { R::get(self.0, fields::FILE_MODE.load())? };
        Ok(mode & WRITABLE != 0)
    }

    /// True for a path that was looked up but not opened (`O_PATH`).
    #[inline(always)]
    pub(crate) fn is_path(self) -> Result<bool, Error> {
        // SAFETY: `self.0` is a struct file for `R`.
        let mode: u32 = unsafe { R::get(self.0, fields::FILE_MODE.load())? };
        Ok(mode & PATH != 0)
    }

    /// What its file system keeps with it.
    #[inline(always)]
    pub(crate) fn private(self) -> Result<*const u8, Error> {
        // SAFETY: `self.0` is a struct file for `R`.
        unsafe { R::get(self.0, fields::FILE_PRIVATE.load()) }
    }
}

/// The file that a typed `struct vm_area_struct` maps; null for memory of no file.
#[inline(always)]
pub(crate) fn mapped_file(vma: *const u8) -> Result<*const u8, Error> {
    // SAFETY: `vma` is a typed vm_area_struct.
    unsafe { Typed::get(vma, fields::VMA_FILE.load()) }
}

impl File<Probed> {
    /// True for `/proc/PID/mem`, the memory of a process, whose `mm_struct` its file system keeps with it.
    #[inline(always)]
    pub(crate) fn is_memory(self) -> Result<bool, Error> {
        // Asked of every file that is opened. Of one in a process file system the name it was opened by is its own.
        // SAFETY: any address may be probed; f_path.dentry is never null.
        let entry =
            Entry::<Probed>::new(unsafe { Probed::get(self.0, fields::FILE_DENTRY.load())? });
        if entry.name_len()? != 3 {
            return Ok(false);
        }
        // SAFETY: any address may be probed; the name is three bytes and a NUL.
        let name: [u8; 4] = unsafe { Probed::get(entry.name()?, 0)? };
        Ok(name == *b"mem\0" && self.inode()?.is_proc()?)
    }

    /// The `struct socket` of a file that is one.
    #[inline(always)]
    pub(crate) fn socket(self) -> Result<Option<*const u8>, Error> {
        if self.inode()?.mode()? & TYPE != SOCKET {
            return Ok(None);
        }
        // Of a socket, private_data is its struct socket (net/socket.c).
        self.private().map(Some)
    }
}

/// What an inode is; only regular files are records, and disks that stores lie on.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A block device.
    Disk,
    /// A pipe, with or without a name.
    Pipe,
    /// A socket.
    Socket,
    /// Another device, or a symbolic link.
    Other,
}

/// A `struct inode`.
#[derive(Clone, Copy)]
pub(crate) struct Inode<R>(*const u8, PhantomData<R>);

impl<R: Reach> Inode<R> {
    #[inline(always)]
    fn new(pointer: *const u8) -> Result<Self, Error> {
        if pointer.is_null() {
            Err(Error::NoInode)
        } else {
            Ok(Self(pointer, PhantomData))
        }
    }

    /// Its identity.
    #[inline(always)]
    pub(crate) fn key(self) -> Result<Key, Error> {
        self.here()?.key()
    }

    /// Its number.
    #[inline(always)]
    pub(crate) fn number(self) -> Result<u64, Error> {
        // SAFETY: `self.0` is a struct inode for `R`.
        unsafe { R::get(self.0, fields::INODE_INO.load()) }
    }

    /// Its identity while its file system is mounted.
    #[inline(always)]
    pub(crate) fn here(self) -> Result<Here<R>, Error> {
        // SAFETY: `self.0` is a struct inode for `R`.
        unsafe {
            Ok(Here {
                sb: R::get(self.0, fields::INODE_SB.load())?,
                ino: R::get(self.0, fields::INODE_INO.load())?,
                generation: R::get(self.0, fields::INODE_GENERATION.load())?,
                reach: PhantomData,
            })
        }
    }

    /// True for what lies in a process file system.
    #[inline(always)]
    fn is_proc(self) -> Result<bool, Error> {
        // SAFETY: `self.0` is a struct inode for `R`, and i_sb its super_block.
        let magic: u64 = unsafe {
            let sb: *const u8 = R::get(self.0, fields::INODE_SB.load())?;
            R::get(sb, fields::SB_MAGIC.load())?
        };
        Ok(magic == PROC)
    }

    #[inline(always)]
    fn mode(self) -> Result<u16, Error> {
        // SAFETY: `self.0` is a struct inode for `R`.
        unsafe { R::get(self.0, fields::INODE_MODE.load()) }
    }

    /// What it is.
    #[inline(always)]
    pub(crate) fn kind(self) -> Result<Kind, Error> {
        Ok(match self.mode()? & TYPE {
            REGULAR => Kind::Regular,
            DIRECTORY => Kind::Directory,
            BLOCK => Kind::Disk,
            FIFO => Kind::Pipe,
            SOCKET => Kind::Socket,
            _ => Kind::Other,
        })
    }

    /// The number of the device that a disk's file stands for.
    #[inline(always)]
    pub(crate) fn disk(self) -> Result<u32, Error> {
        // SAFETY: `self.0` is a struct inode for `R`.
        unsafe { R::get(self.0, fields::INODE_RDEV.load()) }
    }

    /// Bytes in the file.
    #[inline(always)]
    pub(crate) fn size(self) -> Result<u64, Error> {
        // SAFETY: `self.0` is a struct inode for `R`.
        unsafe { R::get(self.0, fields::INODE_SIZE.load()) }
    }

    /// True when it has more names than one.
    #[inline(always)]
    pub(crate) fn is_linked(self) -> Result<bool, Error> {
        // SAFETY: `self.0` is a struct inode for `R`.
        let links: u32 = unsafe { R::get(self.0, fields::INODE_NLINK.load())? };
        Ok(links > 1)
    }
}

/// What tells an inode from all others for as long as its file system is mounted.
#[derive(Clone, Copy)]
pub(crate) struct Here<R> {
    /// Its `super_block`.
    pub(crate) sb: *const u8,
    /// Its number.
    pub(crate) ino: u64,
    /// Its generation.
    pub(crate) generation: u32,
    reach: PhantomData<R>,
}

impl<R: Reach> Here<R> {
    /// The inode's identity where its device's number is known.
    #[inline(always)]
    pub(crate) fn key_on(self, dev: u32) -> Key {
        Key {
            ino: self.ino,
            dev,
            generation: self.generation,
        }
    }

    /// The inode's identity.
    #[inline(always)]
    pub(crate) fn key(self) -> Result<Key, Error> {
        // SAFETY: `self.sb` is a struct super_block for `R`.
        Ok(self.key_on(unsafe { R::get(self.sb, fields::SB_DEV.load())? }))
    }
}

/// A `struct dentry`: a name in a directory.
#[derive(Clone, Copy)]
pub(crate) struct Entry<R>(*const u8, PhantomData<R>);

impl<R: Reach> Entry<R> {
    /// Takes a pointer that can be read the way `R` says.
    #[inline(always)]
    pub(crate) const fn new(pointer: *const u8) -> Self {
        Self(pointer, PhantomData)
    }

    /// Where it is, which tells it from all others for as long as somebody holds it.
    #[inline(always)]
    pub(crate) fn address(self) -> u64 {
        self.0 as u64
    }

    /// What it names; absent for a name that names nothing yet.
    #[inline(always)]
    pub(crate) fn inode(self) -> Result<Inode<R>, Error> {
        // SAFETY: `self.0` is a struct dentry for `R`.
        Inode::new(unsafe { R::get(self.0, fields::DENTRY_INODE.load())? })
    }

    /// The directory it is in, within its file system; absent at the file system's root.
    #[inline(always)]
    pub(crate) fn parent(self) -> Result<Option<Self>, Error> {
        // SAFETY: `self.0` is a struct dentry for `R`.
        let parent: *const u8 = unsafe { R::get(self.0, fields::DENTRY_PARENT.load())? };
        Ok(if parent == self.0 || parent.is_null() {
            None
        } else {
            Some(Self(parent, PhantomData))
        })
    }

    /// Address of the name, which ends in NUL.
    #[inline(always)]
    pub(crate) fn name(self) -> Result<*const u8, Error> {
        // SAFETY: `self.0` is a struct dentry for `R`.
        unsafe { R::get(self.0, fields::DENTRY_NAME.load()) }
    }

    /// Bytes of the name, without the NUL.
    #[inline(always)]
    pub(crate) fn name_len(self) -> Result<u32, Error> {
        // SAFETY: `self.0` is a struct dentry for `R`.
        unsafe { R::get(self.0, fields::DENTRY_NAME_LEN.load()) }
    }
}

/// The name that a typed `struct path` leads to.
#[inline(always)]
pub(crate) fn path_entry(path: *const u8) -> Result<Entry<Typed>, Error> {
    // SAFETY: the caller's typed struct path.
    Ok(Entry::new(unsafe {
        Typed::get(path, fields::PATH_DENTRY.load())?
    }))
}

/// Old and new name of a `vfs_rename`, from its `struct renamedata`. When it is done, what was renamed goes by the old
/// entry, which the kernel has moved (d_move), and what was replaced, or exchanged for it, by the new one.
#[derive(Clone, Copy)]
pub(crate) struct Rename(*const u8);

impl Rename {
    /// Takes a typed renamedata.
    #[inline(always)]
    pub(crate) const fn new(data: *const u8) -> Self {
        Self(data)
    }

    /// What is renamed.
    #[inline(always)]
    pub(crate) fn old(self) -> Result<Entry<Typed>, Error> {
        // SAFETY: `self.0` is a typed renamedata.
        Ok(Entry::new(unsafe {
            Typed::get(self.0, fields::RENAME_OLD.load())?
        }))
    }

    /// What it replaces or is exchanged for; names nothing in a plain rename.
    #[inline(always)]
    pub(crate) fn new_entry(self) -> Result<Entry<Typed>, Error> {
        // SAFETY: as above.
        Ok(Entry::new(unsafe {
            Typed::get(self.0, fields::RENAME_NEW.load())?
        }))
    }

    /// True when the two change places.
    #[inline(always)]
    pub(crate) fn is_exchange(self) -> Result<bool, Error> {
        // SAFETY: as above.
        let flags: u32 = unsafe { Typed::get(self.0, fields::RENAME_FLAGS.load())? };
        Ok(flags & EXCHANGE != 0)
    }
}
