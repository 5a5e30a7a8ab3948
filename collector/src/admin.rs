//! What an administrator asks: tokens for new sensors and analysts, that old ones are no longer let in, and what analysts may. It is carried out for
//! who runs a command on the collector's machine, or over the network for an analyst with the role.

mod arguments;
mod rotation;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::audit::{Action, Audit, AuditError, Entry, Who};
use crate::config::{Config, Tls};
use crate::fleet::FleetError;
use crate::identity::{
    Authorities, Authority, Book, IdentityError, Roles, Secret, analyst_subject, can_be_analyst,
    can_be_certified, known_names,
};

pub use arguments::{RevokeArgs, RolesArgs, TokenArgs};
pub use rotation::{Step, rotate};

/// A token can be used for so long at most.
pub const VALID_MAX: Duration = Duration::from_hours(30 * 24);

/// A sensor or an analyst, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// A sensor, by its `sensor_id`.
    Sensor(String),
    /// An analyst.
    Analyst(String),
}

impl Whom {
    /// By what it stands among tokens and revocations.
    fn subject(&self) -> String {
        match self {
            Self::Sensor(name) => name.clone(),
            Self::Analyst(name) => analyst_subject(name),
        }
    }
}

impl std::fmt::Display for Whom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sensor(name) => write!(f, "--sensor {name}"),
            Self::Analyst(name) => write!(f, "--analyst {name}"),
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Make a token and write it as one line.
    Token {
        /// Who may enrol with it.
        whom: Whom,
        /// What an analyst may from then on; of a sensor none.
        roles: Roles,
        /// How long it can be used.
        valid: Duration,
        /// Where the collector is found; `None`: as the configuration has it.
        address: Option<String>,
    },
    /// Take back certificates, and tokens that were not used; a certificate that is made later counts again.
    Revoke(Whom),
    /// List the analysts with their roles.
    List,
    /// Give an analyst roles in the place of those before.
    Give(String, Roles),
    /// Say how far a change of the authority is.
    Rotation,
}

impl Task {
    /// The analyst it is about.
    pub fn analyst(&self) -> Option<&str> {
        match self {
            Self::Token {
                whom: Whom::Analyst(name),
                ..
            }
            | Self::Revoke(Whom::Analyst(name))
            | Self::Give(name, _) => Some(name),
            Self::Token { .. } | Self::Revoke(_) | Self::List | Self::Rotation => None,
        }
    }

    /// As the command line has it.
    pub fn said(&self) -> String {
        match self {
            Self::Token { whom, .. } => format!("token {whom}"),
            Self::Revoke(whom) => format!("revoke {whom}"),
            Self::List => "roles".to_owned(),
            Self::Give(name, _) => format!("roles --analyst {name}"),
            Self::Rotation => "rotate-authority --status".to_owned(),
        }
    }
}

/// Why a command is not carried out.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// It is not the collector's own authority that certifies sensors.
    #[error(
        "tls in the configuration is off or names the hospital's authority, which certifies sensors itself; leave certificate, key and client_ca out for the collector's own"
    )]
    NoAuthority,
    /// No certificate can have that name.
    #[error(
        "{0:?} cannot be a sensor's name with TLS: it must be a DNS name, such as ward-7-pc-3 or ws-12.ward; set sensor_id on the sensor to one"
    )]
    Name(String),
    /// Analysts are not listened to.
    #[error(
        "analysts are not let in: set listen below [analyst] in the configuration, and restart the collector"
    )]
    NoAnalysts,
    /// No certificate can have that name.
    #[error(
        "{0:?} cannot be an analyst's name: it must be as a host name, such as anna or anna.huber"
    )]
    Analyst(String),
    /// Where sensors find the collector is not known.
    #[error("{0:?} is no address of this collector for sensors; give --address HOST:PORT")]
    Address(String),
    /// Authority or tokens cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The list of sensors cannot be read.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// Sensors do not know the next authority yet.
    #[error(
        "{count} sensors would be left behind and had to be enrolled again: {names}; wait until they have connected (`rotate-authority --status`), or say --without-them"
    )]
    LeftBehind {
        /// How many.
        count: usize,
        /// Which, the first of them.
        names: String,
    },
    /// What is not in the audit log is not done.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The token could not be written.
    #[error("failed to write: {0}")]
    Write(#[from] std::io::Error),
}

/// Carries out what `who` asks for. Answers go to `out`, what is to be said beside them to `told`.
///
/// # Errors
///
/// There is no authority to certify with, a name or an address cannot be used, or the audit log cannot be written to. Nothing was given away then.
pub fn carry_out(
    config: &Config,
    who: &Who,
    task: Task,
    out: &mut impl Write,
    told: &mut impl Write,
) -> Result<(), AdminError> {
    match task {
        Task::Token {
            whom,
            roles,
            valid,
            address,
        } => {
            let listen = may_have_token(config, &whom)?;
            let address = address.unwrap_or_else(|| usual_address(listen, names_of(config)));
            let made = make(config, who, &whom, valid, address, told)?;
            hand_out(config, &made, &whom, &roles, out)
        }
        Task::Revoke(whom) => revoke(config, who, &whom, out),
        Task::List => {
            let analysts = book(config)?.analysts()?;
            if analysts.is_empty() {
                writeln!(out, "No analysts have roles.")?;
            }
            for (analyst, roles) in analysts {
                writeln!(out, "{}  {roles}", crate::text::clean(&analyst))?;
            }
            Ok(())
        }
        Task::Give(analyst, roles) => give(config, who, &analyst, &roles, out),
        Task::Rotation => rotate(config, Step::Status, out),
    }
}

/// Whether a token can be for them; answers where the collector listens for such.
fn may_have_token(config: &Config, whom: &Whom) -> Result<SocketAddr, AdminError> {
    match whom {
        Whom::Sensor(name) if !can_be_certified(name) => Err(AdminError::Name(name.clone())),
        Whom::Sensor(_) => Ok(config.listen),
        Whom::Analyst(name) => {
            let listen = config.analysts.ok_or(AdminError::NoAnalysts)?;
            if !can_be_analyst(name) {
                return Err(AdminError::Analyst(name.clone()));
            }
            Ok(listen)
        }
    }
}

/// Says in the audit log that there is a token, gives an analyst roles, and writes the token.
fn hand_out(
    config: &Config,
    made: &Made,
    whom: &Whom,
    roles: &Roles,
    out: &mut impl Write,
) -> Result<(), AdminError> {
    let entry = Entry::new(Action::TokenMade)
        .about(&whom.subject())
        .with("token", &made.secret.mark())
        .counting("valid_seconds", made.valid.as_secs());
    let line = match whom {
        Whom::Sensor(name) => {
            made.audit.append(&entry)?;
            made.secret.token(name, &made.address, &made.authority)
        }
        Whom::Analyst(name) => {
            let book = Book::open(&config.data_dir)?;
            let before = book.roles(name)?.to_string();
            let entry = entry.with("roles", &roles.to_string());
            made.audit.append(&entry.with("roles_before", &before))?;
            book.give_roles(name, roles)?;
            let (address, authority) = (&made.address, &made.authority);
            made.secret.analyst_token(name, address, authority)
        }
    };
    writeln!(out, "{line}")?;
    Ok(())
}

fn give(
    config: &Config,
    who: &Who,
    analyst: &str,
    roles: &Roles,
    out: &mut impl Write,
) -> Result<(), AdminError> {
    let book = book(config)?;
    if !can_be_analyst(analyst) {
        return Err(AdminError::Analyst(analyst.to_owned()));
    }
    let before = book.roles(analyst)?;
    let is_new = before.iter().next().is_none();
    let before = before.to_string();
    let audit = Audit::open(&config.data_dir, who.clone())?;
    let entry = Entry::new(Action::RolesGiven).about(&analyst_subject(analyst));
    let entry = entry.with("roles", &roles.to_string());
    audit.append(&entry.with("roles_before", &before))?;
    book.give_roles(analyst, roles)?;
    writeln!(out, "{analyst} has the roles {roles} from now on")?;
    if is_new {
        writeln!(
            out,
            "{analyst} had none before: if that is no slip, they count for whoever has a certificate of that name"
        )?;
    }
    Ok(())
}

/// What is kept of tokens, revocations and roles, where certificates count.
fn book(config: &Config) -> Result<Book, AdminError> {
    if config.tls == Tls::Off {
        return Err(AdminError::NoAuthority);
    }
    Ok(Book::open(&config.data_dir)?)
}

/// A token that can be spent, and what its line is made of.
struct Made {
    secret: Secret,
    address: String,
    authority: Arc<Authority>,
    audit: Audit,
    valid: Duration,
}

fn make(
    config: &Config,
    who: &Who,
    whom: &Whom,
    valid: Duration,
    address: String,
    told: &mut impl Write,
) -> Result<Made, AdminError> {
    let Tls::Own { names, .. } = &config.tls else {
        return Err(AdminError::NoAuthority);
    };
    let known = known_names(names, config.listen.ip());
    let host = host(&address).ok_or_else(|| AdminError::Address(address.clone()))?;
    if !known.iter().any(|name| name == host) {
        writeln!(
            told,
            "note: nobody will take the collector for {host}; add it to names below [tls] and restart the collector"
        )?;
    }
    let book = Book::open(&config.data_dir)?;
    let authorities = Authorities::open(&config.data_dir)?
        .ok_or_else(|| IdentityError::NeverRan(config.data_dir.join("pki/ca.pem")))?;
    let audit = Audit::open(&config.data_dir, who.clone())?;
    audit.ready()?;
    let secret = Secret::make()?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    book.add(&secret, &whom.subject(), seconds(now), seconds(now + valid))?;
    if authorities.next().is_some() {
        writeln!(
            told,
            "note: the authority is being changed: use the token before `rotate-authority --finish`, or make another one then"
        )?;
    }
    Ok(Made {
        secret,
        address,
        authority: authorities.current().clone(),
        audit,
        valid,
    })
}

fn revoke(config: &Config, who: &Who, whom: &Whom, out: &mut impl Write) -> Result<(), AdminError> {
    let mut book = book(config)?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let subject = whom.subject();
    let known = book.revoke(&subject, i64::try_from(now.as_secs()).unwrap_or(i64::MAX))?;
    // Whom it concerns is out, whether it can be written down or not.
    let entry = Entry::new(Action::Revoked).about(&subject);
    let audited =
        Audit::open(&config.data_dir, who.clone()).and_then(|audit| audit.append(&entry).map(drop));
    let shown = crate::text::clean(&subject);
    writeln!(
        out,
        "revoked: certificates that {shown} has been given until now let nobody in; open streams end within seconds"
    )?;
    if !known && matches!(config.tls, Tls::Own { .. }) {
        writeln!(
            out,
            "note: no token of the last months was for {shown}; look at the name again"
        )?;
    }
    Ok(audited?)
}

/// What the configuration says that the collector is called.
fn names_of(config: &Config) -> &[String] {
    match &config.tls {
        Tls::Own { names, .. } => names,
        Tls::Off | Tls::Given { .. } => &[],
    }
}

/// The first name it was given, else the address it listens on, else its host name; and the port.
fn usual_address(listen: SocketAddr, names: &[String]) -> String {
    let host = match names.first() {
        Some(name) => name.clone(),
        None if listen.ip().is_unspecified() => rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        None => listen.ip().to_string(),
    };
    let bracketed = if host.contains(':') {
        format!("[{host}]")
    } else {
        host
    };
    format!("{bracketed}:{}", listen.port())
}

/// The host of `HOST:PORT`; none when that is not what it is.
fn host(address: &str) -> Option<&str> {
    let (host, port) = address.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    let host = host.trim_matches(['[', ']']);
    let fits = !host.is_empty() && !host.contains(char::is_whitespace);
    (fits && port != 0).then_some(host)
}

/// How long a token can be used: a number and s, m, h or d, from a second to 30 days.
///
/// # Errors
///
/// It is not that.
pub fn validity(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and s, m, h or d, at most 30d, for example 24h".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - unit.len_utf8()]
        .parse()
        .map_err(|_| wrong())?;
    let valid = number.checked_mul(factor).map(Duration::from_secs);
    valid
        .filter(|valid| !valid.is_zero() && *valid <= VALID_MAX)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validity_has_a_unit_and_bounds() {
        let seconds = |text: &str| validity(text).ok().map(|valid| valid.as_secs());
        let cases = [
            ("24h", Some(86_400)),
            ("1s", Some(1)),
            ("30d", Some(2_592_000)),
            ("31d", None),
            ("0h", None),
            ("24", None),
            ("", None),
            ("h", None),
            ("99999999999999999999d", None),
            ("-1h", None),
        ];
        for (text, expect) in cases {
            assert_eq!(seconds(text), expect, "{text}");
        }
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        let cases = [
            ("c.example:7443", Some("c.example")),
            ("[::1]:7443", Some("::1")),
            ("10.0.0.1:0", None),
            ("c.example", None),
            (":7443", None),
            ("a b:7443", None),
        ];
        for (text, expect) in cases {
            assert_eq!(host(text), expect, "{text}");
        }
    }
}
