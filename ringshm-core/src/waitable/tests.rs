use super::Waitable as _;
use crate::Behaviour;
use crate::broadcast::{Broadcast, Start, reader_in};
use crate::error::{TryRecvError, TrySendError};
use crate::latest::Latest;
use crate::memory::Memory;
use crate::message::{Message, Wishes, consumer_in, producer_in};
use crate::mpmc::Mpmc;
use std::sync::Arc;

fn ring<M: Message + ?Sized>(capacity: u64) -> Arc<Memory> {
    let wishes =
        Wishes { capacity: Some(capacity), max_message: None, producers: 2, consumers: 2, ..Wishes::default() };
    Memory::on_heap(M::geometry(&wishes).expect("a small ring"))
}

fn pair<M: Message + ?Sized>(capacity: u64) -> (M::Producer, M::Consumer) {
    let memory = ring::<M>(capacity);
    let join = Behaviour::default();
    (producer_in::<M>(&memory, join).expect("free"), consumer_in::<M>(&memory, join).expect("free"))
}

/// Ready is who would not be told to wait, in every state of a ring of fixed-size messages.
macro_rules! is_what_a_call_would_say {
    ($carrier:ty) => {
        let (mut producer, mut consumer) = pair::<$carrier>(2);
        for _ in 0..3 {
            assert!(producer.is_ready() && !consumer.is_ready());
            assert_eq!(consumer.try_recv(), Err(TryRecvError::Empty));
            assert_eq!(producer.try_send(1), Ok(()));
            assert!(producer.is_ready() && consumer.is_ready());
            assert_eq!(producer.try_send(2), Ok(()));
            assert!(!producer.is_ready() && consumer.is_ready());
            assert_eq!(producer.try_send(3), Err(TrySendError::Full(3)));
            assert!(!producer.is_ready() && consumer.is_ready());
            assert_eq!(consumer.try_recv(), Ok(1));
            assert!(producer.is_ready() && consumer.is_ready());
            assert_eq!(consumer.try_recv(), Ok(2));
        }
        drop(producer);
        assert!(consumer.is_ready(), "to say that the ring is closed");
        assert_eq!(consumer.try_recv(), Err(TryRecvError::Disconnected));
        assert!(consumer.is_ready(), "as often as it is asked");
    };
}

#[test]
fn ready_is_who_would_not_be_told_to_wait() {
    is_what_a_call_would_say!(u64);
    is_what_a_call_would_say!(Mpmc<u64>);
    is_what_a_call_would_say!(Broadcast<u64>);
}

#[test]
fn a_producer_is_ready_when_nobody_receives_any_more() {
    let (mut producer, consumer) = pair::<u64>(1);
    assert_eq!(producer.try_send(1), Ok(()));
    assert!(!producer.is_ready());
    drop(consumer);
    assert!(producer.is_ready());
    assert_eq!(producer.try_send(2), Err(TrySendError::Disconnected(2)));
}

#[test]
fn a_producer_of_records_is_ready_for_the_one_that_was_refused() {
    let (mut producer, mut consumer) = pair::<[u8]>(256);
    let (mut into, long) = (Vec::new(), [7; 100]);
    assert!(producer.is_ready());
    assert_eq!(producer.try_send(&long), Ok(()));
    assert_eq!(producer.try_send(&[1; 8]), Ok(()));
    assert!(producer.is_ready(), "for a short one");
    assert_eq!(producer.try_send(&long), Ok(()));
    assert_eq!(producer.try_send(&long), Err(TrySendError::Full(())));
    assert!(!producer.is_ready());
    assert_eq!(consumer.try_recv(&mut into), Ok(100));
    assert_eq!(consumer.try_recv(&mut into), Ok(8));
    assert!(producer.is_ready());
    assert_eq!(producer.try_send(&long), Ok(()));
    assert!(!producer.is_ready() || producer.try_send(&[]).is_ok());
}

#[test]
fn a_refused_batch_is_ready_for_its_first() {
    let (mut producer, mut consumer) = pair::<u64>(4);
    assert_eq!(producer.try_send_slice(&[1, 2, 3, 4]), Ok(4));
    assert_eq!(producer.try_send_slice(&[5, 6, 7]), Err(TrySendError::Full(())));
    assert!(!producer.is_ready());
    assert_eq!(consumer.try_recv(), Ok(1));
    assert!(producer.is_ready());
}

#[test]
fn a_lossy_reader_is_ready_to_tell_what_it_missed() {
    let memory = ring::<Broadcast<u64>>(2);
    let mut producer = producer_in::<Broadcast<u64>>(&memory, Behaviour::default()).expect("free");
    for number in 0..100 {
        assert_eq!(producer.try_send(number), Ok(()));
    }
    let mut late = Behaviour::default();
    late.start = Start::At(0);
    let mut reader = reader_in::<Broadcast<u64>>(&memory, late).expect("anybody may");
    assert!(reader.is_ready());
    assert!(matches!(reader.try_recv(), Err(TryRecvError::Lagged(_))));
    while reader.is_ready() {
        assert!(reader.try_recv().is_ok());
    }
    assert_eq!(reader.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn a_reader_of_a_register_is_ready_for_a_value_that_it_has_not_read() {
    let (mut writer, mut reader) = pair::<Latest<u64>>(4);
    assert!(writer.is_ready() && !reader.is_ready());
    writer.write(7).expect("not forked");
    assert!(reader.is_ready());
    assert_eq!(reader.read(), Some(7));
    assert!(!reader.is_ready());
    drop(writer);
    assert!(reader.is_ready(), "to say that there will be no other");
}

#[test]
fn a_message_that_a_guard_kept_is_ready() {
    let (mut producer, mut consumer) = pair::<Mpmc<u64>>(2);
    assert_eq!(producer.try_send(1), Ok(()));
    consumer.try_recv_ref().expect("a message").keep();
    assert!(consumer.is_ready());
    assert_eq!(consumer.try_recv(), Ok(1));
    assert!(!consumer.is_ready());
}
