//! `auto`: two processes that share much, little or nothing find the best that they have in common, and find it again after one of them has
//! been started elsewhere.
//!
//! What processes do not share they do not share for real: they are put into network and mount namespaces of their own.
//!
//! # Safety
//! What a child does between fork and exec are system calls.

#![allow(unsafe_code, reason = "unshare and mount in a child, before exec")]

#[path = "../support/mod.rs"]
mod support;

use ringshm::{Deadline, Receiver, Sender};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::cell::RefCell;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use support::{Folder, Process, is_root, record};

/// Not a test: what a child process does.
///
/// | command | report |
/// |---|---|
/// | `sender NAME`, `receiver NAME` | `open`, or why not |
/// | `send FROM TO` | `begin`, then by what they were carried |
/// | `recv FROM TO` | `begin`, then by what they were carried |
/// | `lagged-recv N` | the number of records until `N` came, which is the last |
/// | `end` | `begin`, then what ended the channel |
#[test]
fn child() {
    let sender: RefCell<Option<Box<dyn Sender>>> = RefCell::default();
    let receiver: RefCell<Option<Box<dyn Receiver>>> = RefCell::default();
    support::play(|words| {
        let mut message = Vec::new();
        Some(match *words {
            ["sender", name] => {
                *sender.borrow_mut() = Some(ringshm::open(name).sender().expect("a name"));
                "open".to_owned()
            }
            ["receiver", name] => {
                *receiver.borrow_mut() = Some(ringshm::open(name).receiver().expect("a name"));
                "open".to_owned()
            }
            ["send", from, to] => {
                support::report("begin");
                let mut sender = sender.borrow_mut();
                let sender = sender.as_mut().expect("it was opened");
                for n in number(from)..number(to) {
                    sender.send_by(&record(n), Deadline::after(support::PATIENCE)).expect("somebody receives");
                }
                sender.carried_by().unwrap_or("nothing").to_owned()
            }
            ["recv", from, to] => {
                support::report("begin");
                let mut receiver = receiver.borrow_mut();
                let receiver = receiver.as_mut().expect("it was opened");
                for n in number(from)..number(to) {
                    receiver.recv_by(&mut message, Deadline::after(support::PATIENCE)).expect("somebody sends");
                    assert_eq!(message, record(n), "record {n}");
                }
                receiver.carried_by().unwrap_or("nothing").to_owned()
            }
            ["end"] => {
                support::report("begin");
                let mut receiver = receiver.borrow_mut();
                let receiver = receiver.as_mut().expect("it was opened");
                format!("{:?}", receiver.recv_timeout(&mut message, support::PATIENCE))
            }
            ["leave"] => {
                drop((sender.take(), receiver.take()));
                "left".to_owned()
            }
            _ => return None,
        })
    });
}

fn number(word: &str) -> u64 {
    word.parse().expect("a number")
}

/// What a process has to itself.
#[derive(Clone, Copy, Debug, Default)]
struct Apart {
    network: bool,
    memory: bool,
    sockets: bool,
}

const TOGETHER: Apart = Apart { network: false, memory: false, sockets: false };

/// The folders that processes share, unless they are apart.
struct House {
    folder: Folder,
}

impl House {
    fn new() -> Self {
        let folder = Folder::for_leftovers();
        for room in ["memory", "sockets"] {
            fs::create_dir(folder.path().join(room)).expect("the folder is new");
        }
        Self { folder }
    }

    fn name(&self, options: &str) -> String {
        // Of its own, because a network knows sockets without a folder, too.
        let name = self.folder.path().file_name().and_then(|name| name.to_str()).expect("a plain name");
        format!("auto://{name}?capacity=65536&sockets={}{options}", self.folder.path().join("sockets").display())
    }

    fn start(&self, apart: Apart) -> Process {
        let rooms = [("memory", apart.memory), ("sockets", apart.sockets)];
        let hidden: Vec<_> =
            rooms.into_iter().filter(|(_, apart)| *apart).map(|(room, _)| self.folder.path().join(room)).collect();
        Process::start_with(&self.folder, |command| {
            command.env("RINGSHM_DIR", self.folder.path().join("memory"));
            if apart.network || !hidden.is_empty() {
                // SAFETY: nothing but system calls on values that were made before.
                unsafe { command.pre_exec(move || leave(apart.network, &hidden)) };
            }
        })
    }

    /// Nothing is left in either room.
    fn assert_empty(&self) {
        for room in ["memory", "sockets"] {
            let left = fs::read_dir(self.folder.path().join(room)).expect("it is there").count();
            assert_eq!(left, 0, "left in {room}");
        }
    }
}

/// Puts this process apart from its parent.
fn leave(network: bool, hidden: &[std::path::PathBuf]) -> std::io::Result<()> {
    if network {
        // SAFETY: no file descriptors are unshared.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
    }
    if !hidden.is_empty() {
        // SAFETY: as above.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        for folder in hidden {
            mount("tmpfs", folder, "tmpfs", MountFlags::empty(), c"size=8m,mode=0700")?;
        }
    }
    Ok(())
}

/// A cable between the network here and that of a process.
struct Cable {
    here: String,
    address: String,
}

impl Cable {
    fn to(process: &Process) -> Self {
        let pid = process.pid();
        let (here, there) = (format!("rs{pid}"), format!("rt{pid}"));
        let net = format!("10.{}.{}", 100 + pid / 200 % 100, pid % 200);
        let pid = pid.to_string();
        ip(&["link", "add", &here, "type", "veth", "peer", "name", &there, "netns", &pid]);
        ip(&["addr", "add", &format!("{net}.1/24"), "dev", &here]);
        ip(&["link", "set", &here, "up"]);
        let within = |arguments: &[&str]| {
            let status = Command::new("nsenter").args(["-t", &pid, "-n", "ip"]).args(arguments).status();
            assert!(status.expect("nsenter is there").success(), "ip {arguments:?} within");
        };
        within(&["addr", "add", &format!("{net}.2/24"), "dev", &there]);
        within(&["link", "set", &there, "up"]);
        Self { here, address: format!("{net}.2") }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        // It goes with the process's network, too.
        let _ = Command::new("ip").args(["link", "del", &self.here]).stderr(std::process::Stdio::null()).status();
    }
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().expect("ip is there: apt-get install iproute2");
    assert!(status.success(), "ip {arguments:?}");
}

/// Whether this test can put processes apart.
fn can_put_apart() -> bool {
    if !is_root() {
        println!("skipped: only root puts processes into namespaces");
    }
    is_root()
}

/// A sender and a receiver find each other, whoever is first, and say by what.
fn meet(house: &House, receiver: Apart, sender: Apart, options: &str) -> [(String, String); 2] {
    ["receiver", "sender"].map(|first| {
        let name = house.name(options);
        let (mut from, mut to) = (house.start(receiver), house.start(sender));
        let open = |process: &mut Process, side| assert_eq!(process.ask(&format!("{side} {name}")), "open");
        if first == "receiver" {
            open(&mut from, "receiver");
            from.begin("recv 0 500");
            assert!(from.sleeps());
            open(&mut to, "sender");
            to.begin("send 0 500");
        } else {
            open(&mut to, "sender");
            to.begin("send 0 500");
            assert!(to.sleeps());
            open(&mut from, "receiver");
            from.begin("recv 0 500");
        }
        let carried = (from.hear(), to.hear());
        assert_eq!(to.ask("leave"), "left");
        assert_eq!(from.ask("end"), "Err(Disconnected)");
        assert_eq!(from.ask("leave"), "left");
        from.finish();
        to.finish();
        house.assert_empty();
        carried
    })
}

#[track_caller]
fn assert_starts(carried: &[(String, String); 2], receiver: &str, sender: &str) {
    for (from, to) in carried {
        assert!(from.starts_with(receiver), "{from}");
        assert!(to.starts_with(sender), "{to}");
    }
}

#[test]
fn processes_that_share_everything_share_memory() {
    let house = House::new();
    let carried = meet(&house, TOGETHER, TOGETHER, "");
    assert_starts(&carried, "shared memory: /", "shared memory: /");
    assert!(carried.iter().all(|(_, to)| to.contains("in which process") && !to.contains(';')), "{carried:?}");
}

#[test]
fn a_network_of_ones_own_does_not_matter_where_memory_is_shared() {
    if !can_put_apart() {
        return;
    }
    let house = House::new();
    let carried = meet(&house, Apart { network: true, ..TOGETHER }, TOGETHER, "");
    assert_starts(&carried, "shared memory: /", "shared memory: /");
}

#[test]
fn processes_with_memory_of_their_own_share_a_ring_that_is_handed_over() {
    if !can_put_apart() {
        return;
    }
    let house = House::new();
    for apart in [Apart { memory: true, ..TOGETHER }, Apart { memory: true, network: true, ..TOGETHER }] {
        let carried = meet(&house, apart, TOGETHER, "");
        assert_starts(
            &carried,
            "shared memory: a ring that was handed over",
            "shared memory: a ring that was handed over",
        );
        assert!(carried.iter().all(|(_, to)| to.contains("; no ring is at")), "it says why not the other: {carried:?}");
    }
}

#[test]
fn processes_without_a_common_folder_find_each_other_by_the_network_they_share() {
    if !can_put_apart() {
        return;
    }
    let house = House::new();
    let carried = meet(&house, Apart { memory: true, sockets: true, ..TOGETHER }, TOGETHER, "");
    let how = "shared memory: a ring that was handed over at @ringshm.";
    assert_starts(&carried, how, how);
}

#[test]
fn without_rings_it_is_a_socket() {
    let house = House::new();
    let carried = meet(&house, TOGETHER, TOGETHER, "&without=shm,handover");
    assert_starts(&carried, "unix:/", "unix:/");
}

#[test]
fn processes_that_share_nothing_but_a_cable_use_it() {
    if !can_put_apart() {
        return;
    }
    let house = House::new();
    let apart = Apart { network: true, memory: true, sockets: true };
    for first in ["receiver", "sender"] {
        let (mut from, mut to) = (house.start(apart), house.start(TOGETHER));
        let cable = Cable::to(&from);
        let (listen, connect) = (house.name("&tcp=*:4711"), house.name(&format!("&tcp={}:4711", cable.address)));
        if first == "receiver" {
            assert_eq!(from.ask(&format!("receiver {listen}")), "open");
            from.begin("recv 0 500");
        }
        assert_eq!(to.ask(&format!("sender {connect}")), "open");
        to.begin("send 0 500");
        if first == "sender" {
            assert!(to.sleeps());
            assert_eq!(from.ask(&format!("receiver {listen}")), "open");
            from.begin("recv 0 500");
        }
        let (heard, said) = (from.hear(), to.hear());
        assert!(heard.starts_with("tcp://*:4711"), "{heard}");
        assert!(said.starts_with(&format!("tcp://{}:4711; no ring is at", cable.address)), "{said}");
        assert_eq!(to.ask("leave"), "left");
        assert_eq!(from.ask("end"), "Err(Disconnected)");
        assert_eq!(from.ask("leave"), "left");
        from.finish();
        to.finish();
        house.assert_empty();
    }
}

#[test]
fn after_a_restart_elsewhere_they_choose_anew() {
    if !can_put_apart() {
        return;
    }
    let house = House::new();
    let name = house.name("&await");
    let apart = Apart { memory: true, ..TOGETHER };
    let mut to = house.start(TOGETHER);
    assert_eq!(to.ask(&format!("sender {name}")), "open");
    let (mut sent, mut received) = (0, 0);
    // The receiver is killed while its ring has something, and started elsewhere: what it has not received goes there.
    for (place, how) in [
        (TOGETHER, "shared memory: /"),
        (apart, "shared memory: a ring that was handed over"),
        (TOGETHER, "shared memory: /"),
    ] {
        let mut from = house.start(place);
        assert_eq!(from.ask(&format!("receiver {name}")), "open");
        to.begin(&format!("send {sent} {}", sent + 100));
        sent += 100;
        from.begin(&format!("recv {received} {}", sent - 40));
        received = sent - 40;
        let (heard, said) = (from.hear(), to.hear());
        assert!(heard.starts_with(how) && said.starts_with(how), "{place:?}: {heard}; {said}");
        from.kill();
    }
    // Now it is the sender's turn.
    let mut from = house.start(TOGETHER);
    assert_eq!(from.ask(&format!("receiver {name}")), "open");
    to.begin(&format!("send {sent} {}", sent + 100));
    from.begin(&format!("recv {received} {}", sent + 100));
    let how = "shared memory: /";
    assert!(to.hear().starts_with(how));
    assert!(from.hear().starts_with(how));
    to.kill();
    for (place, how) in [(apart, "shared memory: a ring that was handed over"), (TOGETHER, "shared memory: /")] {
        let mut to = house.start(place);
        assert_eq!(to.ask(&format!("sender {name}")), "open");
        from.begin("recv 0 100");
        to.begin("send 0 100");
        let (said, heard) = (to.hear(), from.hear());
        assert!(heard.starts_with(how) && said.starts_with(how), "{place:?}: {heard}; {said}");
        to.kill();
    }
}
