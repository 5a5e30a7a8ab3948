//! The canary: a record of the sensor's own in a private store, by which a backend shows that it really sees.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sensor_ebpf::layout::access::CANARY_STORE;

use super::{AttemptError, Kernel, roots};

const CONTENT: &[u8] = b"canary\n";

/// Opens and reads the canary, and fails when that does not come up exactly.
pub(super) fn sing(kernel: &mut Kernel) -> Result<(), AttemptError> {
    let blind =
        |what: &'static str| move |e: std::io::Error| AttemptError::Blind(format!("{what}: {e}"));
    let cage = Cage::new().map_err(blind("its store cannot be made"))?;
    roots::tell_one(kernel, &cage.0, CANARY_STORE).map_err(AttemptError::Blind)?;
    read(&cage.record()).map_err(blind("it cannot be read"))?;
    let sums = kernel.take_sums()?;
    let own = std::process::id();
    let seen: Vec<_> = sums
        .iter()
        .filter(|(k, v)| v.store == CANARY_STORE && k.process.pid == own)
        .map(|(_, v)| v)
        .collect();
    match seen.as_slice() {
        [one] if one.opens == 1 && one.read == CONTENT.len() as u64 => Ok(()),
        [] => Err(AttemptError::Blind(
            "the programs are attached and do not fire".to_owned(),
        )),
        other => Err(AttemptError::Blind(format!(
            "{} bytes were read once, but {other:?} came up",
            CONTENT.len()
        ))),
    }
}

fn read(record: &Path) -> std::io::Result<()> {
    let mut buffer = [0; 64];
    let _bytes = fs::File::open(record)?.read(&mut buffer)?;
    Ok(())
}

/// The private store; removed when dropped.
struct Cage(PathBuf);

impl Cage {
    fn new() -> std::io::Result<Self> {
        let base =
            std::env::var_os("RUNTIME_DIRECTORY").map_or_else(std::env::temp_dir, PathBuf::from);
        let cage = Self(base.join(format!("chartwatch-canary-{}", std::process::id())));
        fs::create_dir_all(&cage.0)?;
        fs::write(cage.record(), CONTENT)?;
        Ok(cage)
    }

    fn record(&self) -> PathBuf {
        self.0.join("record")
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "the canary's store is left behind");
        }
    }
}
