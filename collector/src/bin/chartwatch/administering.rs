//! What an administrator asks for, in the words of `chartwatch-collector`.

use clap::Subcommand;
use collector::admin::{RevokeArgs, RolesArgs, Task, TokenArgs};

/// In what all of them end.
const NEEDS: &str =
    "Over the network it needs the role administer, on the collector's machine its user.";

#[derive(Debug, Clone, Subcommand)]
pub(super) enum Administration {
    /// Print a one-time token with which a new sensor or an analyst gets a certificate: one line, to be carried there in a file that only
    /// its owner can read.
    #[command(after_help = format!("{NEEDS}\nOver the network nobody makes a token for oneself, since that gives roles. The audit log says who made which token, and from where it was used.\n\nExamples:\n  \
        chartwatch --collector HOST:7444 token --sensor ward-7-pc-3 > ward-7-pc-3.token\n  \
        chartwatch --collector HOST:7444 token --analyst anna --role triage --valid 8h > anna.token"))]
    Token(TokenArgs),
    /// Let a sensor or an analyst in no longer: certificates and unused tokens count no more, on open streams too. With a token made later
    /// they can enrol again.
    #[command(after_help = format!("{NEEDS}\nOver the network nobody revokes oneself, so that an administrator is always left.\n\nExamples:\n  \
        chartwatch --collector HOST:7444 revoke --sensor ward-7-pc-3\n  \
        chartwatch --collector HOST:7444 revoke --analyst anna"))]
    Revoke(RevokeArgs),
    /// List the analysts with their roles, or give one other roles, which counts at once.
    #[command(after_help = format!("{NEEDS}\nOver the network nobody changes the own roles: another administrator can, and the collector's machine. The audit \
        log\nsays who gave which roles to whom.\n\nExamples:\n  \
        chartwatch --collector HOST:7444 roles\n  \
        chartwatch --collector HOST:7444 roles --analyst anna --role triage,reveal\n  \
        chartwatch --collector HOST:7444 roles --analyst anna --none"))]
    Roles(RolesArgs),
    /// Say how far a change of the certificate authority is, and who does not know the new one yet.
    #[command(after_help = format!("{NEEDS}\nThe authority is changed with `chartwatch-collector rotate-authority`, on the collector's machine only."))]
    RotateAuthority {
        /// Only say so: nothing else can be done from here.
        #[arg(long, required = true)]
        status: bool,
    },
}

impl Administration {
    /// What is asked for.
    pub(super) fn task(self) -> Task {
        match self {
            Self::Token(args) => args.task(),
            Self::Revoke(args) => args.task(),
            Self::Roles(args) => args.task(),
            Self::RotateAuthority { status: _ } => Task::Rotation,
        }
    }
}
