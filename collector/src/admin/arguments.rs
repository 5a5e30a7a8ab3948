//! The arguments of an administrator's commands: the same words on the collector's machine and over the network.

use std::time::Duration;

use clap::Args;

use super::{Task, Whom, validity};
use crate::identity::Role;

/// For whom a token is.
#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    /// The sensor's name, its `sensor_id`.
    #[arg(long, value_name = "NAME", required_unless_present = "analyst")]
    sensor: Option<String>,
    /// The token is for an analyst of this name, who then works over the network (`chartwatch enroll`).
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "sensor",
        requires = "role"
    )]
    analyst: Option<String>,
    /// What the analyst may: read (look at everything but names), triage (close alerts too), reveal (turn tokens back too), administer (make
    /// tokens, revoke, give roles and approve ways too); several with commas.
    #[arg(long, value_name = "ROLE", value_delimiter = ',', requires = "analyst")]
    role: Vec<Role>,
    /// How long the token can be used: a number and s, m, h or d, at most 30d.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = validity)]
    valid: Duration,
    /// Where the collector is found [default: the first of `names` below `[tls]`, else the address it listens on].
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
}

impl TokenArgs {
    /// What they ask for.
    pub fn task(self) -> Task {
        Task::Token {
            whom: whom(self.sensor, self.analyst),
            roles: self.role.into_iter().collect(),
            valid: self.valid,
            address: self.address,
        }
    }
}

/// Who is let in no longer.
#[derive(Debug, Clone, Args)]
pub struct RevokeArgs {
    /// The sensor's name, its `sensor_id`.
    #[arg(long, value_name = "NAME", required_unless_present = "analyst")]
    sensor: Option<String>,
    /// The analyst's name.
    #[arg(long, value_name = "NAME", conflicts_with = "sensor")]
    analyst: Option<String>,
}

impl RevokeArgs {
    /// What they ask for.
    pub fn task(self) -> Task {
        Task::Revoke(whom(self.sensor, self.analyst))
    }
}

/// What an analyst may.
#[derive(Debug, Clone, Args)]
pub struct RolesArgs {
    /// The analyst's name.
    #[arg(long, value_name = "NAME", requires = "roles")]
    analyst: Option<String>,
    /// The roles, in the place of those before: read, triage, reveal, administer; several with commas.
    #[arg(
        long,
        value_name = "ROLE",
        value_delimiter = ',',
        group = "roles",
        requires = "analyst"
    )]
    role: Vec<Role>,
    /// No role at all: the analyst may do nothing any more.
    #[arg(long, group = "roles", requires = "analyst")]
    none: bool,
}

impl RolesArgs {
    /// What they ask for; `none` is no role.
    pub fn task(self) -> Task {
        match self.analyst {
            Some(analyst) => Task::Give(analyst, self.role.into_iter().collect()),
            None => Task::List,
        }
    }
}

/// The command line has one of the two.
fn whom(sensor: Option<String>, analyst: Option<String>) -> Whom {
    match (sensor, analyst) {
        (Some(sensor), _) => Whom::Sensor(sensor),
        (None, analyst) => Whom::Analyst(analyst.unwrap_or_default()),
    }
}
