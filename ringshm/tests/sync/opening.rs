//! Opening, looking at and removing locks and meeting points.

use crate::open;
use crate::support::{Folder, Process};
use ringshm::sync::{TryLockError, barrier, condvar, mutex, once, rwlock};
use ringshm::{OpenError, Sweep, Verdict};

#[test]
fn the_last_one_to_leave_removes_it_unless_it_is_to_be_kept() {
    let folder = Folder::new();
    let mut first = open(&folder, &["mutex value=5", "rwlock value=6", "condvar", "barrier", "once"]);
    let mut second = open(&folder, &["mutex value=9", "rwlock"]);
    assert_eq!(second.ask("y-lock"), "5", "the value is the creator's");
    assert_eq!(second.ask("y-read"), "6");
    assert_eq!(first.ask("y-detach"), "ok");
    second.finish();
    assert_eq!(folder.entries().len(), 5, "kept for a successor");
    let mut third = open(&folder, &["mutex", "rwlock", "condvar", "barrier", "once"]);
    assert_eq!(third.ask("y-lock"), "5");
    assert_eq!(third.ask("y-leave"), "ok");
    folder.assert_empty();
    first.finish();
    third.finish();
}

#[test]
fn a_killed_participant_leaves_the_value_to_whoever_comes_and_garbage_if_nobody_does() {
    let folder = Folder::new();
    let collect = |sweep| {
        let name = ringshm::Name::new("mutex").expect("a name");
        ringshm::collect(&folder.directory(), &name, sweep).expect("a mutex")
    };
    let mut doomed = open(&folder, &["mutex value=5"]);
    assert!(matches!(collect(Sweep::Garbage), Verdict::InUse { .. }));
    doomed.kill();
    let mut successor = open(&folder, &["mutex"]);
    assert_eq!(successor.ask("y-lock"), "5");
    successor.kill();
    assert_eq!(collect(Sweep::Nothing), Verdict::Over);
    assert_eq!(folder.entries().len(), 1);
    assert_eq!(collect(Sweep::Garbage), Verdict::Over);
    folder.assert_empty();
    let mut keeper = open(&folder, &["mutex"]);
    assert_eq!(keeper.ask("y-detach"), "ok");
    assert_eq!(collect(Sweep::Garbage), Verdict::Unfinished);
    assert_eq!(collect(Sweep::Deserted), Verdict::Unfinished);
    keeper.finish();
    folder.assert_empty();
}

#[test]
fn who_expects_something_else_is_refused() {
    let folder = Folder::new();
    let path = folder.path();
    let _mutex = mutex::<u64>("thing").directory(path).open().expect("a new mutex");
    let refused =
        |result: Result<(), OpenError>| assert!(matches!(result, Err(OpenError::LayoutMismatch { .. })), "{result:?}");
    refused(mutex::<[u32; 2]>("thing").directory(path).open().map(drop));
    refused(mutex::<u64>("thing").directory(path).schema(1).open().map(drop));
    refused(rwlock::<u64>("thing").directory(path).open().map(drop));
    refused(once("thing").directory(path).open().map(drop));
    refused(condvar("thing").directory(path).open().map(drop));
    refused(ringshm::spsc::<u64>("thing").directory(path).producer().map(drop));
    refused(ringshm::mpmc::<u64>("thing").directory(path).producer().map(drop));
    let _barrier = barrier("meeting", 3).directory(path).open().expect("a new barrier");
    let error = barrier("meeting", 2).directory(path).open().expect_err("another number");
    assert!(error.to_string().contains("3 parties") && error.to_string().contains("2 parties"), "{error}");
    let impossible =
        |result: Result<(), OpenError>| assert!(matches!(result, Err(OpenError::InvalidOption { .. })), "{result:?}");
    impossible(barrier("other", 0).directory(path).open().map(drop));
    impossible(mutex::<u64>("other").participants(65).directory(path).open().map(drop));
    assert!(matches!(mutex::<u64>("no/name").directory(path).open(), Err(OpenError::InvalidName { .. })));
}

#[test]
fn it_takes_as_many_as_it_was_made_for() {
    let folder = Folder::new();
    let open = || mutex::<u64>("few").participants(2).directory(folder.path()).open();
    let first = open().expect("the first");
    let second = open().expect("the second");
    let error = open().expect_err("a third");
    assert!(matches!(error, OpenError::RoleTaken { role: "participant", lanes: 2, .. }), "{error:?}");
    drop(first);
    drop(open().expect("in the first one's place"));
    drop(second);
    folder.assert_empty();
}

#[test]
fn who_looks_from_outside_sees_who_holds_it() {
    let folder = Folder::new();
    let state = |name| ringshm::inspect(&folder.directory(), name).expect("it is there").state.expect("it is no ring");
    let mut holder = open(&folder, &["mutex", "rwlock"]);
    let other = open(&folder, &["mutex", "rwlock", "once", "barrier", "condvar"]);
    assert_eq!([state("mutex"), state("rwlock"), state("once")], ["free", "free", "not done"]);
    assert_eq!([state("condvar"), state("barrier")], ["nobody waits", "0 meetings"]);
    assert_eq!(holder.ask("y-hold"), "held");
    assert_eq!(state("mutex"), format!("held by process {} (lane 0)", holder.pid()));
    assert_eq!(holder.ask("y-hold-read"), "held");
    assert_eq!(state("rwlock"), "read by 1");
    holder.kill();
    let mut mender = open(&folder, &["mutex"]);
    assert_eq!(mender.ask("y-lock"), "0 in doubt");
    assert_eq!(state("mutex"), "free, in doubt: a holder died");
    let snapshot = ringshm::inspect(&folder.directory(), "mutex").expect("it is there");
    assert_eq!((snapshot.participants.len(), snapshot.used(), snapshot.queued()), (2, 0, Some(0)));
    assert!(matches!(ringshm::remove(&folder.directory(), "mutex", false), Err(OpenError::InUse { .. })));
    [mender, other].into_iter().for_each(Process::finish);
    folder.assert_empty();
}

#[test]
fn a_memfd_has_no_name_and_works_the_same() {
    let memfd = mutex::<u64>("label").value(3).memfd().expect("a memfd");
    let mut first = mutex::<u64>("").open_of(&memfd).expect("a place");
    let mut second = mutex::<u64>("").open_of(&memfd).expect("a place");
    {
        let mut guard = first.lock().expect("a sound lock");
        assert!(matches!(second.try_lock(), Err(TryLockError::WouldBlock)));
        *guard += 1;
    }
    core::mem::forget(first.lock().expect("a sound lock"));
    drop(first);
    let guard = second.lock().expect_err("its holder is gone").into_guard().expect("it is locked");
    assert_eq!(*guard, 4);
}

#[test]
fn a_handle_in_a_forked_child_is_refused_and_gives_nothing_back() {
    let folder = Folder::new();
    let open = || mutex::<u64>("forked").directory(folder.path()).open().expect("a place");
    let (mut parent, mut other) = (open(), open());
    let guard = parent.lock().expect("a sound lock");
    // SAFETY: the child calls what is async-signal-safe, or takes no lock that another thread may have had: it drops, looks, and ends.
    #[allow(unsafe_code, reason = "fork is what is tested")]
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(guard);
        let refused = matches!(other.try_lock(), Err(TryLockError::Fault(ringshm::Fault::Forked)));
        // SAFETY: ends the child without running what belongs to the parent.
        #[allow(unsafe_code, reason = "as above")]
        unsafe {
            libc::_exit(i32::from(!refused))
        };
    }
    let mut status = 0;
    // SAFETY: a child of this process, and a place for its status.
    #[allow(unsafe_code, reason = "as above")]
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((waited, status), (child, 0), "the child's handle worked");
    assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)), "the child gave the parent's lock back");
    drop(guard);
    drop(other.lock().expect("a sound lock"));
    drop((parent, other));
}
