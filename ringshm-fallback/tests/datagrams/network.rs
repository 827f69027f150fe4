//! Multicast, in a network of its own: a child's thread enters a new network namespace, switches its loopback interface on and adds another, which
//! leads nowhere; others join it. Groups of IPv6 are tried on that one only: on the loopback interface the kernel does not deliver them.
//!
//! # Safety
//! `unshare` of the network leaves descriptors and memory alone.

#![allow(unsafe_code, reason = "unshare")]

use super::support::{Folder, Process, until};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, gettid, move_into_link_name_space, unshare_unsafe};
use std::os::fd::AsFd as _;
use std::process::Command;

/// A loopback interface, to which the route of groups leads.
const LOOPBACK: &[&str] = &["link set lo up multicast on", "route add 239.0.0.0/8 dev lo"];
/// The same, and another interface.
const TWO: &[&str] = &[
    "link set lo up multicast on",
    "link add left type veth peer name right",
    "addr add 10.9.9.1/24 dev left",
    "link set left addrgenmode none",
    "addr add fe80::1/64 dev left nodad",
    "link set left up",
    "link set right up",
];

/// What a child can be told.
///
/// | command | report |
/// |---|---|
/// | `network loopback`, `network two` | where the new network is, or why there is none |
/// | `join PATH` | `joined`: what it opens from now on is in that network |
pub(crate) fn obey(words: &[&str]) -> Option<String> {
    match *words {
        ["network", interfaces] => {
            // SAFETY: neither descriptors nor memory are unshared.
            if let Err(errno) = unsafe { unshare_unsafe(UnshareFlags::NEWNET) } {
                return Some(format!("no network of its own: {errno}"));
            }
            for command in if interfaces == "two" { TWO } else { LOOPBACK } {
                let done = Command::new("ip").args(command.split(' ')).status().is_ok_and(|status| status.success());
                if !done {
                    return Some(format!("no multicast: `ip {command}` failed"));
                }
            }
            // Of IPv6 an interface has its groups a moment after it is up.
            until("the interface is ready", || {
                let routes = Command::new("ip").args("-6 route show table local dev left".split(' ')).output();
                let routes = routes.expect("ip was there").stdout;
                interfaces != "two" || String::from_utf8_lossy(&routes).contains("ff00::/8")
            });
            Some(format!("/proc/{}/task/{}/ns/net", std::process::id(), gettid().as_raw_nonzero()))
        }
        ["join", path] => {
            let network = std::fs::File::open(path).expect("whose network it is lives");
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may");
            Some("joined".to_owned())
        }
        _ => None,
    }
}

/// Three children in a network of their own; `None` if this machine gives none, and then it says why.
fn children(folder: &Folder, interfaces: &str) -> Option<[Process; 3]> {
    let mut children = [(); 3].map(|()| Process::start(folder));
    let [first, others @ ..] = &mut children;
    let network = first.ask(&format!("network {interfaces}"));
    if network.starts_with("no ") {
        println!("skipped: {network}");
        return None;
    }
    for other in others {
        assert_eq!(other.ask(&format!("join {network}")), "joined");
    }
    Some(children)
}

#[test]
fn all_that_joined_a_group_get_what_is_sent_to_it() {
    for (interfaces, name) in [
        ("loopback", "udp://239.255.0.7:9000"),
        ("two", "udp://239.255.0.7:9000?interface=lo"),
        ("two", "udp://239.255.0.7:9000?interface=left"),
        ("two", "udp://[ff02::1:7]:9000?interface=left"),
    ] {
        let folder = Folder::new();
        let Some([mut source, mut one, mut other]) = children(&folder, interfaces) else { return };
        assert_eq!(one.ask(&format!("receiver {name}")), "open", "{name}");
        assert_eq!(other.ask(&format!("receiver {name}")), "open", "{name}");
        assert_eq!(source.ask(&format!("sender {name}")), "open", "{name}");
        assert_eq!(source.ask("send 0 20"), "sent 20");
        assert_eq!(one.ask("recv 0 20"), "received 20");
        assert_eq!(other.ask("recv 0 20"), "received 20");
        // One of them dies, and the other does not notice.
        one.kill();
        assert_eq!(source.ask("send-slice 20 30"), "sent 30");
        assert_eq!(other.ask("recv 20 30"), "received 30");
        [source, other].into_iter().for_each(Process::finish);
    }
}

#[test]
fn what_is_sent_without_loopback_stays_away_and_what_goes_to_another_group_or_interface_does_not_come() {
    let folder = Folder::new();
    let Some([mut source, mut other_source, mut sink]) = children(&folder, "two") else { return };
    assert_eq!(sink.ask("receiver udp://239.255.0.7:9000?interface=left"), "open");
    for elsewhere in [
        "udp://239.255.0.8:9000?interface=left",
        "udp://239.255.0.7:9001?interface=left",
        "udp://239.255.0.7:9000?interface=lo",
        "udp://239.255.0.7:9000?interface=left&loopback=false",
    ] {
        assert_eq!(other_source.ask(&format!("sender {elsewhere}")), "open");
        assert_eq!(other_source.ask("send 0 5"), "sent 5", "{elsewhere}");
    }
    assert_eq!(source.ask("sender udp://239.255.0.7:9000?interface=left&ttl=3"), "open");
    assert_eq!(source.ask("send 10 12"), "sent 12");
    assert_eq!(sink.ask("recv 10 12"), "received 12");
    [source, other_source, sink].into_iter().for_each(Process::finish);
}
