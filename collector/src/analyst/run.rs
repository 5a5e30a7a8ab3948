//! Carries a command out: reads the collector's data and writes to what is passed in.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::approve::approve;
use super::{Command, Form, Share};
use crate::admin::{self, AdminError};
use crate::alerts::form::AlertForm;
use crate::alerts::{AlertError, AlertReader, AlertStore, Closing, Verdict};
use crate::audit::{Action, Audit, AuditError, Entry, Hash, Who};
use crate::checkpoint::{self, CheckpointError};
use crate::config::{Config, DetectConfig};
use crate::console::approve::ApproveError;
use crate::console::{
    self, AuditFilter, AuditViewError, ConsoleError, EventsError, RevealError, ToReveal,
};
use crate::fleet::{self, FleetError};
use crate::intel::Status;
use crate::log::{LogError, LogReader};
use crate::replay::{self, Span};
use crate::{sink, text};

/// What a command works with.
#[derive(Debug)]
pub struct Bench {
    /// The collector's data directory.
    pub data: PathBuf,
    /// The configuration: where the hospital's key for names lies, and how sensors and analysts are let in.
    pub config: Arc<Config>,
    /// Thresholds and intelligence.
    pub detect: DetectConfig,
    /// The feeds, for who lists them.
    pub feeds: Vec<Status>,
    /// The configuration's file, where approved ways are written beside; `None`: they are written in the data directory.
    pub file: Option<PathBuf>,
    /// Who asks.
    pub who: Who,
    /// What of the collector's work is theirs; `None`: all of it.
    pub share: Option<Share>,
    /// Whether what is told goes to a terminal, where a line can be written over.
    pub terminal: bool,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each is the error of what the command reads")]
pub enum AnalystError {
    #[error(transparent)]
    Alerts(#[from] AlertError),
    #[error(
        "failed to close the alert; that needs the right to write to the collector's data: {0}"
    )]
    Close(AlertError),
    #[error(transparent)]
    Fleet(#[from] FleetError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Console(#[from] ConsoleError),
    #[error(transparent)]
    Events(#[from] EventsError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    AuditView(#[from] AuditViewError),
    #[error(transparent)]
    Reveal(#[from] RevealError),
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error(transparent)]
    Approve(#[from] ApproveError),
    #[error(
        "the log has the alert with this way too, so nothing is written: other processes are part of it, or it reaches further back than the log"
    )]
    NotSilenced,
    #[error(
        "the alert has grown since, and the way with it: nothing is written; look at the proposal again"
    )]
    Outgrown,
    #[error("failed to write: {0}")]
    Write(#[from] std::io::Error),
    #[error(
        "{0:?} is no alert id: ids are hexadecimal digits and dashes; `chartwatch alerts` lists them"
    )]
    Id(String),
    #[error("no alert has an id that begins with {0}; `chartwatch alerts` lists them")]
    NoAlert(String),
    #[error("{prefix} is the beginning of {count} ids: {ids}")]
    ManyAlerts {
        prefix: String,
        count: usize,
        ids: String,
    },
    #[error("the alert has no finding")]
    NoFinding,
    #[error("{0:?} cannot be looked up: {1}")]
    Lookup(String, String),
    #[error("the span is empty: its beginning is later than its end")]
    Span,
}

impl AnalystError {
    /// Exit status of `chartwatch`: a key that cannot be used belongs to the configuration.
    pub fn exit(&self) -> u8 {
        match self {
            Self::Reveal(RevealError::NoKey | RevealError::Key(_))
            | Self::Admin(
                AdminError::NoAuthority | AdminError::NoAnalysts | AdminError::Identity(_),
            ) => crate::config::EXIT_BAD_CONFIG,
            _ => 1,
        }
    }
}

/// Carries out a command. Answers go to `out`, what is said beside them to `told`. What it returns is what a person has to agree to for it to be done
/// ([`Command::Approve`]).
///
/// # Errors
///
/// As [`AnalystError`] says; what was written before stays written.
pub fn run(
    bench: &Bench,
    command: Command,
    out: &mut impl Write,
    told: &mut impl Write,
) -> Result<Option<Hash>, AnalystError> {
    let data = &*bench.data;
    match command {
        Command::Alerts { json } => {
            console::alerts(out, &AlertReader::open(data)?.newest()?, json)?;
        }
        Command::Show { id, form } => show(data, &id, form, out, told)?,
        Command::Close { id, verdict, why } => close(bench, &id, verdict, why, out)?,
        Command::Replay {
            from_ns,
            to_ns,
            json,
        } => replay_span(bench, span(from_ns, to_ns)?, json, out, told)?,
        Command::Events { from_ns, to_ns } => events(data, span(from_ns, to_ns)?, out, told)?,
        Command::Sensors { refused, json } => sensors(data, refused, json, out)?,
        Command::Intel { values, json } => intel(bench, &values, json, out)?,
        Command::Usual { sensor, json } => {
            let learned = checkpoint::read(data)?.unwrap_or_default();
            let approved = &bench.detect.approved;
            console::usual(out, &learned.baseline, approved, sensor.as_deref(), json)?;
        }
        Command::Reveal {
            texts,
            alert,
            why,
            json,
        } => {
            let alert = alert
                .map(|id| find(&AlertReader::open(data)?, &id))
                .transpose()?;
            let asked = ToReveal {
                texts: &texts,
                alert: alert.as_ref(),
                why: &why,
                json,
            };
            let audit = Audit::open(data, bench.who.clone())?;
            let key = bench.config.token_key.as_deref();
            let allowed = |tokens| match &bench.share {
                Some(share) => share.turn_back(tokens).map_err(|error| error.to_string()),
                None => Ok(()),
            };
            console::reveal(out, key, asked, &audit, allowed)?;
        }
        Command::Audit { filter, json } => audit(data, &filter, json, out, told)?,
        Command::AuditVerify { head } => console::audit_verify(out, data, head)?,
        Command::Approve(asked) => return approve(bench, &asked, out),
        Command::Administer(task) => {
            admin::carry_out(&bench.config, &bench.who, task, out, told)?;
        }
    }
    Ok(None)
}

/// The one alert whose id begins like this.
///
/// # Errors
///
/// There is none, or several.
pub fn find(reader: &AlertReader, id: &str) -> Result<AlertForm, AnalystError> {
    let prefix = id.to_ascii_lowercase();
    if prefix.is_empty() || !prefix.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
        return Err(AnalystError::Id(id.to_owned()));
    }
    let mut matching = reader.matching(&prefix)?;
    match matching.len() {
        0 => Err(AnalystError::NoAlert(prefix)),
        1 => Ok(matching.remove(0)),
        count => {
            let ids: Vec<String> = matching.into_iter().map(|alert| alert.id).collect();
            let ids = ids.join(", ");
            Err(AnalystError::ManyAlerts { prefix, count, ids })
        }
    }
}

fn sensors(
    data: &Path,
    refused: bool,
    json: bool,
    out: &mut impl Write,
) -> Result<(), AnalystError> {
    match (refused, json) {
        (true, true) => console::refused_json(out, &fleet::read_refused(data)?)?,
        (true, false) => console::refused(out, &fleet::read_refused(data)?)?,
        (false, true) => console::sensors_json(out, &fleet::read(data)?, now_ns())?,
        (false, false) => {
            console::sensors(out, &fleet::read(data)?, now_ns())?;
            console::refused_below(out, &fleet::read_refused(data)?)?;
        }
    }
    Ok(())
}

fn show(
    data: &Path,
    id: &str,
    form: Form,
    out: &mut impl Write,
    told: &mut impl Write,
) -> Result<(), AnalystError> {
    let reader = AlertReader::open(data)?;
    let alert = find(&reader, id)?;
    match form {
        Form::Svg => out.write_all(console::svg(&alert).as_bytes())?,
        Form::Json => {
            let finding = reader.finding(&alert.id)?;
            console::json_line(out, &finding.ok_or(AnalystError::NoFinding)?)?;
        }
        Form::Text => {
            // An alert is shown without the list of sensors too, but not as if there were none.
            let sensors = match fleet::read(data) {
                Ok(sensors) => sensors,
                Err(error) => {
                    writeln!(told, "chartwatch: {error}")?;
                    Vec::new()
                }
            };
            let own = sensors.iter().find(|sensor| sensor.id == alert.sensor);
            console::show(out, &alert, own)?;
        }
    }
    Ok(())
}

fn close(
    bench: &Bench,
    id: &str,
    verdict: Verdict,
    why: String,
    out: &mut impl Write,
) -> Result<(), AnalystError> {
    let alert = find(&AlertReader::open(&bench.data)?, id)?;
    let audit = Audit::open(&bench.data, bench.who.clone())?;
    audit.ready()?;
    let closing = Closing {
        revision: alert.revision,
        verdict,
        why,
        who: bench.who.name(),
        at_ns: now_ns(),
    };
    AlertStore::open(&bench.data)
        .and_then(|mut store| store.close(&alert.id, &closing, sink::ocsf::closed))
        .map_err(AnalystError::Close)?;
    let entry = Entry::new(Action::AlertClosed).about(&alert.id);
    audit.append(
        &entry
            .with("verdict", closing.verdict.name())
            .with("why", &closing.why),
    )?;
    writeln!(
        out,
        "Closed {} at revision {} as {}, by {}.",
        alert.id,
        closing.revision,
        closing.verdict.name(),
        text::clean(&closing.who)
    )?;
    Ok(())
}

fn events(
    data: &Path,
    span: Span,
    out: &mut impl Write,
    told: &mut impl Write,
) -> Result<(), AnalystError> {
    let left_out = console::events(out, &LogReader::open(data)?, span, crate::decode)?;
    if left_out.unknown > 0 {
        writeln!(
            told,
            "{} of a kind this version does not know left out",
            text::count(left_out.unknown, "event")
        )?;
    }
    if let Some((pos, reason)) = left_out.first_damaged {
        let first = format!("the first is batch {pos}: {}", text::clean(&reason));
        damage(told, left_out.damaged, &first)?;
    }
    Ok(())
}

/// Says that the log is damaged; `more` says where.
fn damage(told: &mut impl Write, batches: u64, more: &str) -> Result<(), AnalystError> {
    writeln!(
        told,
        "chartwatch: the event log log.db is damaged: {batches} of its batches cannot be read and {} left out; {more}",
        if batches == 1 { "is" } else { "are" }
    )?;
    Ok(())
}

fn intel(
    bench: &Bench,
    values: &[String],
    json: bool,
    out: &mut impl Write,
) -> Result<(), AnalystError> {
    if values.is_empty() {
        console::feeds(out, &bench.feeds, now_ns(), json)?;
    }
    for value in values {
        let known = bench.detect.intel.explain(value, now_ns());
        let known =
            known.map_err(|error| AnalystError::Lookup(text::clean(value), error.to_string()))?;
        console::known(out, value, &known, json)?;
    }
    Ok(())
}

fn audit(
    data: &Path,
    filter: &AuditFilter,
    json: bool,
    out: &mut impl Write,
    told: &mut impl Write,
) -> Result<(), AnalystError> {
    let strange = console::audit(out, data, filter, json)?;
    if strange > 0 {
        let lines = text::count(strange, "line");
        writeln!(
            told,
            "chartwatch: {lines} of the audit log hold no entry; `chartwatch audit verify` says whether that is right"
        )?;
    }
    Ok(())
}

fn replay_span(
    bench: &Bench,
    span: Span,
    json: bool,
    out: &mut impl Write,
    told: &mut impl Write,
) -> Result<(), AnalystError> {
    let began = Instant::now();
    let mut said = began;
    let mut found: Vec<AlertForm> = Vec::new();
    let done = replay::run(
        &bench.data,
        bench.detect.clone(),
        span,
        crate::decode,
        |alert| found.push(AlertForm::from(&alert)),
        |progress| {
            if said.elapsed() > Duration::from_secs(1) {
                said = Instant::now();
                let line = format!(
                    "batch {} of {}, {} events",
                    progress.pos,
                    progress.last_pos,
                    text::number(progress.events)
                );
                // How far it is may go unheard; that nobody listens any more is found out when there is something to say.
                let _unheard = if bench.terminal {
                    write!(told, "\r\x1b[K{line}").is_err()
                } else {
                    writeln!(told, "{line}").is_err()
                };
            }
        },
    )?;
    if said > began && bench.terminal {
        writeln!(told)?;
    }
    if done.unreadable > 0 {
        damage(told, done.unreadable, "`chartwatch events` says where")?;
    }
    if json {
        for alert in &found {
            console::json(out, alert)?;
        }
        return Ok(());
    }
    console::alerts(out, &newest(found), false)?;
    out.flush()?;
    writeln!(
        told,
        "{} in {} looked at in {}",
        text::count(done.events, "event"),
        if done.batches == 1 {
            "1 batch".into()
        } else {
            format!("{} batches", text::number(done.batches))
        },
        text::duration(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    )?;
    Ok(())
}

/// The newest revision of each alert, the latest first.
fn newest(found: Vec<AlertForm>) -> Vec<AlertForm> {
    let mut newest: BTreeMap<String, AlertForm> = BTreeMap::new();
    for alert in found {
        newest.insert(alert.id.clone(), alert);
    }
    let mut alerts: Vec<AlertForm> = newest.into_values().collect();
    alerts.sort_by(|a, b| {
        b.revised_ns
            .cmp(&a.revised_ns)
            .then_with(|| a.id.cmp(&b.id))
    });
    alerts
}

fn span(from_ns: Option<u64>, to_ns: Option<u64>) -> Result<Span, AnalystError> {
    let span = Span {
        from_ns: from_ns.unwrap_or(0),
        to_ns: to_ns.unwrap_or(u64::MAX),
    };
    if span.from_ns > span.to_ns {
        return Err(AnalystError::Span);
    }
    Ok(span)
}

pub(super) fn now_ns() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
