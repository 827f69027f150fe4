//! Descriptors handed over: what comes instead of one, who comes, and that nothing stays open.
//!
//! What counts descriptors runs in a child of its own, as others open and close them meanwhile.

#[path = "../support/mod.rs"]
mod support;

use ringshm_core::Deadline;
use ringshm_core::error::OpenError;
use ringshm_fallback::handover::{Handover, HandoverError, give, give_memfd, take, take_memfd};
use ringshm_fallback::unix::Trusted;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    connect, send, sendmsg, socket_with,
};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::fs::File;
use std::io::{IoSlice, Read as _, Seek as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use support::{Folder, PATIENCE, Process, report};

/// Not a test: what a child process does. See [`obey`].
#[test]
fn child() {
    support::play(|_, words| obey(words));
}

/// What a child can be told.
///
/// | command | report |
/// |---|---|
/// | `instead` | `ok`, after everything that can come instead of a descriptor has come |
/// | `exhausted` | `ok`, after a descriptor has come and an offer been visited with none left |
/// | `offer PLACE` | `open`, then the process and user that came, or why nothing was given |
/// | `again` | the same, for the next who comes |
/// | `take PLACE TEXT`, `take-from-anyone PLACE TEXT` | `begin`, then `took`, after it has written TEXT into the file, or why not |
/// | `ask PLACE TEXT`, `leave` | `ok`: connects and says TEXT, and nothing else; and leaves |
fn obey(words: &[&str]) -> Option<String> {
    use std::cell::RefCell;
    thread_local! {
        static OFFER: RefCell<Option<(ringshm_fallback::handover::Offer, File)>> = const { RefCell::new(None) };
        static VISIT: RefCell<Option<OwnedFd>> = const { RefCell::new(None) };
    }
    Some(match *words {
        ["instead"] => {
            whatever_comes_instead();
            "ok".to_owned()
        }
        ["exhausted"] => {
            without_descriptors();
            "ok".to_owned()
        }
        ["offer", place] => {
            let offer = Handover::new(place).offer().expect("nobody offers there");
            OFFER.set(Some((offer, File::from(memfd(SealFlags::empty())))));
            "open".to_owned()
        }
        ["again"] => OFFER.with_borrow_mut(|offer| {
            let (offer, file) = offer.as_mut().expect("it is open");
            report("begin");
            match offer.give_by(&file, Deadline::after(PATIENCE)) {
                Ok(peer) => format!("{} {}", peer.pid.unwrap_or(0), peer.uid),
                Err(error) => error.to_string(),
            }
        }),
        ["contents"] => OFFER.with_borrow_mut(|offer| {
            let (_, file) = offer.as_mut().expect("it is open");
            let mut text = String::new();
            file.rewind().and_then(|()| file.read_to_string(&mut text)).expect("a file");
            text
        }),
        ["take" | "take-from-anyone", place, text] => {
            report("begin");
            let trusted = if words[0] == "take" { Trusted::SameUser } else { Trusted::Anyone };
            match Handover::new(place).trust(trusted).take_by(Deadline::after(PATIENCE)) {
                Ok(file) => {
                    File::from(file).write_all(text.as_bytes()).expect("a file");
                    "took".to_owned()
                }
                Err(error) => error.to_string(),
            }
        }
        ["ask", place, ref text @ ..] => {
            let socket = visitor(place);
            if !text.is_empty() {
                send(&socket, text.join(" ").as_bytes(), SendFlags::NOSIGNAL).expect("it is there");
            }
            VISIT.set(Some(socket));
            "ok".to_owned()
        }
        ["leave"] => {
            VISIT.set(None);
            OFFER.set(None);
            "ok".to_owned()
        }
        _ => return None,
    })
}

/// Connects to an offer.
fn visitor(place: &str) -> OwnedFd {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("a socket");
    let address = match place.strip_prefix('@') {
        Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes()),
        None => SocketAddrUnix::new(place),
    };
    connect(&socket, &address.expect("a short name")).expect("it is there");
    socket
}

/// A memfd of a page, and its seals.
fn memfd(seals: SealFlags) -> OwnedFd {
    let memfd = memfd_create("handed over", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("memory");
    ftruncate(&memfd, if seals.is_empty() { 0 } else { 4096 }).expect("memory");
    fcntl_add_seals(&memfd, seals).expect("it may be sealed");
    memfd
}

/// How many descriptors this process has open.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("proc is there").count()
}

/// Sends bytes, and descriptors with them.
fn post(socket: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).expect("it is there");
}

/// The two letters, as the documents have them: both crates of a pair need not be of the same version.
const DESCRIPTOR: &[u8] = b"ringshm: take it";
const SOLE_MEMFD: &[u8] = b"ringshm: keep it";

fn whatever_comes_instead() {
    let file = memfd(SealFlags::empty());
    let one = file.as_fd();
    let soon = || Deadline::after(PATIENCE);
    let before = descriptors();
    for (bytes, given, says) in [
        (DESCRIPTOR, &[][..], "no descriptor"),
        (DESCRIPTOR, &[one; 2], "more than one"),
        (DESCRIPTOR, &[one; 4], "more than one"),
        (DESCRIPTOR, &[one; 8], "too many"),
        (&DESCRIPTOR[..15], &[one], "does not say"),
        (b"good day", &[one], "does not say"),
        (b"good day", &[], "does not say"),
        (SOLE_MEMFD, &[one], "does not say"),
    ] {
        let (here, there) = UnixStream::pair().expect("sockets");
        post(&here, bytes, given);
        match take(&there, soon()) {
            Err(HandoverError::Rejected(rejection)) => assert!(rejection.reason.contains(says), "{says}: {rejection}"),
            other => panic!("{says}: {other:?}"),
        }
    }
    // What is no memfd that stays as it is.
    let sealed = [SealFlags::SHRINK, SealFlags::GROW, SealFlags::WRITE].map(memfd);
    let regular = File::open(std::env::current_exe().expect("a path")).expect("it is there");
    let unsuitable = sealed.iter().map(|memfd| (memfd.as_fd(), "seals"));
    for (descriptor, says) in unsuitable.chain([(regular.as_fd(), "file type"), (one, "seals")]) {
        let (here, there) = UnixStream::pair().expect("sockets");
        post(&here, SOLE_MEMFD, &[descriptor]);
        match take_memfd(&there, soon()) {
            Err(HandoverError::Open(OpenError::Corrupt { field })) => assert_eq!(field, says),
            other => panic!("{says}: {other:?}"),
        }
        // Who gives it is told so, too.
        let refusal = give_memfd(&here, descriptor, soon());
        assert!(matches!(refusal, Err(HandoverError::Open(OpenError::Corrupt { .. }))), "{refusal:?}");
    }
    drop((sealed, regular));
    // Nothing at all.
    let (here, there) = UnixStream::pair().expect("sockets");
    assert!(matches!(take(&there, Deadline::after(Duration::from_millis(5))), Err(HandoverError::Timeout)));
    drop(here);
    assert!(matches!(take(&there, soon()), Err(HandoverError::Disconnected)));
    assert!(matches!(give(&there, one, soon()), Err(HandoverError::Disconnected)));
    drop(there);
    assert_eq!(descriptors(), before);
    // What is right comes nevertheless, and is closed on exec; even from somebody who has gone.
    let (here, there) = UnixStream::pair().expect("sockets");
    give(&here, one, soon()).expect("there is room");
    let right = memfd(SealFlags::SHRINK | SealFlags::GROW);
    give_memfd(&here, &right, soon()).expect("there is room");
    drop((here, right));
    let taken = [take(&there, soon()).expect("it came"), take_memfd(&there, soon()).expect("it came").into_fd()];
    for taken in &taken {
        assert!(rustix::io::fcntl_getfd(taken).expect("open").contains(rustix::io::FdFlags::CLOEXEC));
    }
    drop((taken, there));
    assert_eq!(descriptors(), before);
    // Of a socket that does not take any more, the giver gets tired.
    let (here, there) = UnixStream::pair().expect("sockets");
    let tired = loop {
        if let Err(error) = give(&here, one, Deadline::after(Duration::from_millis(5))) {
            break error;
        }
    };
    assert!(matches!(tired, HandoverError::Timeout | HandoverError::Fault(_)), "{tired:?}");
    drop((here, there));
    assert_eq!(descriptors(), before);
}

fn without_descriptors() {
    let soon = || Deadline::after(PATIENCE);
    let place = format!("@ringshm-test-exhausted-{}", std::process::id());
    let mut offer = Handover::new(&place).offer().expect("nobody offers there");
    let file = memfd(SealFlags::empty());
    let (here, there) = UnixStream::pair().expect("sockets");
    give(&here, &file, soon()).expect("there is room");
    let taker = std::thread::spawn(move || Handover::new(&place).take_by(soon()));
    support::until("somebody comes", || {
        let table = std::fs::read_to_string("/proc/net/unix").expect("proc is there");
        table.contains(&format!("@ringshm-test-exhausted-{}", std::process::id()))
            && rustix::event::poll(
                &mut [rustix::event::PollFd::new(&offer, rustix::event::PollFlags::IN)],
                Some(&rustix::event::Timespec::default()),
            ) == Ok(1)
    });
    let limit = getrlimit(Resource::Nofile);
    let mut none = limit;
    // Those that are open have smaller numbers: it opens none that is not closed again.
    none.current = Some(
        file.as_fd().try_clone_to_owned().map(|next| std::os::fd::AsRawFd::as_raw_fd(&next) as u64).expect("one more"),
    );
    setrlimit(Resource::Nofile, none).expect("less is allowed");
    let taken = take(&there, soon());
    let given = offer.give_by(&file, soon());
    setrlimit(Resource::Nofile, limit).expect("so it was");
    match taken {
        Err(HandoverError::Rejected(rejection)) => assert!(rejection.reason.contains("ulimit -n"), "{rejection}"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(given, Err(HandoverError::Fault(_))), "{given:?}");
    // Whoever came is still there.
    offer.give_by(&file, soon()).expect("it waits");
    taker.join().expect("no panic").expect("it was given");
}

#[test]
fn whatever_comes_instead_is_refused_and_nothing_stays_open() {
    let folder = Folder::new();
    let mut child = Process::start(&folder);
    assert_eq!(child.ask("instead"), "ok");
    child.finish();
}

#[test]
fn a_process_without_descriptors_is_told_so_and_goes_on_when_it_has_some() {
    let folder = Folder::new();
    let mut child = Process::start(&folder);
    assert_eq!(child.ask("exhausted"), "ok");
    child.finish();
}

#[test]
fn an_offer_is_taken_by_one_after_the_other_whoever_starts_first() {
    let folder = Folder::new();
    for place in [folder.join("offer.sock"), format!("@ringshm-test-offer-{}", std::process::id())] {
        let [mut owner, mut early, mut late] = [(); 3].map(|()| Process::start(&folder));
        early.begin(&format!("take {place} early,"));
        assert!(early.sleeps());
        assert_eq!(owner.ask(&format!("offer {place}")), "open");
        let uid = rustix::process::getuid().as_raw();
        assert_eq!(owner.ask("again"), format!("{} {uid}", early.pid()));
        assert_eq!(early.hear(), "took");
        owner.begin("again");
        assert_eq!(late.ask(&format!("take {place} late")), "took");
        assert_eq!(owner.hear(), format!("{} {uid}", late.pid()));
        assert_eq!(owner.ask("contents"), "early,late", "both wrote by the same description");
        // A killed owner's place is free, and who waits for another finds it.
        owner.kill();
        early.begin(&format!("take {place} again"));
        let mut heir = Process::start(&folder);
        assert_eq!(heir.ask(&format!("offer {place}")), "open");
        assert_eq!(heir.ask("again"), format!("{} {uid}", early.pid()));
        assert_eq!(early.hear(), "took");
        assert_eq!(heir.ask("leave"), "ok");
        [early, late, heir].into_iter().for_each(Process::finish);
    }
}

#[test]
fn who_comes_and_does_not_ask_gets_nothing_and_does_not_keep_others_out() {
    let folder = Folder::new();
    let place = folder.join("offer.sock");
    let [mut owner, mut taker, mut visitor] = [(); 3].map(|()| Process::start(&folder));
    assert_eq!(owner.ask(&format!("offer {place}")), "open");
    for (text, leaves, says) in [
        ("", false, "did not say for a second"),
        ("", true, "asked for nothing, and left"),
        (" good day", false, "did not ask"),
        (" ringshm: give me more", false, "did not ask"),
        (" ringshm: give m", true, "did not ask"),
    ] {
        assert_eq!(visitor.ask(&format!("ask {place}{text}")), "ok");
        if leaves {
            assert_eq!(visitor.ask("leave"), "ok");
        }
        // It stands behind.
        taker.begin(&format!("take {place} text"));
        let said = owner.ask("again");
        assert!(said.contains(says) && said.contains(&format!("process {} ", visitor.pid())), "{said}");
        assert!(owner.ask("again").starts_with(&taker.pid().to_string()));
        assert_eq!(taker.hear(), "took");
    }
    // Whoever stands there when the owner leaves is told.
    taker.begin(&format!("take {place} text"));
    assert!(taker.sleeps());
    assert_eq!(owner.ask("leave"), "ok");
    let said = taker.hear();
    assert!(said.contains("left before") || said.contains("deadline"), "{said}");
    [owner, taker, visitor].into_iter().for_each(Process::finish);
}

/// Needs root: to be somebody else.
#[test]
fn another_user_gets_nothing_and_is_given_nothing() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can be two users");
        return;
    }
    const OTHER: u32 = 65_534;
    let folder = Folder::new();
    let place = format!("@ringshm-test-strangers-{}", std::process::id());
    let mut stranger = Process::start_with(&folder, |command| {
        std::os::unix::process::CommandExt::uid(command, OTHER);
    });
    let [mut owner, mut taker] = [(); 2].map(|()| Process::start(&folder));
    assert_eq!(owner.ask(&format!("offer {place}")), "open");
    for (how, says) in [("take", "another user"), ("take-from-anyone", "left before it gave")] {
        owner.begin("again");
        let refused = stranger.ask(&format!("{how} {place} mine"));
        assert!(refused.contains(says), "{refused}");
        let said = owner.hear();
        assert!(
            said.contains(&format!("process {} of user {OTHER} sent: it belongs to another user", stranger.pid())),
            "{said}"
        );
    }
    owner.begin("again");
    assert_eq!(taker.ask(&format!("take {place} mine")), "took");
    assert!(owner.hear().ends_with(" 0"));
    let soon = Deadline::after(PATIENCE);
    for (trusted, is_good) in [(Trusted::User(0), true), (Trusted::Anyone, true), (Trusted::User(OTHER), false)] {
        owner.begin("again");
        let taken = Handover::new(&place).trust(trusted).take_by(soon);
        assert_eq!(taken.is_ok(), is_good, "{taken:?}");
        owner.hear();
    }
    [owner, taker, stranger].into_iter().for_each(Process::finish);
}

#[test]
fn nobody_comes_and_nobody_offers() {
    let place = format!("@ringshm-test-nobody-{}", std::process::id());
    let soon = || Deadline::after(Duration::from_millis(5));
    assert!(matches!(Handover::new(&place).take_by(soon()), Err(HandoverError::Timeout)));
    let mut offer = Handover::new(&place).offer().expect("nobody offers there");
    assert!(matches!(offer.give_by(memfd(SealFlags::empty()), soon()), Err(HandoverError::Timeout)));
    assert!(matches!(Handover::new(&place).offer(), Err(OpenError::RoleTaken { .. })));
    // It is there, and does not get to it.
    assert!(matches!(Handover::new(&place).take_by(soon()), Err(HandoverError::Timeout)));
}
