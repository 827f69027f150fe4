//! The file: who may open it, what it is made like, and when it is removed.

use super::support::{Folder, Process, until};
use ringshm_core::error::{OpenError, TrySendError};
use ringshm_core::{Receiver as _, Sender as _};
use ringshm_fallback::fifo::{Fifo, FifoReceiver};
use ringshm_fallback::framing::Framing;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

fn made_by_somebody(path: &str) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

#[test]
fn it_has_the_rights_that_were_asked_for_and_a_mark() {
    let folder = Folder::new();
    let path = folder.join("fifo");
    for (mode, fifo) in [(0o1600, Fifo::new(&path)), (0o1666, Fifo::new(&path).mode(0o666))] {
        // More than the process's mask lets through.
        let receiver = fifo.receiver().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode);
        drop(receiver);
    }
}

#[track_caller]
fn refused(path: &str) -> OpenError {
    let sender = Fifo::new(path).sender().unwrap_err();
    let receiver = Fifo::new(path).receiver().unwrap_err();
    assert_eq!(sender.to_string(), receiver.to_string());
    receiver
}

#[test]
fn what_is_no_fifo_of_this_user_is_refused() {
    let folder = Folder::for_leftovers();
    let path = |name: &str| folder.join(name);
    std::fs::write(path("file"), "content").unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    made_by_somebody(&path("fifo"));
    symlink(path("fifo"), path("link")).unwrap();
    symlink(path("nothing"), path("dangling")).unwrap();
    assert!(matches!(refused(&path("file")), OpenError::InvalidName { .. }));
    assert!(matches!(refused(&path("folder")), OpenError::InvalidName { .. }));
    assert!(matches!(refused(&path("link")), OpenError::Permission { .. }));
    assert!(matches!(refused(&path("dangling")), OpenError::Permission { .. }));
    assert!(matches!(refused(&path("missing/fifo")), OpenError::NotFound { .. }));
    assert_eq!(std::fs::read(path("file")).unwrap(), b"content");
    assert!(!std::fs::exists(path("nothing")).unwrap());
    // Only root can give files away; for others, there is nothing to show.
    if chown(path("fifo"), Some(12345), None).is_ok() {
        let refusal = refused(&path("fifo"));
        assert!(refusal.to_string().contains("it belongs to user 12345"), "{refusal}");
    }
}

#[test]
fn impossible_options_leave_no_file() {
    let folder = Folder::new();
    let path = folder.join("fifo");
    let raw = Framing::Raw(5000.try_into().unwrap());
    for (fifo, option) in [
        (Fifo::new(&path).framing(Framing::Bare), "framing"),
        (Fifo::new(&path).framing(raw).max_message(4999), "framing"),
        (Fifo::new(&path).many_senders().max_message(4081), "max_message"),
        (Fifo::new(&path).capacity(1 << 40), "capacity"),
    ] {
        match (fifo.clone().sender(), fifo.clone().receiver()) {
            (
                Err(OpenError::InvalidOption { option: one, .. }),
                Err(OpenError::InvalidOption { option: other, .. }),
            ) => {
                assert_eq!((one, other), (option, option));
            }
            other => panic!("{fifo:?}: {other:?}"),
        }
    }
    assert!(folder.entries().is_empty());
}

#[test]
fn the_capacity_is_what_was_asked_for() {
    let folder = Folder::new();
    let mut sender = Fifo::new(folder.join("fifo")).capacity(4096).sender().unwrap();
    let mut receiver = Fifo::new(folder.join("fifo")).receiver().unwrap();
    sender.try_send(&[0; 4000]).unwrap();
    assert_eq!(sender.try_send(&[0; 4000]), Err(TrySendError::Full(())));
    receiver.recv(&mut Vec::new()).unwrap();
}

#[test]
fn the_last_one_removes_what_ringshm_made_unless_it_is_kept() {
    let folder = Folder::for_leftovers();
    let path = folder.join("fifo");
    let is_there = || std::fs::exists(&path).unwrap();
    let (sender, receiver) = (Fifo::new(&path).sender().unwrap(), Fifo::new(&path).receiver().unwrap());
    drop(sender);
    assert!(is_there(), "a receiver is there");
    drop(receiver);
    assert!(!is_there());
    let (sender, receiver) = (Fifo::new(&path).sender().unwrap(), Fifo::new(&path).receiver().unwrap());
    drop(receiver);
    assert!(is_there(), "a sender is there");
    drop(sender);
    assert!(!is_there());
    drop(Fifo::new(&path).keep().receiver().unwrap());
    assert!(is_there(), "it is kept");
    drop(Fifo::new(&path).receiver().unwrap());
    assert!(!is_there());
    ringshm_core::Channel::detach(Box::new(Fifo::new(&path).receiver().unwrap()));
    assert!(is_there(), "a successor is to come");
    let receiver = Fifo::new(&path).receiver().unwrap();
    let mut sender = Fifo::new(&path).sender().unwrap();
    sender.send(b"x").unwrap();
    drop((receiver, sender));
    assert!(is_there(), "something was left in it");
    drop(Fifo::new(&path).sender().unwrap());
    assert!(!is_there());
    made_by_somebody(&path);
    drop(Fifo::new(&path).sender().unwrap());
    assert!(is_there(), "somebody else made it");
}

#[test]
fn what_is_not_there_any_more_is_not_removed_from_somebody_else() {
    let folder = Folder::new();
    let path = folder.join("fifo");
    let first = Fifo::new(&path).receiver().unwrap();
    std::fs::remove_file(&path).unwrap();
    let second = Fifo::new(&path).receiver().unwrap();
    drop(first);
    let inode = std::fs::metadata(&path).unwrap().ino();
    let mut sender = Fifo::new(&path).sender().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode);
    sender.send(b"x").unwrap();
    let mut second: FifoReceiver = second;
    second.recv(&mut Vec::new()).unwrap();
}

#[test]
fn what_killed_processes_left_is_used_again_and_removed() {
    let folder = Folder::new();
    for framing in ["frames", "len32"] {
        let name = format!("fifo:{}?framing={framing}", folder.join("fifo"));
        let (mut sender, mut receiver) = (Process::start(&folder), Process::start(&folder));
        assert_eq!(sender.ask(&format!("sender {name}")), "open");
        assert_eq!(receiver.ask(&format!("receiver {name}")), "open");
        sender.kill();
        receiver.kill();
        assert_eq!(folder.entries(), ["fifo"]);
        let (mut sender, mut receiver) = (Process::start(&folder), Process::start(&folder));
        assert_eq!(receiver.ask(&format!("receiver {name}")), "open");
        assert_eq!(sender.ask(&format!("sender {name}")), "open");
        receiver.begin("recv 0 1");
        assert_eq!(sender.ask("send 0 1"), "sent 1");
        assert_eq!(receiver.hear(), "received 1");
        [sender, receiver].into_iter().for_each(Process::finish);
        assert!(folder.entries().is_empty());
    }
}

#[test]
fn who_comes_while_the_last_one_leaves_is_not_left_alone() {
    let folder = Folder::new();
    let path = folder.join("fifo");
    // Each pair meets, however the comings and goings of others lie in between.
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..500 {
                    match Fifo::new(&path).many_senders().sender() {
                        Ok(sender) => drop(sender),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..500 {
                let mut receiver = Fifo::new(&path).receiver().unwrap();
                let mut sender = Fifo::new(&path).many_senders().sender().unwrap();
                sender.try_send(b"met").unwrap();
                let mut message = Vec::new();
                until("they meet", || receiver.try_recv(&mut message) == Ok(3));
            }
        });
    });
}
