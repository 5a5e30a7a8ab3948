//! What a person makes of an alert: such work is approved. First the way is proposed and tried on the log, then, when a person has agreed to just
//! that, it is written.

use std::io::Write;

use super::run::{AnalystError, Bench, find, now_ns};
use crate::alerts::AlertReader;
use crate::alerts::form::AlertForm;
use crate::audit::{Action, Audit, Entry, Hash};
use crate::config::APPROVED_DIR;
use crate::console;
use crate::console::approve::{self, Place, Proposal, Trial};
use crate::text;

/// What is to be approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The alert's id, or a beginning of it.
    pub id: String,
    /// What the hospital calls this work; by default after the alert.
    pub name: Option<String>,
    /// Why, for whoever reads it next year.
    pub why: String,
    /// The proposal that was agreed to; `None`: propose it.
    pub agreed: Option<Hash>,
}

/// Proposes a way, or writes the one that was agreed to; answers what is to be agreed to.
pub(super) fn approve(
    bench: &Bench,
    asked: &Approval,
    out: &mut impl Write,
) -> Result<Option<Hash>, AnalystError> {
    let alert = find(&AlertReader::open(&bench.data)?, &asked.id)?;
    let short: String = alert.id.chars().take(8).collect();
    let name = asked.name.clone();
    let proposal = Proposal::of(
        &alert,
        name.unwrap_or_else(|| format!("as in alert {short}")),
    )?;
    // It can be read back, whatever else is approved by now.
    approve::with(&bench.detect, &proposal)?;
    let hash = Hash::of_bytes(proposal.toml.as_bytes());
    match asked.agreed {
        None => {
            propose(bench, &alert, &proposal, out)?;
            Ok(Some(hash))
        }
        Some(agreed) if agreed == hash => {
            write(bench, asked, &alert, &proposal, &short, out)?;
            Ok(None)
        }
        Some(_) => Err(AnalystError::Outgrown),
    }
}

fn propose(
    bench: &Bench,
    alert: &AlertForm,
    proposal: &Proposal,
    out: &mut impl Write,
) -> Result<(), AnalystError> {
    writeln!(out, "Proposed:\n")?;
    for line in proposal.toml.lines() {
        writeln!(out, "{}", text::clean(line))?;
    }
    writeln!(out)?;
    let Trial {
        mut silenced,
        shrunk,
        ..
    } = approve::trial(&bench.data, &bench.detect, proposal, crate::decode, |_| {})?;
    if silenced.remove(&alert.id).is_none() {
        return Err(AnalystError::NotSilenced);
    }
    let also = "In the log it would have silenced this alert and";
    if silenced.is_empty() {
        writeln!(out, "{also} no other.")?;
    } else {
        writeln!(out, "{also} also:\n")?;
        let others: Vec<_> = silenced.into_values().collect();
        console::alerts(out, &others, false)?;
    }
    if !shrunk.is_empty() {
        writeln!(
            out,
            "\nThese would have been smaller, without what went this way:\n"
        )?;
        let shrunk: Vec<_> = shrunk.into_values().collect();
        console::alerts(out, &shrunk, false)?;
    }
    out.flush()?;
    Ok(())
}

fn write(
    bench: &Bench,
    asked: &Approval,
    alert: &AlertForm,
    proposal: &Proposal,
    short: &str,
    out: &mut impl Write,
) -> Result<(), AnalystError> {
    let audit = Audit::open(&bench.data, bench.who.clone())?;
    audit.ready()?;
    let comment = format!(
        "Approved by {} on {}, after alert {}.\nWhy: {}",
        bench.who.name(),
        text::rfc3339(now_ns()),
        alert.id,
        asked.why
    );
    let (like, counts) = match &bench.file {
        Some(file) => (&**file, "after `systemctl reload chartwatch-collector`"),
        // What an administrator of this machine has written is not touched from afar.
        None => (&*bench.data, "within seconds"),
    };
    let place = Place {
        directory: match &bench.file {
            Some(file) => file.with_file_name(APPROVED_DIR),
            None => bench.data.join(APPROVED_DIR),
        },
        like,
    };
    let file = approve::write(&place, proposal, &comment, short)?;
    let entry = Entry::new(Action::WayApproved).about(&alert.id);
    let entry = entry.with("file", &file.to_string_lossy());
    audit.append(&entry.with("way", &proposal.toml).with("why", &asked.why))?;
    writeln!(out, "Written to {}. It counts {counts}.", file.display())?;
    Ok(())
}
