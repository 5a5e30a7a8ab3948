//! What a person makes of an alert: such work is approved.

use std::io::{IsTerminal as _, Write};
use std::path::Path;

use anyhow::{Context as _, bail};
use collector::alerts::AlertReader;
use collector::analyst::find;
use collector::audit::{Action, Audit, Entry, Who};
use collector::config::DetectConfig;
use collector::console::approve::{self, Proposal};
use collector::{console, text};

use super::now_ns;

/// What to approve.
pub(super) struct Approval {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) why: String,
    pub(super) yes: bool,
}

pub(super) fn approve(
    data: &Path,
    config: &Path,
    detect: &DetectConfig,
    asked: &Approval,
    out: &mut impl Write,
) -> Result<(), anyhow::Error> {
    let alert = find(&AlertReader::open(data)?, &asked.id)?;
    let short: String = alert.id.chars().take(8).collect();
    let name = asked
        .name
        .clone()
        .unwrap_or_else(|| format!("as in alert {short}"));
    let proposal = Proposal::of(&alert, name)?;
    writeln!(out, "Proposed:\n")?;
    for line in proposal.toml.lines() {
        writeln!(out, "{}", text::clean(line))?;
    }
    writeln!(out)?;
    let trial = approve::trial(data, detect, &proposal, collector::decode, |_| {})?;
    let (this, others): (Vec<_>, Vec<_>) = trial
        .silenced
        .into_values()
        .partition(|silenced| silenced.id == alert.id);
    if this.is_empty() {
        bail!(
            "the log has the alert with this way too, so nothing is written: other processes are part of it, or it reaches \
             further back than the log"
        );
    }
    if others.is_empty() {
        writeln!(
            out,
            "In the log it would have silenced this alert and no other."
        )?;
    } else {
        writeln!(
            out,
            "In the log it would have silenced this alert and also:\n"
        )?;
        console::alerts(out, &others, false)?;
    }
    if !trial.shrunk.is_empty() {
        writeln!(
            out,
            "\nThese would have been smaller, without what went this way:\n"
        )?;
        let shrunk: Vec<_> = trial.shrunk.into_values().collect();
        console::alerts(out, &shrunk, false)?;
    }
    out.flush().context("failed to write")?;
    if !asked.yes && !agreed()? {
        bail!("nothing was written");
    }
    let audit = auditing(data)?;
    let comment = format!(
        "Approved by {} on {}, after alert {}.\nWhy: {}",
        Who::runs_this().name(),
        text::rfc3339(now_ns()),
        alert.id,
        asked.why
    );
    let file = approve::write(config, &proposal, &comment, &short)?;
    let entry = Entry::new(Action::WayApproved).about(&alert.id);
    audit.append(
        &entry
            .with("file", &file.to_string_lossy())
            .with("why", &asked.why),
    )?;
    writeln!(
        out,
        "Written to {}. It counts after `systemctl reload chartwatch-collector`.",
        file.display()
    )
    .context("failed to write")
}

/// Asks on the terminal; without one there is nobody to ask.
fn agreed() -> Result<bool, anyhow::Error> {
    if !std::io::stdin().is_terminal() {
        bail!("there is nobody to ask here; --yes writes it without asking");
    }
    write!(std::io::stderr(), "Write it? [y/N] ").context("failed to ask")?;
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .context("failed to read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The audit log, which can be written to: what is not said there is not done.
fn auditing(data: &Path) -> Result<Audit, anyhow::Error> {
    let audit = Audit::open(data, Who::runs_this())?;
    audit.ready()?;
    Ok(audit)
}
