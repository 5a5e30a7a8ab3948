//! Offsets of kernel struct members: one read-only global for each row of the layout's table.

use aya_ebpf::Global;
pub(crate) use sensor_ebpf::layout::fields::ABSENT;

macro_rules! globals {
    ($($global:ident $container:literal $member:literal $kind:ident $(($target:literal))? $size:literal $need:ident;)*) => {
        $(
            #[doc = concat!("Offset of `", $container, ".", $member, "`.")]
            #[unsafe(no_mangle)]
            pub(crate) static $global: Global<u64> = Global::new(ABSENT);
        )*
    };
}

sensor_ebpf::fields!(globals);
