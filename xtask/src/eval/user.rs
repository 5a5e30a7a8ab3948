//! The user a scenario runs as, created if missing.
//!
//! **Invariant:** a user that was created is removed when the value is dropped; one that was there stays.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::step::{capture, find_program, say};

/// A user.
#[derive(Debug)]
pub(super) struct User {
    name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    created: bool,
}

impl User {
    /// The user of this name.
    ///
    /// # Errors
    /// It is missing and cannot be created.
    pub(super) fn named(name: &str) -> Result<Self> {
        let created = id("-u", name).is_err();
        if created {
            let program = find_program("useradd").context("useradd is not installed")?;
            let mut command = Command::new(program);
            command.args(["--system", "--no-create-home", "--shell", "/bin/sh"]);
            capture(command.args(["--home-dir", "/nonexistent", "--user-group", name]))
                .with_context(|| format!("failed to create the user {name}"))?;
        }
        Ok(Self {
            name: name.to_owned(),
            uid: id("-u", name)?,
            gid: id("-g", name)?,
            created,
        })
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if !self.created {
            return;
        }
        let program = find_program("userdel").unwrap_or_else(|| "userdel".into());
        if let Err(error) = capture(Command::new(program).arg(&self.name)) {
            say(format!(
                "the user {} could not be removed: {error:#}",
                self.name
            ));
        }
    }
}

fn id(which: &str, name: &str) -> Result<u32> {
    let text = capture(Command::new("id").args([which, name]))?;
    text.trim()
        .parse()
        .with_context(|| format!("id printed {text:?}"))
}
