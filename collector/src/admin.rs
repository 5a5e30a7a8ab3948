//! What an administrator asks of the collector's authority: tokens for new sensors, and that old ones are no longer let in.

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

pub use rotation::{Step, rotate};

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

/// Makes a token for a sensor and writes it as one line; `told` takes what is to be said beside it.
///
/// # Errors
///
/// There is no authority to certify with, or name or address cannot be used.
pub fn token(
    config: &Config,
    sensor: &str,
    valid: Duration,
    address: Option<String>,
    out: &mut impl Write,
    told: &mut impl Write,
) -> Result<(), AdminError> {
    if !can_be_certified(sensor) {
        return Err(AdminError::Name(sensor.to_owned()));
    }
    let made = make(config, sensor, config.listen, valid, address, told)?;
    let entry = Entry::new(Action::TokenMade).about(sensor);
    made.audit.append(&made.entry(entry))?;
    let line = made.secret.token(sensor, &made.address, &made.authority);
    writeln!(out, "{line}")?;
    Ok(())
}

/// Gives an analyst roles, makes a token for the analyst's certificate and writes it as one line.
///
/// # Errors
///
/// There is no authority to certify with, analysts are not listened to, or name or address cannot be used.
pub fn analyst_token(
    config: &Config,
    analyst: &str,
    roles: &Roles,
    valid: Duration,
    address: Option<String>,
    out: &mut impl Write,
    told: &mut impl Write,
) -> Result<(), AdminError> {
    let listen = config.analysts.ok_or(AdminError::NoAnalysts)?;
    if !can_be_analyst(analyst) {
        return Err(AdminError::Analyst(analyst.to_owned()));
    }
    let subject = analyst_subject(analyst);
    let made = make(config, &subject, listen, valid, address, told)?;
    let entry = Entry::new(Action::TokenMade).about(&subject);
    made.audit
        .append(&made.entry(entry).with("roles", &roles.to_string()))?;
    Book::open(&config.data_dir)?.give_roles(analyst, roles)?;
    let line = made
        .secret
        .analyst_token(analyst, &made.address, &made.authority);
    writeln!(out, "{line}")?;
    Ok(())
}

/// Gives an analyst other roles, or lists all analysts with theirs.
///
/// # Errors
///
/// TLS is off, or the collector has never run.
pub fn roles(
    config: &Config,
    given: Option<(&str, &Roles)>,
    out: &mut impl Write,
) -> Result<(), AdminError> {
    if config.tls == Tls::Off {
        return Err(AdminError::NoAuthority);
    }
    let book = Book::open(&config.data_dir)?;
    let Some((analyst, roles)) = given else {
        for (analyst, roles) in book.analysts()? {
            writeln!(out, "{}  {roles}", crate::text::clean(&analyst))?;
        }
        return Ok(());
    };
    if !can_be_analyst(analyst) {
        return Err(AdminError::Analyst(analyst.to_owned()));
    }
    let audit = Audit::open(&config.data_dir, Who::runs_this())?;
    let entry = Entry::new(Action::RolesGiven).about(&analyst_subject(analyst));
    audit.append(&entry.with("roles", &roles.to_string()))?;
    book.give_roles(analyst, roles)?;
    writeln!(out, "{analyst} has the roles {roles} from now on")?;
    Ok(())
}

/// A token that can be spent, and what its line is made of.
struct Made {
    secret: Secret,
    address: String,
    authority: Arc<Authority>,
    audit: Audit,
    valid: Duration,
}

impl Made {
    fn entry(&self, entry: Entry) -> Entry {
        entry
            .with("token", &self.secret.mark())
            .counting("valid_seconds", self.valid.as_secs())
    }
}

fn make(
    config: &Config,
    subject: &str,
    listen: SocketAddr,
    valid: Duration,
    address: Option<String>,
    told: &mut impl Write,
) -> Result<Made, AdminError> {
    let Tls::Own { names, .. } = &config.tls else {
        return Err(AdminError::NoAuthority);
    };
    let known = known_names(names, config.listen.ip());
    let address = address.unwrap_or_else(|| usual_address(listen, names));
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
    let audit = Audit::open(&config.data_dir, Who::runs_this())?;
    audit.ready()?;
    let secret = Secret::make()?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    book.add(&secret, subject, seconds(now), seconds(now + valid))?;
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

/// Lets an analyst in no longer, as [`revoke`] does with a sensor.
///
/// # Errors
///
/// TLS is off, or the collector has never run.
pub fn revoke_analyst(
    config: &Config,
    analyst: &str,
    out: &mut impl Write,
) -> Result<(), AdminError> {
    revoke(config, &analyst_subject(analyst), out)
}

/// Takes back a sensor's certificates, and its tokens that were not used; a certificate that is made later counts again.
///
/// # Errors
///
/// TLS is off, or the collector has never run.
pub fn revoke(config: &Config, sensor: &str, out: &mut impl Write) -> Result<(), AdminError> {
    if config.tls == Tls::Off {
        return Err(AdminError::NoAuthority);
    }
    let mut book = Book::open(&config.data_dir)?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let known = book.revoke(sensor, i64::try_from(now.as_secs()).unwrap_or(i64::MAX))?;
    // Whom it concerns is out, whether it can be written down or not.
    let entry = Entry::new(Action::Revoked).about(sensor);
    let audited = Audit::open(&config.data_dir, Who::runs_this())
        .and_then(|audit| audit.append(&entry).map(drop));
    let shown = crate::text::clean(sensor);
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
    match number.checked_mul(factor) {
        Some(seconds @ 1..=2_592_000) => Ok(Duration::from_secs(seconds)),
        Some(_) | None => Err(wrong()),
    }
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
