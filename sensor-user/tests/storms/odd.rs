//! A thousand stores, and odd ones among them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::Failed;
use sensor_user::event::{GapReason, StoreId, What};

use crate::watch::{Watch, same};

/// Stores there are.
const STORES: usize = sensor_user::config::STORES_MAX;
/// The store on a file system of its own, and its number.
const LEAVING: (&str, u32) = ("leaving", STORES as u32);
/// Bytes of the path of a store that lies deep, which is the last but one.
const LONG: usize = 4_000;

/// Makes the stores; gives their paths in a home.
pub(crate) fn make(home: &Path) -> Result<Vec<String>, Failed> {
    let stores = stores(home);
    for store in &stores {
        fs::create_dir_all(home.join(store))?;
    }
    mount(&home.join(LEAVING.0))?;
    Ok(stores)
}

fn stores(home: &Path) -> Vec<String> {
    let mut stores: Vec<String> = (1..=STORES - 2).map(|n| format!("store-{n}")).collect();
    stores.push(long(home));
    stores.push(LEAVING.0.to_owned());
    stores
}

/// A path that has so many bytes together with its home.
fn long(home: &Path) -> String {
    let mut path = "deep".to_owned();
    let whole = |path: &str| home.as_os_str().len() + 1 + path.len();
    while whole(&path) < LONG {
        let left = LONG - whole(&path);
        path.push('/');
        path.push_str(&"x".repeat((left - 1).clamp(1, 250)));
    }
    path
}

fn mount(at: &Path) -> Result<(), Failed> {
    run(Command::new("mount")
        .args(["-t", "tmpfs", "chartwatch-test"])
        .arg(at))
}

/// Takes away what is mounted, so that the home can be removed.
pub(crate) fn clear(home: &Path) -> Result<(), Failed> {
    unmount(&home.join(LEAVING.0))
}

/// Takes the file system away, whoever uses it.
fn unmount(at: &Path) -> Result<(), Failed> {
    run(Command::new("umount").arg("-l").arg(at))
}

fn run(command: &mut Command) -> Result<(), Failed> {
    match command.status()? {
        status if status.success() => Ok(()),
        status => Err(format!("{command:?} ended with {status}").into()),
    }
}

/// One process reads a record of every store, and each comes up as that of its own store.
pub(crate) fn thousand(watch: &mut Watch) -> Result<(), Failed> {
    let home = watch.elsewhere();
    let record = |store: String| home.join(store).join("r");
    let records: Vec<PathBuf> = stores(&home).into_iter().map(record).collect();
    for record in &records {
        fs::write(record, "record")?;
    }
    let pid = read(watch, &records)?;
    watch.until("every store", |w| w.sum(pid).records == STORES)?;
    let mut seen: Vec<u32> = watch.accesses(pid).map(|a| a.store.0).collect();
    seen.sort_unstable();
    seen.dedup();
    same("stores", &seen, &(1..=STORES as u32).collect())?;
    same("bytes", &watch.sum(pid).read, &(6 * STORES as u64))
}

/// Names that are no text come up as they are.
pub(crate) fn bytes(watch: &mut Watch) -> Result<(), Failed> {
    let name = b"M\xfcller\x01/\xff\xfe\n.dcm";
    let record = watch
        .elsewhere()
        .join("store-1")
        .join(OsStr::from_bytes(name));
    fs::create_dir_all(record.parent().ok_or("no directory")?)?;
    fs::write(&record, "record")?;
    let program = watch.elsewhere().join(OsStr::from_bytes(b"c\xe4t"));
    fs::copy("/bin/cat", &program)?;
    let pid = watch.run(Command::new(&program).arg(&record).stdout(Stdio::null()))?;
    watch.until("the record", |w| w.sum(pid).records == 1)?;
    let known = watch.accesses(pid).next().ok_or("no access")?.record;
    let named = watch.events.iter().any(|event| {
        matches!(&event.what, What::Name(n) if n.record == known && n.untrusted_path == name)
    });
    same("the name's own bytes came up", &named, &true)?;
    let ran = watch.events.iter().any(|event| {
        matches!(&event.what, What::Exec(exec) if exec.process.pid == pid
            && exec.untrusted_filename == program.as_os_str().as_bytes())
    });
    same("the program's own bytes came up", &ran, &true)
}

/// A store's file system goes away while it is watched and another comes: the rest is watched all the while, the gap is
/// told, and the new one is watched.
pub(crate) fn leaving(watch: &mut Watch) -> Result<(), Failed> {
    let place = watch.elsewhere().join(LEAVING.0);
    let other = watch.elsewhere().join("store-2").join("r");
    let record = place.join("r");
    fs::write(&other, "record")?;
    fs::write(&record, "record")?;
    let pid = read(watch, &[record.clone(), other.clone()])?;
    watch.until("both records", |w| w.sum(pid).records == 2)?;
    unmount(&place)?;
    watch.until("that the store has changed", changed)?;
    let pid = read(watch, &[other])?;
    watch.until("the other store's record", |w| w.sum(pid).records == 1)?;
    watch.forget();
    mount(&place)?;
    watch.until("that the store is back", changed)?;
    fs::write(&record, "a new record")?;
    let pid = read(watch, &[record])?;
    watch.until("the new record", |w| w.sum(pid).records == 1)?;
    let store = watch.accesses(pid).next().map(|access| access.store);
    same("its store", &store, &Some(StoreId(LEAVING.1)))
}

/// The gap that a change of mounts leaves.
fn changed(watch: &Watch) -> bool {
    watch.events.iter().any(|event| {
        matches!(&event.what, What::Gap(gap)
            if gap.reason == GapReason::Blind && gap.detail.contains(LEAVING.0))
    })
}

fn read(watch: &mut Watch, records: &[PathBuf]) -> Result<u32, Failed> {
    watch.run(Command::new("cat").args(records).stdout(Stdio::null()))
}
