//! The command line: what can be asked of the sensor, and what it answers with.
//!
//! **Invariant:** answers go to the writer that is passed in; exit codes are those of sysexits.h.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{Config, DEFAULT_FILE, Guard, Privacy, Service};
use crate::link::{self, EnrollError, Files, IdentityError, Token};
use crate::preflight::{self, Facts};
use crate::privacy::{Key, KeyError, Placed};

const EXAMPLES: &str = "Examples:
  chartwatch-sensor enroll --token-file /root/token   get this sensor's certificate, and the key for names, from the collector
  chartwatch-sensor check                             is the configuration good, is the machine?
  chartwatch-sensor run --config ./sensor.toml        watch until SIGTERM or SIGINT
  chartwatch-sensor keygen --out ./token.key          make a key for names where no collector makes one

Exit codes:
   0  done, or stopped as asked
  64  the command line, the configuration, a key or a certificate is wrong: the message says what to change
  69  the machine lacks what the sensor needs, or no hooks could be set up
  70  the sensor stopped watching by itself
  73  a file could not be written

Log: to standard error; CHARTWATCH_LOG=debug says more (the syntax is that of RUST_LOG).";

/// Watches access to patient records on this host and tells the collector.
#[derive(Debug, Parser)]
#[command(name = "chartwatch-sensor", version, after_long_help = EXAMPLES, after_help = "--help shows examples and exit codes")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch this host until SIGTERM or SIGINT.
    Run {
        /// The configuration.
        #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
        config: PathBuf,
    },
    /// Say what `run` would do, and whether this machine has what it needs. Changes nothing.
    Check {
        /// The configuration.
        #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
        config: PathBuf,
    },
    /// Make a key for the names of records, in a new file that only its owner can read.
    Keygen {
        /// The file, which must not exist yet.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Get this sensor's certificate, and the hospital's key for names, from its collector, with a one-time token that `chartwatch-collector token` has printed.
    Enroll {
        /// File with the token, readable for its owner only.
        #[arg(long, value_name = "FILE")]
        token_file: PathBuf,
        /// Write over a key and certificate that are there.
        #[arg(long)]
        replace: bool,
        /// The configuration.
        #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
        config: PathBuf,
    },
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Success = 0,
    /// `EX_USAGE`: command line, configuration or key.
    Usage = 64,
    /// `EX_UNAVAILABLE`: the machine lacks something.
    Unavailable = 69,
    /// `EX_SOFTWARE`: the sensor ended by itself.
    Software = 70,
    /// `EX_CANTCREAT`: a file could not be written.
    CannotCreate = 73,
}

/// Prints completions.
pub fn completions(shell: Shell, out: &mut dyn Write) {
    clap_complete::generate(shell, &mut Cli::command(), "chartwatch-sensor", &mut {
        out
    });
}

/// Says what a configuration means and whether this machine has what it needs.
pub fn check(file: &Path, config: &Config, facts: &Facts, out: &mut dyn Write) -> io::Result<Exit> {
    writeln!(out, "{} is good:", file.display())?;
    describe(config, out)?;
    let key = key(config).map_err(|error| format!("key: {error}"));
    let identity = identity(config).map_err(|error| format!("identity: {error}"));
    let verdicts = preflight::judge(facts);
    writeln!(out, "\nThis machine:")?;
    for verdict in &verdicts {
        writeln!(out, "  {verdict}")?;
    }
    for problem in [&key, &identity]
        .into_iter()
        .filter_map(|file| file.as_ref().err())
    {
        writeln!(out, "  FAIL  {problem}")?;
    }
    let ready = verdicts.iter().all(|verdict| verdict.outcome.is_ok());
    let exit = match (key.and(identity), ready) {
        (Err(_), _) => Exit::Usage,
        (Ok(()), false) => Exit::Unavailable,
        (Ok(()), true) => Exit::Success,
    };
    let end = if exit == Exit::Success {
        "Ready to run."
    } else {
        "Not ready: put right what is marked FAIL."
    };
    writeln!(out, "\n{end}")?;
    Ok(exit)
}

fn describe(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "  sensor     {}", config.sensor_id)?;
    writeln!(out, "  collector  {}", config.collector.address)?;
    match &config.privacy {
        Privacy::Token { key_file } => writeln!(
            out,
            "  names      leave as tokens under {}",
            key_file.display()
        )?,
        Privacy::Plain => writeln!(out, "  names      leave as they are")?,
    }
    let queue = config.queue;
    writeln!(
        out,
        "  queue      {} events, {} bytes; a stop waits {:?} for it",
        queue.events_max, queue.bytes_max, queue.drain
    )?;
    match &config.spool {
        Some(spool) => writeln!(
            out,
            "  spool      {}, {} bytes, {} hours; what the collector has is kept {} minutes",
            spool.directory.display(),
            spool.bytes_max,
            spool.age_max.as_secs() / 3600,
            spool.keep.as_secs() / 60
        )?,
        None => writeln!(
            out,
            "  spool      none: what is queued ends with the sensor"
        )?,
    }
    let kernel = &config.kernel;
    writeln!(
        out,
        "  kernel     backend {:?}, every {:?}, rings of {} and {} bytes",
        kernel.backend, kernel.tick, kernel.bulk_ring_bytes, kernel.critical_ring_bytes
    )?;
    match &kernel.holders_file {
        Some(file) => writeln!(out, "  holders    kept in {}", file.display())?,
        None => writeln!(out, "  holders    forgotten when the sensor is restarted")?,
    }
    if kernel.guard == Guard::Deny {
        writeln!(out, "  guard      attempts on the sensor are refused")?;
    }
    for store in &config.stores {
        writeln!(
            out,
            "  store      {} {} {}{}",
            store.name,
            match &store.service {
                None => "at",
                Some(Service::Executable(_)) => "served by who runs",
                Some(Service::Unit(_)) => "served by the unit",
            },
            store.path.display(),
            match &store.service {
                None if store.plain => ", names leave as they are",
                Some(service) if !service.is_there() => ", which is not there yet",
                None | Some(_) => "",
            }
        )?;
        if store.canonical != store.path {
            writeln!(out, "             which is {}", store.canonical.display())?;
        }
    }
    Ok(())
}

/// Whether the key for names can be used.
pub fn key(config: &Config) -> Result<(), KeyError> {
    match &config.privacy {
        Privacy::Token { key_file } => Key::read(key_file).map(drop),
        Privacy::Plain => Ok(()),
    }
}

/// Enrols this sensor and says what was written.
pub fn enroll(
    config: &Config,
    file: &Path,
    replace: bool,
    out: &mut dyn Write,
) -> Result<(), EnrollError> {
    let token = Token::read(file)?;
    let files = Files {
        identity: config.collector.identity.clone(),
        ca: config.collector.ca.clone(),
    };
    let before = files.identity.exists();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| EnrollError::Runtime(source.to_string()))?;
    let names_key = match &config.privacy {
        Privacy::Token { key_file } => Some(&**key_file),
        Privacy::Plain => None,
    };
    let enrolled = link::enroll(&token, &config.sensor_id, &files, names_key, replace);
    let placed = runtime.block_on(enrolled)?;
    let how = if before { "replaced" } else { "made" };
    let mut said = vec![format!(
        "{how} {} and {}: this sensor is {} now; remove the token's file\n",
        files.identity.display(),
        files.ca.display(),
        config.sensor_id
    )];
    let (own, address) = (&config.collector.address, &token.address);
    if *own != format!("https://{address}") {
        said.push(format!(
            "note: collector.address is {own} in the configuration, and https://{address} in the token\n"
        ));
    }
    said.extend(names_key.map(|file| names_said(placed, file)));
    // It is done, said or not.
    out.write_all(said.concat().as_bytes()).ok();
    Ok(())
}

/// What is said of the key for names.
fn names_said(placed: Option<Placed>, file: &Path) -> String {
    let file = file.display();
    match placed {
        Some(Placed::Written) => {
            format!("made {file}: names of records leave as tokens under the collector's key\n")
        }
        Some(Placed::Same) => format!("{file} holds the collector's key already\n"),
        Some(Placed::Other) => format!(
            "note: {file} holds another key than the collector's and stays: `chartwatch reveal` there cannot turn back this sensor's names. \
             To have the collector's key, move the file away and enrol again with a new token and --replace. If this one is the \
             hospital's key, put it at the collector (privacy.key_file) in the place of its own\n"
        ),
        None => format!(
            "note: the collector has no key for names; copy the hospital's key to {file}, if it is not there\n"
        ),
    }
}

/// Whether the sensor's key and certificate, and the authority it trusts, can be used.
pub fn identity(config: &Config) -> Result<(), IdentityError> {
    Files::of(&config.collector).map_or(Ok(()), |files| files.check())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        let run = Cli::try_parse_from(["chartwatch-sensor", "run"]).unwrap();
        assert!(
            matches!(run.command, Command::Run { config } if config == Path::new(DEFAULT_FILE))
        );
    }

    #[test]
    fn completions_name_the_commands() {
        let mut out = Vec::new();
        completions(Shell::Bash, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("chartwatch-sensor") && text.contains("keygen"));
    }

    #[test]
    fn check_says_what_would_be_done_and_what_is_missing() {
        let place = tempfile::tempdir().unwrap();
        let text = format!(
            "sensor_id = \"w\"\n[collector]\naddress = \"http://127.0.0.1:7443\"\n[privacy]\nkey_file = \"{0}/key\"\n[[store]]\nname = \"pacs\"\npath = \"{0}\"\n",
            place.path().display()
        );
        let config = Config::parse("f", &text, "h").unwrap();
        let good = Facts {
            btf_bytes: Some(1),
            capabilities: u64::MAX,
            pid_namespace: Some(4_026_531_836),
            mountinfo: "25 30 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n".to_owned(),
        };
        let bad = Facts {
            btf_bytes: None,
            ..good.clone()
        };
        let answer = |facts: &Facts| {
            let mut out = Vec::new();
            let exit = check(Path::new("f"), &config, facts, &mut out).unwrap();
            (exit, String::from_utf8(out).unwrap())
        };
        let (exit, text) = answer(&good);
        assert!(
            exit == Exit::Usage && text.contains("FAIL  key: ") && text.contains("keygen"),
            "{text}"
        );
        crate::privacy::generate(&place.path().join("key")).unwrap();
        let (exit, text) = answer(&good);
        assert!(
            exit == Exit::Success
                && text.contains("store      pacs at")
                && text.contains("Ready to run."),
            "{text}"
        );
        let (exit, text) = answer(&bad);
        assert!(
            exit == Exit::Unavailable && text.contains("CONFIG_DEBUG_INFO_BTF"),
            "{text}"
        );
    }
}
