//! Images of rings with many participants, and of registers: good ones, with words that a fuzzer's bytes choose, and everything that the
//! library can be made to do with them.

use super::framed;
use super::{Bed, CALLS, HEADER, MOMENT, Script, Way, put_word, repair, sum};
use ringshm_core::broadcast::{Broadcast, Receiver, RecordReceiver, Seat};
use ringshm_core::broadcast::{Producer as BroadcastProducer, RecordProducer as BroadcastRecordProducer};
use ringshm_core::frames::Frames;
use ringshm_core::latest::{Latest, Reader, Writer};
use ringshm_core::layout::{CONTROL_AT, Header, Kind, LANES_AT, LOBBY_AT, Lane};
use ringshm_core::message::Wishes;
use ringshm_core::mpmc::{ByteConsumer, ByteProducer, ByteRef, Consumer, Mpmc, Producer, RecvRef};
use ringshm_core::open::Options;
use ringshm_core::{Batch, Channel, Deadline, Message};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use zerocopy::FromBytes;

/// First positions: the beginning, and shortly before a counter of 32 or 64 bits would wrap.
pub(super) const ORIGINS: [u64; 3] = [0, (1 << 32) - 24, u64::MAX - 23];

/// Slots of the rings of frames.
pub(super) const FRAME_SLOTS: u64 = 5;

/// The bytes of a ring in which `act` takes part, as long as there is what it returns.
fn image_of<M: Message + ?Sized, R>(
    capacity: u64,
    origin: u64,
    act: impl FnOnce(M::Producer, M::Consumer) -> R,
) -> Vec<u8> {
    let options = options_of(capacity, origin);
    let memfd = options.memfd::<M>("good").expect("a small ring");
    let consumer = options.consumer_of::<M>(&memfd).expect("a free lane");
    let _present = act(options.producer_of::<M>(&memfd).expect("a free lane"), consumer);
    bytes_of(&File::from(memfd))
}

/// How the rings are made: with room for messages of 24 bytes.
pub(super) fn options_of(capacity: u64, origin: u64) -> Options {
    let wishes = Wishes {
        capacity: Some(capacity),
        max_message: Some(24),
        producers: 3,
        consumers: 3,
        origin,
        ..Wishes::default()
    };
    Options { wishes, ..Options::default() }
}

/// All that is in a file.
pub(super) fn bytes_of(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; file.metadata().expect("an open file").len() as usize];
    file.read_exact_at(&mut bytes, 0).expect("as long as it says");
    bytes
}

/// Rings that have gone round, with something in each: of numbers, of bytes, of records.
fn made(origin: u64) -> [(Kind, Vec<u8>); 6] {
    let bytes = [0xa5; 24];
    [
        (
            Kind::MpmcSlots,
            image_of::<Mpmc<u64>, _>(4, origin, |mut producer, mut consumer| {
                for number in 0..6 {
                    producer.try_send(number).expect("room");
                    if number < 4 {
                        consumer.try_recv().expect("a message");
                    }
                }
                // It leaves with a message in hand, as one that dies does.
                consumer.try_recv_ref().expect("a message").keep();
                producer.detach();
                consumer.detach();
            }),
        ),
        (
            Kind::MpmcBytes,
            image_of::<Mpmc<[u8]>, _>(4, origin, |mut producer, mut consumer| {
                for number in 0..6 {
                    producer.try_send(&bytes[..4 * number]).expect("room");
                    if number < 4 {
                        consumer.try_recv(&mut Vec::new()).expect("a message");
                    }
                }
                consumer.try_recv_ref().expect("a message").keep();
                producer.detach();
                consumer.detach();
            }),
        ),
        (
            Kind::BroadcastSlots,
            image_of::<Broadcast<u64>, _>(16, origin, |mut producer, mut consumer| {
                for number in 0..20 {
                    producer.try_send(number).expect("room");
                    if number < 12 {
                        consumer.try_recv().expect("a message");
                    }
                }
                producer.detach();
                consumer.detach();
            }),
        ),
        (
            Kind::BroadcastRecords,
            image_of::<Broadcast<[u8]>, _>(256, origin, |mut producer, mut consumer| {
                for number in 0..20 {
                    producer.try_send(&bytes[..number]).expect("room");
                    if number < 14 {
                        consumer.try_recv(&mut Vec::new()).expect("a record");
                    }
                }
                producer.detach();
                consumer.detach();
            }),
        ),
        (
            Kind::Latest,
            image_of::<Latest<u64>, _>(4, origin, |mut writer, _| {
                (0..6).for_each(|number| writer.write(number).expect("nobody forked"));
                writer.detach();
            }),
        ),
        (Kind::Frames, image_of::<Frames, _>(FRAME_SLOTS, origin, framed::act)),
    ]
}

/// Good images: each kind from each origin.
pub(crate) fn all() -> &'static [(Kind, Vec<u8>)] {
    static ALL: OnceLock<Vec<(Kind, Vec<u8>)>> = OnceLock::new();
    ALL.get_or_init(|| ORIGINS.into_iter().flat_map(made).collect())
}

/// The places of an image's words that participants read while they take part: control words, the lobby, lanes, the data area.
pub(crate) fn live_words(image: &[u8]) -> Vec<usize> {
    let data_at =
        Header::read_from_bytes(&image[..HEADER]).map_or(image.len() as u64, |header| header.data_at) as usize;
    // Four lanes: of all roles, those that were used, and some that were not.
    let ranges = [CONTROL_AT..CONTROL_AT + 640, LOBBY_AT..LOBBY_AT + 256, LANES_AT..LANES_AT + 4 * size_of::<Lane>()];
    let data = data_at..image.len().min(data_at + 640);
    let mut words: Vec<usize> = ranges.into_iter().chain([data]).flat_map(|range| range.step_by(8)).collect();
    if Header::read_from_bytes(&image[..HEADER]).is_ok_and(|header| header.kind == Kind::Frames as u32) {
        words.extend(framed::words(image, FRAME_SLOTS as usize));
    }
    words
}

fn word(image: &[u8], at: usize) -> u64 {
    image.get(at..at + 8).map_or(0, |bytes| u64::from_ne_bytes(bytes.try_into().expect("eight bytes")))
}

/// A good image with some words as a fuzzer's bytes want them: near what they were, like another word, small, or anything. Sometimes
/// words of the header, behind a checksum that is right.
pub(super) fn image(script: &mut Script<'_>) -> Vec<u8> {
    let good = all();
    let (_, mut image) = good[usize::from(script.byte()) % good.len()].clone();
    let words = live_words(&image);
    for _ in 0..1 + script.byte() % 12 {
        let choice = script.byte();
        if choice & 0xf0 == 0xf0 {
            let at = usize::from(script.byte()) % (HEADER / 8) * 8;
            change(script, &mut image, &words, at, choice);
        } else {
            change_one(script, &mut image, &words, choice);
        }
    }
    repair(&mut image);
    image
}

/// Changes one of `words`.
pub(super) fn change_one(script: &mut Script<'_>, image: &mut [u8], words: &[usize], choice: u8) {
    let at = words[(usize::from(script.byte()) << 8 | usize::from(script.byte())) % words.len()];
    change(script, image, words, at, choice);
}

fn change(script: &mut Script<'_>, image: &mut [u8], words: &[usize], at: usize, choice: u8) {
    let before = word(image, at);
    let value = match choice % 7 {
        0 => before ^ 1 << (script.byte() % 64),
        1 => before.wrapping_add(u64::from(script.byte())).wrapping_sub(128),
        2 => before.wrapping_add(u64::from(script.byte()) << 8).wrapping_sub(128 << 8),
        3 => word(image, words[usize::from(script.byte()) % words.len()]),
        4 => u64::from(script.byte()),
        5 => u64::MAX - u64::from(script.byte()),
        _ => script.word(),
    };
    put_word(image, at, value);
}

/// Takes each role of a ring of that kind, and a look without one, at the same time, and calls everything.
pub(super) fn drain(bed: &Bed, kind: Kind, way: Way, trusts_peers: bool) {
    match kind {
        Kind::MpmcSlots => {
            let (consumer, producer) =
                (bed.consumer::<Mpmc<u64>>(way, trusts_peers), bed.producer::<Mpmc<u64>>(way, trusts_peers));
            use_shared(consumer.ok(), producer.ok());
        }
        Kind::MpmcBytes => {
            let consumer = bed.consumer::<Mpmc<[u8]>>(way, trusts_peers);
            use_shared_bytes(consumer.ok(), bed.producer::<Mpmc<[u8]>>(way, trusts_peers).ok());
        }
        Kind::BroadcastSlots => {
            let (consumer, reader) = (bed.consumer::<Broadcast<u64>>(way, false), bed.reader::<Broadcast<u64>>(way));
            let mut producer = bed.producer::<Broadcast<u64>>(way, false).ok();
            let (mut consumer, mut reader) = (consumer.ok(), reader.ok());
            for call in 0..CALLS {
                producer.iter_mut().for_each(|producer| feed(producer, call));
                consumer.iter_mut().for_each(|consumer| follow(consumer, call));
                reader.iter_mut().for_each(|reader| follow(reader, call));
            }
        }
        Kind::BroadcastRecords => {
            let (consumer, reader) = (bed.consumer::<Broadcast<[u8]>>(way, false), bed.reader::<Broadcast<[u8]>>(way));
            let mut producer = bed.producer::<Broadcast<[u8]>>(way, false).ok();
            let (mut consumer, mut reader) = (consumer.ok(), reader.ok());
            for call in 0..CALLS {
                producer.iter_mut().for_each(|producer| feed_records(producer, call));
                consumer.iter_mut().for_each(|consumer| follow_records(consumer, call));
                reader.iter_mut().for_each(|reader| follow_records(reader, call));
            }
        }
        Kind::Latest => {
            let (consumer, reader) = (bed.consumer::<Latest<u64>>(way, false), bed.reader::<Latest<u64>>(way));
            let mut writer = bed.producer::<Latest<u64>>(way, false).ok();
            let (mut consumer, mut reader) = (consumer.ok(), reader.ok());
            for call in 0..CALLS {
                writer.iter_mut().for_each(|writer| write(writer, call));
                consumer.iter_mut().for_each(look);
                reader.iter_mut().for_each(look);
            }
        }
        Kind::Frames => {
            let newest = bed.renderer(way, trusts_peers).ok();
            let consumers = [bed.consumer::<Frames>(way, trusts_peers).ok(), newest];
            framed::use_frames(consumers, bed.producer::<Frames>(way, trusts_peers).ok());
        }
        // Those are drained elsewhere; locks and meeting points are no rings.
        Kind::SpscSlots | Kind::SpscRecords => {}
        Kind::Mutex | Kind::RwLock | Kind::Condvar | Kind::Barrier | Kind::Once => {}
    }
}

fn use_shared(mut consumer: Option<Consumer<u64>>, mut producer: Option<Producer<u64>>) {
    for call in 0..CALLS {
        if let Some(consumer) = &mut consumer {
            assert!(consumer.len() <= consumer.capacity());
            let mut room = [0; 5];
            match call % 5 {
                0 => drop(consumer.try_recv()),
                1 => drop(consumer.try_recv_ref().map(|message| *message)),
                // Rarely: producers that come to a message that is kept are patient with its consumer.
                2 if call == 2 => consumer.try_recv_ref().map(RecvRef::keep).unwrap_or(()),
                2 | 3 => drop(consumer.try_recv_slice(&mut room).map(|count| assert!((1..=5).contains(&count)))),
                _ => drop(consumer.recv_timeout(MOMENT)),
            }
            let _ = (consumer.is_empty(), consumer.redelivered(), consumer.lane());
        }
        if let Some(producer) = &mut producer {
            assert!(producer.len() <= producer.capacity());
            match call % 3 {
                0 => drop(producer.try_send(call as u64)),
                1 => drop(producer.try_send_slice(&[7; 5]).map(|count| assert!((1..=5).contains(&count)))),
                _ => drop(producer.send_timeout(call as u64, MOMENT)),
            }
        }
    }
}

fn use_shared_bytes(mut consumer: Option<ByteConsumer>, mut producer: Option<ByteProducer>) {
    let payload = [0xa5; 128];
    for call in 0..CALLS {
        if let Some(consumer) = &mut consumer {
            assert!(consumer.len() <= consumer.capacity());
            let mut bytes = Vec::new();
            match call % 5 {
                0 => drop(consumer.try_recv(&mut bytes)),
                1 => drop(consumer.try_recv_ref().map(|message| assert!(sum(&message) <= message.len() * 255))),
                4 => take_batch(consumer),
                2 if call == 2 => consumer.try_recv_ref().map(ByteRef::keep).unwrap_or(()),
                _ => drop(consumer.recv_timeout(&mut bytes, MOMENT)),
            }
        }
        if let Some(producer) = &mut producer {
            assert!(producer.len() <= producer.capacity());
            let len = (call * 7) % (producer.max_message().min(100) + 2);
            match call % 3 {
                0 => drop(producer.try_send(&payload[..len])),
                1 => drop(producer.try_send_slice(&[&payload[..len], &payload[..1]])),
                _ => drop(producer.send_timeout(&payload[..len], MOMENT)),
            }
        }
    }
}

fn take_batch(receiver: &mut impl ringshm_core::Receiver) {
    let mut batch = Batch::default();
    let received = receiver.recv_batch_by(&mut batch, 5, Deadline::after(MOMENT));
    assert_eq!(received.unwrap_or(0), batch.len());
    let max = receiver.capabilities().longest.bytes;
    assert!(batch.len() <= 5 && batch.iter().all(|message| message.len() <= max));
}

fn feed(producer: &mut BroadcastProducer<u64>, call: usize) {
    assert!(producer.lag() <= producer.capacity());
    match call % 3 {
        0 => drop(producer.try_send(call as u64)),
        1 => drop(producer.try_send_slice(&[7; 9])),
        _ => drop(producer.send_timeout(call as u64, MOMENT)),
    }
    let _ = producer.sent();
}

fn follow<S: Seat>(receiver: &mut Receiver<u64, S>, call: usize) {
    assert!(receiver.lag() <= receiver.capacity());
    let mut room = [0; 5];
    match call % 3 {
        0 => drop(receiver.try_recv()),
        1 => drop(receiver.try_recv_slice(&mut room).map(|count| assert!((1..=5).contains(&count)))),
        _ => drop(receiver.recv_timeout(MOMENT)),
    }
    let _ = (receiver.position(), receiver.peer());
}

fn feed_records(producer: &mut BroadcastRecordProducer, call: usize) {
    assert!(producer.lag() <= producer.capacity());
    let payload = [0xa5; 128];
    let len = (call * 7) % (producer.max_message().min(100) + 2);
    match call % 3 {
        0 => drop(producer.try_send(&payload[..len])),
        1 => drop(producer.try_send_slice(&[&payload[..len], &payload[..1]])),
        _ => drop(producer.send_timeout(&payload[..len], MOMENT)),
    }
    let _ = producer.sent();
}

fn follow_records<S: Seat + Send>(receiver: &mut RecordReceiver<S>, call: usize)
where
    RecordReceiver<S>: Channel,
{
    assert!(receiver.lag() <= receiver.capacity());
    let (max, mut bytes) = (receiver.max_message(), Vec::new());
    let received = match call % 3 {
        0 => receiver.try_recv(&mut bytes).ok(),
        1 => {
            take_batch(receiver);
            None
        }
        _ => receiver.recv_timeout(&mut bytes, MOMENT).ok(),
    };
    assert!(received.is_none_or(|len| len <= max && len == bytes.len()));
    let _ = (receiver.position(), receiver.peer());
}

fn write(writer: &mut Writer<u64>, call: usize) {
    assert_eq!(writer.write(call as u64), Ok(()));
    let _ = writer.written();
}

fn look(reader: &mut Reader<u64>) {
    let _ = (reader.changed(), reader.wait_for_change(MOMENT), reader.read(), reader.position(), reader.peer());
}
