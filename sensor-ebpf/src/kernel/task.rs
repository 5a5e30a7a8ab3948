//! The current process, and those that tracepoints hand over.

use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid,
    generated::{bpf_get_current_task, bpf_get_current_task_btf, bpf_task_pt_regs},
};
use sensor_ebpf::layout::{access::Inode as Key, count::Error, proc::Process};

use super::fields;
use super::file::File;
use super::helpers;
use super::read::{Probed, Reach, Typed};
use super::regs::Regs;

/// TS_COMPAT of `thread_info.status`, x86: the system call came in as a 32-bit one (arch/x86/include/asm/thread_info.h).
const TS_COMPAT: u32 = 2;

/// A `task_struct`.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    pointer: *const u8,
    /// The verifier does not know what `pointer` is, so it is probed. As it knows the read-only global that this comes from, each
    /// kernel keeps one of the two ways.
    by_number: bool,
}

/// Where a new program's arguments lie in its process's own memory, and how much there is.
#[derive(Clone, Copy)]
pub(crate) struct Given {
    /// Address of the first argument.
    pub(crate) arguments: u64,
    /// Bytes of all of them.
    pub(crate) arguments_len: u64,
    /// Bytes of the environment.
    pub(crate) environment_len: u64,
}

impl Task {
    /// Takes a typed pointer from a hook's arguments.
    #[inline(always)]
    pub(crate) const fn new(pointer: *const u8) -> Self {
        Self {
            pointer,
            by_number: false,
        }
    }

    /// The current thread.
    #[inline(always)]
    pub(crate) fn current() -> Self {
        let by_number = helpers::TYPED_TASK.load() == 0;
        // SAFETY: no precondition; the typed one is offered to tracing, LSM and cgroup_skb programs from 5.11 on.
        let pointer = unsafe {
            if by_number {
                bpf_get_current_task() as *const u8
            } else {
                bpf_get_current_task_btf() as *const u8
            }
        };
        Self { pointer, by_number }
    }

    /// Reads a member of what `base` points to, which is the task or was reached from it.
    ///
    /// # Safety
    /// As of [`Reach::get`] of `Typed`.
    #[inline(always)]
    unsafe fn get<T: Copy>(self, base: *const u8, offset: u64) -> Result<T, Error> {
        // SAFETY: as the caller promises; any address may be probed.
        unsafe {
            if self.by_number {
                Probed::get(base, offset)
            } else {
                Typed::get(base, offset)
            }
        }
    }

    /// What the thread came into the kernel with: of a system call, its arguments. Absent before 5.15.
    #[inline(always)]
    pub(crate) fn registers(self) -> Option<Regs> {
        if helpers::TASK_REGISTERS.load() == 0 {
            return None;
        }
        // SAFETY: `self.pointer` is a typed task_struct; offered to tracing and LSM programs from 5.15 on.
        let registers = unsafe { bpf_task_pt_regs(self.pointer.cast_mut().cast()) };
        Some(Regs::new(registers as *const u8))
    }

    /// The process the thread belongs to.
    #[inline(always)]
    pub(crate) fn process(self) -> Result<Process, Error> {
        // SAFETY: `self.pointer` is a typed task_struct.
        unsafe {
            if self.by_number {
                process::<Probed>(self.pointer)
            } else {
                process::<Typed>(self.pointer)
            }
        }
    }

    /// The process whose first thread it is; absent of any other thread.
    #[inline(always)]
    pub(crate) fn first_of(self) -> Result<Option<Process>, Error> {
        // SAFETY: `self.pointer` is a typed task_struct; the first thread is its own leader (copy_process(), kernel/fork.c).
        let (thread, pid, start_ns): (u32, u32, u64) = unsafe {
            (
                self.get(self.pointer, fields::TASK_PID.load())?,
                self.get(self.pointer, fields::TASK_TGID.load())?,
                self.get(self.pointer, fields::TASK_START.load())?,
            )
        };
        if thread != pid {
            return Ok(None);
        }
        if start_ns == 0 {
            return Err(Error::NoTask);
        }
        Ok(Some(Process {
            start_ns,
            pid,
            pad: 0,
        }))
    }

    /// Its process's id.
    #[inline(always)]
    pub(crate) fn pid(self) -> Result<u32, Error> {
        // SAFETY: `self.pointer` is a typed task_struct.
        unsafe { self.get(self.pointer, fields::TASK_TGID.load()) }
    }

    /// The process that is its parent now.
    #[inline(always)]
    pub(crate) fn parent(self) -> Result<Process, Error> {
        // SAFETY: `self.pointer` is a typed task_struct, and so is its parent.
        let pointer = unsafe { self.get(self.pointer, fields::TASK_PARENT.load())? };
        Self { pointer, ..self }.process()
    }

    /// Real user id, as the first user namespace has it.
    #[inline(always)]
    pub(crate) fn user(self) -> Result<u32, Error> {
        // SAFETY: `self.pointer` is a typed task_struct, its cred a typed cred.
        unsafe {
            let cred: *const u8 = self.get(self.pointer, fields::TASK_CRED.load())?;
            self.get(cred, fields::CRED_UID.load())
        }
    }

    /// True for a thread that is not the first of its process.
    #[inline(always)]
    pub(crate) fn is_thread(self) -> Result<bool, Error> {
        // SAFETY: `self.pointer` is a typed task_struct.
        let (pid, tgid): (u32, u32) = unsafe {
            (
                self.get(self.pointer, fields::TASK_PID.load())?,
                self.get(self.pointer, fields::TASK_TGID.load())?,
            )
        };
        Ok(pid != tgid)
    }

    /// True for a thread whose memory is also that of the first thread of its process, which has none once it is gone.
    #[inline(always)]
    pub(crate) fn has_memory_of_first(self) -> Result<bool, Error> {
        // SAFETY: `self.pointer` is a typed task_struct, and so is its leader; of their mm only the address is used.
        let (own, first): (u64, u64) = unsafe {
            let leader: *const u8 = self.get(self.pointer, fields::TASK_LEADER.load())?;
            let own: *const u8 = self.get(self.pointer, fields::TASK_MM.load())?;
            let first: *const u8 = self.get(leader, fields::TASK_MM.load())?;
            (own as u64, first as u64)
        };
        Ok(own == first && self.is_thread()?)
    }

    /// True outside of pid namespaces but the first: there, numbers of processes are the kernel's own.
    #[inline(always)]
    pub(crate) fn in_first_namespace(self) -> Result<bool, Error> {
        // SAFETY: `self.pointer` is a typed task_struct, its thread_pid a typed pid.
        let level: u32 = unsafe {
            let pid: *const u8 = self.get(self.pointer, fields::TASK_PID_STRUCT.load())?;
            self.get(pid, fields::PID_LEVEL.load())?
        };
        Ok(level == 0)
    }

    /// Threads of the process that have not begun to exit.
    #[inline(always)]
    pub(crate) fn live_threads(self) -> Result<i32, Error> {
        // SAFETY: `self.pointer` is a typed task_struct, its signal a typed signal_struct.
        unsafe {
            let signal: *const u8 = self.get(self.pointer, fields::TASK_SIGNAL.load())?;
            self.get(signal, fields::SIGNAL_LIVE.load())
        }
    }

    /// What the process was given with the program that it has just begun to run.
    #[inline(always)]
    pub(crate) fn given(self) -> Result<Given, Error> {
        // SAFETY: `self.pointer` is a typed task_struct, its mm a typed mm_struct.
        let (start, end, environment_end): (u64, u64, u64) = unsafe {
            let mm: *const u8 = self.get(self.pointer, fields::TASK_MM.load())?;
            (
                self.get(mm, fields::MM_ARG_START.load())?,
                self.get(mm, fields::MM_ARG_END.load())?,
                self.get(mm, fields::MM_ENV_END.load())?,
            )
        };
        Ok(Given {
            arguments: start,
            arguments_len: end.saturating_sub(start),
            // It begins where the arguments end (create_elf_tables(), fs/binfmt_elf.c).
            environment_len: environment_end.saturating_sub(end),
        })
    }

    /// Which file the process runs; absent of a kernel thread.
    #[inline(always)]
    pub(crate) fn program(self) -> Result<Option<Key>, Error> {
        // SAFETY: as above.
        let mm: *const u8 = unsafe { self.get(self.pointer, fields::TASK_MM.load())? };
        // A load that faults is to give zeroes, but a program of several functions can bring kernels before 6.4 down by one: they may look
        // for what to do in the wrong one of its two tables (commit 0108a4e9f358, "bpf: ensure main program has an extable").
        if mm.is_null() {
            return Ok(None);
        }
        // SAFETY: as above.
        let file: *const u8 = unsafe { self.get(mm, fields::MM_PROGRAM.load())? };
        if file.is_null() {
            Ok(None)
        } else if self.by_number {
            File::<Probed>::new(file).inode()?.key().map(Some)
        } else {
            File::<Typed>::new(file).inode()?.key().map(Some)
        }
    }

    /// The control group it is in, of the unified hierarchy.
    #[inline(always)]
    pub(crate) fn group(self) -> Result<*const u8, Error> {
        // SAFETY: `self.pointer` is a typed task_struct, its cgroups a typed css_set.
        unsafe {
            let groups: *const u8 = self.get(self.pointer, fields::TASK_GROUPS.load())?;
            self.get(groups, fields::GROUPS_UNIFIED.load())
        }
    }

    /// The one above a control group that was reached from this task; null above the first.
    #[inline(always)]
    pub(crate) fn group_above(self, group: *const u8) -> Result<*const u8, Error> {
        // SAFETY: `group` is a cgroup, and what it has of the one above a cgroup_subsys_state; of none everything reads as zero.
        unsafe {
            let state: *const u8 = self.get(group, fields::GROUP_ABOVE.load())?;
            self.get(state, fields::STATE_GROUP.load())
        }
    }

    /// The address of the name of a control group that was reached from this task.
    #[inline(always)]
    pub(crate) fn group_name(self, group: *const u8) -> Result<*const u8, Error> {
        // SAFETY: `group` is a cgroup, its node a kernfs_node.
        unsafe {
            let node: *const u8 = self.get(group, fields::GROUP_NODE.load())?;
            self.get(node, fields::NODE_NAME.load())
        }
    }

    /// True while the current system call is a 32-bit one.
    #[inline(always)]
    pub(crate) fn in_compat_call(self) -> Result<bool, Error> {
        let offset = fields::TASK_STATUS.load();
        if offset == fields::ABSENT {
            return Ok(false);
        }
        // SAFETY: `self.pointer` is a typed task_struct, and the member is there.
        let status: u32 = unsafe { self.get(self.pointer, offset)? };
        Ok(status & TS_COMPAT != 0)
    }

    /// The address of a file in the process's descriptor table, as a number.
    #[inline(always)]
    pub(crate) fn file(self, fd: u32) -> Result<*const u8, Error> {
        // SAFETY: files and fdt are typed; the array of descriptors is a pointer to pointers, which the verifier cannot
        // type, so its element is probed.
        let file: *const u8 = unsafe {
            let files: *const u8 = self.get(self.pointer, fields::TASK_FILES.load())?;
            let table: *const u8 = self.get(files, fields::FILES_FDT.load())?;
            let size: u32 = self.get(table, fields::FDT_MAX.load())?;
            if fd >= size {
                return Err(Error::NoFile);
            }
            let array: *const u8 = self.get(table, fields::FDT_FD.load())?;
            Probed::get(array, u64::from(fd) * 8)?
        };
        if file.is_null() {
            Err(Error::NoFile)
        } else {
            Ok(file)
        }
    }
}

/// The process that a thread belongs to.
///
/// # Safety
/// `task` must be a task_struct for `R`, or an address that was one.
#[inline(always)]
unsafe fn process<R: Reach>(task: *const u8) -> Result<Process, Error> {
    // SAFETY: `task` is a task_struct, and so is its leader; one that is gone reads as zeroes.
    let (start_ns, pid) = unsafe {
        let leader: *const u8 = R::get(task, fields::TASK_LEADER.load())?;
        (
            R::get(leader, fields::TASK_START.load())?,
            R::get(task, fields::TASK_TGID.load())?,
        )
    };
    if start_ns == 0 {
        return Err(Error::NoTask);
    }
    Ok(Process {
        start_ns,
        pid,
        pad: 0,
    })
}

/// The process whose memory a `struct mm_struct` is, by its address; absent where the kernel does not note that.
#[inline(always)]
pub(crate) fn owner(mm: *const u8) -> Result<Option<Process>, Error> {
    let offset = fields::MM_OWNER.load();
    if offset == fields::ABSENT || mm.is_null() {
        return Ok(None);
    }
    // SAFETY: any address may be probed; the owner of an mm_struct is a task_struct, absent once its process is gone.
    unsafe {
        let task: *const u8 = Probed::get(mm, offset)?;
        if task.is_null() {
            return Ok(None);
        }
        process::<Probed>(task).map(Some)
    }
}

/// Id of the current process.
#[inline(always)]
pub(crate) fn current_pid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// Id of the current thread.
#[inline(always)]
pub(crate) fn current_tid() -> u32 {
    bpf_get_current_pid_tgid() as u32
}
