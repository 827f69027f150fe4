//! Deaths: first at every crash point that anybody passes, then at any moment.

use crate::account;
use crate::crew::{Crew, Orders, Role, Site};
use crate::dice::Dice;
use crate::report::Report;
use crate::support::Kind;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The visits to a crash point at which somebody is killed: the first, and some when the ring has been full, empty and round.
const VISITS: [u64; 3] = [1, 2, 7];
/// Messages after which a participant that is to die at a crash point leaves, so that it passes those of leaving too.
const TURNS: u64 = 60;
/// How long such a participant gets.
const WHILE: Duration = Duration::from_millis(400);
/// The pause between two baits.
const BAIT: Duration = Duration::from_millis(15);
/// Deaths that leave claims behind, so that there is something to recover.
const CLAIMS: [(Role, &str); 2] = [(Role::Producer, "mpmc.send_claimed"), (Role::Consumer, "mpmc.recv_claimed")];
/// Deaths at any moment in one ring.
const ROUNDS: u64 = 25;

/// Messages that a small ring has room for.
pub(crate) fn usual_capacity(kind: Kind) -> u64 {
    // Of frames, three consumers hold two each.
    if kind.is_of_frames() { 8 } else { 4 }
}

/// Kills participants of both roles of a ring at every crash point that its participants pass, until there is no new one or
/// `most` have died.
pub(crate) fn directed(kind: Kind, site: Site, most: u64, report: &mut Report) {
    let mut crew = Crew::of(kind, site, usual_capacity(kind), 0);
    Role::BOTH.into_iter().rev().for_each(|role| start(&mut crew, role, None));
    crew.moves("at the start");
    let mut done = BTreeSet::new();
    let begun = report.kills;
    while let Some((role, point, visit)) = next(&crew, &done) {
        done.insert((role.word(), point.clone(), visit));
        if report.kills - begun >= most {
            break;
        }
        if crew.strength(role) == 1 {
            // The role is free for the one that is to die.
            let present = crew.present(role)[0];
            crew.kill(present);
            crew.await_end(present, WHILE);
            report.killed();
        }
        let victim = crew.workers.len();
        start(&mut crew, role, Some((&point, visit)));
        await_death(&mut crew, victim, report);
        if crew.workers[victim].was_killed {
            report.killed_at(kind.word(), role.word(), &point);
        }
        Role::BOTH.into_iter().for_each(|role| refill(&mut crew, role));
        report.moved(crew.moves(&format!("{} {} killed at {point}:{visit}", kind.word(), role.word())));
    }
    crew.finish();
    report.messages += account::check(&crew);
}

fn log_of(crew: &Crew, role: Role) -> String {
    crew.folder.path().join(format!("points-{}", role.word())).display().to_string()
}

/// Starts a participant that notes the crash points that it passes, and may be killed at one.
fn start(crew: &mut Crew, role: Role, death: Option<(&str, u64)>) {
    let mut variables = vec![("RINGSHM_CRASH_LOG", log_of(crew, role))];
    variables.extend(death.map(|(point, visit)| ("RINGSHM_CRASH_AT", format!("{point}:{visit}"))));
    crew.start(role, &Orders { turns: death.map(|_| TURNS), variables });
}

fn refill(crew: &mut Crew, role: Role) {
    while crew.present(role).len() < crew.strength(role) {
        start(crew, role, None);
    }
}

/// A role, a crash point that its owners pass, and a visit to it that have not had their turn. One role after the other, and first visits first: there may
/// not be time for all.
fn next(crew: &Crew, done: &BTreeSet<(&'static str, String, u64)>) -> Option<(Role, String, u64)> {
    let [one, other] = Role::BOTH;
    for role in if done.len() % 2 == 0 { [one, other] } else { [other, one] } {
        let points = std::fs::read_to_string(log_of(crew, role)).unwrap_or_default();
        let points: BTreeSet<&str> = points.lines().collect();
        for visit in VISITS {
            for point in &points {
                if !done.contains(&(role.word(), (*point).to_owned(), visit)) {
                    return Some((role, (*point).to_owned(), visit));
                }
            }
        }
    }
    None
}

/// Waits until the victim dies, leaves or has taken too long. Meanwhile others die with claims, so that there is something to
/// recover.
fn await_death(crew: &mut Crew, victim: usize, report: &mut Report) {
    let start = Instant::now();
    let mut bait: Option<(usize, Instant)> = None;
    let has_claims = crew.place.kind.has_many_sources();
    let mut turn = 0;
    while !crew.has_ended(victim) {
        if start.elapsed() > WHILE {
            crew.kill(victim);
            crew.await_end(victim, WHILE);
            report.killed();
            break;
        }
        let is_time = start.elapsed() > BAIT && bait.is_none_or(|(_, since)| since.elapsed() > BAIT);
        if has_claims && is_time {
            bait.into_iter().for_each(|(bait, _)| end(crew, bait, report));
            let (role, point) = CLAIMS[turn % CLAIMS.len()];
            bait = Some((crew.workers.len(), Instant::now()));
            self::start(crew, role, Some((point, 3)));
            turn += 1;
        }
        std::thread::sleep(Duration::from_micros(30));
    }
    bait.into_iter().for_each(|(bait, _)| end(crew, bait, report));
}

fn end(crew: &mut Crew, index: usize, report: &mut Report) {
    if !crew.has_ended(index) {
        crew.kill(index);
        crew.await_end(index, WHILE);
    }
    if crew.workers[index].was_killed {
        report.killed();
    }
}

/// Kills participants of a ring at any moment, up to so many.
pub(crate) fn random(kind: Kind, site: Site, dice: &mut Dice, most: u64, report: &mut Report) {
    // Slots for frames that are held, too: one, two, three or five by each consumer.
    let capacities = if kind.is_of_frames() { [5, 8, 11, 17] } else { [1, 2, 4, 16] };
    let capacity = capacities[dice.below(4) as usize];
    let origin = [0, (1 << 32) - 1000, 0_u64.wrapping_sub(1000)][dice.below(3) as usize];
    let mut crew = Crew::of(kind, site, capacity, origin);
    Role::BOTH.into_iter().rev().for_each(|role| crew.fill(role));
    crew.moves("at the start");
    for _ in 0..most.min(ROUNDS) {
        std::thread::sleep(Duration::from_micros(dice.below(3000)));
        let role = Role::BOTH[dice.below(2) as usize];
        let present = crew.present(role);
        // One reader of a broadcast ring sees everything: what nobody was there for is nobody's.
        let spared = usize::from(kind.gives_all_to_all() && role == Role::Consumer);
        let victim = present[spared..][dice.below((present.len() - spared) as u64) as usize];
        crew.signal(victim, Signal::KILL);
        report.killed();
        let death = Instant::now();
        if crew.strength(role) == 1 {
            // Nothing moves without a successor.
            crew.start(role, &Orders::default());
        }
        crew.moves(&format!("{} of {capacity} from {origin}: a {} killed", kind.word(), role.word()));
        report.moved(death.elapsed());
        crew.await_end(victim, WHILE);
        crew.fill(role);
    }
    crew.finish();
    report.messages += account::check(&crew);
}
