//! A UDP socket as a side of a channel needs it: its address, its group, its buffer.
//!
//! # Safety
//! `setsockopt` is given a descriptor that the caller holds, and a pointer to a local integer with its size.

#![allow(unsafe_code, reason = "IP_MULTICAST_ALL and SO_RXQ_OVFL, which rustix does not offer")]

use super::Udp;
use ringshm_core::error::OpenError;
use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;
use rustix::net::sockopt;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::os::fd::{AsRawFd as _, OwnedFd};

/// Bytes before the payload of a packet, at most that many together.
const PACKET: usize = 65_535;
const UDP_HEADER: usize = 8;
const IPV4_HEADER: usize = 20;

fn os(step: &'static str) -> impl Fn(Errno) -> OpenError {
    move |errno| OpenError::Os { step, source: errno.into() }
}

/// Where `place` is: the first address, if its name has several.
pub(super) fn resolve(place: &str) -> Result<SocketAddr, OpenError> {
    let invalid = |reason: String| OpenError::InvalidName { name: place.to_owned(), reason };
    let mut found = place.to_socket_addrs().map_err(|error| {
        invalid(format!("it is no host and port, such as 127.0.0.1:9000, [::1]:9000 or a.name:9000 ({error})"))
    })?;
    found.next().ok_or_else(|| invalid("its host has no address".to_owned()))
}

/// The most bytes that a datagram to or from there can have.
pub(super) fn longest_datagram(address: SocketAddr) -> usize {
    // With IPv6 the length of a packet does not count its own header.
    PACKET - UDP_HEADER - if address.is_ipv4() { IPV4_HEADER } else { 0 }
}

/// A socket that sends to `address`.
pub(super) fn sending(udp: &Udp, address: SocketAddr) -> Result<OwnedFd, OpenError> {
    let socket = new(address)?;
    let interface = interface(udp, &socket, address)?;
    let failed = os("choosing how datagrams leave (setsockopt)");
    match address.ip() {
        IpAddr::V4(group) if group.is_multicast() => {
            if let Some(index) = interface {
                let any = Ipv4Addr::UNSPECIFIED;
                sockopt::set_ip_multicast_if_with_ifindex(&socket, &any, &any, index).map_err(&failed)?;
            }
            if let Some(ttl) = udp.ttl {
                sockopt::set_ip_multicast_ttl(&socket, ttl.into()).map_err(&failed)?;
            }
            if let Some(loopback) = udp.loopback {
                sockopt::set_ip_multicast_loop(&socket, loopback).map_err(&failed)?;
            }
        }
        IpAddr::V6(group) if group.is_multicast() => {
            if let Some(index) = interface {
                sockopt::set_ipv6_multicast_if(&socket, index).map_err(&failed)?;
            }
            if let Some(ttl) = udp.ttl {
                sockopt::set_ipv6_multicast_hops(&socket, ttl.into()).map_err(&failed)?;
            }
            if let Some(loopback) = udp.loopback {
                sockopt::set_ipv6_multicast_loop(&socket, loopback).map_err(&failed)?;
            }
        }
        IpAddr::V4(_) => {
            if let Some(ttl) = udp.ttl {
                sockopt::set_ip_ttl(&socket, ttl.into()).map_err(&failed)?;
            }
        }
        IpAddr::V6(_) => sockopt::set_ipv6_unicast_hops(&socket, udp.ttl).map_err(&failed)?,
    }
    // A sender is told where it goes once: the kernel then looks up the way once, and gives it an address that it keeps.
    connect(&socket, &scoped(address, interface)).map_err(os("choosing where datagrams go (connect)"))?;
    Ok(socket)
}

/// A socket that receives what is sent to `address`.
pub(super) fn receiving(udp: &Udp, address: SocketAddr, counts_overflows: bool) -> Result<OwnedFd, OpenError> {
    let socket = new(address)?;
    let interface = interface(udp, &socket, address)?;
    if let Some(bytes) = udp.receive_buffer {
        enlarge(&socket, bytes)?;
    }
    if counts_overflows {
        set(&socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1).map_err(os("counting what is dropped (SO_RXQ_OVFL)"))?;
    }
    let joining = os("joining the group");
    if address.ip().is_multicast() {
        // Each of those who bind it so gets every datagram.
        sockopt::set_socket_reuseaddr(&socket, true).map_err(&joining)?;
    }
    bind(&socket, &scoped(address, interface)).map_err(|errno| match errno {
        Errno::ADDRINUSE => OpenError::RoleTaken { role: "receiver", pid: 0, lanes: 1 },
        Errno::ACCESS | Errno::PERM => OpenError::Permission {
            path: address.to_string().into(),
            reason: "ports below 1024 are for privileged processes".to_owned(),
        },
        errno => os("giving the socket its address (bind)")(errno),
    })?;
    let result = match address.ip() {
        IpAddr::V4(group) if group.is_multicast() => {
            // Not what came to others, who joined the group on another interface.
            set(&socket, libc::IPPROTO_IP, libc::IP_MULTICAST_ALL, 0).map_err(&joining)?;
            let any = Ipv4Addr::UNSPECIFIED;
            sockopt::set_ip_add_membership_with_ifindex(&socket, &group, &any, interface.unwrap_or(0))
        }
        IpAddr::V6(group) if group.is_multicast() => {
            sockopt::set_ipv6_add_membership(&socket, &group, interface.unwrap_or(0))
        }
        _ => Ok(()),
    };
    result.map_err(|errno| match errno {
        Errno::NODEV => OpenError::InvalidOption {
            option: "interface",
            reason: "no route says which interface the group is on: name one".to_owned(),
        },
        errno => joining(errno),
    })?;
    Ok(socket)
}

fn new(address: SocketAddr) -> Result<OwnedFd, OpenError> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None).map_err(os("making a socket"))
}

/// The number of the interface that was named, for a group only.
fn interface(udp: &Udp, socket: &OwnedFd, address: SocketAddr) -> Result<Option<u32>, OpenError> {
    let invalid = |option, reason: String| Err(OpenError::InvalidOption { option, reason });
    if !address.ip().is_multicast() {
        let one = || "only a multicast group has it; one host's datagrams go where the routes say".to_owned();
        return match (&udp.interface, udp.loopback) {
            (Some(_), _) => invalid("interface", one()),
            (None, Some(_)) => invalid("loopback", one()),
            (None, None) => Ok(None),
        };
    }
    let Some(name) = &udp.interface else { return Ok(None) };
    match name_to_index(socket, name) {
        Ok(index) => Ok(Some(index)),
        Err(_) => invalid("interface", format!("there is no interface {name:?}; `ip link` lists them")),
    }
}

/// An address of IPv6 that means the same on every interface, such as that of a group, is of one of them.
fn scoped(address: SocketAddr, interface: Option<u32>) -> SocketAddr {
    match (address, interface) {
        (SocketAddr::V6(mut address), Some(index)) => {
            address.set_scope_id(index);
            SocketAddr::V6(address)
        }
        (address, _) => address,
    }
}

/// Gives the socket a buffer for at least so many bytes.
fn enlarge(socket: &OwnedFd, bytes: usize) -> Result<(), OpenError> {
    let failed = os("choosing the size of the receive buffer (SO_RCVBUF)");
    // The kernel doubles what it is told, for its own needs, and says the double.
    let granted = || sockopt::socket_recv_buffer_size(socket).map(|doubled| doubled / 2).map_err(&failed);
    let asked = bytes.min(i32::MAX as usize / 2);
    sockopt::set_socket_recv_buffer_size(socket, asked).map_err(&failed)?;
    if granted()? < bytes {
        // Beyond the limit only for privileged processes: whether this is one, its result says.
        let _ = sockopt::set_socket_recv_buffer_size_force(socket, asked);
    }
    let most = granted()?;
    if most < bytes {
        let reason =
            format!("the kernel grants at most {most} bytes: raise net.core.rmem_max, or run with CAP_NET_ADMIN");
        return Err(OpenError::InvalidOption { option: "receive_buffer", reason });
    }
    Ok(())
}

fn set(socket: &OwnedFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> rustix::io::Result<()> {
    let len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: an open descriptor, and an integer of that size that lives through the call.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), len) };
    if result == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}
