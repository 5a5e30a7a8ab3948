//! Builds the release programs and installs them with units, sample configuration, user, directories and completions.
//!
//! What lies in the rooms' `pkg/` directories is placed by its kind; the programs' own commands make the completions.
//!
//! **Invariant:** with `--destdir` nothing outside it is touched. A configuration that exists is never
//! overwritten: a newer sample is put beside it as `.new`.

mod place;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use self::place::{Placed, Tree};
use crate::setup::{self, Need};
use crate::step::{Step, capture, cargo, find_program, root, say, target_dir};

/// The programs, by the crate they come from.
const PROGRAMS: [&str; 3] = ["chartwatch-sensor", "chartwatch-collector", "chartwatch"];
/// The rooms that have something to install, and the name their files get where a directory is shared.
const ROOMS: [(&str, &str); 2] = [
    ("sensor-user", "chartwatch-sensor"),
    ("collector", "chartwatch-collector"),
];

/// Arguments of `cargo xtask install`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Install below this directory instead of on this machine, for a package
    #[arg(long, value_name = "DIR")]
    destdir: Option<PathBuf>,
    /// Where programs and units go; configuration is always in /etc/chartwatch
    #[arg(long, value_name = "DIR", default_value = "/usr")]
    prefix: PathBuf,
    /// Install what the build needs without asking
    #[arg(long)]
    yes: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(
        args.prefix.is_absolute(),
        "--prefix must be an absolute path, not {}",
        args.prefix.display()
    );
    if args.destdir.is_none() && !rustix::process::geteuid().is_root() {
        bail!(
            "installing on this machine needs root; use --destdir DIR to install below a directory instead"
        );
    }
    setup::ensure(args.yes, &[Need::Compiler, Need::Bpf])?;
    let below = args.destdir.clone().unwrap_or_else(|| PathBuf::from("/"));
    let placed = into(&build()?, &below, &args.prefix)?;
    for (path, how) in &placed {
        say(format!("{how} {}", path.display()));
    }
    if args.destdir.is_none() {
        create_user_and_directories(&args.prefix)?;
    }
    say(next_steps(args.destdir.is_some(), &args.prefix));
    Ok(())
}

/// Installs the built programs (`release` is cargo's directory of them) and everything else below a directory.
pub(crate) fn into(release: &Path, below: &Path, prefix: &Path) -> Result<Vec<(PathBuf, Placed)>> {
    let mut tree = Tree::new(below);
    let own = prefix.strip_prefix("/").unwrap_or(prefix).to_path_buf();
    for program in PROGRAMS {
        tree.copy(
            &release.join(program),
            &own.join("bin").join(program),
            0o755,
        )?;
        completions(&mut tree, &release.join(program), &own, program)?;
    }
    for (room, name) in ROOMS {
        package_files(&mut tree, &root().join(room).join("pkg"), &own, name)?;
    }
    Ok(tree.into_placed())
}

/// Builds the release programs; gives the directory they are in.
pub(crate) fn build() -> Result<PathBuf> {
    let mut command = cargo();
    command.args([
        "build",
        "--locked",
        "--release",
        "--package",
        "sensor-user",
        "--package",
        "collector",
    ]);
    Step::new("building the release programs", command).run()?;
    Ok(target_dir().join("release"))
}

/// Places each file of a room's `pkg/` by its kind.
fn package_files(tree: &mut Tree, dir: &Path, own: &Path, name: &str) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("failed to read {}", dir.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        files.push(
            entry
                .with_context(|| format!("failed to read {}", dir.display()))?
                .path(),
        );
    }
    files.sort();
    for file in files {
        let text = fs::read_to_string(&file)
            .with_context(|| format!("failed to read {}", file.display()))?;
        let file_name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        match kind_of(&file_name) {
            Kind::Unit => {
                tree.write(
                    &own.join("lib/systemd/system").join(file_name),
                    &at_prefix(&text, own),
                    0o644,
                )?;
            }
            Kind::Config => {
                tree.write_config(&Path::new("etc/chartwatch").join(file_name), &text, 0o644)?;
            }
            Kind::Users => tree.write(
                &own.join(format!("lib/sysusers.d/{name}.conf")),
                &text,
                0o644,
            )?,
            Kind::Directories => tree.write(
                &own.join(format!("lib/tmpfiles.d/{name}.conf")),
                &text,
                0o644,
            )?,
            Kind::Unknown => bail!("no place is known for {}", file.display()),
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Unit,
    Config,
    Users,
    Directories,
    Unknown,
}

fn kind_of(file_name: &str) -> Kind {
    let (stem, extension) = file_name.rsplit_once('.').unwrap_or((file_name, ""));
    match extension {
        "service" | "socket" | "timer" | "slice" | "target" => Kind::Unit,
        "toml" => Kind::Config,
        "sysusers" => Kind::Users,
        "tmpfiles" => Kind::Directories,
        "conf" if stem.contains("sysusers") => Kind::Users,
        "conf" if stem.contains("tmpfiles") => Kind::Directories,
        _ => Kind::Unknown,
    }
}

/// Units name the programs in /usr/bin; elsewhere installed, they name them there.
fn at_prefix(unit: &str, own: &Path) -> String {
    unit.replace(
        "/usr/bin/chartwatch",
        &format!("/{}/bin/chartwatch", own.display()),
    )
}

fn completions(tree: &mut Tree, program: &Path, own: &Path, name: &str) -> Result<()> {
    let places = [
        ("bash", format!("share/bash-completion/completions/{name}")),
        ("zsh", format!("share/zsh/site-functions/_{name}")),
        (
            "fish",
            format!("share/fish/vendor_completions.d/{name}.fish"),
        ),
    ];
    for (shell, place) in places {
        let text = capture(Command::new(program).args(["completions", shell]))?;
        tree.write(&own.join(place), &text, 0o644)?;
    }
    Ok(())
}

/// Lets systemd make the user and the directories that the installed files describe.
fn create_user_and_directories(prefix: &Path) -> Result<()> {
    for (program, place, option) in [
        ("systemd-sysusers", "lib/sysusers.d", None),
        ("systemd-tmpfiles", "lib/tmpfiles.d", Some("--create")),
    ] {
        let files = ROOMS
            .iter()
            .map(|(_, name)| prefix.join(place).join(format!("{name}.conf")));
        let files: Vec<PathBuf> = files.filter(|file| file.exists()).collect();
        if files.is_empty() {
            continue;
        }
        if find_program(program).is_none() {
            say(format!(
                "{program} is not here; do by hand what {place} below {} describes",
                prefix.display()
            ));
            continue;
        }
        let mut command = Command::new(program);
        command.args(option).args(files);
        Step::new(program, command).run()?;
    }
    Ok(())
}

fn next_steps(staged: bool, prefix: &Path) -> String {
    let sensor = prefix.join("bin/chartwatch-sensor").display().to_string();
    let collector = prefix
        .join("bin/chartwatch-collector")
        .display()
        .to_string();
    let mut lines = vec![
        if staged {
            "Once these files are on a machine:"
        } else {
            "Next steps:"
        }
        .to_owned(),
    ];
    if staged {
        lines.push("  systemd-sysusers && systemd-tmpfiles --create".into());
    }
    lines.extend([
        "  edit /etc/chartwatch/sensor.toml (stores) and /etc/chartwatch/collector.toml (sinks, approved ways)".into(),
        format!("  {collector} check --config /etc/chartwatch/collector.toml"),
        "  systemctl daemon-reload".into(),
        "  systemctl enable --now chartwatch-collector.service".into(),
        format!("  (umask 077; sudo -u chartwatch {collector} token --sensor \"$(uname -n)\" > /root/token)"),
        format!("  {sensor} enroll --token-file /root/token && rm /root/token"),
        format!("  {sensor} check --config /etc/chartwatch/sensor.toml"),
        "  systemctl enable --now chartwatch-sensor.service".into(),
    ]);
    lines.join("\n")
}

/// Proves on an installed tree what this file promises; leaves the tree with a changed configuration.
pub(crate) fn check(release: &Path, below: &Path) -> Result<()> {
    let prefix = Path::new("/usr");
    for program in PROGRAMS {
        let path = below.join("usr/bin").join(program);
        capture(Command::new(&path).arg("--version"))?;
    }
    let config = below.join("etc/chartwatch/sensor.toml");
    into(release, below, prefix)?;
    let own_text = "# the administrator's own\n";
    fs::write(&config, own_text)
        .with_context(|| format!("failed to write {}", config.display()))?;
    into(release, below, prefix)?;
    let kept = fs::read_to_string(&config)
        .with_context(|| format!("failed to read {}", config.display()))?;
    ensure!(
        kept == own_text,
        "a second installation overwrote {}",
        config.display()
    );
    let beside = below.join("etc/chartwatch/sensor.toml.new");
    ensure!(
        beside.exists(),
        "a second installation put no new sample at {}",
        beside.display()
    );
    Ok(())
}

/// Copies of the installed units that name the programs below `below`, so that systemd finds them when it verifies.
pub(crate) fn units_for_verification(below: &Path) -> Result<Vec<PathBuf>> {
    let from = below.join("usr/lib/systemd/system");
    let to = below.join("verify");
    fs::create_dir_all(&to).with_context(|| format!("failed to create {}", to.display()))?;
    let entries =
        fs::read_dir(&from).with_context(|| format!("failed to read {}", from.display()))?;
    let mut units = Vec::new();
    for entry in entries {
        let unit = entry
            .with_context(|| format!("failed to read {}", from.display()))?
            .path();
        let text = fs::read_to_string(&unit)
            .with_context(|| format!("failed to read {}", unit.display()))?;
        let copy = to.join(unit.file_name().unwrap_or_default());
        let text = text.replace(
            "/usr/bin/chartwatch",
            &format!("{}/usr/bin/chartwatch", below.display()),
        );
        fs::write(&copy, text).with_context(|| format!("failed to write {}", copy.display()))?;
        units.push(copy);
    }
    units.sort();
    Ok(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_placed_by_their_kind() {
        let cases = [
            ("chartwatch-sensor.service", Kind::Unit),
            ("sensor.toml", Kind::Config),
            ("sysusers.conf", Kind::Users),
            ("chartwatch.sysusers", Kind::Users),
            ("tmpfiles.conf", Kind::Directories),
            ("readme.txt", Kind::Unknown),
            ("other.conf", Kind::Unknown),
        ];
        for (name, kind) in cases {
            assert_eq!(kind_of(name), kind, "{name}");
        }
    }

    #[test]
    fn units_follow_the_prefix() {
        let unit = "ExecStart=/usr/bin/chartwatch-sensor run\n";
        assert_eq!(at_prefix(unit, Path::new("usr")), unit);
        assert_eq!(
            at_prefix(unit, Path::new("opt/cw")),
            "ExecStart=/opt/cw/bin/chartwatch-sensor run\n"
        );
    }

    #[test]
    fn a_file_of_no_known_kind_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("odd.txt"), "x").unwrap();
        let mut tree = Tree::new(dir.path());
        let error = package_files(&mut tree, dir.path(), Path::new("usr"), "n").unwrap_err();
        assert!(error.to_string().contains("odd.txt"), "{error}");
    }
}
