//! Lets aya copy the layout's types into and out of maps.

#![allow(
    unsafe_code,
    reason = "aya's Pod is an unsafe trait; its promises are kept here and nowhere else"
)]

use aya::Pod;
use sensor_ebpf::layout::{access, config, count, edge, flow, tamper};

macro_rules! wrap {
    ($($name:ident($inner:ty);)*) => {
        $(
            #[doc = concat!("`", stringify!($inner), "` in a map.")]
            #[derive(Debug, Clone, Copy)]
            #[repr(transparent)]
            pub struct $name(pub $inner);

            // SAFETY: repr(C) of fixed-width integers and byte arrays without implicit padding (asserted in the
            // layout), so every bit pattern is a value and every byte is initialised.
            unsafe impl Pod for $name {}
        )*
    };
}

wrap! {
    Inode(access::Inode);
    AccessKey(access::AccessKey);
    AccessSum(access::AccessSum);
    Control(config::Control);
    Holder(config::Holder);
    UnitName(config::UnitName);
    KeptHolder(config::KeptHolder);
    Counts(count::Counts);
    LostBytes(count::LostBytes);
    Socket(flow::Socket);
    DatagramKey(flow::DatagramKey);
    Datagrams(flow::Datagrams);
    Local(flow::Local);
    LocalKey(flow::LocalKey);
    QuietName(flow::QuietName);
    Carrier(access::Carrier);
    EdgeKey(edge::EdgeKey);
    EdgeSum(edge::EdgeSum);
    Own(tamper::Own);
    TamperKey(tamper::TamperKey);
    TamperSum(tamper::TamperSum);
}
