//! Words written into a ring in use, by somebody who maps it too: the next call that looks at the word reports it.

use crate::image::{Bed, PAD, TAG, Way};
use crate::made;
use crate::words::{DATA_AT, cursor_at, ledger_at};
use ringshm_core::error::{Fault, RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError};
use ringshm_core::{Consumer, Producer, RecordConsumer, RecordProducer};
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Both sides of a ring, and a third party's access to it.
struct Live<P, C> {
    bed: Bed,
    producer: P,
    consumer: C,
}

fn live<M: ringshm_core::Message + ?Sized>(image: &[u8], trusts_peers: bool) -> Live<M::Producer, M::Consumer> {
    let bed = Bed::new(image);
    let producer = bed.producer::<M>(Way::Memfd, trusts_peers).expect("a good ring");
    let consumer = bed.consumer::<M>(Way::Memfd, trusts_peers).expect("a good ring");
    Live { bed, producer, consumer }
}

impl<P, C> Live<P, C> {
    fn write(&self, at: usize, word: u64) {
        self.bed.memfd.write_all_at(&word.to_ne_bytes(), at as u64).expect("a memfd sealed against resizing only");
    }

    fn read(&self, at: usize) -> u64 {
        let mut word = [0; 8];
        self.bed.memfd.read_exact_at(&mut word, at as u64).expect("inside of the object");
        u64::from_ne_bytes(word)
    }
}

const SOON: Duration = Duration::from_millis(1);
const PRODUCER: Fault = Fault::Corrupt { field: "producer cursor" };
const CONSUMER: Fault = Fault::Corrupt { field: "consumer cursor" };

/// Cursors that no peer can have, if it stood at `at` and the ring holds `capacity`.
fn impossible(at: u64, capacity: u64) -> [u64; 6] {
    [
        at.wrapping_sub(1),
        at.wrapping_sub(8),
        at + capacity + 1,
        at + capacity + 8,
        at ^ 1 << 63,
        at.wrapping_sub(capacity),
    ]
}

#[test]
fn an_impossible_producer_cursor_is_reported_by_the_next_receive() {
    for trusts_peers in [false, true] {
        let mut ring: Live<RecordProducer, RecordConsumer> = live::<[u8]>(&made::records(64, 8, 8), trusts_peers);
        let published = ring.read(cursor_at(0));
        for cursor in impossible(published, 128) {
            ring.write(cursor_at(0), cursor);
            let mut bytes = vec![9];
            assert_eq!(ring.consumer.try_recv(&mut bytes), Err(TryRecvError::Fault(PRODUCER)), "{cursor}");
            assert_eq!(ring.consumer.try_recv_ref().err(), Some(TryRecvError::Fault(PRODUCER)));
            assert_eq!(ring.consumer.try_drain().err(), Some(TryRecvError::Fault(PRODUCER)));
            assert_eq!(ring.consumer.recv_timeout(&mut bytes, SOON), Err(RecvTimeoutError::Fault(PRODUCER)));
            assert!(ring.consumer.len() <= 16 && bytes == [9]);
        }
        ring.write(cursor_at(0), published);
        ring.producer.try_send(&[5]).expect("room");
        assert_eq!(*ring.consumer.try_recv_ref().expect("sound again"), [5]);

        let mut ring: Live<Producer<u64>, Consumer<u64>> = live::<u64>(&made::slots(5, 3, 3), trusts_peers);
        let published = ring.read(cursor_at(0));
        for cursor in impossible(published, 8) {
            ring.write(cursor_at(0), cursor);
            assert_eq!(ring.consumer.try_recv(), Err(TryRecvError::Fault(PRODUCER)), "{cursor}");
            assert_eq!(ring.consumer.try_recv_ref().err(), Some(TryRecvError::Fault(PRODUCER)));
            assert_eq!(ring.consumer.try_drain().err(), Some(TryRecvError::Fault(PRODUCER)));
            assert_eq!(ring.consumer.recv_timeout(SOON), Err(RecvTimeoutError::Fault(PRODUCER)));
            assert!(ring.consumer.len() <= 8);
        }
        ring.write(cursor_at(0), published);
        ring.producer.try_send(5).expect("room");
        assert_eq!(ring.consumer.try_recv(), Ok(5));
    }
}

#[test]
fn an_impossible_consumer_cursor_is_reported_by_the_next_send_that_needs_room() {
    for trusts_peers in [false, true] {
        let mut ring: Live<RecordProducer, RecordConsumer> = live::<[u8]>(&made::records(64, 0, 0), trusts_peers);
        while ring.producer.try_send(&[0; 8]).is_ok() {}
        let released = ring.read(cursor_at(1));
        // The consumer cannot have released more than was published.
        for cursor in impossible(released, 128) {
            ring.write(cursor_at(1), cursor);
            assert_eq!(ring.producer.try_send(&[1]), Err(TrySendError::Fault((), CONSUMER)), "{cursor}");
            assert_eq!(ring.producer.try_send_slice(&[[1]]), Err(TrySendError::Fault((), CONSUMER)));
            assert_eq!(ring.producer.try_loan(1).err(), Some(TrySendError::Fault((), CONSUMER)));
            assert_eq!(ring.producer.send_timeout(&[1], SOON), Err(SendTimeoutError::Fault((), CONSUMER)));
            assert!(ring.producer.len() <= 16);
        }
        ring.write(cursor_at(1), released);
        assert_eq!(ring.producer.try_send(&[1]), Err(TrySendError::Full(())));

        let mut ring: Live<Producer<u64>, Consumer<u64>> = live::<u64>(&made::slots(5, 8, 0), trusts_peers);
        let released = ring.read(cursor_at(1));
        for cursor in impossible(released, 8) {
            ring.write(cursor_at(1), cursor);
            assert_eq!(ring.producer.try_send(1), Err(TrySendError::Fault(1, CONSUMER)), "{cursor}");
            assert_eq!(ring.producer.try_send_slice(&[1]), Err(TrySendError::Fault((), CONSUMER)));
            assert_eq!(ring.producer.try_loan().err(), Some(TrySendError::Fault((), CONSUMER)));
            assert_eq!(ring.producer.send_timeout(1, SOON), Err(SendTimeoutError::Fault(1, CONSUMER)));
            assert!(ring.producer.len() <= 8);
        }
        ring.write(cursor_at(1), released);
        assert_eq!(ring.producer.try_send(1), Err(TrySendError::Full(1)));
    }
}

#[test]
fn a_producer_cursor_that_goes_back_is_reported_even_inside_the_ring() {
    let mut ring: Live<Producer<u64>, Consumer<u64>> = live::<u64>(&made::slots(5, 4, 0), false);
    assert_eq!(ring.consumer.try_recv(), Ok(0));
    for back in 6..9 {
        ring.write(cursor_at(0), back);
        assert_eq!(ring.consumer.try_drain().err(), Some(TryRecvError::Fault(PRODUCER)), "from 9 to {back}");
    }
    let mut ring: Live<RecordProducer, RecordConsumer> = live::<[u8]>(&made::records(0, 4, 0), false);
    assert_eq!(ring.consumer.try_recv(&mut Vec::new()), Ok(0));
    for back in [8, 24, 40, 48] {
        ring.write(cursor_at(0), back);
        assert_eq!(ring.consumer.try_drain().err(), Some(TryRecvError::Fault(PRODUCER)), "from 56 to {back}");
    }
}

/// One's own cursor is never read back: whoever scribbles on it deceives the peer alone.
#[test]
fn ones_own_words_are_not_believed() {
    let mut ring: Live<Producer<u64>, Consumer<u64>> = live::<u64>(&made::slots(5, 3, 1), false);
    ring.write(cursor_at(0), 1 << 40);
    ring.write(cursor_at(1), 1 << 50);
    assert_eq!((ring.producer.sent(), ring.consumer.received()), (3, 1));
    assert_eq!(ring.producer.try_send(30), Ok(()));
    // Sending and receiving have put both cursors right again.
    assert!(ring.consumer.try_iter().eq([10, 20, 30]));
    assert_eq!((ring.producer.sent(), ring.consumer.received(), ring.producer.len()), (4, 4, 0));

    let mut ring: Live<RecordProducer, RecordConsumer> = live::<[u8]>(&made::records(0, 4, 1), false);
    for lane in 0..2 {
        for mark in 0..2 {
            ring.write(ledger_at(lane, mark) + 8, u64::MAX / 2);
        }
    }
    ring.producer.try_send(&[9]).expect("room");
    assert_eq!((ring.producer.sent(), ring.consumer.try_iter().count(), ring.consumer.received()), (5, 4, 5));
}

/// The geometry is copied once, when a ring is opened.
#[test]
fn a_header_that_changes_later_changes_nothing() {
    let mut ring: Live<RecordProducer, RecordConsumer> = live::<[u8]>(&made::records(0, 0, 0), false);
    for at in (0..512).step_by(8) {
        ring.write(at, u64::MAX);
    }
    assert_eq!((ring.producer.max_message(), ring.consumer.capacity()), (56, 128));
    for lap in 0..40 {
        ring.producer.try_send(&[lap; 50]).expect("an empty ring");
        assert_eq!(*ring.consumer.try_recv_ref().expect("a record"), [lap; 50]);
    }
}

#[test]
fn a_record_header_that_changes_after_it_was_published_is_checked_anew() {
    for (header, expected) in [
        (TAG | 57, "record length"),
        (TAG | 0xffff_ffff, "record length"),
        (PAD | 120, "padding length"),
        (PAD | 8, "padding length"),
        (0, "record tag"),
        (u64::MAX, "record tag"),
    ] {
        let mut ring: Live<RecordProducer, RecordConsumer> = live::<[u8]>(&made::records(0, 0, 0), false);
        ring.producer.try_send_slice(&[[1; 40], [2; 40]]).expect("room for both");
        ring.write(DATA_AT + 48, header);
        let mut drain = ring.consumer.try_drain().expect("two records");
        assert_eq!(drain.next(), Ok(Some([1; 40].as_slice())));
        assert_eq!(drain.next(), Err(Fault::Corrupt { field: expected }), "{header:x}");
        assert_eq!(drain.taken(), 1);
        drop(drain);
        assert_eq!(ring.consumer.received(), 1, "what was taken before is good");
        assert!(matches!(ring.consumer.try_recv(&mut Vec::new()), Err(TryRecvError::Fault(_))));
    }
}

/// A copy cannot change any more, whatever becomes of the ring.
#[test]
fn an_untrusting_guard_is_a_copy() {
    let mut ring: Live<RecordProducer, RecordConsumer> = live::<[u8]>(&made::records(0, 0, 0), false);
    ring.producer.try_send(&[1; 8]).expect("room");
    let memfd = ring.bed.memfd.try_clone().expect("an open file");
    let scribble = |at: usize| memfd.write_all_at(&[0xff; 8], at as u64).expect("inside of the object");
    let record = ring.consumer.try_recv_ref().expect("a record");
    scribble(DATA_AT + 8);
    assert_eq!(*record, [1; 8]);
    drop(record);
    let mut loan = ring.producer.try_loan(8).expect("room");
    loan.fill(2);
    scribble(DATA_AT + 24);
    assert_eq!(*loan, [2; 8]);
    loan.commit();
    assert_eq!(*ring.consumer.try_recv_ref().expect("a record"), [2; 8]);

    let mut ring: Live<Producer<u64>, Consumer<u64>> = live::<u64>(&made::slots(0, 1, 0), false);
    let memfd = ring.bed.memfd.try_clone().expect("an open file");
    let message = ring.consumer.try_recv_ref().expect("a message");
    memfd.write_all_at(&[0xff; 8], DATA_AT as u64).expect("inside of the object");
    assert_eq!(*message, 0);
}
