//! `chartwatch-collector check`: what a configuration means.

use std::io::Write;

use crate::config::{ApprovedWay, Config, DetectConfig, Tls};
use crate::intel::Status;
use crate::text;

/// Who is let in on the link.
fn link(tls: &Tls) -> String {
    match tls {
        Tls::Off => "let anybody on this machine speak for any sensor: TLS is off".to_owned(),
        Tls::Own { names, valid } => format!(
            "let in sensors with a certificate of its own authority, made for {}, and be called {}",
            text::duration(nanos(*valid)),
            [&["by its host name".to_owned()], names.as_slice()]
                .concat()
                .join(", ")
        ),
        Tls::Given { client_ca, .. } => format!(
            "let in sensors with a certificate of an authority in {}",
            client_ca.display()
        ),
    }
}

/// Says in plain words what the collector would do.
pub fn config(
    out: &mut impl Write,
    config: &Config,
    feeds: &[Status],
) -> Result<(), std::io::Error> {
    writeln!(out, "The configuration is good. The collector would:")?;
    writeln!(out, "- listen on {}", config.listen)?;
    writeln!(out, "- {}", link(&config.tls))?;
    if let Some(listen) = config.analysts {
        writeln!(
            out,
            "- let analysts with a certificate and roles in on {listen}"
        )?;
    }
    writeln!(out, "- keep its data in {}", config.data_dir.display())?;
    match &config.token_key {
        Some(file) => writeln!(
            out,
            "- give sensors that enrol the key for names in {}",
            file.display()
        )?,
        None => writeln!(
            out,
            "- have no key for names: it gives none to sensors and turns no token back"
        )?,
    }
    writeln!(
        out,
        "- read back {} of the log at start",
        text::duration(nanos(config.horizon))
    )?;
    let direct = &config.detect.direct;
    writeln!(
        out,
        "- raise an alert when one process, within {}, reads at least {} from a store and sends at least {} and {} % of \
         that to one destination that is not approved",
        text::duration(nanos(direct.window)),
        text::bytes(direct.read_bytes_min),
        text::bytes(direct.sent_bytes_min),
        direct.sent_share_min * 100.0
    )?;
    let dns = &config.detect.dns;
    writeln!(
        out,
        "- raise one when who can have records asks DNS for at least {} names below one domain, of {} bytes or more on \
         average and {} in all",
        dns.names,
        dns.length,
        text::bytes(dns.bytes)
    )?;
    usual(out, &config.detect)?;
    if config.detect.approved.is_empty() {
        writeln!(out, "- approve no way off the hosts")?;
    }
    for way in &config.detect.approved {
        writeln!(
            out,
            "- approve \"{}\": {} run by {} sending store {} to {}",
            way.name, way.executable, way.user, way.store, way.destination
        )?;
        approval(out, way)?;
    }
    for feed in feeds {
        let name = text::clean(&feed.feed);
        match &feed.problem {
            None => writeln!(
                out,
                "- know {} from the feed {name}, {} left out",
                text::count(feed.indicators as u64, "indicator"),
                text::number(feed.skipped)
            )?,
            Some(problem) => writeln!(
                out,
                "- know nothing from the feed {name}: {}",
                text::clean(problem)
            )?,
        }
    }
    for (feed, pull) in config
        .feeds
        .iter()
        .filter_map(|feed| Some((feed, feed.pull.as_ref()?)))
    {
        writeln!(
            out,
            "- pull the feed {} every {}{}",
            text::clean(&feed.name),
            text::duration(nanos(pull.every)),
            match &pull.login {
                Some(login) => format!(", as {}", login.user),
                None => String::new(),
            }
        )?;
    }
    match &config.file_sink {
        Some(file) => writeln!(out, "- append findings to {}", file.path.display())?,
        None => writeln!(out, "- write findings to no file")?,
    }
    match &config.syslog_sink {
        Some(syslog) => writeln!(out, "- send findings over syslog to {}", syslog.address),
        None => writeln!(out, "- send findings over no syslog"),
    }
}

/// What is said of what is enough besides, what is usual, and what is remembered.
fn usual(out: &mut impl Write, detect: &DetectConfig) -> Result<(), std::io::Error> {
    let days = detect.baseline.learning_days;
    let (many, bulk, slow) = (&detect.many, &detect.bulk, &detect.slow);
    if many.records_min > 0 {
        writeln!(
            out,
            "- let {} read and {} sent do where it was at least {} of a store",
            text::bytes(many.less.read_bytes_min),
            text::bytes(many.less.sent_bytes_min),
            text::count(many.records_min, "record")
        )?;
    }
    if bulk.records_min > 0 {
        writeln!(
            out,
            "- raise one when a program and user read at least {} of a store on a day, and {} times as many as on any before, after \
             {days} days of learning",
            text::count(bulk.records_min, "record"),
            bulk.times
        )?;
    }
    if slow.sent_bytes_min > 0 {
        writeln!(
            out,
            "- raise one when parts too small by themselves add up to {} within {} days",
            text::bytes(slow.sent_bytes_min),
            slow.days
        )?;
    }
    writeln!(
        out,
        "- remember {} of all hosts together, and then forget half of the heaviest",
        text::bytes(detect.memory_max.0)
    )?;
    for relearn in &detect.baseline.relearn {
        writeln!(
            out,
            "- let {} learn anew what is usual",
            relearn.sensor.as_deref().unwrap_or("all hosts")
        )?;
    }
    Ok(())
}

/// The rest of an approved way: who reads, when, and how much.
fn approval(out: &mut impl Write, way: &ApprovedWay) -> Result<(), std::io::Error> {
    if let Some(reader) = &way.reader {
        writeln!(out, "    what {reader} reads")?;
    }
    if let Some(schedule) = &way.schedule {
        writeln!(out, "    {schedule}")?;
    }
    match way.bytes_max {
        Some(most) => writeln!(out, "    at most {} within 24 h", text::bytes(most)),
        None => Ok(()),
    }
}

fn nanos(length: std::time::Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}
