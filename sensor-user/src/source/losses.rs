//! What the kernel programs could not do, told as gaps.

use std::collections::HashMap;

use sensor_ebpf::layout::count::{Error, LostBytes};
use sensor_ebpf::layout::news::News;

use crate::decode::DecodeError;
use crate::event::{Event, Gap, GapReason, What};
use crate::load::{AttemptError, Kernel};

/// Losses so far.
#[derive(Debug, Default)]
pub(super) struct Losses {
    told: HashMap<u32, u64>,
    undecodable: u64,
    undecodable_told: u64,
    total: u64,
    looked_ns: u64,
    /// What the programs had told when their counters were last read.
    news: u64,
    bytes_told: LostBytes,
    skips_told: HashMap<&'static str, u64>,
    skips_ns: u64,
}

impl Losses {
    /// A record could not be decoded.
    pub(super) fn undecodable(&mut self, error: &DecodeError) {
        if self.undecodable == 0 {
            tracing::error!(%error, "a record from the kernel is lost; further ones are only counted");
        }
        self.undecodable += 1;
    }

    /// Everything that was lost.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// Makes gaps of what was lost since this was last called.
    pub(super) fn look(
        &mut self,
        kernel: &mut Kernel,
        now: u64,
        events: &mut Vec<Event>,
    ) -> Result<(), AttemptError> {
        let from = std::mem::replace(&mut self.looked_ns, now);
        let news = kernel.news(News::Loss);
        if std::mem::replace(&mut self.news, news) != news {
            self.errors(kernel, (from, now), events)?;
        }
        let undecodable =
            self.undecodable - std::mem::replace(&mut self.undecodable_told, self.undecodable);
        self.gap(
            GapReason::Decode,
            undecodable,
            "records of the kernel programs",
            (from, now),
            events,
        );
        Ok(())
    }

    fn errors(
        &mut self,
        kernel: &mut Kernel,
        span: (u64, u64),
        events: &mut Vec<Event>,
    ) -> Result<(), AttemptError> {
        for (error, name, count) in kernel.errors()? {
            let told = self.told.insert(error as u32, count).unwrap_or(0);
            let lost = count - told;
            if error == Error::BulkRingFull && lost > 0 {
                let detail = format!("{name}: {}", self.bytes(kernel.lost_bytes()?));
                self.gap(reason(error), lost, &detail, span, events);
            } else {
                self.gap(reason(error), lost, name, span, events);
            }
            if error == Error::CarriersFull && lost > 0 {
                let forgotten = kernel.forget_carriers()?;
                self.gap(
                    GapReason::MapFull,
                    forgotten,
                    "files and pipes with data of records, forgotten to make room",
                    span,
                    events,
                );
            }
        }
        Ok(())
    }

    /// What accesses lost since this was last called would have added to sums.
    fn bytes(&mut self, all: LostBytes) -> String {
        let told = std::mem::replace(&mut self.bytes_told, all);
        format!(
            "{} bytes read, {} mapped, {} written",
            all.read - told.read,
            all.mapped - told.mapped,
            all.written - told.written
        )
    }

    /// Makes gaps of the runs that the kernel left out since this was last called.
    pub(super) fn skips(
        &mut self,
        kernel: &Kernel,
        now: u64,
        events: &mut Vec<Event>,
    ) -> Result<(), AttemptError> {
        let from = std::mem::replace(&mut self.skips_ns, now);
        for (program, count) in kernel.skips()? {
            let told = self.skips_told.insert(program, count).unwrap_or(0);
            let skipped = count.saturating_sub(told);
            self.gap(GapReason::Skipped, skipped, program, (from, now), events);
        }
        Ok(())
    }

    fn gap(
        &mut self,
        reason: GapReason,
        count: u64,
        detail: &str,
        span: (u64, u64),
        events: &mut Vec<Event>,
    ) {
        if count == 0 {
            return;
        }
        self.total += count;
        let gap = Gap {
            reason,
            count,
            from_boot_ns: span.0,
            to_boot_ns: span.1,
            detail: detail.to_owned(),
        };
        events.push(Event {
            boot_ns: span.1,
            what: What::Gap(gap),
        });
    }
}

const fn reason(error: Error) -> GapReason {
    match error {
        Error::CriticalRingFull | Error::BulkRingFull | Error::NameLost => GapReason::RingFull,
        Error::RootsFull
        | Error::HoldersFull
        | Error::SocketsFull
        | Error::DatagramsFull
        | Error::LinkedFull
        | Error::EdgesFull
        | Error::CarriersFull
        | Error::SharesFull
        | Error::LocalsFull
        | Error::TampersFull
        | Error::TalkingFull => GapReason::MapFull,
        Error::NoControl
        | Error::NoInode
        | Error::NoFile
        | Error::NoTask
        | Error::Depth
        | Error::Fault
        | Error::Compat
        | Error::NoCookie
        | Error::NoSocket => GapReason::HookFailed,
    }
}
