//! Participants that are alive and do not move, in the middle of a claim if they can be caught there. Nobody may take them for
//! dead, however long that lasts.

use crate::account;
use crate::crew::{Crew, HANG, Orders, Role, Site};
use crate::dice::Dice;
use crate::killing::usual_capacity;
use crate::report::Report;
use crate::support::{Kind, is_root};
use crate::worker::{LIFE, Life};
use ringshm::OpenError;
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// How long a participant does not move: some times the patience after which the kernel is asked about it.
const STILL: Duration = Duration::from_millis(4);
/// Messages after which such a participant leaves.
const TURNS: u64 = 30;
/// The most rounds in one ring.
const ROUNDS: u64 = 20;
/// Where participants are stopped.
const POINTS: [(Kind, Role, &[&str]); 13] = [
    (Kind::Mpmc, Role::Producer, &["mpmc.send_announced", "mpmc.send_claimed", "mpmc.written", "mpmc.published"]),
    (Kind::Mpmc, Role::Consumer, &["mpmc.recv_announced", "mpmc.recv_claimed", "mpmc.read", "mpmc.released"]),
    (Kind::MpmcOnce, Role::Producer, &["mpmc.send_claimed", "mpmc.written"]),
    (Kind::MpmcOnce, Role::Consumer, &["mpmc.recv_claimed", "mpmc.read"]),
    (Kind::Broadcast, Role::Consumer, &["broadcast.joined", "broadcast.read", "broadcast.released"]),
    (Kind::MpmcBytes, Role::Consumer, &["mpmc.recv_claimed", "mpmc.read"]),
    (Kind::Records, Role::Consumer, &["broadcast.joined", "broadcast.read"]),
    (Kind::Records, Role::Producer, &["broadcast.reached", "broadcast.half_marked", "broadcast.written"]),
    (Kind::Latest, Role::Producer, &["latest.begun", "latest.written", "latest.published"]),
    (Kind::Spsc, Role::Producer, &["slots.claimed", "spsc.written", "spsc.published"]),
    (Kind::SpscShort, Role::Producer, &["slots.claimed", "express.begun", "spsc.written", "spsc.published"]),
    (Kind::Frames, Role::Producer, &["frames.claimed", "frames.marked", "frames.advanced", "frames.published"]),
    (Kind::Frames, Role::Consumer, &["frames.seated", "frames.subscribed", "frames.held", "frames.read"]),
];

/// Has so many participants stand still.
pub(crate) fn run(site: Site, rounds: u64, dice: &mut Dice, deadline: Instant, report: &mut Report) {
    let mut left = rounds;
    let each = rounds.div_ceil((POINTS.len() * Life::ALL.len()) as u64).clamp(1, ROUNDS);
    while left > 0 && Instant::now() < deadline {
        for (kind, role, points) in POINTS {
            for life in Life::ALL {
                if left == 0 || life == Life::Namespaced && !is_root() {
                    continue;
                }
                if life == Life::Forked && site == Site::SystemV {
                    // A forked copy keeps nobody alive there, and cannot do anything in the ring.
                    continue;
                }
                let most = left.min(each);
                report.says(format!("{} {} {}, live", life.word(), kind.word(), role.word()));
                ring((kind, site), role, points, life, most, dice, report);
                left -= most;
            }
        }
    }
}

/// What the survivors have recovered from dead participants, as the ring itself says. Of frames it does not say that: who holds one notices if it
/// is taken away.
fn recovered(crew: &Crew) -> u64 {
    if crew.place.kind.is_of_frames() {
        return 0;
    }
    let directory = ringshm::Directory::new(&crew.place.folder);
    let ring = ringshm::inspect(&directory, &crew.place.name).expect("the ring is there");
    ring.participants.iter().map(|one| one.torn + one.redelivered + one.lost).sum()
}

/// Rounds in one ring. Where nobody dies, every message comes exactly once, and none is marked.
fn ring(
    (kind, site): (Kind, Site),
    role: Role,
    points: &[&str],
    life: Life,
    rounds: u64,
    dice: &mut Dice,
    report: &mut Report,
) {
    let mut crew = Crew::of(kind, site, usual_capacity(kind), 0);
    for other in Role::BOTH.into_iter().rev() {
        // A single place is for those that are to stand still.
        if other != role || crew.strength(role) > 1 {
            crew.fill(other);
        }
    }
    for _ in 0..rounds {
        let point = points[dice.below(points.len() as u64) as usize];
        round(&mut crew, role, life, point, 1 + dice.below(6), report);
        report.lives += 1;
    }
    Role::BOTH.into_iter().for_each(|role| crew.fill(role));
    crew.finish();
    report.messages += account::check(&crew);
    let is_deadly = life == Life::Forked;
    assert!(is_deadly || recovered(&crew) == 0, "somebody alive was recovered from");
}

fn round(crew: &mut Crew, role: Role, life: Life, point: &str, visit: u64, report: &mut Report) {
    let what = format!("{} {} {} at {point}:{visit}", life.word(), crew.place.kind.word(), role.word());
    let signal = if life == Life::Forked { "RINGSHM_CRASH_AT" } else { "RINGSHM_STOP_AT" };
    let variables = vec![(signal, format!("{point}:{visit}")), (LIFE, life.word().to_owned())];
    let index = crew.start(role, &Orders { turns: Some(TURNS), variables });
    if !crew.stands_still(index, &what) {
        // It left before it came to that point so often.
        assert!(crew.await_real_end(index, HANG), "{what}: it does not end");
        return;
    }
    let before = recovered(crew);
    let start = Instant::now();
    while start.elapsed() < STILL {
        assert_is_seen(crew, role, &what);
        std::thread::sleep(Duration::from_micros(500));
    }
    assert_eq!(recovered(crew), before, "{what}: taken for dead");
    match life {
        Life::Forked => {
            crew.signal_real(index, Signal::KILL);
            report.killed();
        }
        _ => crew.signal_real(index, Signal::CONT),
    }
    assert!(crew.await_real_end(index, HANG), "{what}: it does not go on");
}

/// Whoever wants the only place of a role is told that it is taken.
fn assert_is_seen(crew: &Crew, role: Role, what: &str) {
    if crew.strength(role) == 1 {
        let refusal = match role {
            Role::Producer => crew.place.source().err(),
            Role::Consumer => crew.place.sink().err(),
        };
        let is_taken = matches!(refusal, Some(OpenError::RoleTaken { .. } | OpenError::Busy { .. }));
        assert!(is_taken, "{what}: its role was given away");
    }
}
