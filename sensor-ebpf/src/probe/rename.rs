//! A file or directory has been renamed: remembered answers about it, or below it, may be wrong from now on.
//!
//! Looked at when it is done, not at the security hook before it: an answer found in between would be remembered.
//!
//! Hook:   fexit/vfs_rename (lsm and fentry) | tp_btf/sys_exit of rename, renameat, renameat2 (probe/syscall.rs, which
//!         makes every remembered answer void, since it does not know what was renamed)
//! Proto:  5.12..latest  fs/namei.c  int vfs_rename(struct renamedata *rd)
//! Kernel: 5.12, trampolines
//! Emits:  nothing; forgets marks
//! Reads:  renamedata.{old_dentry, new_dentry}, dentry.d_inode, inode.{i_mode, i_ino, i_generation, i_sb},
//!         super_block.s_dev
//! Counts: seen, summed, ignored, failed

use aya_ebpf::{macros::fexit, programs::FExitContext};
use sensor_ebpf::layout::count::Hook;

use crate::{
    count::{self, Outcome, Trouble},
    kernel::file,
    observe::record,
};

#[fexit(function = "vfs_rename")]
fn fexit_rename(ctx: FExitContext) -> i32 {
    count::run(Hook::Rename, || renamed(ctx.arg(0), ctx.arg(1)));
    0
}

#[inline(always)]
fn renamed(data: *const u8, result: i32) -> Result<Outcome, Trouble> {
    if result != 0 {
        return Ok(Outcome::Ignored);
    }
    for entry in file::renamed(data)? {
        // The new name of a plain rename names nothing any more.
        let Ok(inode) = entry.inode() else { continue };
        if inode.is_directory()? {
            record::forget_all()?;
        } else {
            record::forget(&inode.key()?)?;
        }
    }
    Ok(Outcome::Summed)
}
