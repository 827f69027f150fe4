//! Many processes at once, and a check that nothing went wrong; without deaths, and with them.

use crate::open;
use crate::support::{Folder, Process};

const CROWD: usize = 4;

#[test]
fn what_all_add_is_the_sum() {
    for how in ["", "park"] {
        let folder = Folder::new();
        let mut crowd = [(); CROWD].map(|()| open(&folder, &[&format!("mutex {how}"), &format!("rwlock {how}")]));
        for (add, last) in [("y-add", "y-lock"), ("y-write-many", "y-read")] {
            crowd.iter_mut().for_each(|process| process.begin(&format!("{add} 2000")));
            crowd.iter_mut().for_each(|process| _ = process.hear());
            assert_eq!(crowd[0].ask(last), (2000 * CROWD).to_string(), "{add} {how}");
        }
        crowd.into_iter().for_each(Process::finish);
        folder.assert_empty();
    }
}

#[test]
fn readers_and_writers_never_see_half_a_value() {
    let folder = Folder::new();
    let mut crowd = [(); CROWD].map(|()| open(&folder, &["rwlock"]));
    for (index, process) in crowd.iter_mut().enumerate() {
        process.begin(if index % 2 == 0 { "y-read-many 3000" } else { "y-write-many 1000" });
    }
    crowd.iter_mut().for_each(|process| _ = process.hear());
    assert_eq!(crowd[0].ask("y-read"), (1000 * CROWD / 2).to_string());
    crowd.into_iter().for_each(Process::finish);
    folder.assert_empty();
}

/// Some of the crowd are killed in the middle of it, wherever they are. What the others see is never torn without a warning, and what they have
/// added is there.
#[test]
fn deaths_in_a_crowd_lose_nothing_of_the_others() {
    for add in ["y-add", "y-write-many"] {
        let folder = Folder::new();
        let mut crowd = [(); CROWD].map(|()| open(&folder, &["mutex park", "rwlock park"]));
        let mut dead = 0;
        for _ in 0..10 {
            let mut doomed = [(); 2].map(|()| open(&folder, &["mutex", "rwlock"]));
            crowd.iter_mut().for_each(|process| process.begin(&format!("{add} 200")));
            doomed.iter_mut().for_each(|process| process.begin(&format!("{add} 100000")));
            crowd[0].hear();
            doomed.iter_mut().for_each(Process::kill);
            dead += doomed.len();
            crowd[1..].iter_mut().for_each(|process| _ = process.hear());
        }
        let value: usize = crowd[0].ask(&format!("{add} 1")).parse().expect("a number");
        assert!(value > 10 * 200 * CROWD, "{value} after {dead} deaths");
        crowd.into_iter().for_each(Process::finish);
        folder.assert_empty();
    }
}

#[test]
fn every_waiter_hears_of_every_change() {
    let folder = Folder::new();
    let mut notifier = open(&folder, &["mutex", "condvar"]);
    let mut waiters = [(); CROWD].map(|()| open(&folder, &["mutex park", "condvar park"]));
    for n in 1..100 {
        waiters.iter_mut().for_each(|waiter| waiter.begin(&format!("y-await {n}")));
        assert_eq!(notifier.ask(&format!("y-set {n} {}", if n % 2 == 0 { "all" } else { "one" })), "ok");
        waiters.iter_mut().for_each(|waiter| assert_eq!(waiter.hear(), n.to_string()));
    }
    waiters.into_iter().for_each(Process::finish);
    notifier.finish();
    folder.assert_empty();
}

#[test]
fn a_crowd_meets_again_and_again() {
    let folder = Folder::new();
    let parties = format!("barrier parties={CROWD}");
    let mut crowd = [(); CROWD].map(|()| open(&folder, &[&parties]));
    crowd.iter_mut().for_each(|process| process.begin("y-meet 200"));
    for process in &mut crowd {
        (0..200).for_each(|n| assert_eq!(process.hear(), format!("did {n}")));
        assert_eq!(process.hear(), "met 200");
    }
    crowd.into_iter().for_each(Process::finish);
    folder.assert_empty();
}

#[test]
fn of_a_crowd_one_does_it() {
    let elsewhere = Folder::for_leftovers();
    for round in 0..20 {
        let folder = Folder::new();
        let log = elsewhere.path().join(round.to_string());
        let mut crowd = [(); CROWD].map(|()| open(&folder, &["once"]));
        crowd.iter_mut().for_each(|process| process.begin(&format!("y-once {}", log.display())));
        let said = crowd.each_mut().map(Process::hear);
        assert_eq!(said.iter().filter(|said| *said == "ran").count(), 1, "{said:?}");
        assert_eq!(said.iter().filter(|said| *said == "was done").count(), CROWD - 1, "{said:?}");
        assert_eq!(std::fs::read_to_string(&log).expect("it was done"), "done\n");
        crowd.into_iter().for_each(Process::finish);
        folder.assert_empty();
    }
}
