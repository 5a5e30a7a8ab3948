//! What a person makes of an alert: such work is approved. Proposed and written by whoever carries commands out, asked about here.

use std::io::{IsTerminal as _, Write};

use anyhow::{Context as _, bail};
use collector::analyst::{Approval, Command};

use super::remote::Ended;
use super::{Cli, carry_out};

/// Has a way proposed, asks, and has it written.
pub(super) fn approve(
    cli: &Cli,
    mut asked: Approval,
    yes: bool,
    out: &mut impl Write,
) -> Result<u8, anyhow::Error> {
    let Ended { exit, to_agree } = carry_out(cli, Command::Approve(asked.clone()), out)?;
    out.flush().context("failed to write")?;
    if exit != 0 {
        return Ok(exit);
    }
    asked.agreed = Some(to_agree.context("the collector did not say what it proposes")?);
    if !yes && !agreed()? {
        bail!("nothing was written");
    }
    Ok(carry_out(cli, Command::Approve(asked), out)?.exit)
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
