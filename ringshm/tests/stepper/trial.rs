//! One death: the scene before it, and what the survivors make of it.

use crate::case::{CAPACITY, Case, State};
use crate::support::{Folder, Kind, PATIENCE, Parcel, Place, Received, Sink, Source, Stop, until};
use crate::tracer::Traced;
use ringshm::{Directory, Name, OpenError};
use ringshm_core::layout::{CONTROL_AT, Control};
use std::fs::File;
use std::mem::offset_of;
use std::os::unix::fs::FileExt as _;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The number of the first message that a survivor sends after the death.
const AFTER: u64 = 1000;

/// The number of the first message by which a reader is overtaken.
const OVERTAKING: u64 = 500;

/// How long survivors may take before they are said to hang.
const HANG: Duration = Duration::from_secs(5);

/// What became of a message of the victim's operation; it gets further with every step, and never back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// Sending: it never appeared. Receiving: it came to a survivor as if nothing had been.
    Untouched,
    /// Receiving: it came to a survivor, who was told that the victim may have had it.
    Redelivered,
    /// Sending: it came to a survivor. Receiving: the victim had it.
    Transferred,
}

/// What was seen after a death.
pub(crate) struct Outcome {
    /// From the death until a message sent after it had come through, and all before it.
    pub(crate) moved: Duration,
    /// Of each message that the operation would transfer.
    pub(crate) fates: Vec<Fate>,
}

/// A survivor that sleeps, and comes back with its handle and what it got.
enum Sleeper {
    Source(JoinHandle<Box<dyn Source>>),
    Sink(JoinHandle<(Box<dyn Sink>, Received)>),
}

/// The ring with a victim before its operation, and the survivors' handles.
pub(crate) struct Scene {
    case: Case,
    place: Place,
    source: Option<Box<dyn Source>>,
    sink: Option<Box<dyn Sink>>,
    sleeper: Option<Sleeper>,
    /// What the survivors have received after the death.
    received: Vec<(u64, bool)>,
}

/// Repeats an attempt while somebody else is in the way.
#[track_caller]
fn soon<T>(what: &str, mut attempt: impl FnMut() -> Result<T, Stop>) -> T {
    let mut result = None;
    until_at_once(what, || match attempt() {
        Ok(value) => {
            result = Some(value);
            true
        }
        Err(Stop::NotReady | Stop::Stalled) => false,
        Err(stop) => panic!("{what}: {stop:?}"),
    });
    result.expect("the attempt was repeated until it succeeded")
}

/// Looks until `found`, without pauses.
#[track_caller]
fn until_at_once(what: &str, mut found: impl FnMut() -> bool) {
    let start = Instant::now();
    while !found() {
        assert!(start.elapsed() < HANG, "in vain waited for: {what}");
        std::thread::yield_now();
    }
}

/// Takes a role as soon as its dead owner is out of the way.
#[track_caller]
fn joined<H>(mut open: impl FnMut() -> Result<H, OpenError>) -> H {
    soon("the role of the dead", || {
        open().map_err(|error| match error {
            // Or what may be held is promised to it.
            OpenError::RoleTaken { .. } | OpenError::Busy { .. } | OpenError::InvalidOption { option: "hold", .. } => {
                Stop::NotReady
            }
            error => panic!("{error}"),
        })
    })
}

/// A survivor receives what is to have been through the ring.
fn pass(sink: &mut Option<Box<dyn Sink>>, number: u64) {
    let received = sink.as_mut().expect("a survivor").recv_by(PATIENCE).expect("somebody sends");
    assert_eq!(received.parcel.number(), number);
}

/// Steps to the moment in which a claim is made, as the ring's own word says.
fn die_with_claim(decoy: &Traced, place: &Place, receiving: bool) {
    let word = if receiving { offset_of!(Control, head) } else { offset_of!(Control, tail) };
    let name = Name::new(&place.name).expect("a valid name");
    let ring = File::open(Directory::new(&place.folder).path_of(&name)).expect("the ring is there");
    let claimed = || {
        let mut bytes = [0; 8];
        ring.read_exact_at(&mut bytes, (CONTROL_AT + word) as u64).expect("a whole ring");
        u64::from_ne_bytes(bytes)
    };
    let before = claimed();
    while claimed() == before {
        assert!(decoy.step(), "the operation claims something");
    }
}

impl Scene {
    /// Brings a ring into the state of the case, with a victim before its operation.
    pub(crate) fn set(case: Case, folder: &Folder) -> (Self, Traced) {
        let place = case.place(folder.path());
        let sends = case.deed.sends();
        let mut source = (case.kind.has_many_sources() || !sends).then(|| place.source().expect("a new ring"));
        // Nobody would notice what happens to a lossy reader but the others.
        let place = Place { kind: case.kind.lossless(), ..place };
        let mut sink = (case.kind.has_many_sinks() || sends).then(|| place.sink().expect("the ring just made"));
        let victim = Traced::start(case, folder.path());
        if let (false, Some(source)) = (sends, &mut source) {
            for number in 0..case.passed() {
                source.send_by(Parcel::of(number), PATIENCE).expect("the victim receives");
                if case.kind.gives_all_to_all() {
                    pass(&mut sink, number);
                }
            }
        }
        if sends {
            (0..case.passed()).for_each(|number| pass(&mut sink, number));
        }
        victim.arrive();
        let mut unsent = (case.passed()..case.next()).map(Parcel::of);
        if let (true, Some(source)) = (case.state.has_dead(), &mut source) {
            if case.orphan().is_some() {
                source.try_send(unsent.next().expect("a message to die with")).expect("room");
            }
            let decoy = Traced::start_decoy(case, folder.path());
            decoy.arrive();
            die_with_claim(&decoy, &place, case.orphan().is_some());
            unsent.for_each(|parcel| source.try_send(parcel).expect("room"));
            victim.go_on();
            decoy.end();
        } else if let (false, Some(source)) = (sends, &mut source) {
            unsent.for_each(|parcel| source.try_send(parcel).expect("room"));
        }
        if let (State::Overtaken, Some(source)) = (case.state, &mut source) {
            for number in OVERTAKING..OVERTAKING + 2 * CAPACITY {
                source.try_send(Parcel::of(number)).expect("room");
                pass(&mut sink, number);
            }
        }
        let mut scene = Self { case, place, source, sink, sleeper: None, received: Vec::new() };
        if case.state == State::Asleep {
            scene.fall_asleep();
        }
        (scene, victim)
    }

    /// One of the survivors begins to wait for what the victim is about to do, and sleeps when this returns.
    fn fall_asleep(&mut self) {
        let (sender, thread) = channel();
        let announce = move || sender.send(rustix::thread::gettid().as_raw_nonzero()).expect("it is waited for");
        self.sleeper = Some(if self.case.deed.sends() {
            let mut sink = self.sink.take().expect("a survivor");
            Sleeper::Sink(std::thread::spawn(move || {
                announce();
                let received = sink.recv_by(PATIENCE).expect("somebody sends");
                (sink, received)
            }))
        } else {
            let mut source = self.source.take().expect("a survivor");
            Sleeper::Source(std::thread::spawn(move || {
                announce();
                source.send_by(Parcel::of(AFTER), PATIENCE).expect("somebody receives");
                source
            }))
        });
        let stat = format!("/proc/self/task/{}/stat", thread.recv().expect("it announces itself"));
        until("a survivor falls asleep", || {
            let stat = std::fs::read_to_string(&stat).expect("a thread of this process");
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
        });
    }

    /// The victim was killed just now: the survivors go on.
    pub(crate) fn outlive(mut self) -> Outcome {
        let death = Instant::now();
        self.go_on();
        let moved = death.elapsed();
        self.go_round();
        let fates = self.fates();
        drop((self.source, self.sink));
        self.place.remove();
        Outcome { moved, fates }
    }

    /// A message is sent, and received after all that were before it.
    fn go_on(&mut self) {
        let mut is_sent = false;
        match self.sleeper.take() {
            // It waits for a message: it has one already, or gets this one.
            Some(Sleeper::Sink(thread)) => {
                self.send(AFTER);
                is_sent = true;
                let (sink, received) = thread.join().expect("the sleeper wakes up");
                self.sink = Some(sink);
                if self.take(received) {
                    return;
                }
            }
            // It waits for room, to send this very message.
            Some(Sleeper::Source(thread)) => {
                is_sent = true;
                let place = self.place.clone();
                let sink = self.sink.get_or_insert_with(|| joined(|| place.sink()));
                let mut others = Vec::new();
                until_at_once("the sleeper has sent its message", || {
                    if others.len() < CAPACITY as usize {
                        others.extend(sink.try_recv());
                    }
                    thread.is_finished()
                });
                self.source = Some(thread.join().expect("the sleeper wakes up"));
                // What the dead had in hand may come after it.
                let mut has_come = false;
                for received in others {
                    has_come |= self.take(received);
                }
                if has_come {
                    return;
                }
            }
            None => {}
        }
        let place = self.place.clone();
        let source = self.source.get_or_insert_with(|| joined(|| place.source()));
        let sink = self.sink.get_or_insert_with(|| joined(|| place.sink()));
        let mut arrived = None;
        let mut others = Vec::new();
        if self.case.kind == Kind::Latest && !is_sent {
            // There is nothing older once there is something newer.
            others.extend(sink.try_recv());
        }
        until_at_once("a message comes through after the death", || {
            if !is_sent {
                is_sent = match source.try_send(Parcel::of(AFTER)) {
                    Ok(()) => true,
                    Err(Stop::NotReady | Stop::Stalled) => false,
                    Err(stop) => panic!("sending: {stop:?}"),
                };
            }
            match sink.try_recv() {
                Ok(received) if received.parcel.number() == AFTER => arrived = Some(received),
                Ok(received) => others.push(received),
                Err(Stop::NotReady | Stop::Stalled) => {}
                Err(stop) => panic!("receiving: {stop:?}"),
            }
            arrived.is_some()
        });
        for received in others {
            self.take(received);
        }
    }

    fn send(&mut self, number: u64) {
        let place = self.place.clone();
        let source = self.source.get_or_insert_with(|| joined(|| place.source()));
        soon("room for a message", || source.try_send(Parcel::of(number)));
    }

    /// Notes a message. Returns whether it is the one that was sent after the death.
    fn take(&mut self, Received { parcel, redelivered }: Received) -> bool {
        let number = parcel.number();
        if number != AFTER {
            self.received.push((number, redelivered));
        }
        number == AFTER
    }

    /// A replacement comes, messages go round the ring one by one, and then the ring is filled and emptied: it has room for as many
    /// as ever.
    fn go_round(&mut self) {
        let place = self.place.clone();
        let (mut source, mut sink) = (self.source.take().expect("it went on"), self.sink.take().expect("it went on"));
        // A survivor leaves, and a newcomer goes on, in the lane of the dead if that is free by now.
        if self.case.kind.has_many_sources() && self.case.deed.sends() {
            source = joined(|| place.source());
        } else if self.case.kind.has_many_sources() {
            sink = joined(|| place.sink());
        }
        let mut next = AFTER + 1;
        for _ in 0..2 * CAPACITY {
            // A message that the dead had in hand may be in the way, until a consumer takes it over.
            until_at_once("room for a message", || match source.try_send(Parcel::of(next)) {
                Ok(()) => true,
                Err(_) => {
                    if let Ok(received) = sink.try_recv() {
                        self.take_old(received);
                    }
                    false
                }
            });
            self.receive(&mut *sink, next);
            next += 1;
        }
        // A register has no room to fill.
        for _ in 0..if self.case.kind == Kind::Latest { 0 } else { 2 } {
            for number in next..next + CAPACITY {
                soon("room in an empty ring", || source.try_send(Parcel::of(number)));
            }
            assert_eq!(source.try_send(Parcel::of(0)), Err(Stop::NotReady), "the ring is full");
            for number in next..next + CAPACITY {
                self.receive(&mut *sink, number);
            }
            assert_eq!(sink.try_recv(), Err(Stop::NotReady), "the ring is empty");
            next += CAPACITY;
        }
        if self.case.kind.is_of_frames() {
            // What was promised to the dead is there again.
            drop(joined(|| place.sink()));
        }
        (self.source, self.sink) = (Some(source), Some(sink));
    }

    /// Receives until message `number` comes, before which only what the victim had may come.
    fn receive(&mut self, sink: &mut dyn Sink, number: u64) {
        loop {
            let received = soon("a message", || sink.try_recv());
            if received.parcel.number() == number {
                assert!(!received.redelivered, "nobody else had it");
                return;
            }
            self.take_old(received);
        }
    }

    /// Notes a message from before the death.
    fn take_old(&mut self, received: Received) {
        assert!(received.parcel.number() < AFTER, "{received:?} is from after the death");
        self.take(received);
    }

    /// Checks that every message came once and in order, except for what the dead may have had.
    fn fates(&self) -> Vec<Fate> {
        let (received, case) = (&self.received, self.case);
        let sends = case.deed.sends();
        let (before, concerned) = (case.passed()..case.next(), case.numbers());
        let times = |number| received.iter().filter(|(other, _)| *other == number).count();
        if case.kind == Kind::Latest {
            let is_newest = |number| number + 1 == case.next() || sends && concerned.contains(&number);
            let is_missing = received.is_empty() && case.queued() > 0;
            let is_right = received.len() <= 1 && received.iter().all(|(number, _)| is_newest(*number)) && !is_missing;
            assert!(is_right, "not the newest value: {received:?}");
        }
        for number in before.clone().filter(|_| case.kind != Kind::Latest) {
            let may_be_gone =
                !sends && concerned.contains(&number) || case.orphan() == Some(number) && case.kind == Kind::MpmcOnce;
            assert!(times(number) == 1 || may_be_gone && times(number) == 0, "{number} in {received:?}");
        }
        for (number, again) in received {
            let is_known = before.contains(number) || sends && concerned.contains(number);
            assert!(is_known && times(*number) == 1, "{number} in {received:?}");
            let was_had = !sends && concerned.contains(number) || case.orphan() == Some(*number);
            assert!(!again || was_had && case.kind.redelivers(), "nobody else had {number}: {received:?}");
        }
        let fresh: Vec<u64> = received.iter().filter(|(_, again)| !again).map(|(number, _)| *number).collect();
        assert!(fresh.is_sorted(), "{received:?}");
        let fate = |number| match received.iter().find(|(other, _)| *other == number) {
            Some(_) if sends => Fate::Transferred,
            None if sends => Fate::Untouched,
            Some((_, false)) => Fate::Untouched,
            Some((_, true)) => Fate::Redelivered,
            None => Fate::Transferred,
        };
        concerned.map(fate).collect()
    }
}
