//! The canary: a record of the sensor's own in a private store and a conversation of the sensor with itself, by which a
//! backend shows that it really sees.

use std::fs;
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use sensor_ebpf::layout::access::CANARY_STORE;

use super::{AttemptError, Kernel, roots};
use crate::event::Flow;

const CONTENT: &[u8] = b"canary\n";

/// The canary, whose store and port the programs know. Its store is removed when it is dropped.
#[derive(Debug)]
pub struct Canary {
    cage: Cage,
    listener: TcpListener,
    port: u16,
}

impl Canary {
    /// Makes the private store and the port, and tells them to the programs.
    pub(super) fn new(kernel: &mut Kernel) -> Result<Self, AttemptError> {
        let blind =
            |what: &'static str| move |e: io::Error| AttemptError::Blind(format!("{what}: {e}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .map_err(blind("it has no loopback port"))?;
        let port = listener
            .local_addr()
            .map_err(blind("it has no loopback port"))?
            .port();
        kernel.set_canary_port(port)?;
        let cage = Cage::new(port).map_err(blind("its store cannot be made"))?;
        roots::tell_one(kernel, &cage.0, CANARY_STORE).map_err(AttemptError::Blind)?;
        Ok(Self {
            cage,
            listener,
            port,
        })
    }

    /// Reads the record, and talks to itself.
    pub fn sing(&self) -> io::Result<()> {
        self.read()?;
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        let (server, _) = self.listener.accept()?;
        drop((client, server));
        Ok(())
    }

    /// True for exactly what reading the record must come up as.
    #[must_use]
    pub const fn is_own_access(&self, opens: u64, read: u64) -> bool {
        opens == 1 && read == CONTENT.len() as u64
    }

    /// True for the canary's conversation.
    #[must_use]
    pub fn is_own_flow(&self, flow: &Flow) -> bool {
        flow.process.pid == std::process::id() && flow.remote.port() == self.port
    }

    /// Reads the record, and fails when that does not come up exactly.
    pub(super) fn prove(&self, kernel: &mut Kernel) -> Result<(), AttemptError> {
        self.read()
            .map_err(|e| AttemptError::Blind(format!("it cannot be read: {e}")))?;
        let own = std::process::id();
        let sums = kernel.take_sums()?;
        let mut seen = sums
            .iter()
            .filter(|(key, sum)| sum.store == CANARY_STORE && key.process.pid == own);
        match (seen.next(), seen.next()) {
            (Some((_, sum)), None) if self.is_own_access(sum.opens, sum.read) => Ok(()),
            (None, _) => Err(AttemptError::Blind(
                "the programs are attached and do not fire".to_owned(),
            )),
            (one, other) => Err(AttemptError::Blind(format!(
                "{} bytes were read once, but {one:?} {other:?} came up",
                CONTENT.len()
            ))),
        }
    }

    fn read(&self) -> io::Result<()> {
        let mut buffer = [0; 64];
        let _bytes = fs::File::open(self.cage.record())?.read(&mut buffer)?;
        Ok(())
    }
}

/// The private store; removed when dropped.
#[derive(Debug)]
struct Cage(PathBuf);

impl Cage {
    /// By the canary's port, which no other canary has.
    fn new(port: u16) -> io::Result<Self> {
        let base =
            std::env::var_os("RUNTIME_DIRECTORY").map_or_else(std::env::temp_dir, PathBuf::from);
        let cage = Self(base.join(format!("chartwatch-canary-{port}")));
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
        let cage: &Path = &self.0;
        if let Err(error) = fs::remove_dir_all(cage) {
            tracing::warn!(%error, path = %cage.display(), "the canary's store is left behind");
        }
    }
}
