//! Tokens back to names, for a reason that is asked for.

use std::io::{IsTerminal as _, Write};

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use collector::analyst::Command;

use super::{Cli, reason};

#[derive(Debug, Clone, Args)]
pub(super) struct RevealArgs {
    /// Tokens as alerts have them, or whole paths and arguments with `token:...` in them.
    #[arg(value_name = "TOKEN", required_unless_present = "alert")]
    tokens: Vec<String>,
    /// All tokens of an alert: its id, or a beginning of it that no other alert has.
    #[arg(long, value_name = "ID", conflicts_with = "tokens")]
    alert: Option<String>,
    /// Why, for whoever reads the audit log; asked for on a terminal.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    why: Option<String>,
    /// As one JSON object to a line.
    #[arg(long)]
    json: bool,
}

impl RevealArgs {
    /// The command; asks for the reason where it is missing.
    pub(super) fn asked(self) -> Result<Command, anyhow::Error> {
        let why = match self.why {
            Some(why) => why,
            None => asked()?,
        };
        Ok(Command::Reveal {
            texts: self.tokens,
            alert: self.alert,
            why,
            json: self.json,
        })
    }
}

/// The reason, from the terminal; without one there is nobody to ask.
fn asked() -> Result<String, anyhow::Error> {
    if !std::io::stdin().is_terminal() {
        refuse("--why is missing, and there is nobody to ask here: say why the name is needed");
    }
    write!(std::io::stderr(), "Why is the name needed? ").context("failed to ask")?;
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .context("failed to read the answer")?;
    match reason(&answer) {
        Ok(why) => Ok(why),
        Err(why) => refuse(&format!("the reason {why}")),
    }
}

/// Ends as for any other argument that is wrong.
fn refuse(why: &str) -> ! {
    Cli::command()
        .error(clap::error::ErrorKind::ValueValidation, why)
        .exit()
}
