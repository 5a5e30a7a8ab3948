//! Processes: how they begin, what they become, how they end.

use std::process::Command;

use libtest_mimic::Failed;
use sensor_user::event::{Exec, What};

use crate::watch::{Watch, same};

fn exec_of(watch: &Watch, pid: u32) -> Result<&Exec, Failed> {
    let found = watch
        .events
        .iter()
        .rev()
        .find_map(|event| match &event.what {
            What::Exec(exec) if exec.process.pid == pid => Some(exec),
            _ => None,
        });
    found.ok_or_else(|| "no exec came up".into())
}

/// A program's name, arguments, user and parent are as they were given.
pub(crate) fn exec(watch: &mut Watch) -> Result<(), Failed> {
    let pid = watch.run(Command::new("/bin/sh").args([
        "-c",
        ":",
        "one",
        "",
        "two words",
        "drei\u{df}",
    ]))?;
    let exec = exec_of(watch, pid)?;
    same(
        "file name",
        &exec.untrusted_filename.as_slice(),
        &b"/bin/sh".as_slice(),
    )?;
    let expected = "/bin/sh\0-c\0:\0one\0\0two words\0drei\u{df}\0".as_bytes();
    same("arguments", &exec.untrusted_arguments.as_slice(), &expected)?;
    same("truncated", &exec.arguments_truncated, &false)?;
    same("user", &exec.uid, &0)?;
    same("parent", &exec.parent.pid, &std::process::id())
}

/// More arguments than are kept: the first ones are there, and it is said.
pub(crate) fn long_arguments(watch: &mut Watch) -> Result<(), Failed> {
    for (len, kept, truncated) in [(490, 504, false), (600, 614, false), (5000, 4096, true)] {
        let argument = "a".repeat(len);
        let pid = watch.run(Command::new("/bin/sh").args(["-c", ":", &argument]))?;
        let exec = exec_of(watch, pid)?;
        same("bytes of arguments", &exec.untrusted_arguments.len(), &kept)?;
        same("truncated", &exec.arguments_truncated, &truncated)?;
        let content = &exec.untrusted_arguments[13..kept - 1];
        same("content", &content.iter().all(|b| *b == b'a'), &true)?;
    }
    Ok(())
}

/// A child of a child: fork comes before exec, exec before exit, and the parents are right.
pub(crate) fn fork_and_exit(watch: &mut Watch) -> Result<(), Failed> {
    let shell = watch.run(Command::new("/bin/sh").args(["-c", "/bin/cat /dev/null; exit 0"]))?;
    let child = watch.events.iter().find_map(|event| match &event.what {
        What::Fork(fork) if fork.parent.pid == shell => Some(fork.child),
        _ => None,
    });
    let child = child.ok_or("the shell's child did not come up")?;
    let of_child: Vec<&str> = watch
        .events
        .iter()
        .filter_map(|event| match &event.what {
            What::Fork(fork) if fork.child == child => Some("fork"),
            What::Exec(exec) if exec.process == child => Some("exec"),
            What::Exit(exit) if exit.process == child => Some("exit"),
            _ => None,
        })
        .collect();
    same(
        "life of the child",
        &of_child.as_slice(),
        &["fork", "exec", "exit"].as_slice(),
    )?;
    same("threads are no processes", &watch.exited(shell), &true)
}
