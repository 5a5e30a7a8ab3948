//! Plays one scenario: store, servers, collector, sensor, the scripts, and what came of it.
//!
//! **Invariant:** each scenario has everything of its own, so none can colour the next; everything is ended in the order
//! scripts, servers, sensor, collector, namespaces.

use std::fs::{self, File, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::judge::{self, Verdict};
use super::merge;
use super::recording::{Played, Recorder};
use super::scenario::{Scenario, Whole};
use super::score::{self, Row};
use super::user::User;
use super::world::{self, World};
use crate::records;
use crate::step::{capture, human, tail_of, tree};
use crate::up::service::Service;
use crate::up::{self, Programs, Stop, config};

const POLL: Duration = Duration::from_millis(100);
/// How long what the scripts left running is given to be seen ending.
const QUIET: Duration = Duration::from_millis(500);
/// Seed of the synthetic records.
const SEED: u64 = 7;
/// Where scripts find programs: those of Debian's packages, whatever else this machine has.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// What all scenarios share.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    pub(super) programs: &'a Programs,
    pub(super) backend: &'a str,
    /// How long after the scripts an alert may come.
    pub(super) wait: Duration,
    /// So many times the time a script may run is given to it: an emulated machine is slow.
    pub(super) patience: u32,
    /// Where to keep what is left.
    pub(super) keep: Option<&'a Path>,
    /// Makes recordings.
    pub(super) recorder: Option<&'a Recorder>,
    pub(super) stop: &'a Stop,
}

/// One scenario's own things.
struct Scene<'a> {
    scenario: &'a Scenario,
    directory: &'a Path,
    work: PathBuf,
    /// Environment of all scripts.
    names: Vec<(&'static str, String)>,
    whole: Whole,
}

impl Stage<'_> {
    /// Plays a scenario.
    ///
    /// # Errors
    /// A script failed, or a daemon.
    pub(super) fn play(&self, scenario: &Scenario) -> Result<Row> {
        let directory = tempfile::Builder::new()
            .prefix("chartwatch-eval-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir()
            .context("failed to make a temporary directory")?;
        let user = User::named(&scenario.user)?;
        let world = World::make()?;
        let played = Scene::set(scenario, directory.path(), &world, &user)
            .and_then(|scene| self.play_in(&scene, &world, &user));
        // Whatever went wrong, nothing of it goes on.
        let ended = tree::end_all_but(&[]);
        let kept = self.keep.map_or(Ok(()), |keep| {
            copy(directory.path(), &keep.join(&scenario.name))
        });
        let row = played?;
        ended.and(kept)?;
        Ok(row)
    }

    fn play_in(&self, scene: &Scene<'_>, world: &World, user: &User) -> Result<Row> {
        if let Some(script) = scene.scenario.script("setup.sh") {
            let child = scene.start(&script, None)?;
            let status = self.finish(child, self.limit(scene), &mut || Ok(()))?;
            scene.succeeded(&script, status)?;
        }
        // Their handles are kept only to be waited for; the end of the scenario ends them.
        let mut servers = Vec::new();
        for (namespace, name) in [(&world.sink, "sink.sh"), (&world.approved, "approved.sh")] {
            if let Some(script) = scene.scenario.script(name) {
                let prepare = |command: &mut Command| scene.surround(command);
                servers.push(world::serve(namespace, &script, scene.directory, &prepare)?);
            }
        }
        let (collector, sensor) = self.daemons(scene)?;
        let before = Instant::now();
        let mut watch = Watch::of(self, scene);
        let script = scene.scenario.folder.join("run.sh");
        let child = scene.start(&script, Some(user))?;
        let status = self.finish(child, self.limit(scene), &mut || watch.look())?;
        scene.succeeded(&script, status)?;
        let end = Instant::now();
        watch.look()?;
        while watch.first.is_none() && end.elapsed() < self.wait && !self.stop.is_asked() {
            thread::sleep(POLL);
            watch.look()?;
        }
        let backend = backend(&capture(self.analyst(scene).args(["sensors", "--json"]))?)?;
        // A process's end is part of what an alert says, so that of the scripts' own comes before the sensor's.
        tree::end_all_but(&[sensor.pid(), collector.pid()])?;
        for mut server in servers {
            server.wait().ok();
        }
        thread::sleep(QUIET);
        sensor.stop()?;
        watch.look()?;
        collector.stop()?;
        watch.look()?;
        let expect = scene
            .scenario
            .expected(&scene.work)?
            .in_numbers(scene.whole);
        let verdict = Verdict::of(&watch.alerts, scene.scenario, &expect, std::process::id());
        let played = Played {
            scenario: scene.scenario,
            directory: scene.directory,
            work: &scene.work,
            backend: &backend,
            kernel: &score::kernel(),
            expect: &expect,
            verdict: &verdict,
        };
        let recorded = self.recorder.map(|recorder| recorder.record(&played));
        let notes = [verdict.note(), recorded.transpose()?.flatten()];
        let notes: Vec<String> = notes.into_iter().flatten().collect();
        Ok(Row {
            scenario: scene.scenario.name.clone(),
            label: scene.scenario.label,
            backend,
            kernel: score::kernel(),
            outcome: verdict.outcome,
            seconds_to_alert: watch
                .first
                .map(|at| rounded(at.saturating_duration_since(end))),
            exact: verdict.exact.map(|exact| exact.is_ok()),
            alerts: verdict.alerts,
            watched: before.elapsed(),
            took: Duration::ZERO,
            note: (!notes.is_empty()).then(|| notes.join("; ")),
        })
    }

    /// Starts both daemons, with the scenario's configuration.
    fn daemons(&self, scene: &Scene<'_>) -> Result<(Service, Service)> {
        let [for_collector, for_sensor] = scene
            .scenario
            .config
            .as_ref()
            .map(|config| merge::split(config, &scene.names))
            .unwrap_or_default();
        let file = config::collector(scene.directory, (Ipv4Addr::LOCALHOST, 0).into())?;
        merge::into_file(&file, for_collector)?;
        let mut collector = Service::start(
            "collector",
            up::daemon(&self.programs.collector, &file),
            scene.directory,
        )?;
        collector.wait_ready(&|| self.stop.is_asked())?;
        let address = up::listening(&collector)?;
        let stores = [(scene.scenario.store.clone(), scene.store())];
        let file = config::sensor(
            scene.directory,
            &self.programs.sensor,
            address,
            self.backend,
            &stores,
        )?;
        merge::into_file(&file, for_sensor)?;
        let mut sensor = Service::start(
            "sensor",
            up::daemon(&self.programs.sensor, &file),
            scene.directory,
        )?;
        sensor.wait_ready(&|| self.stop.is_asked())?;
        Ok((collector, sensor))
    }

    /// Waits for a script, looking in between, and ends it when it takes too long.
    fn finish(
        &self,
        mut child: Child,
        limit: Duration,
        look: &mut dyn FnMut() -> Result<()>,
    ) -> Result<ExitStatus> {
        let begin = Instant::now();
        loop {
            if let Some(status) = child.try_wait().context("failed to look at a script")? {
                return Ok(status);
            }
            ensure!(!self.stop.is_asked(), "stopped");
            if begin.elapsed() > limit {
                bail!(
                    "the script ran longer than its limit of {} and was ended; set limit_seconds if it needs longer",
                    human(limit)
                );
            }
            look()?;
            thread::sleep(POLL);
        }
    }

    /// How long a script may run.
    fn limit(&self, scene: &Scene<'_>) -> Duration {
        scene.scenario.limit * self.patience
    }

    fn analyst(&self, scene: &Scene<'_>) -> Command {
        let mut command = Command::new(&self.programs.analyst);
        command.arg("--data").arg(config::data(scene.directory));
        command
    }
}

/// Four hours of the day, UTC, as an approved way has them, from so many after the present one on.
fn hours(after: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let hour = now.map_or(0, |since| since.as_secs() as i64 / 3600);
    let of_day = |hour: i64| hour.rem_euclid(24);
    let begin = of_day(hour + after);
    format!("{begin:02}:00-{:02}:00", of_day(begin + 4))
}

impl<'a> Scene<'a> {
    fn set(
        scenario: &'a Scenario,
        directory: &'a Path,
        world: &World,
        user: &User,
    ) -> Result<Self> {
        let store = directory.join(&scenario.store);
        let records = records::generate(&store, scenario.store_records, SEED)?;
        let work = directory.join("work");
        fs::create_dir(&work).with_context(|| format!("failed to create {}", work.display()))?;
        chown(&work, Some(user.uid), Some(user.gid))
            .with_context(|| format!("failed to give {} away", work.display()))?;
        let text = |path: &Path| path.display().to_string();
        Ok(Self {
            scenario,
            directory,
            names: vec![
                ("STORE", text(&store)),
                ("SINK", world.sink.address.to_string()),
                ("APPROVED", world.approved.address.to_string()),
                ("WORK", text(&work)),
                ("HOURS_NOW", hours(-1)),
                ("HOURS_OTHER", hours(4)),
            ],
            work,
            whole: Whole {
                records: records.len() as u64,
                bytes: records.iter().map(|record| record.bytes).sum(),
            },
        })
    }

    fn store(&self) -> PathBuf {
        self.directory.join(&self.scenario.store)
    }

    /// Gives a command what all scripts get.
    fn surround(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", &self.work)
            .env("TMPDIR", &self.work)
            .envs(self.names.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.work);
    }

    fn log(&self, script: &Path) -> PathBuf {
        let name = script.file_stem().unwrap_or_default().to_string_lossy();
        self.directory.join(format!("{name}.log"))
    }

    /// Starts a script, as a user or as root.
    fn start(&self, script: &Path, user: Option<&User>) -> Result<Child> {
        let log = self.log(script);
        let output =
            File::create(&log).with_context(|| format!("failed to create {}", log.display()))?;
        let mut command = Command::new("/bin/sh");
        command.arg("-eu").arg(script);
        self.surround(&mut command);
        if let Some(user) = user {
            command.env("USER", &self.scenario.user);
            // Root keeps what groups it has; for others the standard library drops them.
            if user.uid != 0 {
                command.uid(user.uid).gid(user.gid);
            }
        }
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("failed to share a log")?)
            .stderr(output)
            // The scripts are no part of our job at the terminal.
            .process_group(0);
        command
            .spawn()
            .with_context(|| format!("failed to start {}", script.display()))
    }

    fn succeeded(&self, script: &Path, status: ExitStatus) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        bail!(
            "{} ended with {status}{}",
            script.display(),
            tail_of(&self.log(script))
        )
    }
}

/// Looks for alerts, and remembers when the first that counts was there.
struct Watch<'a> {
    stage: &'a Stage<'a>,
    scene: &'a Scene<'a>,
    alerts: Vec<Value>,
    first: Option<Instant>,
}

impl<'a> Watch<'a> {
    fn of(stage: &'a Stage<'a>, scene: &'a Scene<'a>) -> Self {
        Self {
            stage,
            scene,
            alerts: Vec::new(),
            first: None,
        }
    }

    fn look(&mut self) -> Result<()> {
        let text = capture(self.stage.analyst(self.scene).args(["alerts", "--json"]))?;
        self.alerts = judge::read(&text)?;
        let counting = judge::counting(&self.alerts, self.scene.scenario, std::process::id());
        if self.first.is_none() && !counting.is_empty() {
            self.first = Some(Instant::now());
        }
        Ok(())
    }
}

/// The backend the sensor says it uses.
fn backend(sensors: &str) -> Result<String> {
    let sensors: Value = serde_json::from_str(sensors)
        .context("chartwatch sensors printed something else than sensors")?;
    Ok(sensors[0]["heartbeat"]["backend"]
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

/// Keeps a scenario's directory, without the store, which is made anew from its seed.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("failed to create {}", to.display()))?;
    for name in ["data", "findings.jsonl", "sensor.toml", "collector.toml"] {
        keep(&from.join(name), to)?;
    }
    for entry in fs::read_dir(from).with_context(|| format!("failed to list {}", from.display()))? {
        let path = entry
            .with_context(|| format!("failed to list {}", from.display()))?
            .path();
        if path.extension().is_some_and(|extension| extension == "log") {
            keep(&path, to)?;
        }
    }
    Ok(())
}

fn keep(path: &Path, to: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    capture(Command::new("cp").arg("-a").arg(path).arg(to)).map(drop)
}
