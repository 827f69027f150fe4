//! When a ring's name goes, and when it stays.

use crate::support::{Process, Ring, until};

/// A ring with three messages in it, and both its sides.
fn three_messages(ring: &Ring) -> (Process, Process) {
    let (mut producer, consumer) = (ring.producer(""), ring.consumer(""));
    assert_eq!(producer.ask("send 0 3"), "sent 3");
    (producer, consumer)
}

#[test]
fn the_name_goes_when_both_sides_have_closed_and_everything_was_received() {
    Ring::each_found(|ring| {
        let (producer, mut consumer) = three_messages(ring);
        producer.finish();
        assert!(ring.is_found(), "it holds three messages");
        assert_eq!(consumer.ask("recv 0 100"), "Disconnected at 3");
        assert!(ring.is_found(), "the consumer is still there");
        consumer.finish();
        assert!(!ring.is_found());
    });
    Ring::each_found(|ring| {
        let (producer, mut consumer) = three_messages(ring);
        assert_eq!(consumer.ask("recv 0 3"), "received 3");
        consumer.finish();
        assert!(ring.is_found(), "the producer is still there");
        producer.finish();
        assert!(!ring.is_found());
    });
}

#[test]
fn the_name_stays_while_something_is_left_to_receive() {
    Ring::each_found(|ring| {
        let (producer, mut consumer) = three_messages(ring);
        assert_eq!(consumer.ask("recv 0 2"), "received 2");
        consumer.finish();
        producer.finish();
        assert!(ring.is_found());
        // The next consumer gets the rest and the end; then it is over.
        let (mut consumer, received) = ring.join("consumer", "existing");
        assert_eq!(received, 2);
        assert_eq!(consumer.ask("recv 2 100"), "Disconnected at 3");
        consumer.finish();
        assert!(!ring.is_found());
    });
}

#[test]
fn a_stream_that_nobody_came_for_stays_even_if_it_is_empty() {
    Ring::each_found(|ring| {
        ring.producer("").finish();
        assert!(ring.is_found());
        let mut consumer = ring.consumer("existing");
        assert_eq!(consumer.ask("recv 0 1"), "Disconnected at 0");
        consumer.finish();
        assert!(!ring.is_found());
    });
}

#[test]
fn a_detached_producer_keeps_the_name_and_a_detached_consumer_does_not() {
    Ring::each_found(|ring| {
        let (mut producer, mut consumer) = three_messages(ring);
        assert_eq!(producer.ask("detach"), "ok");
        assert_eq!(consumer.ask("recv 0 3"), "received 3");
        consumer.finish();
        assert!(ring.is_found(), "the producer's successor may come");
        let (mut producer, sent) = ring.join("producer", "existing");
        assert_eq!(sent, 3);
        assert_eq!(producer.ask("send 3 4"), "Disconnected at 3", "its consumer has closed");
        let (mut consumer, received) = ring.join("consumer", "existing");
        assert_eq!(received, 3);
        assert_eq!(producer.ask("send 3 4"), "sent 4");
        assert_eq!(consumer.ask("recv 3 4"), "received 4");
        assert_eq!(consumer.ask("detach"), "ok");
        assert!(ring.is_found());
        producer.finish();
        assert!(!ring.is_found(), "the stream has ended and everything was received");
    });
}

#[test]
fn whoever_is_left_after_a_death_takes_the_name_away() {
    Ring::each_found(|ring| {
        let (mut producer, mut consumer) = three_messages(ring);
        producer.kill();
        until("the dead producer is noticed", || consumer.ask("peer").starts_with("Dead"));
        assert_eq!(consumer.ask("recv 0 100"), "Disconnected at 3");
        consumer.finish();
        assert!(!ring.is_found());
    });
    Ring::each_found(|ring| {
        let (mut producer, mut consumer) = three_messages(ring);
        assert_eq!(consumer.ask("recv 0 3"), "received 3");
        consumer.kill();
        until("the dead consumer is noticed", || producer.ask("peer").starts_with("Dead"));
        producer.finish();
        assert!(!ring.is_found());
    });
}

#[test]
fn whoever_comes_after_two_deaths_takes_the_stream_up_where_it_stopped() {
    Ring::each_found(|ring| {
        let (mut producer, mut consumer) = three_messages(ring);
        assert_eq!(consumer.ask("recv 0 1"), "received 1");
        producer.kill();
        consumer.kill();
        assert!(ring.is_found());
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
    Ring::each_found(|ring| {
        // The consumer that received everything was killed before it could take the name away.
        let (producer, mut consumer) = three_messages(ring);
        producer.finish();
        assert_eq!(consumer.ask("recv 0 3"), "received 3");
        consumer.kill();
        assert!(ring.is_found());
        for (role, command) in [("producer", "send 0 2"), ("consumer", "recv 0 2")] {
            let (mut process, count) = ring.join(role, "");
            assert_eq!(count, 0, "a new ring");
            process.ask(command);
            process.ask("detach");
        }
        assert_eq!(ring.count("producer"), 2);
        assert_eq!(Process::start(&ring.folder).ask(&format!("remove {}", ring.name())), "ok");
    });
}

#[test]
fn remove_takes_the_name_away_unless_somebody_lives_there() {
    Ring::each_found(|ring| {
        let (mut producer, mut consumer) = three_messages(ring);
        let (mut remover, remove) = (Process::start(&ring.folder), format!("remove {}", ring.name()));
        for user in [&mut consumer, &mut producer] {
            let reply = remover.ask(&remove);
            assert!(reply.starts_with("InUse: ") && reply.contains("stop it first"), "{reply}");
            assert!(ring.is_found());
            user.kill();
        }
        assert_eq!(remover.ask(&remove), "ok");
        assert!(!ring.is_found());
        assert!(remover.ask(&remove).starts_with("NotFound: "));
    });
}

#[test]
fn remove_by_force_leaves_the_memory_to_those_who_use_it() {
    Ring::each_found(|ring| {
        let (mut producer, mut consumer) = three_messages(ring);
        let remove = format!("remove {} force", ring.name());
        assert_eq!(Process::start(&ring.folder).ask(&remove), "ok");
        assert!(!ring.is_found());
        if ring.is_system_v() {
            // Its locks went with it; what that means has a test of its own.
            return;
        }
        // Under the same name, two others.
        let (mut producer2, mut consumer2) = three_messages(ring);
        producer.begin("send 3 50");
        assert_eq!(consumer.ask("recv 0 50"), "received 50");
        assert_eq!(producer.hear(), "sent 50");
        consumer.finish();
        producer.finish();
        assert!(ring.is_found(), "the name is that of the others");
        producer2.begin("send 3 50");
        assert_eq!(consumer2.ask("recv 0 50"), "received 50");
        assert_eq!(producer2.hear(), "sent 50");
        producer2.finish();
        consumer2.finish();
        assert!(!ring.is_found());
    });
}
