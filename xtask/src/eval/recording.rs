//! Recordings: the event log of a scenario that was played, kept beside it, to be judged again in a moment.
//!
//! The folder `recording` of a scenario holds the log (`log.zst`), the collector's configuration, the feeds it names, and what
//! was seen and expected (`recording.toml`). Replaying one shows that detection still finds, or leaves alone, what it did.
//!
//! **Invariant:** only what came out as it should is recorded; a replay that cannot be done is an error and never a pass.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::Table;

use super::judge::{self, Verdict};
use super::scenario::{Expect, Figure, Label, Scenario};
use super::score::{Outcome, Row};
use crate::step::{Step, capture, cargo, root, target_dir};

/// The folder beside `scenario.toml`.
const FOLDER: &str = "recording";
/// Stands for that folder in a recording's configuration.
const PLACE: &str = "$RECORDING";

/// What packs and reads recordings.
#[derive(Debug)]
pub(super) struct Recorder {
    packer: PathBuf,
    analyst: PathBuf,
}

/// `recording.toml`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    backend: String,
    kernel: String,
    /// The process that played it.
    harness: u32,
    #[serde(flatten)]
    expect: Figures,
    /// What should be named and was not.
    unnamed: Vec<String>,
}

/// Figures that are expected, as numbers.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Figures {
    records: Option<u64>,
    bytes_read: Option<u64>,
    bytes_sent: Option<u64>,
}

/// What a scenario that was played leaves.
pub(super) struct Played<'a> {
    pub(super) scenario: &'a Scenario,
    /// Where its daemons worked, and its scripts.
    pub(super) directory: &'a Path,
    pub(super) work: &'a Path,
    pub(super) backend: &'a str,
    pub(super) kernel: &'a str,
    /// Expected, everything in the store put as numbers.
    pub(super) expect: &'a Expect,
    pub(super) verdict: &'a Verdict,
}

impl Recorder {
    /// Builds what is needed.
    ///
    /// # Errors
    /// It cannot be built.
    pub(super) fn build() -> Result<Self> {
        let mut command = cargo();
        command.args(["build", "--locked", "--package", "collector", "--bins"]);
        command.args(["--example", "recording"]);
        Step::new("building what reads recordings", command).run()?;
        let debug = target_dir().join("debug");
        Ok(Self {
            packer: debug.join("examples/recording"),
            analyst: debug.join("chartwatch"),
        })
    }

    /// Keeps what a scenario left as its recording; gives why not, if it is none to be kept.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn record(&self, played: &Played<'_>) -> Result<Option<String>> {
        if let Some(wrong) = played.verdict.wrong() {
            return Ok(Some(format!("not recorded: {wrong}")));
        }
        let folder = played.scenario.folder.join(FOLDER);
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("failed to remove {}", folder.display()))?;
        }
        fs::create_dir(&folder)
            .with_context(|| format!("failed to create {}", folder.display()))?;
        let harness = std::process::id();
        let mut pack = Command::new(&self.packer);
        pack.arg("pack").arg(played.directory.join("data"));
        pack.arg(folder.join("log.zst"));
        pack.args(["--harness", &harness.to_string(), "--cut"]);
        pack.arg(format!("{}/", root().display()));
        capture(&mut pack)?;
        let file = played.directory.join("collector.toml");
        let config = configuration(&read(&file)?.parse()?, played.work, &folder)?;
        let about = About {
            backend: played.backend.to_owned(),
            kernel: played.kernel.to_owned(),
            harness,
            expect: Figures::of(played.expect),
            unnamed: played.verdict.unnamed.clone(),
        };
        write(&folder.join("collector.toml"), &config.to_string())?;
        write(&folder.join("recording.toml"), &toml::to_string(&about)?)?;
        Ok(None)
    }

    /// Judges a scenario by its recording; `None` when it has none.
    ///
    /// # Errors
    /// The recording cannot be read, or a feed it needs.
    pub(super) fn replay(&self, scenario: &Scenario) -> Result<Option<Replayed>> {
        let folder = scenario.folder.join(FOLDER);
        if !folder.exists() {
            return Ok(None);
        }
        let about: About = toml::from_str(&read(&folder.join("recording.toml"))?)
            .with_context(|| format!("{} cannot be read", folder.display()))?;
        let place = tempfile::tempdir().context("failed to make a temporary directory")?;
        let mut unpack = Command::new(&self.packer);
        unpack.arg("unpack").arg(folder.join("log.zst"));
        capture(unpack.arg(place.path()))?;
        let config = read(&folder.join("collector.toml"))?;
        let config = config.replace(PLACE, &folder.display().to_string());
        let file = place.path().join("collector.toml");
        write(&file, &config)?;
        let mut analyst = Command::new(&self.analyst);
        analyst
            .arg("--config")
            .arg(&file)
            .arg("--data")
            .arg(place.path());
        let mut feeds = Command::new(&self.analyst);
        feeds.arg("--config").arg(&file).args(["intel", "--json"]);
        can_be_read(&capture(&mut feeds)?)?;
        let alerts = newest(&capture(analyst.args(["replay", "--json"]))?)?;
        let expect = about.expect.or(&scenario.expect);
        let verdict = Verdict::of(&alerts, scenario, &expect, about.harness);
        Ok(Some(Replayed {
            wrong: verdict.worse_than(&about.unnamed),
            verdict,
            backend: about.backend,
            kernel: about.kernel,
        }))
    }
}

/// What a recording came to.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) verdict: Verdict,
    pub(super) backend: String,
    pub(super) kernel: String,
    /// What is not as it was.
    pub(super) wrong: Option<String>,
}

impl Replayed {
    /// Its row; what is not as it was counts as a miss, or as a false alert.
    pub(super) fn row(self, scenario: &Scenario) -> Row {
        let outcome = match (&self.wrong, scenario.label) {
            (None, _) => self.verdict.outcome,
            (Some(_), Label::Attack) => Outcome::Missed,
            (Some(_), Label::Benign) => Outcome::FalseAlert,
        };
        let note = self.wrong.or_else(|| self.verdict.note());
        Row {
            backend: self.backend,
            kernel: self.kernel,
            exact: self.verdict.exact.map(|exact| exact.is_ok()),
            alerts: self.verdict.alerts,
            note,
            ..Row::without(scenario, outcome, String::new())
        }
    }
}

impl Figures {
    fn of(expect: &Expect) -> Self {
        let number = |figure: Option<Figure>| match figure {
            Some(Figure::Number(number)) => Some(number),
            _ => None,
        };
        Self {
            records: number(expect.records),
            bytes_read: number(expect.bytes_read),
            bytes_sent: number(expect.bytes_sent),
        }
    }

    fn or(&self, expect: &Expect) -> Expect {
        Expect {
            records: self.records.map(Figure::Number),
            bytes_read: self.bytes_read.map(Figure::Number),
            bytes_sent: self.bytes_sent.map(Figure::Number),
            ..expect.clone()
        }
    }
}

/// The configuration without what is this machine's; feeds that lie where the scripts work are copied.
fn configuration(config: &Table, work: &Path, folder: &Path) -> Result<Table> {
    let mut config = config.clone();
    for own in ["data_dir", "listen", "sink", "tls"] {
        config.remove(own);
    }
    let feeds = config.get_mut("intel").and_then(toml::Value::as_array_mut);
    for feed in feeds.into_iter().flatten() {
        let path = PathBuf::from(feed["path"].as_str().unwrap_or_default());
        let name = path.strip_prefix(work).ok().and_then(Path::to_str);
        let name = name.filter(|name| !name.contains('/'));
        let name = name.with_context(|| {
            format!(
                "{} is no file of the scenario and cannot be recorded",
                path.display()
            )
        })?;
        fs::copy(&path, folder.join(name))
            .with_context(|| format!("failed to copy {}", path.display()))?;
        feed["path"] = format!("{PLACE}/{name}").into();
    }
    Ok(config)
}

/// The newest revision of every alert, of a line for each revision.
fn newest(lines: &str) -> Result<Vec<Value>> {
    let mut found = BTreeMap::new();
    for line in lines.lines() {
        let alert: Value = serde_json::from_str(line)
            .context("chartwatch replay printed something else than alerts")?;
        found.insert(alert["id"].to_string(), alert);
    }
    Ok(found.into_values().collect())
}

fn can_be_read(feeds: &str) -> Result<()> {
    for feed in judge::read(feeds)? {
        ensure!(
            feed["problem"].is_null(),
            "a feed cannot be read: {}",
            feed["problem"]
        );
    }
    Ok(())
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("failed to write {}", file.display()))
}
