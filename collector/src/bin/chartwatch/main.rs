//! `chartwatch`: the analyst's command line. Reads the collector's data, beside a collector that runs or without one, or asks a collector over
//! the network.
//!
//! Exit status: 0 done, 1 failure (an unknown id too), 2 wrong usage, 64 configuration that cannot be used.

mod administering;
mod enrolling;
mod judging;
mod keeping;
mod remote;
mod revealing;

use std::io::{BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use administering::Administration;
use anyhow::{Context as _, bail};
use clap::{CommandFactory as _, Parser, Subcommand};
use collector::alerts::Verdict;
use collector::analyst::{self, AnalystError, Approval, Bench, Form};
use collector::audit::{Hash, Who};
use collector::config::{Config, ConfigError, DEFAULT_DATA_DIR, DEFAULT_FILE, EXIT_BAD_CONFIG};
use collector::console::AuditFilter;
use collector::intel::{Intel, Status};
use collector::text;
use enrolling::EnrollArgs;
use judging::approve;
use remote::Ended;
use revealing::RevealArgs;

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
  chartwatch reveal /srv/pacs/token:96kZMR6GRte1... --why 'ticket 4713'   the name behind a token
  chartwatch audit --what certificate-    whom the collector certified, and whom not
  chartwatch audit verify                 whether the audit log is whole
  chartwatch enroll --token-file ./token  get a certificate, to work over the network
  chartwatch --collector chartwatch.hospital.example:7444 alerts
  chartwatch --collector chartwatch.hospital.example:7444 token --sensor ward-7-pc-3

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
    /// Have the commands carried out by this collector, over the network; needs a certificate (`chartwatch enroll`) and a role.
    #[arg(long, global = true, value_name = "HOST:PORT", conflicts_with_all = ["data", "config"])]
    collector: Option<String>,
    /// Directory of the analyst's key and certificate [default: ~/.config/chartwatch].
    #[arg(long, global = true, value_name = "DIR")]
    identity: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Subcommand)]
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
                            configuration, where it counts after `systemctl reload chartwatch-collector`. Over the network (role administer) it\n\
                            is written to approved.d in the collector's data directory, and counts within seconds.\n\n\
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
    Replay {
        /// Tell alerts from this time on; without it from the beginning of the log.
        #[arg(long, value_name = "TIME", value_parser = rfc3339)]
        from: Option<u64>,
        /// Look at events up to this time; without it to the end of the log.
        #[arg(long, value_name = "TIME", value_parser = rfc3339)]
        to: Option<u64>,
        /// Every revision of every alert as a line of JSON, instead of a table of the newest revisions.
        #[arg(long)]
        json: bool,
    },
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
    /// Turn tokens back to the names of records. Needs a reason; the audit log says who asked, for what and why, before anything is shown.
    #[command(after_help = "Needs the hospital's key, so run it as the collector's user.")]
    Reveal(RevealArgs),
    /// Show who did or tried what: tokens, certificates, refusals, revocations, what was revealed, closed and approved.
    #[command(
        args_conflicts_with_subcommands = true,
        after_help = "Times are RFC 3339. `chartwatch audit verify` says whether the log is whole."
    )]
    Audit {
        #[command(flatten)]
        shown: AuditArgs,
        #[command(subcommand)]
        command: Option<AuditCommand>,
    },
    /// Get an analyst's certificate from a collector, with a one-time token that `chartwatch-collector token --analyst` has printed.
    #[command(
        after_help = "Any command after two thirds of the certificate's life renews it; who does not come by in the last third enrols again with --replace.\n\n\
                      Example:\n  chartwatch enroll --token-file anna.token && rm anna.token"
    )]
    Enroll(EnrollArgs),
    #[command(flatten)]
    Administer(Administration),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Which entries of the audit log are shown.
#[derive(Debug, Clone, clap::Args)]
struct AuditArgs {
    /// Entries from this time on.
    #[arg(long, value_name = "TIME", value_parser = rfc3339)]
    from: Option<u64>,
    /// Entries up to this time.
    #[arg(long, value_name = "TIME", value_parser = rfc3339)]
    to: Option<u64>,
    /// Only what begins like this, for example revealed or certificate-.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    what: String,
    /// Only of whose name holds this.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    who: String,
    /// Only about what holds this: a sensor, an alert's id.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    about: String,
    /// As one JSON object to a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Subcommand)]
enum AuditCommand {
    /// Check that no entry was changed, removed or put in. Exit status 1 when one was, and the message says where.
    Verify {
        /// A hash of the log that was noted elsewhere: whether an entry has it. The collector says each of its own in its journal.
        #[arg(long, value_name = "HASH", value_parser = hash)]
        head: Option<Hash>,
    },
}

fn hash(text: &str) -> Result<Hash, String> {
    Hash::parse(text.trim()).ok_or_else(|| "not 64 hexadecimal digits".into())
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
    let mut out = BufWriter::new(std::io::stdout().lock());
    let done = run(&cli, &mut out).and_then(|exit| {
        out.flush().context("failed to write")?;
        Ok(exit)
    });
    match done {
        Ok(exit) => ExitCode::from(exit),
        // Whoever read the output has seen enough, as `head` has.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("chartwatch: {}", text::reasons(&error)));
            ExitCode::from(exit_of(&error))
        }
    }
}

/// A configuration or key that cannot be used has an exit status of its own.
fn exit_of(error: &anyhow::Error) -> u8 {
    if error.is::<ConfigError>() {
        return EXIT_BAD_CONFIG;
    }
    error
        .downcast_ref::<AnalystError>()
        .map_or(1, AnalystError::exit)
}

/// Thresholds, feeds and where the key lies: of the file named, else of the usual file if there is one, else the defaults.
fn read_config(cli: &Cli) -> Result<(Config, Vec<Status>), ConfigError> {
    let command = &cli.command;
    let usual = Some(Path::new(DEFAULT_FILE)).filter(|path| {
        path.exists()
            && matches!(
                command,
                Command::Replay { .. }
                    | Command::Intel { .. }
                    | Command::Approve { .. }
                    | Command::Usual { .. }
                    | Command::Reveal(_)
                    | Command::Administer(_)
            )
    });
    let mut config = if let Some(path) = cli.config.as_deref().or(usual) {
        Config::load(path)?
    } else {
        let mut config = Config::parse("", Path::new("the defaults"))?;
        config.keep_data_dir(cli.data.clone());
        config
    };
    let states = config.read_feeds(&Intel::default());
    if matches!(command, Command::Replay { .. }) {
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
    Ok((config, states))
}

/// Does what is asked; answers the exit status.
fn run(cli: &Cli, out: &mut impl Write) -> Result<u8, anyhow::Error> {
    match &cli.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "chartwatch", &mut script);
            out.write_all(&script).context("failed to write")?;
            return Ok(0);
        }
        Command::Enroll(args) => {
            enrolling::enroll(args, &identity(cli)?, out)?;
            return Ok(0);
        }
        Command::Approve { id, name, why, yes } => {
            let asked = Approval {
                id: id.clone(),
                name: name.clone(),
                why: why.clone(),
                agreed: None,
            };
            return approve(cli, asked, *yes, out);
        }
        _ => {}
    }
    match picture(&cli.command) {
        None => Ok(carry_out(cli, asked(&cli.command)?, out)?.exit),
        // Drawn by whoever carries it out, written here.
        Some(file) => {
            let mut drawn = Vec::new();
            let exit = carry_out(cli, asked(&cli.command)?, &mut drawn)?.exit;
            if exit == 0 {
                std::fs::write(file, drawn)
                    .with_context(|| format!("failed to write {}", file.display()))?;
            }
            Ok(exit)
        }
    }
}

/// The file a picture is to be drawn into, unless it is standard output.
fn picture(command: &Command) -> Option<&Path> {
    match command {
        Command::Show { svg, .. } => svg.as_deref().filter(|file| *file != Path::new("-")),
        _ => None,
    }
}

/// Has a command carried out, here or by the collector.
fn carry_out(
    cli: &Cli,
    command: analyst::Command,
    out: &mut impl Write,
) -> Result<Ended, anyhow::Error> {
    if let Some(address) = &cli.collector {
        let files = keeping::Files::below(&identity(cli)?);
        return remote::run(address, &files, command, out);
    }
    let (config, feeds) = read_config(cli)?;
    let bench = Bench {
        data: cli.data.clone(),
        detect: config.detect.clone(),
        config: Arc::new(config),
        feeds,
        file: Some(cli.config.clone().unwrap_or_else(|| DEFAULT_FILE.into())),
        who: Who::runs_this(),
        share: None,
        terminal: std::io::stderr().is_terminal(),
    };
    let to_agree = analyst::run(&bench, command, out, &mut std::io::stderr())?;
    Ok(Ended { exit: 0, to_agree })
}

/// The command, as it is carried out.
fn asked(command: &Command) -> Result<analyst::Command, anyhow::Error> {
    use analyst::Command as Asked;
    Ok(match command.clone() {
        Command::Alerts { json } => Asked::Alerts { json },
        Command::Show { id, json, svg } => {
            let form = match (json, svg) {
                (true, _) => Form::Json,
                (false, Some(_)) => Form::Svg,
                (false, None) => Form::Text,
            };
            Asked::Show { id, form }
        }
        Command::Close { id, verdict, why } => {
            let verdict = match verdict {
                Judged::TruePositive => Verdict::TruePositive,
                Judged::FalsePositive => Verdict::FalsePositive,
            };
            Asked::Close { id, verdict, why }
        }
        Command::Replay { from, to, json } => {
            if from.zip(to).is_some_and(|(from, to)| from > to) {
                Cli::command()
                    .error(
                        clap::error::ErrorKind::ValueValidation,
                        "--from is later than --to; no event can be in between",
                    )
                    .exit();
            }
            Asked::Replay {
                from_ns: from,
                to_ns: to,
                json,
            }
        }
        Command::Events { from, to } => Asked::Events {
            from_ns: from,
            to_ns: to,
        },
        Command::Sensors { refused, json } => Asked::Sensors { refused, json },
        Command::Intel { value, json } => Asked::Intel {
            values: value,
            json,
        },
        Command::Usual { sensor, json } => Asked::Usual { sensor, json },
        Command::Reveal(args) => args.asked()?,
        Command::Audit {
            command: Some(AuditCommand::Verify { head }),
            ..
        } => Asked::AuditVerify { head },
        Command::Audit { shown, .. } => Asked::Audit {
            filter: AuditFilter {
                from_ns: shown.from,
                to_ns: shown.to,
                what: shown.what,
                who: shown.who,
                about: shown.about,
            },
            json: shown.json,
        },
        Command::Administer(asked) => Asked::Administer(asked.task()),
        Command::Approve { .. } | Command::Enroll(_) | Command::Completions { .. } => {
            bail!("is not carried out by a collector")
        }
    })
}

/// Where the analyst's key and certificate lie.
fn identity(cli: &Cli) -> Result<PathBuf, anyhow::Error> {
    if let Some(directory) = &cli.identity {
        return Ok(directory.clone());
    }
    let configured = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let usual = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".config"));
    let directory = configured.or_else(usual);
    let directory =
        directory.context("there is neither HOME nor XDG_CONFIG_HOME; give --identity DIR")?;
    Ok(directory.join("chartwatch"))
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

/// To standard error; when even that is closed there is nobody to tell.
fn say(line: &str) {
    let _closed = writeln!(std::io::stderr(), "{line}").is_err();
}
