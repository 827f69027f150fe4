//! Histories of real processes, compared with a queue that does one thing at a time.
//!
//! In each round some processes call `try_send` and `try_recv` on a small ring, all at once. Each writes down when a call
//! began, when it ended, and what it said, `Full` and `Empty` included; some are killed. Then a checker (Wing and Gong's, with
//! Lowe's memory) looks for an order of all calls in which a bounded queue would have given the same answers, and which puts
//! no call before another that had ended before it began. `RINGSHM_HISTORIES` says how many rounds there are of each kind.

#[path = "../support/mod.rs"]
mod support;

mod player;
mod queue;

use player::{LOG, PLAYER};
use queue::{Call, Deed, is_linearizable};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::{Folder, Kind, Place, Received};

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

/// Plays one round, in which one player may be killed at any moment, and checks it.
fn play<const CAPACITY: usize>(kind: Kind, each: usize, calls: u64, kill: Option<(usize, Duration)>, round: u64) {
    let folder = Folder::for_leftovers();
    let origin = [0, (1 << 32) - 3, 0_u64.wrapping_sub(3)][round as usize % 3];
    let place =
        Place { kind, folder: folder.path().to_owned(), name: "history".to_owned(), capacity: CAPACITY as u64, origin };
    let roles = ["consumer", "producer"].into_iter().flat_map(|role| std::iter::repeat_n(role, each));
    let mut players: Vec<Player> =
        roles.enumerate().map(|(number, role)| Player::start(&place, role, number, calls)).collect();
    players.iter_mut().for_each(Player::is_ready);
    let moment = player::now() + 150_000;
    for player in &mut players {
        let mut cue = player.child.stdin.take().expect("it was piped");
        cue.write_all(&moment.to_ne_bytes()).expect("it waits for this");
    }
    if let Some((victim, delay)) = kill {
        while player::now() < moment + delay.as_nanos() as u64 {
            std::hint::spin_loop();
        }
        // It may have ended.
        let _ = players[victim].child.kill();
    }
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
    calls.extend(leftovers(&place, players.len()));
    place.remove();
    let explains = |last: Option<Deed>| {
        let mut calls = calls.clone();
        if let (Some(deed), Some((process, begin, _))) = (last, pending) {
            calls.push(Call { process, begin, end: u64::MAX, deed });
        }
        is_linearizable::<CAPACITY>(&calls)
    };
    let possible: Vec<Option<Deed>> = match pending {
        None => vec![None],
        Some((process, _, _)) if process < each => {
            vec![None, Some(Deed::DiedHolding), Some(Deed::DiedReceiving)]
        }
        Some((_, _, number)) => vec![None, Some(Deed::DiedSending(number)), Some(Deed::DiedClaiming)],
    };
    let is_explained = possible.into_iter().any(explains);
    calls.sort_by_key(|call| call.begin);
    assert!(
        is_explained,
        "{} of {CAPACITY}, round {round}: no queue says this: {calls:#?}, then {pending:?}",
        kind.word()
    );
}

/// What is left in the ring is received too, by this process: part of the history.
fn leftovers(place: &Place, process: usize) -> Vec<Call> {
    let mut sink = place.sink().expect("the players are gone");
    let mut calls = Vec::new();
    loop {
        let begin = player::now();
        let answer = sink.recv_by(Duration::from_millis(if calls.is_empty() { 12 } else { 3 }));
        let end = player::now();
        let Ok(Received { parcel, redelivered }) = answer else { return calls };
        let number = parcel.number();
        let deed = if redelivered { Deed::Redelivered(number) } else { Deed::Received(number) };
        calls.push(Call { process, begin, end, deed });
    }
}

#[test]
fn spsc_histories_are_those_of_a_queue() {
    for round in 0..rounds() {
        play::<1>(Kind::Spsc, 1, 12, None, round);
        play::<4>(Kind::Spsc, 1, 12, None, round);
    }
}

#[test]
fn mpmc_histories_are_those_of_a_queue() {
    for round in 0..rounds() {
        play::<1>(Kind::Mpmc, 2, 6, None, round);
        play::<2>(Kind::Mpmc, 2, 6, None, round);
        play::<4>(Kind::Mpmc, 2, 6, None, round);
    }
}

#[test]
fn mpmc_histories_with_a_death_are_those_of_a_queue() {
    for round in 0..rounds() {
        // From the first call to after the last.
        let delay = Duration::from_nanos(round * 977 % 30_000);
        play::<2>(Kind::Mpmc, 2, 6, Some((round as usize % 4, delay)), round);
        play::<4>(Kind::Mpmc, 2, 6, Some((round as usize % 4, delay)), round);
    }
}
