//! Who does something: a user of this machine, the collector itself, or somebody at the other end of a connection.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Who it was. Names come with numbers, since names are given anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "kebab-case")]
pub enum Who {
    /// A user of this machine, by a command.
    Local {
        /// The user the program ran as.
        uid: u32,
        /// Its name, where it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// Who logged in, which sudo does not change; `None` when nobody did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        login_uid: Option<u32>,
        /// The name of that user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        login: Option<String>,
    },
    /// The collector by itself.
    Collector,
    /// Who has shown a certificate.
    Certified {
        /// The name in it.
        name: String,
        /// Where from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<IpAddr>,
    },
    /// Who has shown none that is believed.
    Stranger {
        /// Where from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<IpAddr>,
    },
    /// A kind that a newer collector knows.
    #[serde(other)]
    Unknown,
}

impl Who {
    /// Who runs this program.
    pub fn runs_this() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let login = std::fs::read_to_string("/proc/self/loginuid").unwrap_or_default();
        let login_uid = login.trim().parse().ok().filter(|uid| *uid != u32::MAX);
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let name = |uid: u32| {
            users.lines().find_map(|line| {
                let mut fields = line.split(':');
                let name = fields.next()?;
                (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
            })
        };
        Self::Local {
            uid,
            user: name(uid),
            login_uid,
            login: login_uid.and_then(name),
        }
    }

    /// One name for people: who logged in rather than what sudo made of them.
    pub fn name(&self) -> String {
        match self {
            Self::Local {
                uid,
                user,
                login_uid,
                login,
            } => match (login_uid, login, user) {
                (_, Some(login), _) => login.clone(),
                (Some(login_uid), None, _) => login_uid.to_string(),
                (None, None, Some(user)) => user.clone(),
                (None, None, None) => uid.to_string(),
            },
            Self::Collector => "the collector".to_owned(),
            Self::Certified { name, .. } => name.clone(),
            Self::Stranger { from: Some(from) } => format!("somebody at {from}"),
            Self::Stranger { from: None } => "somebody".to_owned(),
            Self::Unknown => "unknown".to_owned(),
        }
    }
}
