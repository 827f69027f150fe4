//! The scenarios. In each, `victim` may die at any step, and everybody else must get what is theirs.

use crate::support::{Process, Ring, until};
use crate::victim::Victim;
use ringshm::Peer;

pub(crate) use crate::broadcast::{
    a_lossless_reader_dies, a_lossy_reader_dies, a_producer_dies_broadcasting, an_evicting_producer_dies,
    the_writer_of_a_register_dies,
};
pub(crate) use crate::frames::{
    a_decoder_dies, a_decoder_dies_letting_go_for_a_dead_recorder, a_recorder_dies, a_renderer_dies,
    a_successor_of_a_dead_recorder_dies,
};
pub(crate) use crate::mpmc::{
    a_producer_dies_dropping, a_survivor_dies_burying, a_survivor_dies_taking_over, an_mpmc_consumer_dies,
    an_mpmc_consumer_dies_asleep, an_mpmc_producer_dies,
};
pub(crate) use crate::sync::{
    a_mutex_holder_dies, a_mutexs_survivor_dies, a_notifier_dies, a_party_dies, a_reader_dies_freeing,
    a_reader_or_writer_dies, a_waiter_dies, a_writer_dies_emptying, who_does_it_dies,
};

pub(crate) type Scenario = fn(&Ring, &mut Victim);

/// Two processes send and receive the messages from `sent` and `received` on to `last`, close the ring, and it is gone.
#[track_caller]
fn stream_to_the_end(ring: &Ring, (mut producer, sent): (Process, u64), (mut consumer, received): (Process, u64)) {
    let last = sent + 20;
    producer.begin(&format!("send {sent} {last}"));
    assert_eq!(consumer.ask(&format!("recv {received} {last}")), format!("received {last}"));
    assert_eq!(producer.hear(), format!("sent {last}"));
    producer.finish();
    consumer.finish();
    ring.assert_gone();
}

/// The victim's successor finds the count where the victim's reports end, or one further: the victim may have died between
/// the deed and the report.
#[track_caller]
fn succeed(ring: &Ring, role: &str, victim: &Victim) -> (Process, u64) {
    let (process, count) = ring.join(role, "");
    let done = victim.done();
    assert!(count == done || count == done + 1, "the victim reported {done}, its successor finds {count}");
    (process, count)
}

/// What is in the folder once the victim is dead: a ring, or if it died before the name was there, nothing at all.
#[track_caller]
fn check_creation(ring: &Ring, victim: &Victim) {
    // A segment has its key from the start: what is half made is for the next one to make anew.
    if !ring.is_system_v() || !victim.leaves_nothing() {
        assert_eq!(ring.is_found(), !victim.leaves_nothing());
    }
}

pub(crate) fn a_producer_dies_creating(ring: &Ring, victim: &mut Victim) {
    victim.joins(ring, "producer", "");
    victim.does("send 0 3 ack", "sent 3");
    victim.does("close", "ok");
    victim.ends();
    check_creation(ring, victim);
    let producer = succeed(ring, "producer", victim);
    stream_to_the_end(ring, producer, ring.join("consumer", ""));
}

pub(crate) fn a_consumer_dies_creating(ring: &Ring, victim: &mut Victim) {
    victim.joins(ring, "consumer", "park");
    let (mut producer, sent);
    if !ring.is_whole() {
        // It has died. The folder is looked at again once that is certain.
        victim.ends();
        check_creation(ring, victim);
        (producer, sent) = ring.join("producer", "await");
    } else {
        (producer, sent) = ring.join("producer", "await");
        victim.begin("recv 0 3 ack");
        victim.sleeps();
        assert_eq!(producer.ask("send 0 3"), "sent 3");
        victim.ends_with("received 3");
        victim.does("detach", "ok");
        victim.ends();
        check_creation(ring, victim);
    }
    assert_eq!(sent, 0);
    let sent: u64 = producer.ask("count").parse().expect("a number");
    stream_to_the_end(ring, (producer, sent), succeed(ring, "consumer", victim));
}

/// A producer wakes a sleeping consumer, fills the ring, sleeps, is woken, goes round the wrap some times, and leaves.
pub(crate) fn a_producer_dies_sending(ring: &Ring, victim: &mut Victim) {
    a_producer_dies_sending_to(ring, victim, ring.consumer("await"));
}

/// As the one before, to a consumer that sleeps in a wait set: a message that nobody rang for is found all the same.
pub(crate) fn a_producer_dies_sending_to_a_wait_set(ring: &Ring, victim: &mut Victim) {
    a_producer_dies_sending_to(ring, victim, ring.consumer("await set"));
}

fn a_producer_dies_sending_to(ring: &Ring, victim: &mut Victim, mut consumer: Process) {
    consumer.begin("recv 0 40");
    assert!(consumer.sleeps());
    consumer.stop();
    victim.joins(ring, "producer", "await park");
    victim.begin("send 0 20 ack");
    victim.sleeps();
    consumer.resume();
    victim.ends_with("sent 20");
    victim.does("detach", "ok");
    victim.ends();
    if ring.is_named() {
        // Even if the victim died with the consumer's wake-up on its lips.
        until("the consumer has all that was sent", || ring.snapshot().queued() == Some(0));
    }
    let (mut producer, sent) = succeed(ring, "producer", victim);
    assert_eq!(producer.ask(&format!("send {sent} 40")), "sent 40");
    assert_eq!(consumer.hear(), "received 40", "each once, in order, none torn");
    producer.finish();
    consumer.finish();
}

pub(crate) fn a_consumer_dies_receiving(ring: &Ring, victim: &mut Victim) {
    a_consumer_dies_receiving_as(ring, victim, "await park");
}

/// As the one before, in a wait set.
pub(crate) fn a_wait_set_dies_receiving(ring: &Ring, victim: &mut Victim) {
    a_consumer_dies_receiving_as(ring, victim, "await set");
}

fn a_consumer_dies_receiving_as(ring: &Ring, victim: &mut Victim, options: &str) {
    let mut producer = receive(ring, victim, options, "recv 0 20 ack");
    let (mut consumer, received) = succeed(ring, "consumer", victim);
    assert_eq!(consumer.ask(&format!("recv {received} 40")), "received 40");
    assert_eq!(producer.hear(), "sent 40");
    producer.finish();
    consumer.finish();
}

/// As the one before, with guards: a message is reported before it is released.
pub(crate) fn a_consumer_dies_holding(ring: &Ring, victim: &mut Victim) {
    let mut producer = receive(ring, victim, "await park", "hold 0 20");
    let (mut consumer, received) = ring.join("consumer", "");
    let done = victim.done();
    assert!(received == done || received + 1 == done, "{done} reported, {received} released: the last one comes again");
    assert_eq!(consumer.ask(&format!("recv {received} 40")), "received 40");
    assert_eq!(producer.hear(), "sent 40");
    producer.finish();
    consumer.finish();
}

/// A consumer sleeps, is woken, wakes a producer that sleeps on a full ring, goes round the wrap some times, and leaves. Returns
/// the producer.
fn receive(ring: &Ring, victim: &mut Victim, options: &str, command: &str) -> Process {
    let mut producer = ring.producer("await");
    victim.joins(ring, "consumer", options);
    victim.begin(command);
    victim.sleeps();
    victim.stop();
    producer.begin("send 0 40");
    assert!(producer.sleeps());
    victim.resume();
    victim.ends_with("received 20");
    victim.does("detach", "ok");
    victim.ends();
    producer
}

pub(crate) fn a_producer_dies_closing_on_a_sleeping_consumer(ring: &Ring, victim: &mut Victim) {
    let mut consumer = ring.consumer("");
    consumer.begin("recv 0 100");
    assert!(consumer.sleeps());
    victim.joins(ring, "producer", "");
    victim.does("send 0 3 ack", "sent 3");
    victim.does("close", "ok");
    victim.ends();
    let mut sent = victim.done()..=victim.done() + 1;
    if ring.snapshot().producer.state == Peer::Vacant {
        // It died before it had taken the role: the consumer still waits for the first producer.
        ring.producer("").finish();
        sent = 0..=0;
    }
    let reply = consumer.hear();
    assert!(sent.clone().any(|sent| reply == format!("Disconnected at {sent}")), "{sent:?}: {reply}");
    consumer.finish();
    ring.assert_gone();
}

pub(crate) fn a_consumer_dies_closing_on_a_sleeping_producer(ring: &Ring, victim: &mut Victim) {
    let mut producer = ring.producer("");
    producer.begin("send 0 100");
    assert!(producer.sleeps());
    victim.joins(ring, "consumer", "");
    victim.does("recv 0 3 ack", "received 3");
    victim.does("close", "ok");
    victim.ends();
    if ring.snapshot().consumer.state == Peer::Vacant {
        // It died before it had taken the role: the producer still waits for the first consumer.
        assert_eq!(ring.consumer("").ask("recv 0 100"), "received 100");
        assert_eq!(producer.hear(), "sent 100");
        producer.finish();
        ring.remove();
        return;
    }
    let reply = producer.hear();
    let sent = reply.strip_prefix("Disconnected at ").expect(&reply);
    producer.finish();
    let (mut consumer, received) = succeed(ring, "consumer", victim);
    assert_eq!(consumer.ask(&format!("recv {received} 100")), format!("Disconnected at {sent}"));
    consumer.finish();
    ring.assert_gone();
}

/// The producer has closed. The victim receives the rest, and with it goes the ring.
pub(crate) fn the_last_consumer_dies_closing(ring: &Ring, victim: &mut Victim) {
    let mut producer = ring.producer("");
    assert_eq!(producer.ask("send 0 3"), "sent 3");
    producer.finish();
    victim.joins(ring, "consumer", "");
    victim.does("recv 0 3 ack", "received 3");
    victim.does("close", "ok");
    victim.ends();
    let mut consumer = Process::start(&ring.folder);
    let reply = consumer.ask(&ring.opening("consumer", "existing"));
    let done = victim.done();
    match reply.strip_prefix("open ") {
        Some(received) => {
            let received = received.parse::<u64>().expect("a number");
            assert!(received == done || received == done + 1, "{done} reported, {received} released");
            assert_eq!(consumer.ask(&format!("recv {received} 100")), "Disconnected at 3");
        }
        None => assert!(done >= 2 && reply.starts_with("NotFound: "), "{done} reported, then {reply}"),
    }
    consumer.finish();
    ring.assert_gone();
}

/// The consumer has received everything and closed. With the victim goes the ring.
pub(crate) fn the_last_producer_dies_closing(ring: &Ring, victim: &mut Victim) {
    let mut consumer = ring.consumer("await");
    victim.joins(ring, "producer", "");
    victim.does("send 0 3 ack", "sent 3");
    let mut next = 0;
    while ring.snapshot().queued() != Some(0) {
        assert_eq!(consumer.ask(&format!("recv {next} {}", next + 1)), format!("received {}", next + 1));
        next += 1;
    }
    assert!(next == victim.done() || next == victim.done() + 1, "{} reported, {next} sent", victim.done());
    consumer.finish();
    victim.does("close", "ok");
    victim.ends();
    let is_gone = !ring.is_whole();
    // A stream that was closed is over; one whose producer died goes on.
    let (producer, sent) = ring.join("producer", "");
    assert!(sent == 0 || sent == next && !is_gone, "{next} sent, {sent} found");
    let (consumer, received) = ring.join("consumer", "");
    assert_eq!(received, sent, "everything had been received");
    stream_to_the_end(ring, (producer, sent), (consumer, received));
}

pub(crate) fn a_remover_dies_while_others_use_the_ring(ring: &Ring, victim: &mut Victim) {
    let (mut producer, mut consumer) = (ring.producer(""), ring.consumer(""));
    assert_eq!(producer.ask("send 0 3"), "sent 3");
    victim.does(&format!("remove {} force", ring.name()), "ok");
    victim.ends();
    // They do not notice.
    producer.begin("send 3 50");
    assert_eq!(consumer.ask("recv 0 50"), "received 50");
    assert_eq!(producer.hear(), "sent 50");
    // Whoever comes now gets a new ring, and the end of the old one does not touch it.
    let (others, successors) = (ring.join("producer", ""), ring.join("consumer", ""));
    assert_eq!((others.1, successors.1), (0, 0));
    producer.finish();
    consumer.finish();
    assert!(ring.is_found());
    stream_to_the_end(ring, others, successors);
}

/// A ring that nobody uses is removed by the victim, which may die in the middle of it.
fn remove_where_nobody_is(ring: &Ring, victim: &mut Victim) {
    let mut producer = ring.producer("");
    assert_eq!(producer.ask("send 0 3"), "sent 3");
    producer.finish();
    victim.does(&format!("remove {}", ring.name()), "ok");
    victim.ends();
}

pub(crate) fn a_remover_dies_before_the_next_users_come(ring: &Ring, victim: &mut Victim) {
    remove_where_nobody_is(ring, victim);
    let (producer, consumer) = (ring.join("producer", ""), ring.join("consumer", ""));
    assert_eq!((producer.1, consumer.1), (0, 0), "half removed is removed");
    stream_to_the_end(ring, producer, consumer);
}

pub(crate) fn a_remover_dies_before_the_next_remover_comes(ring: &Ring, victim: &mut Victim) {
    remove_where_nobody_is(ring, victim);
    let reply = Process::start(&ring.folder).ask(&format!("remove {}", ring.name()));
    assert!(reply == "ok" || reply.starts_with("NotFound: "), "{reply}");
}
