//! What a publication costs while nobody sleeps: as many instructions as if nobody ever did, however the consumer waits, and no system call. And after
//! a sleeper was killed, one system call, once.
//!
//! Counted, and not timed: the producer is another process, in which each single instruction of a send is stepped through by `ptrace`. x86-64 only:
//! elsewhere a step may be no single instruction.

#![cfg(target_arch = "x86_64")]

#[path = "../support/mod.rs"]
mod support;

mod actor;
mod tracer;

use support::{Folder, Process};
use tracer::{Steps, Tracer};

/// Not a test: what a child process does. See [`support`].
#[test]
fn child() {
    let actor = std::cell::RefCell::new(actor::Actor::default());
    support::play(|words| actor.borrow_mut().obey(words));
}

/// Two processes with a ring, and another one that matters in a set only.
struct Ring {
    tracer: Tracer,
    producer: Process,
    consumer: Process,
    _folder: Folder,
}

impl Ring {
    fn new(way: &str) -> Self {
        let folder = Folder::for_leftovers();
        let mut producer = Process::start_with(&folder, |command| _ = command.env("LD_BIND_NOW", "1"));
        let thread = producer.ask(&format!("c-produce {way}"));
        let mut consumer = Process::start(&folder);
        assert_eq!(consumer.ask(&format!("c-consume {way}")), "open", "{way}");
        let tracer = Tracer::attach(thread.parse().expect("a thread"));
        Self { tracer, producer, consumer, _folder: folder }
    }

    /// Sends a message, and counts.
    fn send(&mut self) -> Steps {
        self.producer.tell("c-send first");
        let steps = self.tracer.between_stops();
        assert_eq!(self.producer.hear(), "sent");
        steps
    }

    fn falls_asleep(&mut self) {
        self.consumer.begin("c-recv");
        assert!(self.consumer.sleeps());
    }

    /// The consumer has received a message, for which it may have slept, and is awake.
    fn wakes(&mut self) {
        self.consumer.begin("c-recv");
        if self.consumer.state() != 'R' {
            assert!(self.consumer.sleeps());
        }
        self.send();
        assert_eq!(self.consumer.hear(), "received");
    }
}

/// The second, third and fourth message, to a consumer that does nothing but spin.
fn spinning(way: &str) -> [Steps; 3] {
    let mut ring = Ring::new(way);
    ring.wakes();
    [ring.send(), ring.send(), ring.send()]
}

#[test]
fn a_send_costs_as_many_instructions_however_an_awake_consumer_waits() {
    for (way, reference) in [
        ("parkable", "spin"),
        ("set", "spin"),
        ("io_uring", "spin"),
        ("thread", "spin"),
        ("semaphore", "semaphore-spin"),
    ] {
        let expected = spinning(reference);
        let mut ring = Ring::new(way);
        ring.wakes();
        let found = [ring.send(), ring.send(), ring.send()];
        println!("{way}: {found:?}");
        assert_eq!(found, expected, "{way}");
    }
}

#[test]
fn a_send_to_one_that_parks_at_once_costs_a_fence_and_no_system_call() {
    let expected = spinning("spin");
    let mut ring = Ring::new("park");
    ring.wakes();
    for spinning in expected {
        let found = ring.send();
        println!("park: {found:?}, spin: {spinning:?}");
        assert_eq!(found.calls, spinning.calls);
    }
}

#[test]
fn a_send_to_a_set_that_another_ring_has_woken_makes_one_system_call_once() {
    let expected = spinning("spin");
    let mut ring = Ring::new("set");
    ring.wakes();
    ring.falls_asleep();
    assert_eq!(ring.producer.ask("c-send second"), "sent");
    assert_eq!(ring.consumer.hear(), "received");
    let first = ring.send();
    assert_eq!(first.calls, expected[0].calls + 1);
    assert_eq!([ring.send(), ring.send()], expected[1..]);
}

#[test]
fn a_killed_sleeper_costs_one_system_call_once() {
    for (way, reference) in [
        ("parkable", "spin"),
        ("set", "spin"),
        ("io_uring", "spin"),
        ("thread", "spin"),
        ("semaphore", "semaphore-spin"),
    ] {
        let expected = spinning(reference);
        let mut ring = Ring::new(way);
        ring.wakes();
        ring.falls_asleep();
        ring.consumer.kill();
        let first = ring.send();
        // None, if it died between two of its looks.
        assert!(first.calls <= expected[0].calls + 1, "{way}: {first:?}, and {:?}", expected[0]);
        assert_eq!([ring.send(), ring.send()], expected[1..], "{way}");
    }
}
