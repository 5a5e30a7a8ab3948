//! Makes a recording of an event log, and a log of a recording, for the corpus that is replayed as a test.
//!
//! A recording is the log's database, packed. What it holds of the machine beside the scenario is taken out: the program that
//! played it, and whatever that one was started by, keep their numbers and users and lose their names and arguments; host, boots,
//! units and containers get other names; the place of the checkout is cut out of all paths. Tokens of records, which cannot be packed, become numbers.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use proto::limits::PAYLOAD_BYTES_MAX;
use proto::prost::Message as _;
use proto::sensor::v1::edge_end::End;
use proto::sensor::v1::event::Body;
use proto::sensor::v1::{Edge, EventBlock, Process};
use rusqlite::{Connection, params};

/// Compression that takes a moment and is done once.
const LEVEL: i32 = 19;
/// Largest log that is unpacked, bytes.
const LOG_MAX: u64 = 256 << 20;
/// Numbers of processes may come again, so that a line of parents may turn in a circle.
const ABOVE_MAX: usize = 64;
/// What stands in the place of the host's name.
const HOST: &str = "host";
/// What stands in the place of the program that played it.
const HARNESS: &str = "/usr/bin/harness";

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Packs the log of a data directory.
    Pack {
        data: PathBuf,
        recording: PathBuf,
        /// Process that played the scenario.
        #[arg(long)]
        harness: u32,
        /// Text that is cut out of paths.
        #[arg(long)]
        cut: String,
    },
    /// Makes a data directory of a recording.
    Unpack { recording: PathBuf, data: PathBuf },
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Pack {
            data,
            recording,
            harness,
            cut,
        } => pack(&data, &recording, &Strip { harness, cut }),
        Command::Unpack { recording, data } => unpack(&recording, &data),
    }
}

fn pack(data: &Path, recording: &Path, strip: &Strip) -> Result<()> {
    let place = tempfile::tempdir().context("failed to make a temporary directory")?;
    let [copy, small] = ["copy.db", "small.db"].map(|name| place.path().join(name));
    let vacuum = |from: &Connection, into: &Path| {
        from.execute("VACUUM INTO ?1", [into.to_string_lossy()])
            .context("failed to copy the log")
    };
    vacuum(&Connection::open(data.join("log.db"))?, &copy)?;
    let mut log = Connection::open(&copy)?;
    strip.log(&mut log)?;
    vacuum(&log, &small)?;
    let bytes = fs::read(&small).context("failed to read the log")?;
    let packed = zstd::bulk::compress(&bytes, LEVEL).context("failed to pack the log")?;
    fs::write(recording, packed).with_context(|| format!("failed to write {}", recording.display()))
}

fn unpack(recording: &Path, data: &Path) -> Result<()> {
    let file =
        File::open(recording).with_context(|| format!("failed to read {}", recording.display()))?;
    let unpacked = zstd::Decoder::new(file).context("failed to unpack")?;
    let mut bytes = std::io::Read::take(unpacked, LOG_MAX);
    let mut log = File::create_new(data.join("log.db")).context("failed to make a log")?;
    std::io::copy(&mut bytes, &mut log).context("failed to unpack")?;
    Ok(())
}

/// What is taken out.
struct Strip {
    harness: u32,
    cut: String,
}

/// Numbers in the place of names.
#[derive(Default)]
struct Names(HashMap<String, usize>);

impl Names {
    fn rename(&mut self, name: &mut String, kind: &str) {
        if !name.is_empty() {
            let next = self.0.len();
            let number = self.0.entry(std::mem::take(name)).or_insert(next);
            *name = format!("{kind}-{number}");
        }
    }
}

impl Strip {
    fn log(&self, log: &mut Connection) -> Result<()> {
        let mut blocks = read(log)?;
        let above = self.above(blocks.iter().map(|(_, block)| block));
        let (mut names, mut boots) = (Names::default(), Names::default());
        let transaction = log.transaction()?;
        for (pos, block) in &mut blocks {
            HOST.clone_into(&mut block.host);
            boots.rename(&mut block.boot_id, "boot");
            let bodies = block
                .events
                .iter_mut()
                .filter_map(|event| event.body.as_mut());
            bodies.for_each(|body| self.body(body, &above, &mut names));
            transaction.execute(
                "UPDATE batch SET payload = ?2, encoding = 1, content = NULL WHERE pos = ?1",
                params![*pos, block.encode_to_vec()],
            )?;
        }
        transaction.commit().context("failed to write the log")
    }

    /// The program that played it and all above it.
    fn above<'a>(&self, blocks: impl Iterator<Item = &'a EventBlock>) -> HashSet<u32> {
        let bodies = blocks.flat_map(|block| block.events.iter().filter_map(|e| e.body.as_ref()));
        let parents: HashMap<u32, u32> = bodies
            .filter_map(|body| match body {
                Body::Process(process) => Some((process.id?.pid, process.parent?.pid)),
                _ => None,
            })
            .collect();
        let up = |pid: &u32| parents.get(pid).copied();
        std::iter::successors(Some(self.harness), up)
            .take(ABOVE_MAX)
            .collect()
    }

    fn body(&self, body: &mut Body, above: &HashSet<u32>, names: &mut Names) {
        match body {
            Body::Access(access) => names.rename(&mut access.name, "record"),
            Body::Process(process) => self.process(process, above, names),
            Body::Edge(edge) => self.edge(edge),
            _ => {}
        }
    }

    fn process(&self, process: &mut Process, above: &HashSet<u32>, names: &mut Names) {
        if process.id.is_some_and(|id| above.contains(&id.pid)) {
            HARNESS.clone_into(&mut process.executable);
            process.arguments = vec![HARNESS.to_owned()];
        }
        names.rename(&mut process.unit, "unit");
        names.rename(&mut process.container, "container");
        self.text(&mut process.executable);
        process
            .arguments
            .iter_mut()
            .for_each(|text| self.text(text));
    }

    fn edge(&self, edge: &mut Edge) {
        for end in [&mut edge.from, &mut edge.to].into_iter().flatten() {
            if let Some(End::Carrier(carrier)) = &mut end.end {
                self.text(&mut carrier.path);
            }
        }
    }

    fn text(&self, text: &mut String) {
        *text = text.replace(&self.cut, "");
    }
}

fn read(log: &Connection) -> Result<Vec<(i64, EventBlock)>> {
    let mut statement = log.prepare("SELECT pos, payload, encoding FROM batch ORDER BY pos")?;
    let rows = statement.query_map([], |row| {
        Ok((
            row.get(0)?,
            row.get::<_, Vec<u8>>(1)?,
            row.get::<_, i64>(2)?,
        ))
    })?;
    rows.map(|row| {
        let (pos, payload, encoding) = row?;
        let plain = match encoding {
            1 => payload,
            _ => zstd::bulk::decompress(&payload, PAYLOAD_BYTES_MAX)?,
        };
        let block = EventBlock::decode(plain.as_slice())
            .with_context(|| format!("batch {pos} cannot be read"))?;
        Ok((pos, block))
    })
    .collect()
}
