//! What a person makes of an alert: it is closed, or such work is approved.

use std::io::{IsTerminal as _, Write};
use std::path::Path;

use anyhow::{Context as _, bail};
use collector::alerts::{AlertReader, AlertStore, Closing, Verdict};
use collector::config::DetectConfig;
use collector::console::approve::{self, Proposal};
use collector::{console, sink, text};

use super::{Judged, find, now_ns};

pub(super) fn close(
    data: &Path,
    id: &str,
    judged: Judged,
    why: String,
    out: &mut impl Write,
) -> Result<(), anyhow::Error> {
    let alert = find(&AlertReader::open(data)?, id)?;
    let closing = Closing {
        revision: alert.revision,
        verdict: match judged {
            Judged::TruePositive => Verdict::TruePositive,
            Judged::FalsePositive => Verdict::FalsePositive,
        },
        why,
        who: who(),
        at_ns: now_ns(),
    };
    AlertStore::open(data)
        .and_then(|mut store| store.close(&alert.id, &closing, sink::ocsf::closed))
        .context(
            "failed to close the alert; that needs the right to write to the collector's data",
        )?;
    writeln!(
        out,
        "Closed {} at revision {} as {}, by {}.",
        alert.id,
        closing.revision,
        closing.verdict.name(),
        text::clean(&closing.who)
    )
    .context("failed to write")
}

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
    let comment = format!(
        "Approved by {} on {}, after alert {}.\nWhy: {}",
        who(),
        text::rfc3339(now_ns()),
        alert.id,
        asked.why
    );
    let file = approve::write(config, &proposal, &comment, &short)?;
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

/// Who logged in, which sudo does not change (`/proc/self/loginuid`), else who this program runs as; by name if there is one.
fn who() -> String {
    let login = std::fs::read_to_string("/proc/self/loginuid").unwrap_or_default();
    let login = login.trim().parse().ok().filter(|uid| *uid != u32::MAX);
    let uid = login.unwrap_or_else(|| rustix::process::getuid().as_raw());
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| uid.to_string())
}
