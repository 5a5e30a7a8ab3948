//! What is kept over a restart of the sensor, as the maps have it.

use aya::maps::MapError;
use sensor_ebpf::layout::access::{Carrier, Inode, carrier_hint};
use sensor_ebpf::layout::config::{Holder, KeptHolder};
use sensor_ebpf::layout::flow::{DatagramKey, Datagrams, Local, LocalKey, Socket};
use sensor_ebpf::layout::limits::LOCAL_HINTS_MAX;

use super::{AttemptError, Found, Kept, Kernel, broken, gone_is_fine, pod};

impl Kernel {
    /// The file it is kept in, for whoever keeps it from now on, and what was found in it.
    pub fn take_kept(&mut self) -> Option<(Kept, Option<Found>)> {
        self.kept.take()
    }

    pub(in crate::load) fn set_kept(&mut self, kept: (Kept, Option<Found>)) {
        self.kept = Some(kept);
    }

    /// The processes that hold records, and which.
    ///
    /// # Errors
    ///
    /// When the map cannot be read; of all that follow, too.
    pub fn held(&self) -> Result<Vec<Holder>, AttemptError> {
        let entries: Result<Vec<_>, _> = self.holders.iter().collect();
        let entries = entries.map_err(|e| broken("HOLDERS", e))?;
        Ok(entries.into_iter().map(|(_, holder)| holder.0).collect())
    }

    /// What carries records.
    pub fn carriers(&self) -> Result<Vec<(Inode, Carrier)>, AttemptError> {
        let entries: Result<Vec<_>, _> = self.carriers.iter().collect();
        let entries = entries.map_err(|e| broken("CARRIERS", e))?;
        Ok(entries.into_iter().map(|(k, v)| (k.0, v.0)).collect())
    }

    /// Open connections of holders, by cookie.
    pub fn sockets(&self) -> Result<Vec<(u64, Socket)>, AttemptError> {
        let entries: Result<Vec<_>, _> = self.sockets.iter().collect();
        let entries = entries.map_err(|e| broken("SOCKETS", e))?;
        Ok(entries.into_iter().map(|(k, v)| (k, v.0)).collect())
    }

    /// Tells a process that held records, for the next look at those that run.
    pub(in crate::load) fn tell_kept_holder(
        &mut self,
        pid: u32,
        holder: KeptHolder,
    ) -> Result<(), AttemptError> {
        self.kept_holders
            .insert(pid, pod::KeptHolder(holder), 0)
            .map_err(|e| broken("KEPT", e))
    }

    /// Forgets them, when that look is over.
    pub(in crate::load) fn forget_kept_holders(&mut self) -> Result<(), AttemptError> {
        let pids: Result<Vec<u32>, _> = self.kept_holders.keys().collect();
        for pid in pids.map_err(|e| broken("KEPT", e))? {
            gone_is_fine(self.kept_holders.remove(&pid), "KEPT")?;
        }
        Ok(())
    }

    /// Tells what carries records; that it may be one before that it is one, as the programs do.
    pub(in crate::load) fn tell_carrier(
        &mut self,
        key: Inode,
        carrier: Carrier,
    ) -> Result<(), AttemptError> {
        self.carrier_hints
            .set(carrier_hint(key.ino), 1, 0)
            .map_err(|e| broken("CARRIER_HINTS", e))?;
        self.carriers
            .insert(pod::Inode(key), pod::Carrier(carrier), 0)
            .map_err(|e| broken("CARRIERS", e))
    }

    /// Tells a connection of a holder, and gives it as it is now; absent when it is no more. `local` is the holder, where it still runs.
    pub(in crate::load) fn tell_socket(
        &mut self,
        cookie: u64,
        socket: Socket,
        local: Option<Local>,
    ) -> Result<Option<Socket>, AttemptError> {
        // What no socket has sent: the programs write over it when they find the socket by its cookie.
        let unseen = Socket {
            out: u64::MAX,
            r#in: u64::MAX,
            ..socket
        };
        self.sockets
            .insert(cookie, pod::Socket(unseen), 0)
            .map_err(|e| broken("SOCKETS", e))?;
        let now = self.refresh(cookie)?.filter(|now| now.r#in != u64::MAX);
        if now.is_none() {
            gone_is_fine(self.sockets.remove(&cookie), "SOCKETS")?;
        } else if let Some(local) = local {
            self.tell_local(&socket, local)?;
        }
        Ok(now)
    }

    /// Tells whose connection it is to those who receive on it, where they are on this machine; to others it says nothing.
    fn tell_local(&mut self, socket: &Socket, local: Local) -> Result<(), AttemptError> {
        let ends = &socket.ends;
        let hint = u32::from(ends.local_port) & (LOCAL_HINTS_MAX - 1);
        let key = LocalKey {
            local: ends.local,
            remote: ends.remote,
            local_port: ends.local_port,
            remote_port: ends.remote_port,
            protocol: u32::from(ends.protocol),
        };
        self.local_hints
            .set(hint, 1, 0)
            .map_err(|e| broken("LOCAL_HINTS", e))?;
        self.locals
            .insert(pod::LocalKey(key), pod::Local(local), 0)
            .map_err(|e| broken("LOCALS", e))
    }

    /// Tells a conversation without a connection.
    pub(in crate::load) fn tell_datagrams(
        &mut self,
        key: DatagramKey,
        sums: Datagrams,
    ) -> Result<(), AttemptError> {
        // One that has gone on since the programs run is theirs.
        const NEW: u64 = 1;
        match self
            .datagrams
            .insert(pod::DatagramKey(key), pod::Datagrams(sums), NEW)
        {
            Err(MapError::SyscallError(error))
                if error.io_error.kind() == std::io::ErrorKind::AlreadyExists =>
            {
                Ok(())
            }
            told => told.map_err(|e| broken("DATAGRAMS", e)),
        }
    }
}
