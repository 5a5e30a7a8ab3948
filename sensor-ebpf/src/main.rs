//! Chartwatch's kernel programs: they watch what processes do with records and whom they talk to.
//!
//! `probe/` holds a file per hook with its thin entries, one per backend; `observe/` what a hook does, written once;
//! `kernel/` the only reads of kernel memory. On any other target than BPF this is an empty program.
//!
//! **Invariant:** no panic is reachable: the panic handler loops, so the verifier refuses a program that could.
#![cfg_attr(target_arch = "bpf", no_std)]
#![cfg_attr(target_arch = "bpf", no_main)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod count;
#[cfg(target_arch = "bpf")]
mod emit;
#[cfg(target_arch = "bpf")]
mod kernel;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod news;
#[cfg(target_arch = "bpf")]
mod observe;
#[cfg(target_arch = "bpf")]
mod probe;

/// GPL-only helpers (reads through BTF pointers, `bpf_probe_read_kernel`) are refused to programs without this.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
