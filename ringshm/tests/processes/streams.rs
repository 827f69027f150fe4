//! Streams between processes: whoever starts first, whoever dies, and whoever is stopped.

use crate::support::{Carrier, Process, Ring, until};

/// Asks until the answer is `wanted`: the kernel may take a moment to clear a dead process away.
#[track_caller]
fn becomes(process: &mut Process, question: &str, wanted: &str) {
    let mut last = String::new();
    until(&format!("{question} -> {wanted}"), || {
        last = process.ask(question);
        last == wanted
    });
}

#[test]
fn either_side_may_start_first_and_everything_arrives() {
    const COUNT: u64 = 10_000;
    for consumer_first in [false, true] {
        Ring::each(|ring| {
            let (mut producer, mut consumer);
            if consumer_first {
                consumer = ring.consumer("");
                assert_eq!(consumer.ask("peer"), "Vacant");
                consumer.begin(&format!("recv 0 {COUNT}"));
                assert!(consumer.sleeps());
                producer = ring.producer("");
                producer.begin(&format!("send 0 {COUNT}"));
            } else {
                producer = ring.producer("");
                assert_eq!(producer.ask("peer"), "Vacant");
                producer.begin(&format!("send 0 {COUNT}"));
                assert!(producer.sleeps());
                consumer = ring.consumer("");
                consumer.begin(&format!("recv 0 {COUNT}"));
            }
            assert_eq!(producer.hear(), format!("sent {COUNT}"));
            assert_eq!(consumer.hear(), format!("received {COUNT}"));
            assert_eq!(producer.ask("peer"), format!("Live {{ pid: {} }}", consumer.pid()));
            assert_eq!(consumer.ask("peer"), format!("Live {{ pid: {} }}", producer.pid()));
            assert_eq!(producer.ask("close"), "ok");
            assert_eq!(consumer.ask(&format!("recv {COUNT} {}", COUNT + 1)), format!("Disconnected at {COUNT}"));
            assert_eq!(consumer.ask("peer"), "Closed");
            consumer.finish();
            producer.finish();
        });
    }
}

#[test]
fn a_parked_participant_sleeps_and_a_spinning_one_does_not() {
    for carrier in Carrier::ALL {
        let ring = Ring::named(carrier);
        let (mut producer, mut consumer) = (ring.producer("spin"), ring.consumer("park"));
        consumer.begin("recv 0 100");
        assert!(consumer.sleeps());
        until("the ring says so, too", || ring.snapshot().consumer.asleep);
        producer.begin("send 0 200");
        assert_eq!(consumer.hear(), "received 100");
        for _ in 0..100 {
            assert_eq!(producer.state(), 'R', "the ring is full");
            assert!(!ring.snapshot().producer.asleep && !ring.snapshot().consumer.asleep);
        }
        assert_eq!(consumer.ask("recv 100 200"), "received 200");
        assert_eq!(producer.hear(), "sent 200");
        producer.finish();
        consumer.finish();
    }
}

#[test]
fn a_memfd_whose_stream_has_ended_takes_the_next_one() {
    for carrier in Carrier::ALL {
        let ring = Ring::memfd(carrier);
        for n in 0..3 {
            let ((mut producer, sent), (mut consumer, received)) =
                (ring.join("producer", ""), ring.join("consumer", ""));
            assert_eq!((sent, received), (n, n), "the count goes on");
            assert_eq!(producer.ask(&format!("send {n} {}", n + 1)), format!("sent {}", n + 1));
            assert_eq!(producer.ask("close"), "ok");
            assert_eq!(consumer.ask(&format!("recv {n} 100")), format!("Disconnected at {}", n + 1));
            assert_eq!(consumer.ask("close"), "ok");
        }
    }
}

/// A producer that sleeps because the ring is full, and a consumer that has received three messages.
fn a_full_ring(ring: &Ring) -> (Process, Process) {
    let (mut producer, mut consumer) = (ring.producer(""), ring.consumer(""));
    producer.begin("send 0 100");
    assert_eq!(consumer.ask("recv 0 3"), "received 3");
    assert!(producer.sleeps());
    (producer, consumer)
}

#[test]
fn a_consumer_killed_while_the_producer_sleeps_on_a_full_ring_disconnects_it() {
    Ring::each(|ring| {
        let (mut producer, mut consumer) = a_full_ring(ring);
        consumer.kill();
        let reply = producer.hear();
        let at: u64 = reply.strip_prefix("Disconnected at ").expect(&reply).parse().expect("a number");
        assert!(at > 3, "{reply}");
        becomes(&mut producer, "peer", &format!("Dead {{ pid: {} }}", consumer.pid()));
        assert_eq!(producer.ask(&format!("send {at} 100")), reply, "as long as nobody comes");
        // Somebody comes, and the same producer goes on.
        let mut consumer = ring.consumer("");
        producer.begin(&format!("send {at} 100"));
        assert_eq!(consumer.ask("recv 3 100"), "received 100");
        assert_eq!(producer.hear(), "sent 100");
    });
}

#[test]
fn whoever_awaits_a_successor_is_not_disconnected_and_goes_on_with_it() {
    Ring::each(|ring| {
        let (mut producer, mut consumer) = (ring.producer("await"), ring.consumer(""));
        let mut sent = 0;
        while producer.ask(&format!("try-send {sent}")) == "ok" {
            sent += 1;
        }
        consumer.kill();
        // Long enough to look for the consumer some times.
        assert_eq!(producer.ask(&format!("send-by {sent} 300")), "Timeout");
        producer.begin(&format!("send {sent} 50"));
        assert!(producer.sleeps());
        let mut consumer = ring.consumer("await");
        assert_eq!(consumer.ask("recv 0 50"), "received 50");
        assert_eq!(producer.hear(), "sent 50");
        producer.kill();
        assert_eq!(consumer.ask("recv-by 300"), "Timeout");
        consumer.begin("recv 50 60");
        assert!(consumer.sleeps());
        let (mut producer, sent) = ring.join("producer", "");
        assert_eq!((sent, producer.ask("send 50 60").as_str()), (50, "sent 60"));
        assert_eq!(consumer.hear(), "received 60");
    });
}

#[test]
fn a_producer_killed_while_the_consumer_sleeps_disconnects_it() {
    Ring::each(|ring| {
        let (mut producer, mut consumer) = (ring.producer(""), ring.consumer(""));
        assert_eq!(producer.ask("send 0 3"), "sent 3");
        assert_eq!(consumer.ask("recv 0 3"), "received 3");
        consumer.begin("recv 3 4");
        assert!(consumer.sleeps());
        producer.kill();
        assert_eq!(consumer.hear(), "Disconnected at 3");
        becomes(&mut consumer, "peer", &format!("Dead {{ pid: {} }}", producer.pid()));
    });
}

#[test]
fn what_a_killed_producer_had_sent_is_delivered_before_the_disconnection() {
    Ring::each(|ring| {
        let (mut producer, mut consumer) = (ring.producer(""), ring.consumer(""));
        assert_eq!(producer.ask("send 0 3"), "sent 3");
        producer.kill();
        becomes(&mut consumer, "peer", &format!("Dead {{ pid: {} }}", producer.pid()));
        assert_eq!(ring.count("producer"), 3, "its successor goes on where it stopped, not where the consumer is");
        let (mut producer, _) = ring.join("producer", "");
        producer.kill();
        assert_eq!(consumer.ask("recv 0 100"), "Disconnected at 3");
    });
}

/// Lets a process report some 200 messages that it is done with, kills it in full run, and returns how many it was done
/// with in the end, counted from the ring's first.
fn kill_in_full_run(process: &mut Process) -> u64 {
    let mut done = 0;
    let mut note =
        |report: &str| done = 1 + report.strip_prefix("did ").expect(report).parse::<u64>().expect("a number");
    (0..200).for_each(|_| note(&process.hear()));
    process.kill();
    while let Some(report) = process.hear_or_end() {
        note(&report);
    }
    done
}

#[test]
fn producers_killed_in_full_run_are_succeeded_without_a_gap() {
    Ring::each(|ring| {
        let mut consumer = ring.consumer("await");
        consumer.begin("recv 0 1000000");
        let mut done = 0;
        for _ in 0..4 {
            let (mut producer, sent) = ring.join("producer", "");
            assert!(sent == done || sent == done + 1, "{done} calls returned, {sent} sent");
            producer.begin(&format!("send {sent} 1000000 ack"));
            done = kill_in_full_run(&mut producer);
        }
        let (mut producer, sent) = ring.join("producer", "");
        let last = sent + 100;
        assert_eq!(producer.ask(&format!("send {sent} {last}")), format!("sent {last}"));
        producer.finish();
        assert_eq!(consumer.hear(), format!("Disconnected at {last}"));
    });
}

#[test]
fn consumers_killed_in_full_run_are_succeeded_without_a_gap() {
    Ring::each(|ring| {
        let mut producer = ring.producer("await");
        producer.begin("send 0 1000000");
        let mut received = 0;
        for round in 0..4 {
            let mut consumer = ring.consumer("");
            let allowed = if round % 2 == 0 {
                consumer.begin(&format!("recv {received} 1000000 ack"));
                // The message that it released last may not have got as far as its report.
                let done = kill_in_full_run(&mut consumer);
                done..=done + 1
            } else {
                consumer.begin(&format!("hold {received} 1000000"));
                // It reports before it releases: the last message may come again, and none is lost.
                let done = kill_in_full_run(&mut consumer);
                done - 1..=done
            };
            received = ring.count("consumer");
            assert!(allowed.contains(&received), "{received} released, {allowed:?} expected");
        }
        let mut consumer = ring.consumer("");
        consumer.begin(&format!("recv {received} 1000000"));
        producer.kill();
        let reply = consumer.hear();
        assert_eq!(reply, format!("Disconnected at {}", ring.count("producer")));
    });
}

#[test]
fn a_detached_role_waits_for_its_successor() {
    Ring::each(|ring| {
        let (mut producer, mut consumer) = (ring.producer(""), ring.consumer(""));
        assert_eq!(producer.ask("send 0 3"), "sent 3");
        assert_eq!(producer.ask("detach"), "ok");
        consumer.begin("recv 0 6");
        assert!(consumer.sleeps(), "it waits, although it does not await the successors of the dead");
        let (mut producer, sent) = ring.join("producer", "");
        assert_eq!(sent, 3);
        assert_eq!(producer.ask("send 3 6"), "sent 6");
        assert_eq!(consumer.hear(), "received 6");
        assert_eq!(consumer.ask("detach"), "ok");
        assert_eq!(producer.ask("peer"), "Detached");
        producer.begin("send 6 100");
        assert!(producer.sleeps());
        let (mut consumer, received) = ring.join("consumer", "");
        assert_eq!(received, 6);
        assert_eq!(consumer.ask("recv 6 100"), "received 100");
        assert_eq!(producer.hear(), "sent 100");
    });
}

#[test]
fn a_stopped_process_is_not_taken_for_dead() {
    // The four kinds of ring at once: the time is spent waiting.
    std::thread::scope(|scope| {
        for stopped in ["producer", "consumer"] {
            for carrier in Carrier::ALL {
                for ring in
                    [Ring::named(carrier), Ring::memfd(carrier), Ring::in_file(carrier), Ring::system_v(carrier)]
                {
                    scope.spawn(move || {
                        a_stopped(stopped, &ring);
                        ring.remove();
                    });
                }
            }
        }
    });
}

fn a_stopped(role: &str, ring: &Ring) {
    let (mut producer, mut consumer) = (ring.producer(""), ring.consumer(""));
    assert_eq!(producer.ask("send 0 2"), "sent 2");
    if role == "producer" {
        assert_eq!(consumer.ask("recv 0 2"), "received 2");
        producer.stop();
        assert_eq!(consumer.ask("recv-by 2000"), "Timeout");
        assert_eq!(consumer.ask("peer"), format!("Live {{ pid: {} }}", producer.pid()));
        assert!(Process::start(&ring.folder).ask(&ring.opening("producer", "")).starts_with("RoleTaken: "));
        producer.resume();
    } else {
        consumer.stop();
        let mut sent = 2;
        while producer.ask(&format!("try-send {sent}")) == "ok" {
            sent += 1;
        }
        assert_eq!(producer.ask(&format!("send-by {sent} 2000")), "Timeout");
        assert_eq!(producer.ask("peer"), format!("Live {{ pid: {} }}", consumer.pid()));
        assert!(Process::start(&ring.folder).ask(&ring.opening("consumer", "")).starts_with("RoleTaken: "));
        consumer.resume();
        assert_eq!(consumer.ask(&format!("recv 0 {sent}")), format!("received {sent}"));
        producer.begin(&format!("send {sent} 50"));
        assert_eq!(consumer.ask(&format!("recv {sent} 50")), "received 50");
        assert_eq!(producer.hear(), "sent 50");
        return;
    }
    producer.begin("send 2 50");
    assert_eq!(consumer.ask("recv 2 50"), "received 50");
    assert_eq!(producer.hear(), "sent 50");
}
