//! What a child can be told to do with a broadcast ring, or a register.
//!
//! | command | report |
//! |---|---|
//! | `b-producer KIND OPTION…`, `b-consumer …`, `b-reader …` | `open N`: messages sent so far, or the number of the next to be received; or the error |
//! | `b-send TO [ack]` | `begin`, then `sent TO`: sends the messages up to that number; with `ack` also `did N` after each |
//! | `b-fill TIMES` | sends until there is no room, and then tries as many times more, a millisecond each; how many were sent |
//! | `b-recv TO [ack]`, `b-drain` | `begin`, then `received N missed M`, and why it ended |
//! | `b-feed FILE`, `b-save FILE` | the same with the lines of a file |
//! | `b-drawl` | `begin`, `begun` after the first message, then as `b-drain`, slowly |
//! | `b-evictions` | the process that was evicted last, and how many were |
//! | `b-maps` | the mappings of the ring: rights, offset, length |
//! | `b-poke` | none: it writes into the ring, wherever it may not |
//! | `b-close`, `b-detach` | `ok` |
//! | `l-writer`, `l-reader OPTION…` | `open N`: values written or read so far |
//! | `l-write TO [ack]`, `l-read`, `l-wait`, `l-until N`, `l-follow TIMES` | what was written, the newest value, the next one, the last, `followed` |
//!
//! KIND is `slots` or `records`. Options: `capacity=N`, `any` (capacity), `start=oldest|newest|N`, `evict=MS`, `await`, `park`, `spin`.

#![allow(unsafe_code, reason = "writes where it must not, to be killed for it")]

use crate::support::{report, ring_of_parent};
use ringshm::broadcast::{self, Broadcast, OnSlowReader, Readable, Start};
use ringshm::{Builder, OnDeath, RecvError, TrySendError, Wait, latest};
use std::io::{BufWriter, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A message of fixed size: its number and what follows from it, 40 bytes in all.
type Parcel = [u64; 5];

/// A value of a register: as often its number.
type Value = [u64; 9];

fn parcel(number: u64) -> Parcel {
    [number, !number, number.wrapping_mul(7), number ^ 0x5a5a, number.rotate_left(13)]
}

fn record(number: u64) -> Vec<u8> {
    let len = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize;
    number.to_le_bytes().into_iter().chain((0..len).map(|at| (number as usize + at) as u8)).collect()
}

#[derive(Default)]
pub(crate) struct Actor {
    producer: Option<Produces>,
    receiver: Option<Receives>,
    writer: Option<latest::Writer<Value>>,
    reader: Option<latest::Reader<Value>>,
    /// The process that was evicted last, and how many were.
    evictions: Arc<Mutex<(u32, u32)>>,
}

enum Produces {
    Slots(broadcast::Producer<Parcel>),
    Records(broadcast::RecordProducer),
}

enum Receives {
    SlotsLossless(broadcast::Consumer<Parcel>),
    SlotsLossy(broadcast::Reader<Parcel>),
    RecordsLossless(broadcast::RecordConsumer),
    RecordsLossy(broadcast::RecordReader),
}

impl Produces {
    fn sent(&self) -> u64 {
        match self {
            Self::Slots(producer) => producer.sent(),
            Self::Records(producer) => producer.sent(),
        }
    }

    fn send(&mut self, number: u64) {
        match self {
            Self::Slots(producer) => producer.send(parcel(number)).expect("the ring is good"),
            Self::Records(producer) => producer.send(&record(number)).expect("the ring is good"),
        }
    }

    /// Whether there was room.
    fn try_send(&mut self, number: u64) -> bool {
        let result = match self {
            Self::Slots(producer) => producer.try_send(parcel(number)).map_err(|error| format!("{error:?}")),
            Self::Records(producer) => producer.try_send(&record(number)).map_err(|error| format!("{error:?}")),
        };
        assert!(result.is_ok() || result == Err(format!("{:?}", TrySendError::Full(()))), "{result:?}");
        result.is_ok()
    }
}

impl Receives {
    fn position(&self) -> u64 {
        match self {
            Self::SlotsLossless(consumer) => consumer.position(),
            Self::SlotsLossy(reader) => reader.position(),
            Self::RecordsLossless(consumer) => consumer.position(),
            Self::RecordsLossy(reader) => reader.position(),
        }
    }

    /// The next message as bytes.
    fn recv(&mut self, into: &mut Vec<u8>) -> Result<(), RecvError> {
        let parcel = match self {
            Self::SlotsLossless(consumer) => consumer.recv()?,
            Self::SlotsLossy(reader) => reader.recv()?,
            Self::RecordsLossless(consumer) => return consumer.recv(into).map(|_| ()),
            Self::RecordsLossy(reader) => return reader.recv(into).map(|_| ()),
        };
        *into = parcel.iter().flat_map(|word| word.to_le_bytes()).collect();
        Ok(())
    }

    /// The message with that number, as bytes.
    fn expected(&self, number: u64) -> Vec<u8> {
        match self {
            Self::SlotsLossless(_) | Self::SlotsLossy(_) => {
                parcel(number).iter().flat_map(|word| word.to_le_bytes()).collect()
            }
            Self::RecordsLossless(_) | Self::RecordsLossy(_) => record(number),
        }
    }
}

fn acknowledge(how: &[&str], number: u64) {
    if how == ["ack"] {
        report(&format!("did {number}"));
    }
}

fn number(word: &str) -> u64 {
    word.parse().expect("a number")
}

fn choose<M: Readable + ?Sized>(builder: Builder<M>, options: &[&str]) -> Builder<M> {
    options.iter().fold(builder, |builder, option| match option.split_once('=').unwrap_or((option, "")) {
        ("capacity", n) => builder.capacity(number(n)),
        ("start", "oldest") => builder.start(Start::Oldest),
        ("start", "newest") => builder.start(Start::Newest),
        ("start", n) => builder.start(Start::At(number(n))),
        ("await", _) => builder.on_death(OnDeath::AwaitSuccessor),
        ("park", _) => builder.wait(Wait::Park),
        ("spin", _) => builder.wait(Wait::Spin),
        ("evict" | "any" | "default" | "", _) => builder,
        _ => panic!("unknown option: {option}"),
    })
}

fn ring<M: ?Sized>(capacity: u64, options: &[&str]) -> Builder<Broadcast<M>>
where
    Broadcast<M>: Readable,
{
    let builder = ringshm::broadcast::<M>(&ring_of_parent());
    // What is created by default, others may join who want it smaller; so whoever wants any joins whatever there is.
    let builder = if options.contains(&"any") { builder } else { builder.capacity(capacity) };
    let evict = options.iter().find_map(|option| option.strip_prefix("evict="));
    let builder = match evict {
        Some(ms) => builder.on_slow_reader(OnSlowReader::Evict { after: Duration::from_millis(number(ms)) }),
        None => builder,
    };
    choose(builder, options)
}

fn slots(options: &[&str]) -> Builder<Broadcast<Parcel>> {
    ring(64, options)
}

fn records(options: &[&str]) -> Builder<Broadcast<[u8]>> {
    ring(8192, options)
}

impl Actor {
    pub(crate) fn obey(&mut self, words: &[&str]) -> Option<String> {
        Some(match *words {
            ["b-producer", kind, ref options @ ..] => self.open_producer(kind, options),
            ["b-consumer" | "b-reader", kind, ref options @ ..] => self.open_receiver(words[0], kind, options),
            ["b-send", to, ref how @ ..] => {
                report("begin");
                let producer = self.producer.as_mut().expect("opened as a producer");
                for n in producer.sent()..number(to) {
                    producer.send(n);
                    acknowledge(how, n);
                }
                format!("sent {to}")
            }
            ["b-fill", times] => {
                let producer = self.producer.as_mut().expect("opened as a producer");
                while producer.try_send(producer.sent()) {}
                for _ in 0..number(times) {
                    // So that it asks about the reader again; nothing depends on its length.
                    std::thread::sleep(Duration::from_millis(1));
                    assert!(!producer.try_send(producer.sent()), "nobody holds it up any more");
                }
                producer.sent().to_string()
            }
            ["b-recv", to, ref how @ ..] => self.receive(Some(number(to)), how),
            ["b-drain"] => self.receive(None, &[]),
            ["b-feed", file] => self.feed(file),
            ["b-save", file] => self.save(file),
            ["b-drawl"] => self.drawl(),
            ["b-evictions"] => {
                let (pid, count) = *self.evictions.lock().expect("not poisoned");
                format!("{pid} {count}")
            }
            ["b-maps"] => maps().into_iter().map(|map| map.text).collect::<Vec<_>>().join(", "),
            ["b-poke"] => poke(),
            ["b-close"] => {
                self.producer = None;
                "ok".to_owned()
            }
            ["b-detach"] => {
                match self.producer.take() {
                    Some(Produces::Slots(producer)) => producer.detach(),
                    Some(Produces::Records(producer)) => producer.detach(),
                    None => {}
                }
                match self.receiver.take() {
                    Some(Receives::SlotsLossless(consumer)) => consumer.detach(),
                    Some(Receives::RecordsLossless(consumer)) => consumer.detach(),
                    Some(Receives::SlotsLossy(_) | Receives::RecordsLossy(_)) | None => {}
                }
                self.writer.take().into_iter().for_each(latest::Writer::detach);
                "ok".to_owned()
            }
            ["l-writer", ref options @ ..] => {
                let writer =
                    choose(ringshm::latest::<Value>(&ring_of_parent()), options).producer().expect("a register");
                format!("open {}", self.writer.insert(writer).written())
            }
            ["l-reader", ref options @ ..] => {
                let reader = choose(ringshm::latest::<Value>(&ring_of_parent()), options).reader().expect("a register");
                format!("open {}", self.reader.insert(reader).position())
            }
            ["l-write", to, ref how @ ..] => {
                let writer = self.writer.as_mut().expect("opened as a writer");
                for n in writer.written() + 1..=number(to) {
                    writer.write([n; 9]).expect("not forked");
                    acknowledge(how, n - 1);
                }
                format!("wrote {to}")
            }
            ["l-read"] => format!("{:?}", whole(self.reader().read())),
            ["l-wait"] => format!("{:?}", whole(self.reader().next_change())),
            ["l-until", to] => {
                report("begin");
                let mut last = 0;
                while last < number(to) {
                    let value = whole(self.reader().next_change()).expect("the writer writes");
                    assert!(value > last, "{value} after {last}");
                    last = value;
                }
                format!("Some({last})")
            }
            ["l-follow", times] => {
                let mut last = 0;
                for _ in 0..number(times) {
                    let value = whole(self.reader().next_change()).expect("the writer writes");
                    assert!(value > last, "{value} after {last}");
                    last = value;
                }
                "followed".to_owned()
            }
            _ => return None,
        })
    }

    fn reader(&mut self) -> &mut latest::Reader<Value> {
        self.reader.as_mut().expect("opened as a reader")
    }

    fn open_producer(&mut self, kind: &str, options: &[&str]) -> String {
        let evictions = Arc::clone(&self.evictions);
        let count = move |eviction: broadcast::Eviction| {
            let mut evictions = evictions.lock().expect("not poisoned");
            *evictions = (eviction.pid, evictions.1 + 1);
        };
        let opened = match kind {
            "slots" => slots(options).producer().map(|mut producer| {
                producer.on_eviction(count);
                Produces::Slots(producer)
            }),
            _ => records(options).producer().map(|mut producer| {
                producer.on_eviction(count);
                Produces::Records(producer)
            }),
        };
        match opened {
            Ok(producer) => format!("open {}", self.producer.insert(producer).sent()),
            Err(error) => error.to_string(),
        }
    }

    fn open_receiver(&mut self, role: &str, kind: &str, options: &[&str]) -> String {
        let opened = match (kind, role) {
            ("slots", "b-consumer") => slots(options).consumer().map(Receives::SlotsLossless),
            ("slots", _) => slots(options).reader().map(Receives::SlotsLossy),
            (_, "b-consumer") => records(options).consumer().map(Receives::RecordsLossless),
            (_, _) => records(options).reader().map(Receives::RecordsLossy),
        };
        match opened {
            Ok(receiver) => format!("open {}", self.receiver.insert(receiver).position()),
            Err(error) => error.to_string(),
        }
    }

    /// Receives until the end, calling `show` for each message with its number.
    fn follow(&mut self, to: Option<u64>, mut show: impl FnMut(&Receives, u64, &[u8])) -> String {
        let receiver = self.receiver.as_mut().expect("opened as a receiver");
        // What it is told first, if it wanted more than there was.
        let (mut received, mut missed) = (0, 0);
        let (mut bytes, mut next) = (Vec::new(), receiver.position());
        let mut is_first = true;
        while to.is_none_or(|to| next < to) {
            match receiver.recv(&mut bytes) {
                Ok(()) => {
                    show(receiver, next, &bytes);
                    received += 1;
                    next += 1;
                }
                Err(RecvError::Lagged(count)) => {
                    missed += count;
                    // Told of a beginning that was too old, it begins where it is.
                    if !(is_first && receiver.position() == next) {
                        next += count;
                    }
                }
                Err(end) => return format!("received {received} missed {missed}: {end:?}"),
            }
            is_first = false;
            assert_eq!(receiver.position(), next);
        }
        format!("received {received} missed {missed}")
    }

    fn receive(&mut self, to: Option<u64>, how: &[&str]) -> String {
        report("begin");
        self.follow(to, |receiver, number, bytes| {
            assert!(receiver.expected(number) == bytes, "message {number} is another one, or torn");
            acknowledge(how, number);
        })
    }

    fn feed(&mut self, file: &str) -> String {
        let Some(Produces::Records(producer)) = &mut self.producer else { panic!("opened as a producer of records") };
        let bytes = std::fs::read(file).expect("the feed");
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            producer.send(line).expect("the ring is good");
        }
        let sent = producer.sent();
        self.producer = None;
        format!("sent {sent}")
    }

    fn save(&mut self, file: &str) -> String {
        report("begin");
        let mut file = BufWriter::new(std::fs::File::create(file).expect("a writable folder"));
        let outcome = self.follow(None, |_, _, bytes| file.write_all(bytes).expect("room for the feed"));
        file.flush().expect("room for the feed");
        outcome
    }

    fn drawl(&mut self) -> String {
        report("begin");
        let mut count = 0;
        self.follow(None, |_, _, bytes| {
            assert_eq!(bytes.last(), Some(&b'\n'), "torn");
            if count == 0 {
                report("begun");
            }
            count += 1;
            // To be slow, which is all its business.
            if count % 256 == 0 {
                std::thread::sleep(Duration::from_micros(100));
            }
        })
    }
}

fn whole(value: Option<Value>) -> Option<u64> {
    value.map(|value| {
        assert_eq!(value, [value[0]; 9], "torn");
        value[0]
    })
}

/// One mapping of a ring.
struct Map {
    start: usize,
    text: String,
}

/// The mappings of the ring, of which there may be several in a row that the kernel does not join.
fn maps() -> Vec<Map> {
    let table = std::fs::read_to_string("/proc/self/maps").expect("the table of mappings");
    let rings = table.lines().filter(|line| line.contains("/ringshm."));
    let parts = rings.map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let hex = |word: &str| usize::from_str_radix(word, 16).expect("a number");
        let (start, end) = words[0].split_once('-').expect("a range");
        let (start, end) = (hex(start), hex(end));
        Map { start, text: format!("{} {} {}", words[1], hex(words[2]), end - start) }
    });
    let mut maps: Vec<_> = parts.collect();
    maps.sort_by(|a, b| a.text.cmp(&b.text));
    maps
}

fn poke() -> String {
    let map = maps().into_iter().find(|map| map.text.starts_with("r--s")).expect("a mapping to read");
    let word = core::ptr::with_exposed_provenance_mut::<u64>(map.start + 8192);
    // SAFETY: none: this is what must not be possible.
    unsafe { word.write_volatile(0) };
    "it could be written".to_owned()
}
