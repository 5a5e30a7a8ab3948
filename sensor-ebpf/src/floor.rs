//! Programs that only count how often they run: what being on the sensor's hooks costs at least. For measurements; the
//! sensor has nothing of it.
//!
//! There is one for each kind of hook; `sensor-user/benches/overhead` attaches them wherever the sensor's own programs
//! would be. On any other target than BPF this is an empty program.
//!
//! **Invariant:** a program does nothing but add one to a number of its CPU, or nothing at all.
#![cfg_attr(target_arch = "bpf", no_std)]
#![cfg_attr(target_arch = "bpf", no_main)]

#[cfg(target_arch = "bpf")]
mod programs {
    use aya_ebpf::{
        macros::{btf_tracepoint, cgroup_skb, fentry, fexit, lsm, map},
        maps::PerCpuArray,
        programs::{BtfTracePointContext, FEntryContext, FExitContext, LsmContext, SkBuffContext},
    };

    #[map]
    static RUNS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

    #[inline(always)]
    fn count() {
        if let Some(runs) = RUNS.get_ptr_mut(0) {
            // SAFETY: a value of a per-CPU array is valid for as long as the program runs. Another program that preempts
            // this one may cost a count, and nobody reads it.
            unsafe { *runs += 1 };
        }
    }

    #[lsm(hook = "file_open")]
    fn on_lsm(_: LsmContext) -> i32 {
        count();
        0
    }

    #[fentry(function = "vfs_read")]
    fn on_entry(_: FEntryContext) -> i32 {
        count();
        0
    }

    #[fexit(function = "vfs_read")]
    fn on_exit(_: FExitContext) -> i32 {
        count();
        0
    }

    #[btf_tracepoint(function = "sched_process_exit")]
    fn on_tracepoint(_: BtfTracePointContext) -> i32 {
        count();
        0
    }

    /// Lets the packet pass.
    #[cgroup_skb(egress)]
    fn on_packet(_: SkBuffContext) -> i32 {
        count();
        1
    }

    #[btf_tracepoint(function = "sched_process_exit")]
    fn empty_on_tracepoint(_: BtfTracePointContext) -> i32 {
        0
    }

    /// Lets the packet pass.
    #[cgroup_skb(egress)]
    fn empty_on_packet(_: SkBuffContext) -> i32 {
        1
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        loop {}
    }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
