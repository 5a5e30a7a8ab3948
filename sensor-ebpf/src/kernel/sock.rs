//! Sockets.

use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_skc_to_unix_sock};
use core::marker::PhantomData;
use sensor_ebpf::layout::{
    count::Error,
    flow::{DCCP, Ends, SCTP, TCP},
};

use super::read::{Probed, Reach, Typed};
use super::{fields, helpers};

/// `AF_INET`, `AF_INET6`.
const INET: u16 = 2;
const INET6: u16 = 10;
/// `SOCK_STREAM`.
const STREAM: u16 = 1;
/// `SOCK_RAW`.
const RAW: u16 = 3;
/// TCP states of include/net/tcp_states.h.
const ESTABLISHED: u8 = 1;
const CLOSE_WAIT: u8 = 8;
/// `SOCK_DONE` of `enum sock_flags` (include/net/sock.h): set by tcp_fin() alone, when the other end has finished.
const DONE: u64 = 1 << 1;

/// Families whose sockets do not leave this machine (`AF_*` of include/linux/socket.h) and carry nothing between
/// processes: netlink, key, alg.
const INNER: [u16; 3] = [16, 15, 38];
/// `AF_UNIX`.
const UNIX: u16 = 1;

/// What a socket is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Road {
    /// TCP.
    Tcp,
    /// TCP over several ways at once (MPTCP): sockets of the kernel's own below this one speak TCP.
    Multipath,
    /// Another protocol with connections over IP, by its number; its packets go when the kernel lets them.
    Connected(u8),
    /// A protocol over IP whose packets are their sender's.
    Packets,
    /// What goes past IP, by this family: frames of its own, the host of a virtual machine, and others.
    Past(u8),
    /// To another process of this machine.
    Unix,
    /// To the kernel.
    Inner,
}

/// A `struct sock`.
#[derive(Clone, Copy)]
pub(crate) struct Sock<R>(*const u8, PhantomData<R>);

impl<R: Reach> Sock<R> {
    /// Takes a pointer that can be read the way `R` says.
    #[inline(always)]
    pub(crate) const fn new(pointer: *const u8) -> Self {
        Self(pointer, PhantomData)
    }

    /// The cookie it has been given, 0 when none.
    #[inline(always)]
    pub(crate) fn cookie(self) -> Result<u64, Error> {
        // SAFETY: `self.0` is a struct sock for `R`.
        unsafe { R::get(self.0, fields::SOCK_COOKIE.load()) }
    }

    /// Its address, as a number.
    #[inline(always)]
    pub(crate) fn address(self) -> u64 {
        self.0 as u64
    }

    /// Both ends as they are now.
    #[inline(always)]
    pub(crate) fn ends(self, direction: u8) -> Result<Ends, Error> {
        let family = self.family()?;
        let mut ends = Ends {
            local: [0; 4],
            remote: [0; 4],
            local_port: self.local_port()?,
            remote_port: self.remote_port()?,
            version: 4,
            protocol: TCP,
            direction,
            pad: 0,
        };
        match family {
            INET => self.addresses4(&mut ends)?,
            INET6 => {
                self.addresses6(&mut ends)?;
                let mapped = ends.remote[0] == 0
                    && ends.remote[1] == 0
                    && ends.remote[2] == 0xffff_u32.to_be();
                if mapped {
                    self.addresses4(&mut ends)?
                } else {
                    ends.version = 6
                }
            }
            _ => return Err(Error::NoSocket),
        }
        Ok(ends)
    }

    /// This host's port, 0 before it is bound and after it is given up.
    #[inline(always)]
    pub(crate) fn local_port(self) -> Result<u16, Error> {
        // SAFETY: `self.0` is a struct sock for `R`.
        unsafe { R::get(self.0, fields::SOCK_LOCAL_PORT.load()) }
    }

    /// The other end's port.
    #[inline(always)]
    pub(crate) fn remote_port(self) -> Result<u16, Error> {
        // SAFETY: `self.0` is a struct sock for `R`.
        let port: u16 = unsafe { R::get(self.0, fields::SOCK_REMOTE_PORT.load())? };
        Ok(u16::from_be(port))
    }

    #[inline(always)]
    fn addresses4(self, ends: &mut Ends) -> Result<(), Error> {
        // SAFETY: `self.0` is a struct sock for `R`. tcp_v6_connect() to a mapped address calls tcp_v4_connect(), which
        // fills in the IPv4 members as well.
        unsafe {
            ends.local = [R::get(self.0, fields::SOCK_LOCAL4.load())?, 0, 0, 0];
            ends.remote = [R::get(self.0, fields::SOCK_REMOTE4.load())?, 0, 0, 0];
        }
        Ok(())
    }

    #[inline(always)]
    fn addresses6(self, ends: &mut Ends) -> Result<(), Error> {
        let (local, remote) = (fields::SOCK_LOCAL6.load(), fields::SOCK_REMOTE6.load());
        // VERIFIER: 6.1 refuses a load that spans elements of in6_addr.u6_addr32, so each is loaded on its own.
        // SAFETY: `self.0` is a struct sock for `R`, and in6_addr is 16 bytes.
        unsafe {
            ends.local = [
                R::get(self.0, local)?,
                R::get(self.0, local + 4)?,
                R::get(self.0, local + 8)?,
                R::get(self.0, local + 12)?,
            ];
            ends.remote = [
                R::get(self.0, remote)?,
                R::get(self.0, remote + 4)?,
                R::get(self.0, remote + 8)?,
                R::get(self.0, remote + 12)?,
            ];
        }
        Ok(())
    }

    #[inline(always)]
    fn family(self) -> Result<u16, Error> {
        // SAFETY: `self.0` is a struct sock for `R`.
        unsafe { R::get(self.0, fields::SOCK_FAMILY.load()) }
    }

    /// What it is for.
    #[inline(always)]
    pub(crate) fn road(self) -> Result<Road, Error> {
        Ok(match self.family()? {
            INET | INET6 => match self.protocol()? {
                (TCP, STREAM) => Road::Tcp,
                (_, RAW) => Road::Packets,
                (protocol @ (SCTP | DCCP), _) => Road::Connected(protocol),
                (0, STREAM) => Road::Multipath,
                _ => Road::Packets,
            },
            UNIX => Road::Unix,
            family if INNER.contains(&family) => Road::Inner,
            family => Road::Past(family as u8),
        })
    }

    /// True for a TCP socket, and not for a raw one that speaks TCP's protocol number.
    #[inline(always)]
    pub(crate) fn is_tcp(self) -> Result<bool, Error> {
        Ok(matches!(self.protocol()?, (TCP, STREAM)))
    }

    /// Protocol number and type; no protocol for numbers past IP's (MPTCP).
    #[inline(always)]
    fn protocol(self) -> Result<(u8, u16), Error> {
        // SAFETY: `self.0` is a struct sock for `R`.
        let (protocol, kind): (u16, u16) = unsafe {
            (
                R::get(self.0, fields::SOCK_PROTOCOL.load())?,
                R::get(self.0, fields::SOCK_TYPE.load())?,
            )
        };
        Ok((u8::try_from(protocol).unwrap_or(0), kind))
    }

    /// The cookie of the first of the sockets below one of MPTCP, 0 when it has none.
    #[inline(always)]
    pub(crate) fn first_cookie(self) -> Result<u64, Error> {
        if fields::MPTCP_FIRST.load() == fields::ABSENT {
            return Ok(0);
        }
        // SAFETY: any address may be probed; an mptcp_sock begins with its sock (net/mptcp/protocol.h).
        let first: *const u8 = unsafe { Probed::get(self.0, fields::MPTCP_FIRST.load())? };
        Sock::<Probed>::new(first).cookie()
    }

    /// Payload bytes sent and received, of a TCP socket.
    ///
    /// Sent is what was put on the wire once (`bytes_sent - bytes_retrans`, tcp_output.c): unlike `bytes_acked` it
    /// counts neither SYN nor FIN and does not miss what a reset left unacknowledged. Received counts the other end's
    /// FIN as a byte, which is taken off.
    #[inline(always)]
    pub(crate) fn tcp_bytes(self) -> Result<(u64, u64), Error> {
        let tcp = self.tcp()?;
        // SAFETY: `tcp` is a struct tcp_sock for `R`, `self.0` its struct sock.
        let (received, flags): (u64, u64) = unsafe {
            (
                R::get(tcp, fields::TCP_RECEIVED.load())?,
                R::get(self.0, fields::SOCK_FLAGS.load())?,
            )
        };
        let fin = u64::from(flags & DONE != 0);
        Ok((Self::sent(tcp)?, received.saturating_sub(fin)))
    }

    /// Payload bytes that an open TCP socket has taken from those who send on it: what the other end has acknowledged, and
    /// what is still to be.
    ///
    /// Without the socket's lock, so of all pairs of counters this one: tcp_snd_una_update() (tcp_input.c) moves the two that
    /// must agree on in one go, while `bytes_sent` runs ahead of `snd_nxt` for as long as a segment takes to leave.
    #[inline(always)]
    pub(crate) fn tcp_taken(self) -> Result<u64, Error> {
        let tcp = self.tcp()?;
        // SAFETY: `tcp` is a struct tcp_sock for `R`.
        let (acknowledged, next, end): (u64, u32, u32) = unsafe {
            (
                R::get(tcp, fields::TCP_ACKED.load())?,
                R::get(tcp, fields::TCP_UNACKED.load())?,
                R::get(tcp, fields::TCP_WRITE_SEQ.load())?,
            )
        };
        // Who connects has had its SYN acknowledged as a byte; of one that came in that was done before it was a socket.
        let syn = u64::from(!self.was_accepted()?);
        Ok((acknowledged + u64::from(end.wrapping_sub(next))).saturating_sub(syn))
    }

    #[inline(always)]
    fn sent(tcp: *const u8) -> Result<u64, Error> {
        // SAFETY: `tcp` is a struct tcp_sock for `R`.
        let (sent, again): (u64, u64) = unsafe {
            (
                R::get(tcp, fields::TCP_SENT.load())?,
                R::get(tcp, fields::TCP_RETRANS.load())?,
            )
        };
        Ok(sent.saturating_sub(again))
    }

    #[inline(always)]
    fn tcp(self) -> Result<*const u8, Error> {
        // SAFETY: `self.0` is a struct sock for `R`, of a TCP socket.
        let tcp = unsafe { R::tcp(self.0) };
        if tcp.is_null() {
            Err(Error::NoSocket)
        } else {
            Ok(tcp)
        }
    }

    /// True while both ends, or at least this one, may send.
    #[inline(always)]
    pub(crate) fn is_open(self) -> Result<bool, Error> {
        // SAFETY: `self.0` is a struct sock for `R`.
        let state: u8 = unsafe { R::get(self.0, fields::SOCK_STATE.load())? };
        Ok(matches!(state, ESTABLISHED | CLOSE_WAIT))
    }

    /// True for a connection that came in: it has its listener's backlog (sk_clone_lock), and who connects has none.
    #[inline(always)]
    pub(crate) fn was_accepted(self) -> Result<bool, Error> {
        // SAFETY: `self.0` is a struct sock for `R`.
        let backlog: u32 = unsafe { R::get(self.0, fields::SOCK_BACKLOG.load())? };
        Ok(backlog != 0)
    }

    /// The `struct sock` of a `struct socket`.
    #[inline(always)]
    pub(crate) fn of(socket: *const u8) -> Result<Self, Error> {
        // SAFETY: `socket` is a struct socket for `R`.
        let sk: *const u8 = unsafe { R::get(socket, fields::SOCKET_SK.load())? };
        if sk.is_null() {
            Err(Error::NoSocket)
        } else {
            Ok(Self::new(sk))
        }
    }
}

impl Sock<Typed> {
    /// Itself, for helpers.
    #[inline(always)]
    pub(crate) fn pointer(self) -> *mut core::ffi::c_void {
        self.0.cast_mut().cast()
    }

    /// The unix socket it is connected to; it must be one itself.
    #[inline(always)]
    pub(crate) fn peer(self) -> Result<Option<Self>, Error> {
        let unix = self.unix();
        if unix.is_null() {
            return Ok(None);
        }
        // SAFETY: `unix` is a typed struct unix_sock.
        let peer: *const u8 = unsafe { Typed::get(unix, fields::UNIX_PEER.load())? };
        Ok((!peer.is_null()).then_some(Self::new(peer)))
    }

    /// Number of the process at its other end when that was made, or that made both; 0 when there is none.
    #[inline(always)]
    pub(crate) fn peer_pid(self) -> Result<u32, Error> {
        // SAFETY: `self.0` is a typed struct sock, its sk_peer_pid a typed pid, whose first number is that of the first
        // namespace (struct upid of include/linux/pid.h).
        unsafe {
            let pid: *const u8 = Typed::get(self.0, fields::SOCK_PEER_PID.load())?;
            if pid.is_null() {
                return Ok(0);
            }
            Probed::get(pid, fields::PID_NUMBERS.load())
        }
    }

    /// Address of the name it is bound to, the name of its listener if it was accepted; absent when it has none.
    #[inline(always)]
    pub(crate) fn unix_name(self) -> Result<Option<*const u8>, Error> {
        let unix = self.unix();
        if unix.is_null() {
            return Ok(None);
        }
        // SAFETY: `unix` is a typed struct unix_sock.
        let address: *const u8 = unsafe { Typed::get(unix, fields::UNIX_ADDR.load())? };
        // In struct unix_address the names come after `len`, and each begins with its family (net/af_unix.h).
        let name = fields::UNIX_ADDR_LEN.load() + 4 + 2;
        Ok((!address.is_null()).then_some(address.wrapping_add(name as usize)))
    }

    #[inline(always)]
    fn unix(self) -> *const u8 {
        // SAFETY: `self.0` is a typed struct sock; null when it is no unix socket (5.16 on).
        unsafe { bpf_skc_to_unix_sock(self.0.cast_mut().cast()) }.cast()
    }

    /// Its cookie, made if it had none; before 5.12 that which a packet of it had made, or 0.
    #[inline(always)]
    pub(crate) fn make_cookie(self) -> Result<u64, Error> {
        if helpers::SOCKET_COOKIES.load() == 0 {
            return self.cookie();
        }
        // SAFETY: `self.0` is a typed struct sock; offered to tracing programs from 5.12 on.
        Ok(unsafe { bpf_get_socket_cookie(self.0.cast_mut().cast()) })
    }
}
