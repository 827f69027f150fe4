//! Where a connected socket is found, a Unix socket's name or a port of a host, and what its connections are like.

use crate::unix::place::{Bound as Name, Place, Reached};
use crate::unix::{Peer, STRANGER, Trusted};
use core::fmt;
use core::time::Duration;
use ringshm_core::error::{OpenError, Rejection};
use rustix::io::Errno;
use rustix::net::sockopt::{
    set_socket_keepalive, set_socket_reuseaddr, set_socket_send_buffer_size, set_tcp_keepcnt, set_tcp_keepidle,
    set_tcp_keepintvl, set_tcp_nodelay, set_tcp_user_timeout,
};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, connect, getpeername, getsockname, listen, socket_with,
};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::os::fd::OwnedFd;

/// Connections that wait to be accepted. The kernel may have a lower limit (`net.core.somaxconn`).
const BACKLOG: i32 = 128;
/// How often a silent host is asked whether it is there, before it is given up.
const PROBES: u32 = 3;

/// Where a socket is found.
#[derive(Clone, Debug)]
pub(crate) enum Site {
    Unix(Place),
    /// The addresses that a host's name stands for: tried in turn.
    Tcp(Vec<SocketAddr>),
}

/// What connections are like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    /// A stream, or packets.
    pub(crate) kind: SocketType,
    /// Unix: the bytes that the kernel is to keep for a receiver, if not as many as usual.
    pub(crate) buffer: Option<usize>,
    /// Unix: whose processes may be at the other end.
    pub(crate) trusted: Trusted,
    /// Unix: the rights of the socket's file.
    pub(crate) mode: u32,
    /// TCP: whether small messages leave at once.
    pub(crate) no_delay: bool,
    /// TCP: after how long a silence the peer's host is given up. Zero: never.
    pub(crate) keepalive: Duration,
    /// TCP: how long what was sent may go without being acknowledged. Zero: as long as the kernel allows.
    pub(crate) user_timeout: Duration,
}

/// A socket that is listened on, and its name, which goes first.
#[derive(Debug)]
pub(crate) struct Bound {
    _name: Option<Name>,
    pub(crate) socket: OwnedFd,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Nobody is there, or the one who was is gone: it may change.
    Failed,
    /// Somebody is there who is not to be dealt with.
    Stranger(Rejection),
    /// It is not as it should be, and somebody has to do something about it.
    Open(OpenError),
}

impl From<Errno> for Refusal {
    fn from(_: Errno) -> Self {
        Self::Failed
    }
}

fn os(step: &'static str) -> impl Fn(Errno) -> OpenError {
    move |errno| OpenError::Os { step, source: errno.into() }
}

impl Site {
    /// `host:port`, `[address]:port`, or, to listen on all addresses of this host, `*:port`. Resolves names, which may take as long as the
    /// system's resolver waits.
    pub(crate) fn tcp(place: &str, listens: bool) -> Result<Self, OpenError> {
        let invalid = |reason: &str| OpenError::InvalidName { name: place.to_owned(), reason: reason.to_owned() };
        let (host, port) = place.rsplit_once(':').ok_or_else(|| invalid("it has no port, as localhost:9000 has"))?;
        let port: u16 = port.parse().map_err(|_| invalid("a port is a number up to 65535"))?;
        match (host, listens) {
            ("", _) => return Err(invalid("it has no host: name one, or * to listen on all addresses of this host")),
            (_, false) if port == 0 => {
                return Err(invalid("nobody can be reached on port 0: name that of the other side"));
            }
            ("*", false) => {
                return Err(invalid("* stands for all addresses to listen on: name the host to connect to"));
            }
            ("*", true) => {
                let anywhere = [(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()];
                return Ok(Self::Tcp(anywhere.into()));
            }
            _ => {}
        }
        let addresses: Vec<_> = place
            .to_socket_addrs()
            .map_err(|source| OpenError::Os { step: "looking up the address of the host", source })?
            .collect();
        if addresses.is_empty() { Err(invalid("the host has no address")) } else { Ok(Self::Tcp(addresses)) }
    }

    /// How many addresses there are to try.
    pub(crate) fn addresses(&self) -> usize {
        match self {
            Self::Unix(_) => 1,
            Self::Tcp(addresses) => addresses.len(),
        }
    }

    /// Begins to connect to an address, without waiting. `false`: it has not answered yet.
    pub(crate) fn connect(&self, index: usize, tuning: &Tuning) -> Result<(OwnedFd, bool), Refusal> {
        match self {
            Self::Unix(place) => {
                let socket = tuning.socket(AddressFamily::UNIX)?;
                match place.connect(&socket, tuning.trusted).map_err(Refusal::Open)? {
                    Reached::Somebody => Ok((socket, true)),
                    Reached::Nobody | Reached::Busy => Err(Refusal::Failed),
                }
            }
            Self::Tcp(addresses) => {
                let Some(address) = addresses.get(index) else { return Err(Refusal::Failed) };
                let socket = tuning.socket(family(address))?;
                match connect(&socket, address) {
                    Ok(()) => Ok((socket, true)),
                    // Interrupted, it goes on by itself.
                    Err(Errno::INPROGRESS | Errno::INTR) => Ok((socket, false)),
                    Err(_) => Err(Refusal::Failed),
                }
            }
        }
    }

    /// A socket that others can connect to.
    pub(crate) fn listen(&self, tuning: &Tuning, role: &'static str) -> Result<Bound, OpenError> {
        match self {
            Self::Unix(place) => {
                let socket = tuning.socket(AddressFamily::UNIX).map_err(os("making a socket"))?;
                let name = place.bind(&socket, role, tuning.mode, || listen(&socket, BACKLOG))?;
                Ok(Bound { _name: Some(name), socket })
            }
            Self::Tcp(addresses) => {
                let mut first_error = None;
                for address in addresses {
                    match listen_tcp(address, tuning) {
                        Ok(socket) => return Ok(Bound { _name: None, socket }),
                        Err(errno) => first_error = first_error.or(Some(errno)),
                    }
                }
                Err(match first_error {
                    // Who has it, the kernel does not say.
                    Some(Errno::ADDRINUSE) => OpenError::RoleTaken { role, pid: 0, lanes: 1 },
                    Some(errno) => os("listening on a TCP port")(errno),
                    None => os("listening on a TCP port")(Errno::ADDRNOTAVAIL),
                })
            }
        }
    }
}

fn family(address: &SocketAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

fn listen_tcp(address: &SocketAddr, tuning: &Tuning) -> Result<OwnedFd, Errno> {
    let socket = tuning.socket(family(address))?;
    // Connections of a predecessor linger for a minute after their end, and must not hold up its successor.
    set_socket_reuseaddr(&socket, true)?;
    bind(&socket, address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(place) => place.path().display().fmt(f),
            Self::Tcp(addresses) => addresses.first().map_or(Ok(()), |address| address.fmt(f)),
        }
    }
}

impl Tuning {
    /// A new socket, which does not block: that is for connecting and accepting.
    fn socket(&self, family: AddressFamily) -> Result<OwnedFd, Errno> {
        socket_with(family, self.kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
    }

    /// Makes a new connection what it is to be, and says who is at the other end. From here on, each call says for itself whether it waits.
    pub(crate) fn welcome(&self, socket: &OwnedFd) -> Result<Option<Peer>, Refusal> {
        rustix::io::ioctl_fionbio(socket, false)?;
        let own = getsockname(socket)?;
        if own.address_family() == AddressFamily::UNIX {
            let peer = Peer::of(socket).map_err(|_| Refusal::Failed)?;
            if !self.trusted.admits(peer.uid) {
                return Err(Refusal::Stranger(peer.rejected(STRANGER)));
            }
            if let Some(bytes) = self.buffer {
                // As many as the kernel allows; how many these are shows in the longest message.
                let _ = set_socket_send_buffer_size(socket, bytes);
            }
            return Ok(Some(peer));
        }
        // Who connects to a port of his own host on which nobody listens may be given that very port to connect from, and then has
        // himself at the other end.
        if getpeername(socket)?.is_some_and(|peer| peer == own) {
            return Err(Refusal::Failed);
        }
        set_tcp_nodelay(socket, self.no_delay)?;
        if !self.keepalive.is_zero() {
            // Half of the time in silence, the other half asking. The kernel counts in seconds.
            let second = Duration::from_secs(1);
            set_socket_keepalive(socket, true)?;
            set_tcp_keepidle(socket, (self.keepalive / 2).max(second))?;
            set_tcp_keepintvl(socket, (self.keepalive / 2 / PROBES).max(second))?;
            set_tcp_keepcnt(socket, PROBES)?;
        }
        if !self.user_timeout.is_zero() {
            // The kernel takes no more than a signed number has, which is 24 days.
            let most = i32::MAX.unsigned_abs();
            set_tcp_user_timeout(
                socket,
                u32::try_from(self.user_timeout.as_millis()).map_or(most, |ms| ms.clamp(1, most)),
            )?;
        }
        Ok(None)
    }
}
