//! Histories of real processes, compared with a queue, a feed or a register that does one thing at a time.
//!
//! In each round some processes call `try_send` and `try_recv` on a small ring, all at once. Each writes down when a call
//! began, when it ended, and what it said, `Full`, `Empty` and `Lagged` included; some are killed. Then a checker (Wing and Gong's, with
//! Lowe's memory) looks for an order of all calls in which a bounded queue, or what else the ring is, would have given the same answers,
//! and which puts no call before another that had ended before it began. `RINGSHM_HISTORIES` says how many rounds there are of each kind.

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod player;
mod queue;
mod readers;

use calls::{Call, Deed, Event, is_linearizable};
use player::{LOG, PLAYER};
use queue::Bounded;
use readers::{Feed, Frames, Register};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;
use support::{Folder, Kind, Place, Received, Sink, Stop};
use todc_utils::specifications::Specification;

/// Not a test: what a child process does.
#[test]
fn child() {
    if let Ok(words) = std::env::var(PLAYER) {
        player::run(&words);
    }
}

fn rounds() -> u64 {
    std::env::var("RINGSHM_HISTORIES").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(60)
}

/// A process that takes part in a round.
struct Player {
    child: Child,
    log: PathBuf,
}

impl Player {
    fn start(place: &Place, role: &str, number: usize, calls: u64) -> Self {
        let log = place.folder.join(format!("log-{number}"));
        let mut command = Command::new(std::env::current_exe().expect("a test binary knows its path"));
        command.args(["child", "--exact", "--nocapture", "--test-threads=1"]);
        command.env(PLAYER, format!("{role} {number} {calls} {}", place.words())).env(LOG, &log);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("this test can start itself");
        Self { child, log }
    }

    fn is_ready(&mut self) {
        let stdout = self.child.stdout.as_mut().expect("it was piped");
        let ready = BufReader::new(stdout).lines().map_while(Result::ok).any(|line| line == "ready");
        assert!(ready, "a player could not begin");
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is played.
#[derive(Clone, Copy)]
struct Game {
    kind: Kind,
    capacity: u64,
    consumers: usize,
    producers: usize,
    /// Of each player.
    calls: u64,
}

/// Plays one round, in which one player may be killed at any moment, and checks it.
fn play<S: Specification<Operation = Event>>(game: Game, kill: Option<(usize, Duration)>, round: u64) {
    let Game { kind, capacity, consumers, producers, calls } = game;
    let folder = Folder::for_leftovers();
    // Multiples of eight, which positions of records are.
    let origin = [0, (1 << 32) - 8, 0_u64.wrapping_sub(8)][round as usize % 3];
    let place = Place {
        kind,
        folder: folder.path().to_owned(),
        name: "history".to_owned(),
        capacity,
        origin,
        is_silent: false,
    };
    // A reader from the beginning, that only looks at the end.
    let witness = kind.is_lossy().then(|| place.sink().expect("a new ring"));
    let roles = [("consumer", consumers), ("producer", producers)];
    let roles = roles.into_iter().flat_map(|(role, count)| std::iter::repeat_n(role, count));
    let mut players: Vec<Player> =
        roles.enumerate().map(|(number, role)| Player::start(&place, role, number, calls)).collect();
    players.iter_mut().for_each(Player::is_ready);
    let moment = player::now() + 150_000;
    let mut cues: Vec<ChildStdin> =
        players.iter_mut().map(|player| player.child.stdin.take().expect("it was piped")).collect();
    cues.iter_mut().for_each(|cue| cue.write_all(&moment.to_ne_bytes()).expect("it waits for this"));
    if let Some((victim, delay)) = kill {
        while player::now() < moment + delay.as_nanos() as u64 {
            std::hint::spin_loop();
        }
        // It may have ended.
        let _ = players[victim].child.kill();
    }
    for producer in &mut players[consumers..] {
        producer.child.wait().expect("it is a child");
    }
    // Consumers leave when nothing more is sent: who leaves before is waited for no longer.
    drop(cues);
    let mut calls: Vec<Call> = Vec::new();
    let mut pending = None;
    for (process, player) in players.iter_mut().enumerate() {
        let status = player.child.wait().expect("it is a child");
        let may_die = kill.is_some_and(|(victim, _)| victim == process);
        assert!(status.success() || may_die, "player {process}: {status}");
        let (made, unfinished) = player::read(&std::fs::read(&player.log).unwrap_or_default());
        calls.extend(made.into_iter().map(|(begin, end, deed)| Call { process, begin, end, deed }));
        pending = unfinished.map(|(begin, number)| (process, begin, number)).or(pending);
    }
    if kind != Kind::Frames {
        // Who comes late begins with what is still there, which is nothing to those that take every frame.
        calls.extend(leftovers(&place, players.len(), witness));
    }
    place.remove();
    let explains = |last: Option<Deed>| {
        let mut calls = calls.clone();
        if let (Some(deed), Some((process, begin, _))) = (last, pending) {
            calls.push(Call { process, begin, end: u64::MAX, deed });
        }
        is_linearizable::<S>(&calls)
    };
    let possible: Vec<Option<Deed>> = match pending {
        None => vec![None],
        // What a reader does is nothing to others.
        Some((process, _, _)) if process < consumers && kind.gives_all_to_all() => vec![None],
        Some((process, _, _)) if process < consumers => {
            vec![None, Some(Deed::DiedHolding), Some(Deed::DiedReceiving)]
        }
        Some((_, _, number)) if kind.gives_all_to_all() => vec![None, Some(Deed::DiedSending(number))],
        Some((_, _, number)) => vec![None, Some(Deed::DiedSending(number)), Some(Deed::DiedClaiming)],
    };
    let is_explained = possible.into_iter().any(explains);
    calls.sort_by_key(|call| call.begin);
    assert!(
        is_explained,
        "{} of {capacity}, round {round}: nothing that it could be says this: {calls:#?}, then {pending:?}",
        kind.word()
    );
}

/// What is left in the ring is received too, by this process: part of the history. A witness is not told of anything that it might have
/// missed but by the ring.
fn leftovers(place: &Place, process: usize, witness: Option<Box<dyn Sink>>) -> Vec<Call> {
    let sees_all = witness.is_some();
    let mut sink = witness.unwrap_or_else(|| place.sink().expect("the players are gone"));
    let mut calls = Vec::new();
    loop {
        let begin = player::now();
        let answer = sink.recv_by(Duration::from_millis(if calls.is_empty() { 12 } else { 3 }));
        let end = player::now();
        let deed = match answer {
            Ok(Received { parcel, redelivered: true }) => Deed::Redelivered(parcel.number()),
            Ok(Received { parcel, redelivered: false }) => Deed::Received(parcel.number()),
            // The frame was taken, and comes now.
            Err(Stop::Lagged(_)) if place.kind == Kind::NewestFrame => continue,
            Err(Stop::Lagged(missed)) => Deed::Lagged(missed),
            Err(_) if sees_all => Deed::Empty,
            Err(_) => return calls,
        };
        calls.push(Call { process, begin, end, deed });
        if deed == Deed::Empty {
            return calls;
        }
    }
}

/// A player that is killed at some moment between the first call and after the last.
fn death(players: usize, round: u64) -> Option<(usize, Duration)> {
    Some((round as usize % players, Duration::from_nanos(round * 977 % 30_000)))
}

#[test]
fn spsc_histories_are_those_of_a_queue() {
    let game = |kind, capacity| Game { kind, capacity, consumers: 1, producers: 1, calls: 12 };
    for round in 0..rounds() {
        play::<Bounded<1>>(game(Kind::Spsc, 1), None, round);
        play::<Bounded<4>>(game(Kind::Spsc, 4), None, round);
        play::<Bounded<4>>(game(Kind::SpscShort, 4), None, round);
    }
}

fn shared(kind: Kind, capacity: u64) -> Game {
    Game { kind, capacity, consumers: 2, producers: 2, calls: 6 }
}

#[test]
fn mpmc_histories_are_those_of_a_queue() {
    for round in 0..rounds() {
        play::<Bounded<1>>(shared(Kind::Mpmc, 1), None, round);
        play::<Bounded<2>>(shared(Kind::Mpmc, 2), None, round);
        play::<Bounded<4>>(shared(Kind::Mpmc, 4), None, round);
        play::<Bounded<2>>(shared(Kind::MpmcBytes, 2), None, round);
    }
}

#[test]
fn mpmc_histories_with_a_death_are_those_of_a_queue() {
    for round in 0..rounds() {
        play::<Bounded<2>>(shared(Kind::Mpmc, 2), death(4, round), round);
        play::<Bounded<4>>(shared(Kind::Mpmc, 4), death(4, round), round);
        play::<Bounded<2>>(shared(Kind::MpmcBytes, 2), death(4, round), round);
    }
}

fn read(kind: Kind, capacity: u64) -> Game {
    Game { kind, capacity, consumers: 2, producers: 1, calls: 16 }
}

#[test]
fn histories_of_lossy_readers_are_those_of_a_feed_with_exact_lag() {
    for round in 0..rounds() {
        let kill = if round % 2 == 0 { None } else { death(3, round) };
        play::<Feed<2>>(read(Kind::Lossy, 2), kill, round);
        play::<Feed<4>>(read(Kind::Lossy, 4), kill, round);
        // Of records, two that are longest may be all that there is room for, and one of them that which is being sent.
        play::<Feed<1>>(read(Kind::LossyRecords, 1), kill, round);
    }
}

#[test]
fn histories_of_the_newest_value_are_those_of_a_register() {
    for round in 0..rounds() {
        play::<Register>(read(Kind::Latest, 4), None, round);
        play::<Register>(read(Kind::Latest, 4), death(3, round), round);
    }
}

#[test]
fn histories_of_every_frame_are_those_of_a_queue_for_each_consumer() {
    for round in 0..rounds() {
        play::<Frames<4>>(read(Kind::Frames, 4), None, round);
        // The producer: a dead consumer is in the way for as long as it takes to find that out.
        let kill = death(1, round).map(|(_, delay)| (2, delay));
        play::<Frames<5>>(read(Kind::Frames, 5), kill, round);
    }
}

#[test]
fn histories_of_the_newest_frame_are_those_of_a_register() {
    for round in 0..rounds() {
        play::<Register>(read(Kind::NewestFrame, 5), None, round);
        play::<Register>(read(Kind::NewestFrame, 5), death(3, round), round);
    }
}
