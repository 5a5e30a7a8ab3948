//! Sockets.

use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_skc_to_tcp_sock};
use core::marker::PhantomData;
use sensor_ebpf::layout::{
    count::Error,
    flow::{Ends, TCP},
};

use super::fields;
use super::read::{Probed, Reach, Typed};

/// `AF_INET`, `AF_INET6`.
const INET: u16 = 2;
const INET6: u16 = 10;
/// `SOCK_DONE` of `enum sock_flags` (include/net/sock.h): set by tcp_fin() alone, when the other end has finished.
const DONE: u64 = 1 << 1;

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
        // SAFETY: `self.0` is a struct sock for `R`.
        let family: u16 = unsafe { R::get(self.0, fields::SOCK_FAMILY.load())? };
        let mut ends = Ends {
            local: [0; 4],
            remote: [0; 4],
            local_port: self.local_port()?,
            // SAFETY: as above.
            remote_port: u16::from_be(unsafe { R::get(self.0, fields::SOCK_REMOTE_PORT.load())? }),
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

    /// Payload bytes sent and received, of the TCP socket that begins with this `struct sock`.
    ///
    /// Sent is what was put on the wire once (`bytes_sent - bytes_retrans`, tcp_output.c): unlike `bytes_acked` it
    /// counts neither SYN nor FIN and does not miss what a reset left unacknowledged. Received counts the other end's
    /// FIN as a byte, which is taken off.
    #[inline(always)]
    fn bytes<T: Reach>(self, tcp: *const u8) -> Result<(u64, u64), Error> {
        // SAFETY: `tcp` is a struct tcp_sock for `T`, `self.0` its struct sock for `R`.
        let (sent, again, received, flags): (u64, u64, u64, u64) = unsafe {
            (
                T::get(tcp, fields::TCP_SENT.load())?,
                T::get(tcp, fields::TCP_RETRANS.load())?,
                T::get(tcp, fields::TCP_RECEIVED.load())?,
                R::get(self.0, fields::SOCK_FLAGS.load())?,
            )
        };
        let fin = u64::from(flags & DONE != 0);
        Ok((sent.saturating_sub(again), received.saturating_sub(fin)))
    }
}

impl Sock<Typed> {
    /// Its cookie, made if it had none.
    #[inline(always)]
    pub(crate) fn make_cookie(self) -> u64 {
        // SAFETY: `self.0` is a typed struct sock; offered to tracing programs from 5.12 on.
        unsafe { bpf_get_socket_cookie(self.0.cast_mut().cast()) }
    }

    /// Payload bytes sent and received; absent when it is not TCP.
    #[inline(always)]
    pub(crate) fn tcp_bytes(self) -> Result<Option<(u64, u64)>, Error> {
        // SAFETY: `self.0` is a typed struct sock.
        let tcp: *const u8 = unsafe { bpf_skc_to_tcp_sock(self.0.cast_mut().cast()) }.cast();
        if tcp.is_null() {
            return Ok(None);
        }
        self.bytes::<Typed>(tcp).map(Some)
    }
}

impl Sock<Probed> {
    /// The `struct sock` of a `struct socket`.
    #[inline(always)]
    pub(crate) fn of(socket: *const u8) -> Result<Self, Error> {
        // SAFETY: `socket` is the address of a struct socket.
        let sk: *const u8 = unsafe { Probed::get(socket, fields::SOCKET_SK.load())? };
        if sk.is_null() {
            Err(Error::NoSocket)
        } else {
            Ok(Self::new(sk))
        }
    }

    /// Payload bytes sent and received of a socket known to be TCP: a tcp_sock begins with its sock (linux/tcp.h).
    #[inline(always)]
    pub(crate) fn tcp_bytes(self) -> Result<(u64, u64), Error> {
        self.bytes::<Probed>(self.0)
    }
}
