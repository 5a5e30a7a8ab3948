//! Attempts on the sensor, which is this very process: told, and with `guard = "deny"` refused.

use std::path::Path;
use std::process::Command;

use libtest_mimic::Failed;
use sensor_user::config::Guard;
use sensor_user::event::{Part, Tamper, Target};

use crate::actor;
use crate::watch::{CONFIGURATION, SPOOL, Watch, same};

/// `SIGHUP`, which this process ignores in these tests.
const HANGUP: u32 = 1;

/// A signal.
pub(crate) fn signalled(watch: &mut Watch) -> Result<(), Failed> {
    ignore_hangup();
    let found = after(watch, &mut act("hang-up")?)?;
    same("attempts", &found.len(), &1)?;
    let tamper = &found[0];
    let expected = (Target::Signal(HANGUP), 1, 0);
    same(
        "what",
        &(tamper.target, tamper.times, tamper.denied),
        &expected,
    )
}

/// To be traced.
pub(crate) fn traced(watch: &mut Watch) -> Result<(), Failed> {
    let found = after(watch, &mut act("seize")?)?;
    let targets: Vec<Target> = found.iter().map(|tamper| tamper.target).collect();
    same("attempts", &targets, &vec![Target::Trace])
}

/// Its maps, programs and links.
pub(crate) fn taken(watch: &mut Watch) -> Result<(), Failed> {
    let found = after(watch, &mut act("take-bpf")?)?;
    let any = |is: fn(Target) -> bool| found.iter().any(|tamper| is(tamper.target));
    let kinds = [
        any(|t| matches!(t, Target::Map(_))),
        any(|t| matches!(t, Target::Program(_))),
        any(|t| matches!(t, Target::Link(_))),
    ];
    same("maps, programs and links", &kinds, &[true; 3])
}

/// Its configuration is written to and replaced; to read it is nobody's business.
pub(crate) fn edited(watch: &mut Watch) -> Result<(), Failed> {
    let file = watch.elsewhere().join(CONFIGURATION);
    let mut read = Command::new("cat");
    let read = after(watch, read.arg(&file).stdout(std::process::Stdio::null()))?;
    same("attempts by reading", &read, &Vec::new())?;
    for round in ["written", "written after it was told again"] {
        let found = after(watch, &mut append(&file))?;
        let targets: Vec<Target> = found.iter().map(|tamper| tamper.target).collect();
        let expected = vec![Target::File(Part::Configuration)];
        same(&format!("attempts: {round}"), &targets, &expected)?;
    }
    if watch.backend == "tracepoint" {
        eprintln!(
            "a rename is not seen by name, so what is replaced is told once it is written to"
        );
        return Ok(());
    }
    let other = watch.elsewhere().join("other.toml");
    std::fs::write(&other, "# another\n")?;
    let found = after(watch, Command::new("mv").arg(&other).arg(&file))?;
    same("attempts by replacing", &found.is_empty(), &false)?;
    watch.rest()?;
    let found = after(watch, &mut append(&file))?;
    same(
        "attempts on what has taken its place",
        &found.is_empty(),
        &false,
    )
}

/// The sensor's spool is written to by others; what the sensor itself writes there, or puts in its place, is none of it.
pub(crate) fn spool_edited(watch: &mut Watch) -> Result<(), Failed> {
    let file = watch.elsewhere().join(SPOOL);
    std::fs::write(&file, "written by the sensor\n")?;
    let found = after(watch, &mut append(&file))?;
    same("attempts on the spool", &targets(&found), &vec![SPOOLED])?;
    let own = watch
        .tampers()
        .filter(|t| t.process.pid == std::process::id());
    same("the sensor's own", &own.count(), &0)?;
    // As it does with a damaged one.
    std::fs::rename(&file, file.with_extension("aside"))?;
    std::fs::write(&file, "a new one\n")?;
    for _ in 0..60 {
        // It takes the sensor a moment to tell it again.
        let found = after(watch, &mut append(&file))?;
        if targets(&found) == [SPOOLED] {
            return removed(watch, &file);
        }
    }
    Err("the new spool is not watched".into())
}

/// Removed, where the backend sees what is done by name.
fn removed(watch: &mut Watch, file: &Path) -> Result<(), Failed> {
    if watch.backend == "tracepoint" {
        eprintln!("that a name is removed is not seen");
        return Ok(());
    }
    let found = after(watch, Command::new("rm").arg("-f").arg(file))?;
    same("attempts by removing", &targets(&found), &vec![SPOOLED])
}

const SPOOLED: Target = Target::File(Part::Spool);

fn targets(found: &[Tamper]) -> Vec<Target> {
    found.iter().map(|tamper| tamper.target).collect()
}

/// A program that writes a line to a file.
fn append(file: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "echo \"# edited\" >>\"$0\""]).arg(file);
    command
}

/// What only asks, or harms nobody, is no attempt.
pub(crate) fn harmless(watch: &mut Watch) -> Result<(), Failed> {
    let found = after(watch, &mut act("ask")?)?;
    same("attempts", &found, &Vec::new())
}

/// With the guard, every attempt is refused; where the backend cannot refuse, the sensor does not start.
pub(crate) fn guarded(watch: &mut Watch) -> Result<(), Failed> {
    let home = tempfile::tempdir()?;
    std::fs::create_dir(home.path().join("store"))?;
    let started = Watch::with(&watch.backend, home, &["store"], |settings| {
        settings.guard = Guard::Deny;
    });
    if watch.backend != "lsm" {
        let refusal = started.err().ok_or("it started without a guard")?;
        let said = format!("{refusal:?}");
        return same("the reason is said", &said.contains("guard"), &true);
    }
    let mut guarded = started?;
    for name in ["hang-up", "seize", "take-bpf", "kill"] {
        let mut command = act(name)?;
        let status = command.arg("refused").status()?;
        if !status.success() {
            return Err(format!("{name} was not refused").into());
        }
    }
    for name in [CONFIGURATION, SPOOL] {
        refused(&guarded.elsewhere().join(name))?;
    }
    // What the sensor itself does with its files is let through.
    std::fs::write(guarded.elsewhere().join(SPOOL), "more")?;
    guarded.until("the attempt to kill", |w| {
        w.tampers().any(|t| t.target == Target::Signal(9))
    })?;
    let let_through = guarded.tampers().find(|t| t.denied != t.times);
    same("let through", &let_through, &None)
}

/// Whatever is done to the file is refused.
fn refused(file: &Path) -> Result<(), Failed> {
    let commands = [
        "echo edited >>\"$0\"",
        "truncate -s 0 \"$0\"",
        "mv \"$0\" \"$0.away\"",
        "echo other >\"$0.new\" && mv -f \"$0.new\" \"$0\"",
        "rm -f \"$0\"",
    ];
    for line in commands {
        if Command::new("sh")
            .args(["-c", line])
            .arg(file)
            .status()?
            .success()
        {
            return Err(format!("`{line}` was not refused").into());
        }
    }
    let content = std::fs::read_to_string(file)?;
    same("what the file holds", &content.as_str(), &"# as it was\n")
}

fn act(name: &str) -> Result<Command, Failed> {
    Ok(actor::command(
        name,
        &[std::process::id().to_string().into()],
    )?)
}

/// Attempts of a program that is run to its end.
fn after(watch: &mut Watch, command: &mut Command) -> Result<Vec<Tamper>, Failed> {
    let pid = watch.run(command)?;
    let found = watch.tampers().filter(|t| t.process.pid == pid);
    Ok(found.cloned().collect())
}

fn ignore_hangup() {
    // SAFETY: no handler is installed; the signal is thrown away from now on.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
}
