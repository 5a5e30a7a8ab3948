//! A scenario as its folder says it: `scenario.toml`, the scripts beside it, and what is expected.
//!
//! **Invariant:** a [`Scenario`] that exists can be run; what is wrong with one is said with file, key and what to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use toml::Table;

/// Name of the file that makes a folder a scenario.
const FILE: &str = "scenario.toml";

/// Records of a store, and its name, unless the scenario says otherwise.
const RECORDS: u64 = 400;
const STORE: &str = "records";
/// Longest time a script may run, unless the scenario says otherwise.
const LIMIT_S: u64 = 60;
/// Hook backends of the sensor.
const BACKENDS: [&str; 3] = ["lsm", "fentry", "tracepoint"];

/// What kind of scenario it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Label {
    /// Must be found.
    Attack,
    /// Must raise no alert.
    Benign,
}

impl Label {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Attack => "attack",
            Self::Benign => "benign",
        }
    }
}

/// A scenario.
#[derive(Debug)]
pub(super) struct Scenario {
    /// Its folder.
    pub(super) folder: PathBuf,
    pub(super) name: String,
    pub(super) label: Label,
    /// Name of the store.
    pub(super) store: String,
    /// How many records are made for it.
    pub(super) store_records: u64,
    /// Debian packages it needs.
    pub(super) packages: Vec<String>,
    /// Backends that can tell, all if none is named.
    backends: Vec<String>,
    /// Who runs `run.sh`.
    pub(super) user: String,
    pub(super) limit: Duration,
    pub(super) expect: Expect,
    /// `config.toml`, before its placeholders are filled in.
    pub(super) config: Option<Table>,
}

/// What an alert about it should say; what is not named is not compared.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Expect {
    /// Patterns of which one must raise the alert.
    pub(super) patterns: Vec<String>,
    /// ATT&CK ids it should name.
    pub(super) techniques: Vec<String>,
    /// Executables it should name.
    pub(super) path: Vec<String>,
    pub(super) records: Option<Figure>,
    #[serde(alias = "bytes")]
    pub(super) bytes_read: Option<Figure>,
    pub(super) bytes_sent: Option<Figure>,
}

/// A figure: a number, or `"all"`, everything in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum Figure {
    Number(u64),
    Word(Word),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Word {
    All,
}

/// What is in the store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

impl Expect {
    /// With numbers for everything in the store.
    pub(super) fn in_numbers(self, whole: Whole) -> Self {
        let number = |figure: Option<Figure>, all| {
            figure.map(|figure| match figure {
                Figure::Number(number) => Figure::Number(number),
                Figure::Word(Word::All) => Figure::Number(all),
            })
        };
        Self {
            records: number(self.records, whole.records),
            bytes_read: number(self.bytes_read, whole.bytes),
            bytes_sent: number(self.bytes_sent, whole.bytes),
            ..self
        }
    }

    /// These, and where they say nothing, those of `other`.
    fn or(self, other: Self) -> Self {
        let list = |own: Vec<String>, other| if own.is_empty() { other } else { own };
        Self {
            patterns: list(self.patterns, other.patterns),
            techniques: list(self.techniques, other.techniques),
            path: list(self.path, other.path),
            records: self.records.or(other.records),
            bytes_read: self.bytes_read.or(other.bytes_read),
            bytes_sent: self.bytes_sent.or(other.bytes_sent),
        }
    }
}

/// `scenario.toml` as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    label: Label,
    packages: Vec<String>,
    store: Option<String>,
    store_records: Option<u64>,
    #[serde(default)]
    backends: Vec<String>,
    user: Option<String>,
    limit_seconds: Option<u64>,
    /// Words for the reader of the file.
    #[serde(default, rename = "about")]
    _about: String,
    #[serde(default)]
    patterns: Vec<String>,
    #[serde(default)]
    techniques: Vec<String>,
    #[serde(default)]
    path: Vec<String>,
    records: Option<Figure>,
    #[serde(alias = "bytes")]
    bytes_read: Option<Figure>,
    bytes_sent: Option<Figure>,
}

/// The scenarios of a place: itself, or the folders in it.
///
/// # Errors
/// The place cannot be read, holds none, or one of them is wrong.
pub(super) fn below(place: &Path) -> Result<Vec<Scenario>> {
    let place = place
        .canonicalize()
        .with_context(|| format!("failed to read {}", place.display()))?;
    if place.join(FILE).is_file() {
        return Ok(vec![Scenario::read(&place)?]);
    }
    let mut found = Vec::new();
    for entry in
        fs::read_dir(&place).with_context(|| format!("failed to list {}", place.display()))?
    {
        let folder = entry
            .with_context(|| format!("failed to list {}", place.display()))?
            .path();
        if folder.join(FILE).is_file() {
            found.push(Scenario::read(&folder)?);
        } else if folder.join("run.sh").is_file() {
            bail!(
                "{} has a run.sh and no {FILE}; write one with name, label and packages",
                folder.display()
            );
        }
    }
    ensure!(
        !found.is_empty(),
        "{} is no scenario and holds none: a scenario is a folder with {FILE} and run.sh",
        place.display()
    );
    Ok(found)
}

impl Scenario {
    /// The file that describes it.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// A script beside it, if it is there.
    pub(super) fn script(&self, name: &str) -> Option<PathBuf> {
        Some(self.folder.join(name)).filter(|path| path.is_file())
    }

    fn read(folder: &Path) -> Result<Self> {
        let file = folder.join(FILE);
        let raw: Raw = parse(&file)?.with_context(|| format!("{} is not there", file.display()))?;
        let wrong =
            |key: &str, what: &str| -> Result<Self> { bail!("{}: {key}: {what}", file.display()) };
        if !is_name(&raw.name) {
            return wrong(
                "name",
                "write a short name of letters, digits, '-', '_' and '.'",
            );
        }
        for package in &raw.packages {
            if !is_package(package) {
                return wrong(
                    "packages",
                    &format!(
                        "{package:?} is no name of a Debian package; write one such as \"curl\""
                    ),
                );
            }
        }
        let store = raw.store.unwrap_or_else(|| STORE.to_owned());
        if !is_name(&store) {
            return wrong("store", "write the name of a store, such as \"records\"");
        }
        let store_records = raw.store_records.unwrap_or(RECORDS);
        if !(1..=100_000).contains(&store_records) {
            return wrong("store_records", "write a number from 1 to 100000");
        }
        let user = raw.user.unwrap_or_else(|| "root".to_owned());
        if !is_user(&user) {
            return wrong(
                "user",
                "write a user name of at most 32 small letters, digits, '-' and '_'",
            );
        }
        let limit = raw.limit_seconds.unwrap_or(LIMIT_S);
        if !(1..=3600).contains(&limit) {
            return wrong("limit_seconds", "write a number from 1 to 3600");
        }
        let known = |name: &String| BACKENDS.contains(&name.as_str());
        if !raw.backends.iter().all(known) {
            return wrong(
                "backends",
                "write some of \"lsm\", \"fentry\" and \"tracepoint\"",
            );
        }
        if !folder.join("run.sh").is_file() {
            bail!(
                "{} has no run.sh; write what the scenario does there",
                folder.display()
            );
        }
        let expect = Expect {
            patterns: raw.patterns,
            techniques: raw.techniques,
            path: raw.path,
            records: raw.records,
            bytes_read: raw.bytes_read,
            bytes_sent: raw.bytes_sent,
        };
        let exact: Option<Expect> = parse(&folder.join("expect.toml"))?;
        Ok(Self {
            folder: folder.to_owned(),
            name: raw.name,
            label: raw.label,
            store,
            store_records,
            packages: raw.packages,
            backends: raw.backends,
            user,
            limit: Duration::from_secs(limit),
            expect: exact.unwrap_or_default().or(expect),
            config: parse(&folder.join("config.toml"))?,
        })
    }

    /// Why what it does cannot be judged with a backend; `None` where it can.
    pub(super) fn not_with(&self, backend: &str) -> Option<String> {
        let can = self.backends.is_empty() || self.backends.iter().any(|name| name == backend);
        (!can).then(|| format!("for {}, not {backend}", self.backends.join(" and ")))
    }

    /// What is expected once the scripts have run: they may write figures only they know to `WORK/expect.toml`.
    ///
    /// # Errors
    /// What they wrote cannot be read.
    pub(super) fn expected(&self, work: &Path) -> Result<Expect> {
        let said: Option<Expect> = parse(&work.join("expect.toml"))?;
        Ok(said.unwrap_or_default().or(self.expect.clone()))
    }
}

/// Reads a file of TOML; `None` where there is none. The library's error has line, column and key.
fn parse<T: serde::de::DeserializeOwned>(file: &Path) -> Result<Option<T>> {
    if !file.exists() {
        return Ok(None);
    }
    let text =
        fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
    let read = toml::from_str(&text);
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) => bail!(
            "{}: {}{}",
            file.display(),
            error.to_string().trim_end(),
            advice(&error.to_string())
        ),
    }
}

/// What to do about an error of the library.
fn advice(error: &str) -> &'static str {
    if error.contains("missing field") {
        "\nadd the key: a scenario needs name, label (\"attack\" or \"benign\") and packages ([] if none)"
    } else if error.contains("unknown field") {
        "\ncorrect the key's spelling, or remove it"
    } else if error.contains("unknown variant") {
        "\nwrite one of the words named above"
    } else {
        "\ncorrect the value; the README shows each key with an example"
    }
}

fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=64).contains(&text.len()) && text.chars().all(fits) && !text.starts_with(['.', '-'])
}

/// Debian Policy 5.6.7.
fn is_package(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    text.len() >= 2
        && text.chars().all(fits)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

fn is_user(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    (1..=32).contains(&text.len())
        && text.chars().all(fits)
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name = \"a\"\nlabel = \"attack\"\npackages = [\"curl\"]\n";

    fn folder(scenario: &str, expect: Option<&str>) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), scenario).unwrap();
        fs::write(folder.path().join("run.sh"), "true\n").unwrap();
        if let Some(expect) = expect {
            fs::write(folder.path().join("expect.toml"), expect).unwrap();
        }
        folder
    }

    #[test]
    fn three_keys_and_a_script_are_enough() {
        let folder = folder(GOOD, Some("records = \"all\"\nbytes = 12\n"));
        let all = below(folder.path()).unwrap();
        let scenario = &all[0];
        assert_eq!(
            (scenario.user.as_str(), scenario.label),
            ("root", Label::Attack)
        );
        assert_eq!(scenario.expect.records, Some(Figure::Word(Word::All)));
        assert_eq!(scenario.expect.bytes_read, Some(Figure::Number(12)));
        let parent = folder.path().parent().unwrap();
        assert!(!parent.join(FILE).exists());
    }

    #[test]
    fn what_is_wrong_is_said_with_file_key_and_advice() {
        let cases = [
            (GOOD.replace("name", "nam"), "nam", "correct the key"),
            (
                GOOD.replace("label = \"attack\"\n", ""),
                "label",
                "add the key",
            ),
            (GOOD.replace("attack", "bad"), "benign", "words named"),
            (GOOD.replace("curl", "-x"), "packages", "Debian package"),
            (GOOD.replace("\"a\"", "\"../a\""), "name", "short name"),
            (format!("{GOOD}user = \"A b\""), "user", "user name"),
            (
                format!("{GOOD}store_records = 0"),
                "store_records",
                "from 1",
            ),
            (
                format!("{GOOD}backends = [\"kprobe\"]"),
                "backends",
                "fentry",
            ),
            (
                format!("{GOOD}records = \"some\""),
                "records",
                "correct the value",
            ),
        ];
        for (text, key, advice) in cases {
            let folder = folder(&text, None);
            let error = format!("{:#}", below(folder.path()).unwrap_err());
            assert!(
                error.contains(FILE) && error.contains(key) && error.contains(advice),
                "{text}: {error}"
            );
        }
        let folder = folder(GOOD, None);
        fs::remove_file(folder.path().join("run.sh")).unwrap();
        let error = format!("{:#}", below(folder.path()).unwrap_err());
        assert!(error.contains("no run.sh"), "{error}");
    }

    #[test]
    fn what_a_backend_cannot_see_is_not_judged_with_it() {
        let with = |line: &str| {
            let folder = folder(&format!("{GOOD}{line}"), None);
            below(folder.path())
                .unwrap()
                .remove(0)
                .not_with("tracepoint")
        };
        assert_eq!(with(""), None);
        assert_eq!(with("backends = [\"tracepoint\"]"), None);
        let said = with("backends = [\"lsm\", \"fentry\"]");
        assert_eq!(said.as_deref(), Some("for lsm and fentry, not tracepoint"));
    }

    #[test]
    fn the_corpus_can_be_read() {
        let all = below(&crate::step::root().join(crate::eval::CORPUS)).unwrap();
        for label in [Label::Attack, Label::Benign] {
            assert!(all.iter().any(|scenario| scenario.label == label));
        }
    }
}
