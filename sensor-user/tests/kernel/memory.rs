//! Memory of a process that holds records: whoever reads it holds them, too.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use libtest_mimic::Failed;
use sensor_user::event::{EdgeKind, End, StoreId};

use crate::actor;
use crate::watch::{Watch, same};

/// Bytes of the record.
const LEN: usize = 5_000;

/// `dd` copies a record out of the memory of a process that has read it. The tracepoint backend sees the opening only.
pub(crate) fn through_proc(watch: &mut Watch) -> Result<(), Failed> {
    let record = watch.store().join("memory.dcm");
    std::fs::write(&record, vec![b'm'; LEN])?;
    let mut holder = actor::command("keep", &[record.into()])?.spawn()?;
    let mut line = String::new();
    let out = holder.stdout.take().ok_or("the holder has no output")?;
    BufReader::new(out).read_line(&mut line)?;
    let from = holder.id();
    watch.reach("the holder's access", |w| w.sum(from).records == 1)?;
    let reader = Command::new("dd")
        .arg(format!("if=/proc/{from}/mem"))
        .arg(format!("skip={}", line.trim()))
        .args(["of=/dev/null", "iflag=skip_bytes,fullblock", "count=1"])
        .arg(format!("bs={LEN}"))
        .stderr(Stdio::null())
        .spawn()?;
    let to = watch.finish(reader)?;
    drop(holder.stdin.take());
    watch.finish(holder)?;
    let edges: Vec<_> = watch.edges_to(to).collect();
    let [edge] = edges.as_slice() else {
        return Err(format!("one edge was to come up: {edges:?}").into());
    };
    let bytes = if watch.backend == "tracepoint" {
        0
    } else {
        LEN as u64
    };
    let End::Process(holder) = edge.from else {
        return Err("it came from no process".into());
    };
    same("from", &holder.pid, &from)?;
    same(
        "what",
        &(edge.kind, edge.bytes),
        &(EdgeKind::ProcMem, bytes),
    )?;
    same("stores", &edge.stores, &vec![StoreId(1)])
}

/// Memory of a process that holds nothing is nobody's business.
pub(crate) fn without_records(watch: &mut Watch) -> Result<(), Failed> {
    let mut sleeper = Command::new("sleep").arg("60").spawn()?;
    let reader = Command::new("dd")
        .arg(format!("if=/proc/{}/mem", sleeper.id()))
        .args(["of=/dev/null", "count=0"])
        .stderr(Stdio::null())
        .spawn()?;
    let to = watch.finish(reader)?;
    sleeper.kill()?;
    sleeper.wait()?;
    watch.rest()?;
    same("edges", &watch.edges_to(to).count(), &0)
}
