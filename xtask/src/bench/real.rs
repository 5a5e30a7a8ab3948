//! `cargo xtask bench real`: real work on this machine with nothing loaded, with empty programs on the sensor's tracepoints,
//! and with the sensor: in turns, so that what else the machine does falls on all of them alike.
//!
//! What is compared is CPU time of the work, of each round with that of the same round: a neighbour disturbs it least.

mod web;
mod works;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::json;

use self::web::Web;
use self::works::{Taken, Works};
use super::daemons::{Place, Sensor};
use super::idle::{rounded, series};
use crate::readme;
use crate::step::{root, say};
use crate::table::Table;
use crate::vm;

/// Where results are kept, relative to the root.
const RESULTS: &str = "sensor-user/benches/results/real.json";
/// The sensor's bench target, and what makes it hold empty programs.
const BENCH: &str = "overhead";
const HOLD: &str = "hold";
const BACKEND: &str = "tracepoint";
const SETTINGS: [&str; 3] = ["nothing", "empty", "sensor"];
/// After its start the sensor has things to settle.
const SETTLE: Duration = Duration::from_secs(2);
/// The sensor may add so many times what empty programs add.
const TIMES_MAX: f64 = 1.5;

/// Arguments of `cargo xtask bench real`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Rounds; in each, every work is done once in every setting
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Keep the results in the repository, and show them in the README
    #[arg(long)]
    write: bool,
    /// Fail when a target is not shown to hold: missed, or lost in the differences between rounds
    #[arg(long)]
    check: bool,
}

/// What one work takes in one setting.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Row {
    op: String,
    setting: String,
    backend: String,
    kernel: String,
    /// CPU time of the work, the median of the rounds.
    cpu_ms: f64,
    /// From its beginning to its end.
    elapsed_ms: f64,
    /// CPU time as a multiple of that with nothing loaded, in the same round: median and quartiles.
    ratio: f64,
    ratio_low: f64,
    ratio_high: f64,
    /// CPU time of the sensor's own process meanwhile.
    own_ms: Option<f64>,
    /// The most memory that it had.
    memory_peak_mb: Option<f64>,
}

/// What was taken in one round in one setting.
struct Round {
    taken: Vec<(&'static str, Taken)>,
    own: Vec<Duration>,
    memory_peak_kb: u64,
}

/// Runs the command.
///
/// # Errors
/// Something could not be built or started, or with `--check` a target does not hold.
pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(args.rounds > 0, "there must be a round at least");
    let holder = vm::build_here(BENCH)?;
    let mut place = Place::new(BACKEND)?;
    let works = Works::prepare(place.home())?;
    let web = Web::start(place.home())?;
    let mut rounds: Vec<Vec<Round>> = SETTINGS.iter().map(|_| Vec::new()).collect();
    // The first round is for nobody: memory is to be found, files are to be cached.
    for number in 0..=args.rounds {
        for turn in 0..SETTINGS.len() {
            let setting = (number + turn) % SETTINGS.len();
            let round = one(SETTINGS[setting], &mut place, &holder, &works, &web)?;
            if number > 0 {
                rounds[setting].push(round);
            }
        }
        say(format!("round {number} of {}", args.rounds));
    }
    web.end()?;
    place.end()?;
    let rows = rows(&rounds);
    table(&rows).report(None)?;
    if args.write {
        table(&rows).write_json(&root().join(RESULTS))?;
        readme::write()?;
    }
    let missed = names(&rows)
        .iter()
        .filter(|op| !verdict(&rows, op).holds)
        .count();
    ensure!(
        !args.check || missed == 0,
        "{missed} targets are not shown to hold"
    );
    Ok(())
}

fn one(setting: &str, place: &mut Place, holder: &Path, works: &Works, web: &Web) -> Result<Round> {
    place.go_on()?;
    let held = (setting == "empty")
        .then(|| Held::start(holder))
        .transpose()?;
    let sensor = (setting == "sensor")
        .then(|| place.start_sensor())
        .transpose()?;
    thread::sleep(SETTLE);
    let (mut taken, mut own) = (Vec::new(), Vec::new());
    let mut before = spent(sensor.as_ref())?;
    let mut note = |name, work: Taken| {
        taken.push((name, work));
        let now = spent(sensor.as_ref())?;
        own.push(now.saturating_sub(before));
        before = now;
        Ok::<_, anyhow::Error>(())
    };
    for (name, script) in works::SCRIPTS {
        note(name, works.perform(script)?)?;
    }
    note(web::NAME, web.perform()?)?;
    let peak = sensor
        .as_ref()
        .map(|sensor| sensor.memory("VmHWM"))
        .transpose()?;
    if let Some(sensor) = sensor {
        sensor.stop()?;
    }
    if let Some(held) = held {
        held.end()?;
    }
    Ok(Round {
        taken,
        own,
        memory_peak_kb: peak.unwrap_or(0),
    })
}

fn spent(sensor: Option<&Sensor>) -> Result<Duration> {
    sensor.map_or(Ok(Duration::ZERO), Sensor::cpu)
}

/// A process that holds empty programs on the sensor's tracepoints.
struct Held(Child);

impl Held {
    fn start(holder: &Path) -> Result<Self> {
        let mut child = Command::new(holder)
            .arg(HOLD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start what holds empty programs")?;
        let output = child.stdout.take().context("it has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(line == "ready\n", "empty programs could not be attached");
        Ok(Self(child))
    }

    /// It ends with its input.
    fn end(mut self) -> Result<()> {
        drop(self.0.stdin.take());
        let status = self.0.wait()?;
        ensure!(status.success(), "what held empty programs: {status}");
        Ok(())
    }
}

fn rows(rounds: &[Vec<Round>]) -> Vec<Row> {
    let works = rounds[0].first().map_or(0, |round| round.taken.len());
    let mut rows = Vec::new();
    for work in 0..works {
        for (setting, of_it) in SETTINGS.iter().zip(rounds) {
            let cpu = |round: &Round| round.taken[work].1.cpu.as_secs_f64() * 1000.0;
            let ratios: Vec<f64> = of_it
                .iter()
                .zip(&rounds[0])
                .map(|(round, base)| cpu(round) / cpu(base))
                .collect();
            let median = |of: &dyn Fn(&Round) -> f64| quantile(of_it.iter().map(of).collect(), 0.5);
            let elapsed = |round: &Round| round.taken[work].1.elapsed.as_secs_f64() * 1000.0;
            let own = |round: &Round| round.own[work].as_secs_f64() * 1000.0;
            let peak = of_it.iter().map(|round| round.memory_peak_kb).max();
            let is_sensor = *setting == "sensor";
            rows.push(Row {
                op: rounds[0][0].taken[work].0.to_owned(),
                setting: (*setting).to_owned(),
                backend: BACKEND.to_owned(),
                kernel: series(),
                cpu_ms: rounded(median(&cpu), 10.0),
                elapsed_ms: rounded(median(&elapsed), 10.0),
                ratio: rounded(quantile(ratios.clone(), 0.5), 1000.0),
                ratio_low: rounded(quantile(ratios.clone(), 0.25), 1000.0),
                ratio_high: rounded(quantile(ratios, 0.75), 1000.0),
                own_ms: is_sensor.then(|| rounded(median(&own), 10.0)),
                memory_peak_mb: peak
                    .filter(|_| is_sensor)
                    .map(|kb| rounded(kb as f64 * 1024.0 / 1e6, 10.0)),
            });
        }
    }
    rows
}

/// The value below which such a part of all lies.
fn quantile(mut all: Vec<f64>, part: f64) -> f64 {
    all.sort_by(f64::total_cmp);
    let at = (all.len().saturating_sub(1)) as f64 * part;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    match (all.get(low), all.get(high)) {
        (Some(low), Some(high)) => low + (high - low) * at.fract(),
        _ => f64::NAN,
    }
}

/// Whether the sensor's cost is shown to be within its bound, and how that is said.
struct Verdict {
    holds: bool,
    said: String,
}

fn verdict(rows: &[Row], op: &str) -> Verdict {
    let of = |setting| {
        let found = rows
            .iter()
            .find(|row| row.op == op && row.setting == setting);
        found.map_or((f64::NAN, f64::NAN, f64::NAN), |row| {
            (row.ratio, row.ratio_low, row.ratio_high)
        })
    };
    let (empty, sensor) = (of("empty"), of("sensor"));
    let (added, floor) = (sensor.0 - 1.0, empty.0 - 1.0);
    let times = added / floor;
    // Where the rounds differ by more than what is added, there is nothing to judge: that the target holds is not shown.
    let spread = (sensor.2 - sensor.1).max(empty.2 - empty.1);
    let (holds, said) = if added.abs() <= spread {
        (false, "not told from noise".to_owned())
    } else if added <= 0.0 {
        (true, "holds: nothing is added".to_owned())
    } else if floor <= 0.0 {
        (false, "**missed**: empty programs add nothing".to_owned())
    } else if times <= TIMES_MAX {
        (true, format!("holds: {times:.1} times"))
    } else {
        (false, format!("**missed**: {times:.1} times"))
    };
    Verdict { holds, said }
}

fn names(rows: &[Row]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for row in rows {
        if !names.contains(&row.op) {
            names.push(row.op.clone());
        }
    }
    names
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&[
        "op",
        "setting",
        "backend",
        "kernel",
        "cpu_ms",
        "elapsed_ms",
        "ratio",
        "ratio_low",
        "ratio_high",
        "own_ms",
        "memory_peak_mb",
    ]);
    for row in rows {
        table.push([
            json!(row.op),
            json!(row.setting),
            json!(row.backend),
            json!(row.kernel),
            json!(row.cpu_ms),
            json!(row.elapsed_ms),
            json!(row.ratio),
            json!(row.ratio_low),
            json!(row.ratio_high),
            json!(row.own_ms),
            json!(row.memory_peak_mb),
        ]);
    }
    table
}

/// The README's table of the committed results.
///
/// # Errors
/// The results cannot be read.
pub(crate) fn section(root: &Path) -> Result<String> {
    Ok(page(&super::kept(&root.join(RESULTS))?))
}

fn page(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "*pending*\n".to_owned();
    }
    let machine = rows.first().map_or_else(String::new, |row| {
        format!("{}, {}", row.kernel, row.backend)
    });
    let mut text = format!(
        "| work ({machine}) | CPU, ms | empty programs | the sensor | its own CPU, ms | its memory at most, MB | target |\n\
         |---|--:|--:|--:|--:|--:|---|\n"
    );
    for op in names(rows) {
        let of = |setting: &str| {
            rows.iter()
                .find(|row| row.op == op && row.setting == setting)
        };
        let ratio = |setting| {
            of(setting).map_or_else(String::new, |row| {
                format!(
                    "{:.3} ({:.3} to {:.3})",
                    row.ratio, row.ratio_low, row.ratio_high
                )
            })
        };
        let shown =
            |figure: Option<f64>| figure.map_or_else(String::new, |figure| figure.to_string());
        let sensor = of("sensor");
        let _ok = writeln!(
            text,
            "| {op} | {} | {} | {} | {} | {} | {} |",
            shown(of("nothing").map(|row| row.cpu_ms)),
            ratio("empty"),
            ratio("sensor"),
            shown(sensor.and_then(|row| row.own_ms)),
            shown(sensor.and_then(|row| row.memory_peak_mb)),
            verdict(rows, &op).said,
        );
    }
    text
}

/// CPU and time of something that was begun at `begin`.
fn taken(begin: Instant, cpu: Duration) -> Taken {
    Taken {
        cpu,
        elapsed: begin.elapsed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(cpu_ms: u64, own_ms: u64) -> Round {
        let cpu = Duration::from_millis(cpu_ms);
        Round {
            taken: vec![("tar", Taken { cpu, elapsed: cpu })],
            own: vec![Duration::from_millis(own_ms)],
            memory_peak_kb: 1000,
        }
    }

    #[test]
    fn rounds_are_compared_with_themselves() {
        let nothing = vec![round(100, 0), round(200, 0), round(100, 0)];
        let empty = vec![round(110, 0), round(220, 0), round(110, 0)];
        let sensor = vec![round(115, 4), round(230, 5), round(115, 6)];
        let rows = rows(&[nothing, empty, sensor]);
        assert_eq!(
            rows.iter().map(|row| row.ratio).collect::<Vec<_>>(),
            [1.0, 1.1, 1.15]
        );
        assert_eq!(
            (rows[2].own_ms, rows[2].memory_peak_mb),
            (Some(5.0), Some(1.0))
        );
        let text = page(&rows);
        assert!(
            text.contains(
                "| tar | 100 | 1.100 (1.100 to 1.100) | 1.150 (1.150 to 1.150) | 5 | 1 |"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_cost_beyond_its_bound_and_beyond_the_noise_is_too_much() {
        let of = |sensor: [u64; 3]| {
            let sensor = sensor.map(|cpu| round(cpu, 0)).into();
            let nothing = [100, 100, 100].map(|cpu| round(cpu, 0)).into();
            let empty = [110, 110, 110].map(|cpu| round(cpu, 0)).into();
            verdict(&rows(&[nothing, empty, sensor]), "tar").said
        };
        assert_eq!(of([114, 114, 114]), "holds: 1.4 times");
        assert_eq!(of([120, 120, 120]), "**missed**: 2.0 times");
        assert_eq!(of([90, 120, 180]), "not told from noise");
        assert_eq!(of([70, 90, 110]), "not told from noise");
        assert_eq!(of([90, 90, 90]), "holds: nothing is added");
    }

    #[test]
    fn quantiles_lie_between_values() {
        assert!((quantile(vec![3.0, 1.0, 2.0], 0.5) - 2.0).abs() < 1e-9);
        assert!((quantile(vec![1.0, 2.0], 0.25) - 1.25).abs() < 1e-9);
    }
}
