//! Which helpers the kernel has: a read-only global for each row of the layout's table.
//!
//! The verifier knows what a read-only global holds, does not look at the way that is not gone, and takes it out: so a helper that
//! is not there refuses nothing, and one that is costs the question alone.

use aya_ebpf::Global;

macro_rules! globals {
    ($($global:ident $function:literal;)*) => {
        $(
            #[doc = concat!("1 where the kernel has `", $function, "`.")]
            #[unsafe(no_mangle)]
            pub(crate) static $global: Global<u64> = Global::new(0);
        )*
    };
}

sensor_ebpf::helpers!(globals);
