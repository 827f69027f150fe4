//! When a ring's name goes, and when it stays.

use crate::support::{Carrier, Process, Ring, until};

/// Whether the name is there, and nothing else.
#[track_caller]
fn is_named(ring: &Ring) -> bool {
    let entries = ring.folder.entries();
    assert!(entries.is_empty() || entries == ["ringshm.ring"], "{entries:?}");
    !entries.is_empty()
}

/// A ring with three messages in it, and both its sides.
fn three_messages(ring: &Ring) -> (Process, Process) {
    let (mut producer, consumer) = (ring.producer(""), ring.consumer(""));
    assert_eq!(producer.ask("send 0 3"), "sent 3");
    (producer, consumer)
}

fn each(test: impl Fn(&Ring)) {
    Carrier::ALL.into_iter().for_each(|carrier| test(&Ring::named(carrier)));
}

#[test]
fn the_name_goes_when_both_sides_have_closed_and_everything_was_received() {
    each(|ring| {
        let (producer, mut consumer) = three_messages(ring);
        producer.finish();
        assert!(is_named(ring), "it holds three messages");
        assert_eq!(consumer.ask("recv 0 100"), "Disconnected at 3");
        assert!(is_named(ring), "the consumer is still there");
        consumer.finish();
        assert!(!is_named(ring));
    });
    each(|ring| {
        let (producer, mut consumer) = three_messages(ring);
        assert_eq!(consumer.ask("recv 0 3"), "received 3");
        consumer.finish();
        assert!(is_named(ring), "the producer is still there");
        producer.finish();
        assert!(!is_named(ring));
    });
}

#[test]
fn the_name_stays_while_something_is_left_to_receive() {
    each(|ring| {
        let (producer, mut consumer) = three_messages(ring);
        assert_eq!(consumer.ask("recv 0 2"), "received 2");
        consumer.finish();
        producer.finish();
        assert!(is_named(ring));
        // The next consumer gets the rest and the end; then it is over.
        let (mut consumer, received) = ring.join("consumer", "existing");
        assert_eq!(received, 2);
        assert_eq!(consumer.ask("recv 2 100"), "Disconnected at 3");
        consumer.finish();
        assert!(!is_named(ring));
    });
}

#[test]
fn a_stream_that_nobody_came_for_stays_even_if_it_is_empty() {
    each(|ring| {
        ring.producer("").finish();
        assert!(is_named(ring));
        let mut consumer = ring.consumer("existing");
        assert_eq!(consumer.ask("recv 0 1"), "Disconnected at 0");
        consumer.finish();
        assert!(!is_named(ring));
    });
}

#[test]
fn a_detached_producer_keeps_the_name_and_a_detached_consumer_does_not() {
    each(|ring| {
        let (mut producer, mut consumer) = three_messages(ring);
        assert_eq!(producer.ask("detach"), "ok");
        assert_eq!(consumer.ask("recv 0 3"), "received 3");
        consumer.finish();
        assert!(is_named(ring), "the producer's successor may come");
        let (mut producer, sent) = ring.join("producer", "existing");
        assert_eq!(sent, 3);
        assert_eq!(producer.ask("send 3 4"), "Disconnected at 3", "its consumer has closed");
        let (mut consumer, received) = ring.join("consumer", "existing");
        assert_eq!(received, 3);
        assert_eq!(producer.ask("send 3 4"), "sent 4");
        assert_eq!(consumer.ask("recv 3 4"), "received 4");
        assert_eq!(consumer.ask("detach"), "ok");
        assert!(is_named(ring));
        producer.finish();
        assert!(!is_named(ring), "the stream has ended and everything was received");
    });
}

#[test]
fn whoever_is_left_after_a_death_takes_the_name_away() {
    each(|ring| {
        let (mut producer, mut consumer) = three_messages(ring);
        producer.kill();
        until("the dead producer is noticed", || consumer.ask("peer").starts_with("Dead"));
        assert_eq!(consumer.ask("recv 0 100"), "Disconnected at 3");
        consumer.finish();
        assert!(!is_named(ring));
    });
    each(|ring| {
        let (mut producer, mut consumer) = three_messages(ring);
        assert_eq!(consumer.ask("recv 0 3"), "received 3");
        consumer.kill();
        until("the dead consumer is noticed", || producer.ask("peer").starts_with("Dead"));
        producer.finish();
        assert!(!is_named(ring));
    });
}

#[test]
fn whoever_comes_after_two_deaths_takes_the_stream_up_where_it_stopped() {
    each(|ring| {
        let (mut producer, mut consumer) = three_messages(ring);
        assert_eq!(consumer.ask("recv 0 1"), "received 1");
        producer.kill();
        consumer.kill();
        assert!(is_named(ring));
        let (mut producer, sent) = ring.join("producer", "existing");
        let (mut consumer, received) = ring.join("consumer", "existing");
        assert_eq!((sent, received), (3, 1));
        producer.begin("send 3 20");
        assert_eq!(consumer.ask("recv 1 20"), "received 20");
        assert_eq!(producer.hear(), "sent 20");
        producer.finish();
        consumer.finish();
    });
}

#[test]
fn a_stream_that_is_over_makes_way_for_a_new_one() {
    each(|ring| {
        // The consumer that received everything was killed before it could take the name away.
        let (producer, mut consumer) = three_messages(ring);
        producer.finish();
        assert_eq!(consumer.ask("recv 0 3"), "received 3");
        consumer.kill();
        assert!(is_named(ring));
        for (role, command) in [("producer", "send 0 2"), ("consumer", "recv 0 2")] {
            let (mut process, count) = ring.join(role, "");
            assert_eq!(count, 0, "a new ring");
            process.ask(command);
            process.ask("detach");
        }
        assert_eq!(ring.count("producer"), 2);
        assert_eq!(Process::start(&ring.folder).ask("remove ring"), "ok");
    });
}

#[test]
fn remove_takes_the_name_away_unless_somebody_lives_there() {
    each(|ring| {
        let (mut producer, mut consumer) = three_messages(ring);
        let mut remover = Process::start(&ring.folder);
        for user in [&mut consumer, &mut producer] {
            let reply = remover.ask("remove ring");
            assert!(reply.starts_with("InUse: ") && reply.contains("stop it first"), "{reply}");
            assert!(is_named(ring));
            user.kill();
        }
        assert_eq!(remover.ask("remove ring"), "ok");
        assert!(!is_named(ring));
        assert!(remover.ask("remove ring").starts_with("NotFound: "));
    });
}

#[test]
fn remove_by_force_leaves_the_memory_to_those_who_use_it() {
    each(|ring| {
        let (mut producer, mut consumer) = three_messages(ring);
        assert_eq!(Process::start(&ring.folder).ask("remove ring force"), "ok");
        assert!(!is_named(ring));
        // Under the same name, two others.
        let (mut producer2, mut consumer2) = three_messages(ring);
        producer.begin("send 3 50");
        assert_eq!(consumer.ask("recv 0 50"), "received 50");
        assert_eq!(producer.hear(), "sent 50");
        consumer.finish();
        producer.finish();
        assert!(is_named(ring), "the name is that of the others");
        producer2.begin("send 3 50");
        assert_eq!(consumer2.ask("recv 0 50"), "received 50");
        assert_eq!(producer2.hear(), "sent 50");
        producer2.finish();
        consumer2.finish();
        assert!(!is_named(ring));
    });
}
