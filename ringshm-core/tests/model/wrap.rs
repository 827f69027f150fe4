//! Every size at every distance from the wrap, exhaustively on small rings, and every ring filled to the last byte.

use crate::records::{Model, span};
use crate::{GROUNDS, Ground, ORIGINS, Ring};
use ringshm_core::error::{TryRecvError, TrySendError};
use ringshm_core::message::Wishes;
use ringshm_core::open::Options;
use ringshm_core::{RecordConsumer, RecordProducer};

fn record(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + seed) as u8).collect()
}

/// Sends records of these lengths through a ring of which nothing is in use, and sees each arrive.
fn through(producer: &mut RecordProducer, consumer: &mut RecordConsumer, model: &mut Model, lens: [usize; 2]) {
    let mut into = Vec::new();
    for (seed, len) in lens.into_iter().enumerate() {
        let record = record(len, seed);
        if model.fits(len) {
            assert_eq!(producer.try_send(&record), Ok(()), "{lens:?}");
            model.send(len, record);
        } else {
            assert_eq!(producer.try_send(&record), Err(TrySendError::Full(())), "{lens:?}");
        }
    }
    while let Some(expected) = model.recv() {
        assert_eq!(consumer.try_recv(&mut into), Ok(expected.len()), "{lens:?}");
        assert_eq!(into, expected, "{lens:?}");
    }
    assert_eq!(consumer.try_recv(&mut into), Err(TryRecvError::Empty), "{lens:?}");
}

#[test]
fn every_two_sizes_at_every_offset() {
    for capacity in [32, 64, 128] {
        for start in (0..capacity).step_by(8) {
            for near in [0, u64::MAX - capacity + 1] {
                let origin = near.wrapping_add(start);
                let max = Model::new(capacity, origin).max();
                for first in 0..=max {
                    for second in 0..=max {
                        let options = Options {
                            wishes: Wishes { capacity: Some(capacity), origin, ..Wishes::default() },
                            ..Options::default()
                        };
                        let (mut producer, mut consumer) = options.threads::<[u8]>().expect("a small ring");
                        let mut model = Model::new(capacity, origin);
                        through(&mut producer, &mut consumer, &mut model, [first, second]);
                    }
                }
            }
        }
    }
}

/// The longest record always fits into an empty ring, wherever the wrap lies; one byte more never does.
#[test]
fn the_longest_record_fits_at_every_offset() {
    for ground in GROUNDS {
        for capacity in [32, 64, 256, 4096] {
            for origin in ORIGINS {
                let ring = Ring::new::<[u8]>(ground, capacity, origin);
                let mut producer = ring.producer::<[u8]>().expect("a vacant role");
                let mut consumer = ring.consumer::<[u8]>().expect("a vacant role");
                let max = producer.max_message();
                assert_eq!(max as u64, capacity / 2 - 8);
                for step in 0..capacity / 8 {
                    let longest = record(max, step as usize);
                    assert_eq!(producer.try_send(&longest), Ok(()), "step {step}");
                    assert_eq!(*consumer.try_recv_ref().expect("a record"), longest);
                    let too_large = Err(TrySendError::TooLarge { len: max + 1, max });
                    assert_eq!(producer.try_send(&record(max + 1, 0)), too_large);
                    // An empty record moves the next start by 8 bytes.
                    assert_eq!(producer.try_send(&[]), Ok(()));
                    assert_eq!(consumer.try_recv_ref().expect("a record").len(), 0);
                }
            }
        }
    }
}

/// Never full when not full: as many records of one size as the rule says, again and again round the ring.
#[test]
fn a_ring_takes_what_its_rule_says_to_the_last_byte() {
    for ground in [Ground::Heap, Ground::Untrusting] {
        for capacity in [32, 64, 128, 512] {
            for origin in ORIGINS {
                let ring = Ring::new::<[u8]>(ground, capacity, origin);
                let mut producer = ring.producer::<[u8]>().expect("a vacant role");
                let mut consumer = ring.consumer::<[u8]>().expect("a vacant role");
                let mut model = Model::new(capacity, origin);
                let mut into = Vec::new();
                for len in (0..=model.max()).step_by(if capacity > 128 { 5 } else { 1 }) {
                    for round in 0..8 {
                        while producer.try_send(&record(len, round)).is_ok() {
                            assert!(model.fits(len), "length {len}");
                            model.send(len, record(len, round));
                        }
                        assert!(!model.fits(len), "full when not full: length {len}");
                        // Without a wrap inside, the ring is used up.
                        assert!(model.queue.len() as u64 >= capacity / span(len) / 2);
                        for _ in 0..=round {
                            let Some(expected) = model.recv() else { break };
                            assert_eq!(consumer.try_recv(&mut into), Ok(expected.len()));
                            assert_eq!(into, expected);
                        }
                    }
                }
                while let Some(expected) = model.recv() {
                    consumer.try_recv(&mut into).expect("a record");
                    assert_eq!(into, expected);
                }
                assert!(consumer.is_empty());
            }
        }
    }
}

/// Records of no length use the whole ring: one for every 8 bytes.
#[test]
fn empty_records_fill_a_ring_exactly() {
    for origin in ORIGINS {
        let options =
            Options { wishes: Wishes { capacity: Some(256), origin, ..Wishes::default() }, ..Options::default() };
        let (mut producer, mut consumer) = options.threads::<[u8]>().expect("a small ring");
        for lap in 0..3 {
            for sent in 0..32 {
                assert_eq!(producer.try_send(&[]), Ok(()), "lap {lap}, {sent} sent");
            }
            assert_eq!((producer.try_send(&[]), producer.len()), (Err(TrySendError::Full(())), 32));
            assert_eq!(consumer.try_iter().count(), 32);
        }
    }
}
