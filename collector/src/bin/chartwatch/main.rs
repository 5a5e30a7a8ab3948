//! `chartwatch`: the analyst's command line. Reads the collector's data, beside a collector that runs or without one.
//!
//! Exit status: 0 done, 1 failure (an unknown id too), 2 wrong usage, 64 configuration that cannot be used.

mod judging;
mod replaying;

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use clap::{CommandFactory as _, Parser, Subcommand};
use collector::alerts::AlertReader;
use collector::alerts::form::AlertForm;
use collector::config::{Config, DEFAULT_DATA_DIR, DEFAULT_FILE, DetectConfig, EXIT_BAD_CONFIG};
use collector::intel::{Intel, Status};
use collector::log::LogReader;
use collector::replay::Span;
use collector::{checkpoint, console, fleet, text};
use judging::{Approval, approve, close};
use replaying::{ReplayArgs, replay};

const EXAMPLES: &str = "\
Examples:
  chartwatch alerts                       what has been raised, the latest first
  chartwatch show 3fa1c2d4                everything about one alert
  chartwatch show 3fa1c2d4 --json         the same as an OCSF finding
  chartwatch show 3fa1c2d4 --svg way.svg  the way of the records as a picture
  chartwatch close 3fa1c2d4 --as false-positive --why 'export for the registry, ticket 4711'
  chartwatch approve 3fa1c2d4 --why 'nightly copy to the archive, ticket 4712'
  chartwatch replay --from 2026-03-01T00:00:00Z --to 2026-03-31T23:59:59Z
  chartwatch events --from 2026-03-16T03:00:00Z | jq .access
  chartwatch sensors                      who is alive, and what it cannot see
  chartwatch intel 203.0.113.9 evil.example   what the feeds say of these
  chartwatch usual                        what was learned to be usual

Exit status:
  0   done
  1   failure; the last line on standard error says why (an id that is not known, too)
  2   wrong usage
  64  configuration that cannot be used; the message names file, key and reason";

/// Bytes of a reason.
const WHY_MAX: usize = 4_096;

/// Looks at what the Chartwatch collector has found.
#[derive(Debug, Parser)]
#[command(name = "chartwatch", version, after_help = EXAMPLES)]
struct Cli {
    /// The collector's data directory.
    #[arg(long, global = true, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data: PathBuf,
    /// The collector's configuration, for the thresholds of `replay` [default: /etc/chartwatch/collector.toml if it is
    /// there].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the alerts, the latest first.
    Alerts {
        /// As one JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Show one alert in full depth.
    Show {
        /// Its id, or a beginning of it that no other alert has.
        id: String,
        /// As an OCSF Data Security Finding, one line of JSON.
        #[arg(long)]
        json: bool,
        /// Draw the way of the records into a file; - for standard output.
        #[arg(long, value_name = "FILE", conflicts_with = "json")]
        svg: Option<PathBuf>,
    },
    /// Say what became of an alert. It stays, and is open again when it grows.
    #[command(
        after_help = "Needs the right to write to the collector's data. To have no alert of such work any more, see `chartwatch \
                            approve`."
    )]
    Close {
        /// Its id, or a beginning of it that no other alert has.
        id: String,
        /// Whether it was right.
        #[arg(long = "as", value_name = "VERDICT")]
        verdict: Judged,
        /// Why, for whoever reads it next year.
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        why: String,
    },
    /// Propose the approved way that would have silenced an alert, show what else in the log it would have silenced, and ask.
    #[command(
        after_help = "The way is the full tuple of the alert: store, executable, user, destination, the hours of the day (UTC), and twice\n\
                            what was sent; widen it in the file if the work needs that. It is written to approved.d beside the\n\
                            configuration, where it counts after `systemctl reload chartwatch-collector`.\n\n\
                            Exit status 1 also when it would not silence the alert, and when the answer is no."
    )]
    Approve {
        /// The alert's id, or a beginning of it that no other alert has.
        id: String,
        /// What the hospital calls this work; by default after the alert.
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        name: Option<String>,
        /// Why, for whoever reads it next year.
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        why: String,
        /// Write it without asking.
        #[arg(long)]
        yes: bool,
    },
    /// Run a span of the event log through detection again.
    #[command(
        after_help = "Times are RFC 3339, for example 2026-03-16T03:00:00Z or 2026-03-16T04:00:00+01:00.\n\
                            The log is only read. Equal settings give equal alerts with equal ids."
    )]
    Replay(ReplayArgs),
    /// Print the stored events of a span, one JSON object to a line.
    #[command(
        after_help = "Times are RFC 3339, for example 2026-03-16T03:00:00Z or 2026-03-16T04:00:00+01:00.\n\
                            The log is only read. Sequence numbers of one epoch are dense where nothing is missing."
    )]
    Events {
        /// Events from this time on; without it from the beginning of the log.
        #[arg(long, value_name = "TIME", value_parser = rfc3339)]
        from: Option<u64>,
        /// Events up to this time; without it to the end of the log.
        #[arg(long, value_name = "TIME", value_parser = rfc3339)]
        to: Option<u64>,
    },
    /// Show the sensors: who is alive, on which backend and why, the books of the hooks, and the gaps; and who was not let in.
    Sensors {
        /// Only who was not let in, all of them: failed handshakes, wrong or revoked certificates, tokens that are none.
        #[arg(long)]
        refused: bool,
        /// As one JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Show the feeds of threat intelligence, or what they say of addresses and names.
    #[command(
        after_help = "Reads the feeds that the configuration names, as the collector does when it starts and on SIGHUP.\n\
                            Exit status 0 also when nothing is listed."
    )]
    Intel {
        /// Addresses, names or URLs to look up; without them the feeds are listed.
        value: Vec<String>,
        /// As JSON: one array of feeds, or one object to a line.
        #[arg(long)]
        json: bool,
    },
    /// Show what was learned to be usual: how often approved ways are used, who reads how much of a store on a day, and what leaves
    /// little by little.
    #[command(
        after_help = "The collector writes it every few minutes and when it stops. To let a host learn anew, add to the configuration\n                            \n  [[detect.relearn]]\n  sensor = \"ws-12\"        # without this line: all hosts\n  since = \"2026-11-30\"\n\n                            and reload the collector."
    )]
    Usual {
        /// Only of this sensor.
        #[arg(long, value_name = "NAME")]
        sensor: Option<String>,
        /// As one JSON object, of all sensors.
        #[arg(long, conflicts_with = "sensor")]
        json: bool,
    },
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// What an alert turned out to be.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Judged {
    /// Records did leave, and should not have.
    TruePositive,
    /// It was work that is allowed, or no records left.
    FalsePositive,
}

fn rfc3339(text: &str) -> Result<u64, String> {
    text::parse_rfc3339(text)
        .ok_or_else(|| "not a time of RFC 3339 such as 2026-03-16T03:00:00Z".into())
}

fn reason(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("is empty; say what was found out".into()),
        text if text.len() > WHY_MAX => Err(format!("is longer than {WHY_MAX} bytes")),
        text => Ok(text.to_owned()),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let (detect, feeds) = match detect_config(cli.config.as_deref(), &cli.command) {
        Ok(found) => found,
        Err(error) => {
            say(&format!("chartwatch: {error}"));
            return ExitCode::from(EXIT_BAD_CONFIG);
        }
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let done =
        run(cli, detect, &feeds, &mut out).and_then(|()| out.flush().context("failed to write"));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough, as `head` has.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("chartwatch: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Thresholds and feeds for a replay: of the file named, else of the usual file if there is one, else the defaults.
fn detect_config(
    named: Option<&Path>,
    command: &Command,
) -> Result<(DetectConfig, Vec<Status>), collector::config::ConfigError> {
    let usual = Some(Path::new(DEFAULT_FILE)).filter(|path| {
        path.exists()
            && matches!(
                command,
                Command::Replay(_)
                    | Command::Intel { .. }
                    | Command::Approve { .. }
                    | Command::Usual { .. }
            )
    });
    let mut config = match named.or(usual) {
        Some(path) => Config::load(path)?,
        None => Config::parse("", Path::new("the defaults"))?,
    };
    let states = config.read_feeds(&Intel::default());
    if matches!(command, Command::Replay(_)) {
        for state in &states {
            if let Some(problem) = &state.problem {
                say(&format!(
                    "chartwatch: feed {} counts for nothing: {}",
                    state.feed,
                    text::clean(problem)
                ));
            }
        }
    }
    Ok((config.detect, states))
}

fn run(
    cli: Cli,
    detect: DetectConfig,
    feeds: &[Status],
    out: &mut impl Write,
) -> Result<(), anyhow::Error> {
    match cli.command {
        Command::Alerts { json } => {
            console::alerts(out, &AlertReader::open(&cli.data)?.newest()?, json)?;
        }
        Command::Show {
            id,
            svg: Some(file),
            ..
        } => draw(&cli.data, &id, &file, out)?,
        Command::Show { id, json, .. } => show(&cli.data, &id, json, out)?,
        Command::Close { id, verdict, why } => close(&cli.data, &id, verdict, why, out)?,
        Command::Approve { id, name, why, yes } => {
            let config = cli.config.unwrap_or_else(|| DEFAULT_FILE.into());
            approve(
                &cli.data,
                &config,
                &detect,
                &Approval { id, name, why, yes },
                out,
            )?;
        }
        Command::Replay(args) => replay(&cli.data, detect, &args, out)?,
        Command::Events { from, to } => events(&cli.data, from, to, out)?,
        Command::Sensors { refused, json } => sensors(&cli.data, refused, json, out)?,
        Command::Intel { value, json } if value.is_empty() => {
            console::feeds(out, feeds, now_ns(), json)?;
        }
        Command::Intel { value, json } => {
            for value in &value {
                let known = detect.intel.explain(value, now_ns());
                let known = known
                    .with_context(|| format!("{:?} cannot be looked up", text::clean(value)))?;
                console::known(out, value, &known, json)?;
            }
        }
        Command::Usual { sensor, json } => {
            let learned = checkpoint::read(&cli.data)?.unwrap_or_default();
            let approved = &detect.approved;
            console::usual(out, &learned.baseline, approved, sensor.as_deref(), json)?;
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "chartwatch", &mut script);
            out.write_all(&script).context("failed to write")?;
        }
    }
    Ok(())
}

/// The one alert whose id begins like this.
fn find(reader: &AlertReader, id: &str) -> Result<AlertForm, anyhow::Error> {
    let prefix = id.to_ascii_lowercase();
    if prefix.is_empty() || !prefix.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
        bail!(
            "{id:?} is no alert id: ids are hexadecimal digits and dashes; `chartwatch alerts` lists them"
        );
    }
    let mut matching = reader.matching(&prefix)?;
    match matching.len() {
        0 => bail!("no alert has an id that begins with {prefix}; `chartwatch alerts` lists them"),
        1 => Ok(matching.remove(0)),
        _ => {
            let ids: Vec<String> = matching.into_iter().map(|alert| alert.id).collect();
            bail!(
                "{prefix} is the beginning of {} ids: {}",
                ids.len(),
                ids.join(", ")
            );
        }
    }
}

fn draw(data: &Path, id: &str, file: &Path, out: &mut impl Write) -> Result<(), anyhow::Error> {
    let picture = console::svg(&find(&AlertReader::open(data)?, id)?);
    if file == Path::new("-") {
        return out.write_all(picture.as_bytes()).context("failed to write");
    }
    std::fs::write(file, picture).with_context(|| format!("failed to write {}", file.display()))
}

fn sensors(
    data: &Path,
    refused: bool,
    json: bool,
    out: &mut impl Write,
) -> Result<(), anyhow::Error> {
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

fn show(data: &Path, id: &str, json: bool, out: &mut impl Write) -> Result<(), anyhow::Error> {
    let reader = AlertReader::open(data)?;
    let alert = find(&reader, id)?;
    if json {
        let finding = reader
            .finding(&alert.id)?
            .context("the alert has no finding")?;
        console::json_line(out, &finding).context("failed to write")?;
        return Ok(());
    }
    // An alert is shown without the list of sensors too, but not as if there were none.
    let sensors = fleet::read(data).unwrap_or_else(|error| {
        say(&format!("chartwatch: {error}"));
        Vec::new()
    });
    console::show(
        out,
        &alert,
        sensors.iter().find(|sensor| sensor.id == alert.sensor),
    )?;
    Ok(())
}

fn events(
    data: &Path,
    from: Option<u64>,
    to: Option<u64>,
    out: &mut impl Write,
) -> Result<(), anyhow::Error> {
    let span = Span {
        from_ns: from.unwrap_or(0),
        to_ns: to.unwrap_or(u64::MAX),
    };
    let unknown = console::events(out, &LogReader::open(data)?, span, collector::decode)?;
    if unknown > 0 {
        say(&format!(
            "{} of a kind this version does not know left out",
            text::count(unknown, "event")
        ));
    }
    Ok(())
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

fn now_ns() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// To standard error; when even that is closed there is nobody to tell.
fn say(line: &str) {
    let _closed = writeln!(std::io::stderr(), "{line}").is_err();
}
