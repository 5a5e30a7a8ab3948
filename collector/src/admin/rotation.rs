//! Changing the collector's authority for another, in two steps, with a look at who would be left behind.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::AdminError;
use crate::audit::{Action, Audit, Entry, Who};
use crate::config::{Config, Tls};
use crate::fleet::{self, Sensor};
use crate::identity::{Authorities, Book, IdentityError, Revoked, short};
use crate::text;

/// Sensors that are named; of more the number is said.
const NAMED_MAX: usize = 20;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Only say how far it is.
    Status,
    /// Make the next authority, or say how far it is when there is one.
    Begin,
    /// End the current authority.
    Finish {
        /// Also when sensors do not know the next one.
        without_them: bool,
    },
}

/// How far the sensors are.
#[derive(Debug, Default, PartialEq, Eq)]
struct Progress {
    /// Those with a certificate of the next authority.
    renewed: usize,
    /// Those that would be left behind: each with why.
    missing: Vec<(String, String)>,
}

/// Takes a step and says what it means.
///
/// # Errors
///
/// It is not the collector's own authority that certifies sensors, it cannot be read or changed, or sensors would be left behind.
pub fn rotate(config: &Config, step: Step, out: &mut impl Write) -> Result<(), AdminError> {
    let Tls::Own { valid, .. } = &config.tls else {
        return Err(AdminError::NoAuthority);
    };
    let never = || IdentityError::NeverRan(config.data_dir.join("pki/ca.pem"));
    let before = Authorities::open(&config.data_dir)?.ok_or_else(never)?;
    match step {
        Step::Status => state(config, &before, *valid, out),
        Step::Begin => {
            let audit = Audit::open(&config.data_dir, Who::runs_this())?;
            audit.ready()?;
            let both = Authorities::begin(&config.data_dir)?;
            if before.next().is_none() {
                let made = Entry::new(Action::AuthorityMade);
                audit.append(&made.with("sha256", &both.newest().fingerprint()))?;
                writeln!(
                    out,
                    "A new authority was made. Sensors that are connected get a certificate of it within minutes, the others when they come back."
                )?;
            }
            state(config, &both, *valid, out)
        }
        Step::Finish { without_them } => finish(config, &before, *valid, without_them, out),
    }
}

fn finish(
    config: &Config,
    before: &Authorities,
    valid: Duration,
    without_them: bool,
    out: &mut impl Write,
) -> Result<(), AdminError> {
    let Some(next) = before.next() else {
        Authorities::finish(&config.data_dir)?; // Says that there is none.
        return Ok(());
    };
    let left = progress(config, &next.fingerprint(), valid)?;
    if !left.missing.is_empty() && !without_them {
        return Err(AdminError::LeftBehind {
            count: left.missing.len(),
            names: named(&left.missing),
        });
    }
    let book = Book::open(&config.data_dir)?;
    let unused = book.unused(now_s())?;
    let analysts = book.left_behind(&next.fingerprint(), now_s())?;
    let audit = Audit::open(&config.data_dir, Who::runs_this())?;
    let retired = Entry::new(Action::AuthorityRetired);
    audit.append(
        &retired
            .with("sha256", &before.current().fingerprint())
            .counting("left_behind", left.missing.len() as u64),
    )?;
    let kept = Authorities::finish(&config.data_dir)?;
    writeln!(
        out,
        "The authority {} counts from now on, and the one before no more. Its key and certificate stay as {} and .key: keep them offline or delete them.",
        short(&next.fingerprint()),
        kept.display()
    )?;
    for (sensor, why) in left.missing.iter().take(NAMED_MAX) {
        writeln!(out, "  to be enrolled again: {sensor} ({why})")?;
    }
    more(&left.missing, out)?;
    if !analysts.is_empty() {
        let names: Vec<_> = analysts.iter().map(|(name, _)| text::clean(name)).collect();
        writeln!(
            out,
            "These analysts' certificates let nobody in any more; make a token for each who works from elsewhere: {}",
            names.join(", ")
        )?;
    }
    if unused > 0 {
        writeln!(
            out,
            "{} not been used yet; tokens from before name the old authority and are of no use now: make new ones.",
            if unused == 1 {
                "1 token has".to_owned()
            } else {
                format!("{unused} tokens have")
            }
        )?;
    }
    Ok(())
}

fn state(
    config: &Config,
    authorities: &Authorities,
    valid: Duration,
    out: &mut impl Write,
) -> Result<(), AdminError> {
    let current = authorities.current().fingerprint();
    let (Some(next), Some(began_s)) = (authorities.next(), authorities.began_s()?) else {
        writeln!(
            out,
            "The authority {} counts; it is not being changed.",
            short(&current)
        )?;
        return Ok(());
    };
    let next = next.fingerprint();
    let left = progress(config, &next, valid)?;
    let since = u64::try_from(began_s).unwrap_or(0);
    writeln!(
        out,
        "The authority {} is being changed for {}, since {}. Both count until it is finished.",
        short(&current),
        short(&next),
        text::time(since.saturating_mul(1_000_000_000))
    )?;
    let analysts = Book::open(&config.data_dir)?.left_behind(&next, now_s())?;
    let all = left.renewed + left.missing.len();
    writeln!(
        out,
        "{} of {all} sensors have a certificate of the new one.",
        left.renewed
    )?;
    for (sensor, why) in left.missing.iter().take(NAMED_MAX) {
        writeln!(out, "  not yet: {sensor} ({why})")?;
    }
    more(&left.missing, out)?;
    for (analyst, why) in analysts.iter().take(NAMED_MAX) {
        let analyst = text::clean(analyst);
        writeln!(
            out,
            "  not yet: the analyst {analyst} ({why}); any command renews"
        )?;
    }
    if left.missing.is_empty() {
        writeln!(
            out,
            "`chartwatch-collector rotate-authority --finish` ends trust in the old one."
        )?;
    } else {
        writeln!(
            out,
            "Wait for them before `--finish`: whoever misses it must be enrolled again with a token. After {} days all have renewed that ever connect.",
            valid.as_secs() / 86_400
        )?;
    }
    Ok(())
}

fn progress(config: &Config, next: &str, valid: Duration) -> Result<Progress, AdminError> {
    let sensors = fleet::read(&config.data_dir)?;
    let revoked = Book::open(&config.data_dir)?.revoked()?;
    Ok(judge(&sensors, &revoked, next, valid, now_s()))
}

fn judge(
    sensors: &[Sensor],
    revoked: &Revoked,
    next: &str,
    valid: Duration,
    now_s: i64,
) -> Progress {
    let mut progress = Progress::default();
    for sensor in sensors {
        let heard_s = i64::try_from(sensor.heard_ns / 1_000_000_000).unwrap_or(i64::MAX);
        let lately = heard_s.saturating_add(valid.as_secs().cast_signed()) >= now_s;
        let why = match &sensor.certificate {
            Some(shown) if shown.authority == next => {
                progress.renewed += 1;
                continue;
            }
            // They are let in no more, whatever becomes of the authority.
            Some(shown) if revoked.holds(&sensor.id, shown.from_s) || shown.until_s < now_s => {
                continue;
            }
            None if !lately => continue,
            Some(_) if sensor.streams > 0 => {
                "connected; renews within minutes, or is older than this"
            }
            Some(_) => "not connected since",
            None => "its certificate was not seen yet",
        };
        progress
            .missing
            .push((text::clean(&sensor.id), why.to_owned()));
    }
    progress
}

fn named(missing: &[(String, String)]) -> String {
    let names: Vec<&str> = missing
        .iter()
        .take(NAMED_MAX)
        .map(|(name, _)| name.as_str())
        .collect();
    let rest = missing.len().saturating_sub(NAMED_MAX);
    let rest = if rest > 0 {
        format!(" and {rest} more")
    } else {
        String::new()
    };
    names.join(", ") + &rest
}

fn more(missing: &[(String, String)], out: &mut impl Write) -> Result<(), std::io::Error> {
    match missing.len().saturating_sub(NAMED_MAX) {
        0 => Ok(()),
        rest => writeln!(out, "  and {rest} more; `chartwatch sensors` has all"),
    }
}

fn now_s() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Certificate;

    fn sensor(id: &str, certificate: Option<(&str, i64)>, heard_s: u64) -> Sensor {
        Sensor {
            id: id.to_owned(),
            heard_ns: heard_s * 1_000_000_000,
            certificate: certificate.map(|(authority, until_s)| Certificate {
                from_s: 100,
                until_s,
                authority: authority.to_owned(),
            }),
            ..Sensor::default()
        }
    }

    #[test]
    fn who_would_be_left_behind_are_those_that_are_let_in_now_and_do_not_know() {
        let sensors = [
            sensor("knows", Some(("new", 9_000)), 1_000),
            sensor("waits", Some(("old", 9_000)), 1_000),
            sensor("expired", Some(("old", 900)), 900),
            sensor("unseen", None, 990),
            sensor("long-gone", None, 10),
        ];
        let valid = Duration::from_secs(100);
        let judged = judge(&sensors, &Revoked::default(), "new", valid, 1_000);
        let missing: Vec<&str> = judged
            .missing
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!((judged.renewed, missing), (1, vec!["waits", "unseen"]));
    }
}
