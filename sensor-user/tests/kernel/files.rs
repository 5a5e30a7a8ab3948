//! Files: how they are read, mapped, copied and written, how many and how much, exactly.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use libtest_mimic::Failed;
use sensor_user::event::What;

use crate::actor;
use crate::watch::{Sum, Watch, same};

/// Files in the big directory.
const FILES: usize = 2000;

/// All files of the big directory read once: as many opens, every byte, nothing else.
fn read_all(total: u64) -> Sum {
    Sum {
        records: FILES,
        opens: FILES as u64,
        read: total,
        ..Sum::default()
    }
}

/// `cat` of every file, by many arguments.
pub(crate) fn cat(watch: &mut Watch) -> Result<(), Failed> {
    let (big, total) = big(watch)?;
    let pid = watch.run(
        Command::new("cat")
            .args(all_files(&big)?)
            .stdout(Stdio::null()),
    )?;
    watch.until("every file", |w| w.sum(pid).records == FILES)?;
    same("cat", &watch.sum(pid), &read_all(total))
}

/// `tar` of the directory, to a file elsewhere.
pub(crate) fn tar(watch: &mut Watch) -> Result<(), Failed> {
    let (big, total) = big(watch)?;
    let archive = watch.elsewhere().join("big.tar");
    let pid = watch.run(
        Command::new("tar")
            .arg("cf")
            .arg(&archive)
            .arg("-C")
            .arg(&big)
            .arg("."),
    )?;
    fs::remove_file(archive)?;
    watch.until("every file", |w| w.sum(pid).records == FILES)?;
    same("tar", &watch.sum(pid), &read_all(total))
}

/// `cp -r` of the directory: `copy_file_range` or whatever the file system leads it to.
pub(crate) fn cp(watch: &mut Watch) -> Result<(), Failed> {
    let (big, total) = big(watch)?;
    let copy = watch.elsewhere().join("copy");
    let pid = watch.run(Command::new("cp").arg("-r").arg(&big).arg(&copy))?;
    fs::remove_dir_all(copy)?;
    watch.until("every file", |w| w.sum(pid).records == FILES)?;
    same("cp", &watch.sum(pid), &read_all(total))
}

/// Every file mapped and touched: no byte is read by a call, all of them are mapped.
pub(crate) fn mmap(watch: &mut Watch) -> Result<(), Failed> {
    let (big, total) = big(watch)?;
    let pid = watch.run(&mut actor::command("mmap", &[big.into()])?)?;
    watch.until("every file", |w| w.sum(pid).records == FILES)?;
    let expected = Sum {
        records: FILES,
        opens: FILES as u64,
        mapped: total,
        ..Sum::default()
    };
    same("mmap", &watch.sum(pid), &expected)
}

/// readv, pread and preadv.
pub(crate) fn vectors(watch: &mut Watch) -> Result<(), Failed> {
    let record = make(watch, "vectors.dcm", 1000)?;
    let pid = watch.run(&mut actor::command("vectors", &[record.into()])?)?;
    watch.until("the record", |w| w.sum(pid).records == 1)?;
    same(
        "vectors",
        &watch.sum(pid),
        &Sum {
            records: 1,
            opens: 1,
            read: 200,
            ..Sum::default()
        },
    )
}

/// sendfile to a TCP socket: what leaves was read, and the flow has it too.
pub(crate) fn sendfile(watch: &mut Watch) -> Result<(), Failed> {
    let record = make(watch, "sendfile.dcm", 300_001)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let to = listener.local_addr()?;
    let receiver = std::thread::spawn(move || crate::flows::receive(&listener));
    let pid = watch.run(&mut actor::command(
        "sendfile",
        &[record.into(), to.to_string().into()],
    )?)?;
    let received = receiver.join().map_err(|_| "the receiver panicked")??;
    watch.until("the flow's end", |w| w.flows(pid).iter().any(|f| f.closed))?;
    same(
        "sendfile",
        &watch.sum(pid),
        &Sum {
            records: 1,
            opens: 1,
            read: 300_001,
            ..Sum::default()
        },
    )?;
    same("flow", &watch.flows(pid)[0].bytes_out, &received)
}

/// A record made by a program: opened, written, not read.
pub(crate) fn written(watch: &mut Watch) -> Result<(), Failed> {
    let record = watch.store().join("new.hl7");
    let pid = watch.run(
        Command::new("dd")
            .args(["if=/dev/zero", "bs=1000", "count=7"])
            .arg(of(&record))
            .stderr(Stdio::null()),
    )?;
    watch.until("the record", |w| w.sum(pid).records == 1)?;
    same(
        "dd",
        &watch.sum(pid),
        &Sum {
            records: 1,
            opens: 1,
            written: 7000,
            ..Sum::default()
        },
    )
}

/// Threads that read a record byte by byte, all at once: every byte is counted, or told as left out by the kernel, which a
/// kernel that preempts everything does.
pub(crate) fn by_threads(watch: &mut Watch) -> Result<(), Failed> {
    let record = make(watch, "threads.dcm", 20_000)?;
    let pid = watch.run(&mut actor::command("threads", &[record.into()])?)?;
    let expected = 4 * 20_000;
    let accounted = |w: &Watch| w.sum(pid).read + w.skipped() >= expected;
    watch.until("every byte, or its gap", accounted)?;
    same(
        "more than was read",
        &(watch.sum(pid).read > expected),
        &false,
    )
}

/// What happens outside of stores does not come up.
pub(crate) fn outside(watch: &mut Watch) -> Result<(), Failed> {
    let file = watch.elsewhere().join("shopping-list");
    fs::write(&file, "milk")?;
    let pid = watch.run(Command::new("cat").arg(&file).stdout(Stdio::null()))?;
    watch.rest()?;
    same("accesses", &watch.sum(pid), &Sum::default())?;
    same(
        "names",
        &watch
            .events
            .iter()
            .any(|e| matches!(&e.what, What::Name(_))),
        &false,
    )
}

/// A file that is moved into the store is a record from then on, and stays one when it is moved out (the tracepoint backend
/// does not see what is renamed); the same with a directory that holds it.
pub(crate) fn renamed(watch: &mut Watch) -> Result<(), Failed> {
    let (inside, outside) = (watch.store(), watch.elsewhere());
    let one = Sum {
        records: 1,
        opens: 1,
        read: 10,
        ..Sum::default()
    };
    let moved_out = if watch.backend == "tracepoint" {
        Sum::default()
    } else {
        one
    };
    for directory in [false, true] {
        let name = if directory {
            "moved-directory"
        } else {
            "moved-file"
        };
        let file = |root: &Path| {
            if directory {
                root.join(name).join("file")
            } else {
                root.join(name)
            }
        };
        if directory {
            fs::create_dir(outside.join(name))?;
        }
        fs::write(file(&outside), "0123456789")?;
        for (place, expected) in [
            (&outside, Sum::default()),
            (&inside, one),
            (&outside, moved_out),
        ] {
            if place == &inside || file(&inside).exists() {
                let from = if place == &inside { &outside } else { &inside };
                watch.run(
                    Command::new("mv")
                        .arg(from.join(name))
                        .arg(place.join(name)),
                )?;
            }
            let pid = watch.run(Command::new("cat").arg(file(place)).stdout(Stdio::null()))?;
            watch.rest()?;
            same(
                &format!("{name} in {}", place.display()),
                &watch.sum(pid),
                &expected,
            )?;
        }
    }
    Ok(())
}

/// chmod, truncation by opening and by descriptor, a further name and the removal of both: each counts, by whoever did it.
/// The tracepoint backend sees what is done by descriptor.
pub(crate) fn changed(watch: &mut Watch) -> Result<(), Failed> {
    let record = make(watch, "changed.dcm", 100)?;
    let link = watch.elsewhere().join("other-name");
    let script =
        "chmod 600 \"$1\"; : > \"$1\"; truncate -s 9 \"$1\"; ln \"$1\" \"$2\"; rm \"$1\" \"$2\"";
    let arguments = ["-c", script, "sh"];
    let shell = watch.run(Command::new("sh").args(arguments).arg(&record).arg(&link))?;
    watch.rest()?;
    let (mut changes, mut deletions) = (0, 0);
    for event in &watch.events {
        if let What::Access(access) = &event.what {
            changes += access.changes;
            deletions += access.deletions;
        }
    }
    let expected = if watch.backend == "tracepoint" {
        (1, 0)
    } else {
        (4, 2)
    };
    same("changes and deletions", &(changes, deletions), &expected)?;
    same("opened by the shell", &watch.sum(shell).opens, &1)
}

/// A second name outside of the store, made while the sensor runs, leads to the same record.
pub(crate) fn hard_linked(watch: &mut Watch) -> Result<(), Failed> {
    let record = make(watch, "linked.dcm", 100)?;
    let link = watch.elsewhere().join("innocent-name");
    watch.run(Command::new("ln").arg(&record).arg(&link))?;
    let pid = watch.run(Command::new("cat").arg(&link).stdout(Stdio::null()))?;
    watch.rest()?;
    fs::remove_file(link)?;
    same("records", &watch.sum(pid).records, &1)
}

/// A record's name is its path below the store, however it was reached; a long one keeps its end.
pub(crate) fn named(watch: &mut Watch) -> Result<(), Failed> {
    let deep = format!("{}/scan.dcm", ["directory-with-a-long-name"; 12].join("/"));
    for path in ["plain.dcm", "Doe^Jane/1970 01 01/\u{e9}tude.dcm", &deep] {
        let record = make(watch, path, 5)?;
        let link = watch.elsewhere().join("link");
        std::os::unix::fs::symlink(&record, &link)?;
        let pid = watch.run(Command::new("cat").arg(&link).stdout(Stdio::null()))?;
        fs::remove_file(link)?;
        watch.until("the record", |w| w.sum(pid).records == 1)?;
        let record = watch.accesses(pid).next().map(|a| a.record);
        let name = watch.events.iter().find_map(|event| match &event.what {
            What::Name(name) if Some(name.record) == record => Some(name.untrusted_path.clone()),
            _ => None,
        });
        same("name", &name.as_deref(), &Some(path.as_bytes()))?;
    }
    Ok(())
}

/// Makes a record of so many bytes.
pub(crate) fn make(watch: &Watch, path: &str, len: usize) -> Result<std::path::PathBuf, Failed> {
    let record = watch.store().join(path);
    if let Some(directory) = record.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(&record, vec![b'r'; len])?;
    Ok(record)
}

fn of(path: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from("of=");
    argument.push(path);
    argument
}

fn all_files(directory: &Path) -> Result<Vec<std::path::PathBuf>, Failed> {
    let mut files = Vec::new();
    for inner in fs::read_dir(directory)? {
        for file in fs::read_dir(inner?.path())? {
            files.push(file?.path());
        }
    }
    Ok(files)
}

/// Reads everything a stream has.
pub(crate) fn drain(mut stream: impl std::io::Read) -> std::io::Result<u64> {
    std::io::copy(&mut stream, &mut std::io::sink())
}

/// The directory with [`FILES`] files of 1 to 12,288 bytes in twenty directories, and the sum of their bytes; made when it
/// is not there.
fn big(watch: &Watch) -> Result<(std::path::PathBuf, u64), Failed> {
    let directory = watch.store().join("big");
    let fresh = !directory.exists();
    let mut total = 0;
    for n in 0..FILES {
        let inner = directory.join(format!("patient-{:02}", n % 20));
        // A fixed sequence, so that every run moves the same bytes. None is empty: tar does not open those.
        let len = n * 7919 % 12_288 + 1;
        total += len as u64;
        if fresh {
            fs::create_dir_all(&inner)?;
            fs::write(inner.join(format!("image-{n:04}.dcm")), vec![n as u8; len])?;
        }
    }
    Ok((directory, total))
}
