//! Analysts: certificates that name them, and roles, which are kept here and not in the certificate, so that they can be changed at once.
//!
//! An analyst's certificate has a URI name (RFC 5280, 4.2.1.6) and no DNS name, a sensor's the other way round: neither can be used as the other.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rusqlite::{OptionalExtension as _, params};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

use super::peer::validity;
use super::{Book, IdentityError, PeerError, Revoked, can_be_certified};

/// What stands before the name in certificates, and among tokens and revocations: no sensor's name has a colon.
const CERTIFIED: &str = "chartwatch:analyst:";
const SUBJECT: &str = "analyst:";

/// What an analyst may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look at everything but names. Every other role has it too.
    Read,
    /// Close alerts.
    Triage,
    /// Turn tokens back to names.
    Reveal,
    /// Make tokens, revoke, give roles, approve ways.
    Administer,
}

impl Role {
    const ALL: [Self; 4] = [Self::Read, Self::Triage, Self::Reveal, Self::Administer];

    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Triage => "triage",
            Self::Reveal => "reveal",
            Self::Administer => "administer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| "is none of read, triage, reveal, administer".to_owned())
    }
}

/// The roles of one analyst.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles(BTreeSet<Role>);

impl Roles {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Role> {
        self.0.iter().copied()
    }

    /// Whether they are enough for what needs a role.
    pub fn may(&self, role: Role) -> bool {
        self.0.contains(&role) || role == Role::Read && !self.0.is_empty()
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<T: IntoIterator<Item = Role>>(roles: T) -> Self {
        Self(roles.into_iter().collect())
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let names: Vec<&str> = self.0.iter().map(|role| role.name()).collect();
        f.write_str(&names.join(","))
    }
}

/// What an analyst's certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnalystCertificate {
    /// The analyst it is for.
    pub name: Arc<str>,
    /// First moment it is valid, seconds since the Unix epoch.
    pub not_before: i64,
    /// Last moment it is valid, seconds since the Unix epoch.
    pub not_after: i64,
}

impl AnalystCertificate {
    /// Reads name and validity from a certificate that has been verified.
    ///
    /// # Errors
    ///
    /// It has not exactly one name, an analyst's, or cannot be read.
    pub fn read(certificate: &CertificateDer<'_>) -> Result<Self, PeerError> {
        let form = |error: String| PeerError::Form(error);
        let parsed = webpki::EndEntityCert::try_from(certificate)
            .map_err(|error| form(error.to_string()))?;
        let names: Vec<&str> = parsed.valid_uri_names().collect();
        let ([name], None) = (&names[..], parsed.valid_dns_names().next()) else {
            return Err(PeerError::NoAnalyst);
        };
        let name = name.strip_prefix(CERTIFIED).ok_or(PeerError::NoAnalyst)?;
        let (not_before, not_after) =
            validity(certificate).map_err(|error| form(error.to_string()))?;
        Ok(Self {
            name: name.into(),
            not_before,
            not_after,
        })
    }

    /// Whether it was revoked.
    pub fn is_revoked(&self, revoked: &Revoked) -> bool {
        revoked.holds(&subject(&self.name), self.not_before)
    }

    /// Whether it is over; a connection may be open for longer than its certificate.
    pub fn has_expired(&self) -> bool {
        self.not_after < OffsetDateTime::now_utc().unix_timestamp()
    }
}

/// By what an analyst stands among tokens and revocations.
pub(crate) fn subject(analyst: &str) -> String {
    format!("{SUBJECT}{analyst}")
}

/// The analyst that a token is for; none when it is for a sensor.
pub(crate) fn analyst_of(subject: &str) -> Option<&str> {
    subject.strip_prefix(SUBJECT)
}

/// The name as it stands in a certificate.
pub(super) fn certified(analyst: &str) -> String {
    format!("{CERTIFIED}{analyst}")
}

/// Whether an analyst can have that name: as a sensor's, so that it is a word everywhere.
pub(crate) fn can_be_analyst(name: &str) -> bool {
    can_be_certified(name)
}

impl Book {
    /// Gives an analyst roles in the place of those before; none lets the analyst do nothing any more.
    ///
    /// # Errors
    ///
    /// SQLite says no.
    pub fn give_roles(&self, analyst: &str, roles: &Roles) -> Result<(), IdentityError> {
        self.connection
            .execute(
                "INSERT INTO analyst (name, roles) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET roles = excluded.roles",
                params![analyst, roles.to_string()],
            )
            .map(drop)
            .map_err(|source| self.error(source))
    }

    /// The roles of an analyst; none of who is not known. A word that is no role here gives nothing.
    ///
    /// # Errors
    ///
    /// SQLite says no.
    pub fn roles(&self, analyst: &str) -> Result<Roles, IdentityError> {
        let found: Option<String> = self
            .connection
            .query_row(
                "SELECT roles FROM analyst WHERE name = ?1",
                [analyst],
                |row| row.get(0),
            )
            .optional()
            .map_err(|source| self.error(source))?;
        Ok(parsed(&found.unwrap_or_default()))
    }

    /// Keeps the certificate that an analyst has shown, and by whom it is.
    ///
    /// # Errors
    ///
    /// SQLite says no.
    pub(crate) fn shown(
        &self,
        certificate: &AnalystCertificate,
        authority: &str,
    ) -> Result<(), IdentityError> {
        let (name, from_s) = (&*certificate.name, certificate.not_before);
        let written = self.connection.execute(
            // The same again, which is nearly always, writes nothing.
            "INSERT INTO analyst_shown (name, authority, from_s, until_s) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (name) DO UPDATE SET authority = excluded.authority, from_s = excluded.from_s, until_s = excluded.until_s
             WHERE from_s < excluded.from_s",
            params![name, authority, from_s, certificate.not_after],
        );
        written.map(drop).map_err(|source| self.error(source))
    }

    /// The analysts who have a role and would not know an authority, each with why: those whose certificate is over or was revoked need none.
    ///
    /// # Errors
    ///
    /// SQLite says no.
    pub(crate) fn left_behind(
        &self,
        authority: &str,
        now_s: i64,
    ) -> Result<Vec<(String, &'static str)>, IdentityError> {
        let revoked = self.revoked()?;
        let mut left = Vec::new();
        for (name, _) in self
            .analysts()?
            .into_iter()
            .filter(|(_, own)| own.may(Role::Read))
        {
            let why = match self.last_shown(&name)? {
                None => "its certificate was not seen yet",
                Some((signer, ..)) if signer == authority => continue,
                Some((_, from_s, until_s))
                    if until_s < now_s || revoked.holds(&subject(&name), from_s) =>
                {
                    continue;
                }
                Some(_) => "not seen since",
            };
            left.push((name, why));
        }
        Ok(left)
    }

    /// Authority, first and last second of the certificate that an analyst has shown.
    fn last_shown(&self, analyst: &str) -> Result<Option<(String, i64, i64)>, IdentityError> {
        let sql = "SELECT authority, from_s, until_s FROM analyst_shown WHERE name = ?1";
        let row = self.connection.query_row(sql, [analyst], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        });
        row.optional().map_err(|source| self.error(source))
    }

    /// All analysts with their roles, by name.
    ///
    /// # Errors
    ///
    /// SQLite says no.
    pub fn analysts(&self) -> Result<Vec<(String, Roles)>, IdentityError> {
        let inner = || {
            let mut statement = self
                .connection
                .prepare("SELECT name, roles FROM analyst ORDER BY name")?;
            let rows = statement.query_map([], |row| {
                let roles: String = row.get(1)?;
                Ok((row.get(0)?, parsed(&roles)))
            })?;
            rows.collect::<Result<_, rusqlite::Error>>()
        };
        inner().map_err(|source| self.error(source))
    }
}

fn parsed(roles: &str) -> Roles {
    roles
        .split(',')
        .filter_map(|role| role.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_may_read_and_nothing_else_it_was_not_given() {
        let roles = |text: &str| parsed(text);
        for (text, role, may) in [
            ("read", Role::Read, true),
            ("read", Role::Triage, false),
            ("triage", Role::Read, true),
            ("triage", Role::Triage, true),
            ("triage", Role::Reveal, false),
            ("reveal", Role::Read, true),
            ("reveal", Role::Triage, false),
            ("triage,reveal", Role::Reveal, true),
            ("triage,reveal", Role::Administer, false),
            ("administer", Role::Administer, true),
            ("administer", Role::Read, true),
            ("administer", Role::Reveal, false),
            ("administer", Role::Triage, false),
            ("", Role::Read, false),
            ("none", Role::Read, false),
            ("emperor", Role::Read, false),
        ] {
            assert_eq!(roles(text).may(role), may, "{text} {role}");
        }
        assert_eq!(roles("reveal,triage").to_string(), "triage,reveal");
    }
}
