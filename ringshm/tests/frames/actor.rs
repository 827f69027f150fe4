//! A participant of a ring of frames in a process of its own: what it can be told.
//!
//! | command | report |
//! |---|---|
//! | `f-producer NAME OPTION…`, `f-consumer NAME OPTION…` | `open N`: frames sent so far, or the number of the next one |
//! | `f-sealed RING PIXELS OPTION…` | as `f-consumer`, of two inherited descriptors |
//! | `f-send TO [ack]` | `begin`, `did N` after each with `ack`, then `sent TO`, or why not |
//! | `f-loan` | `ok` when there is a slot, which it gives back; or why not |
//! | `f-begin ROWS` | `begun N`: a frame that is shown, with so many rows, and not finished |
//! | `f-recv TO [ack]` | `begin`, then `received N skipped M` when the frame before TO was there, or why not |
//! | `f-take COUNT [ack]` | `holds N N …`: the frames that it holds |
//! | `f-let N` | `ok`: it has let that frame go |
//! | `f-early ROWS` | `begin`, then `rows N of FRAME`, or why not |
//! | `f-harm` | `harmless`: what it may not do with the pixels was refused |
//! | `f-detach`, `f-close` | `ok` |
//!
//! Options: `newest`, `hold=N`, `await`, `park`, `start=newest`, `slots=N`.

use crate::support::report;
use core::time::Duration;
use ringshm::broadcast::Start;
use ringshm::frames::{Consumer, Delivery, FourCc, Frame, Frames, Meta, Producer};
use ringshm::{Builder, OnDeath, OpenError, Wait};
use std::fs::File;
use std::os::fd::AsFd as _;

/// Frames of so many rows, as long.
pub(crate) const SIDE: u32 = 64;
const BYTES: usize = (SIDE * SIDE) as usize;

/// What all of them are.
pub(crate) fn meta(number: u64) -> Meta {
    let mut meta = Meta::new(FourCc::GRAY, SIDE, SIDE).expect("a small frame");
    meta.timestamp = number as i64;
    meta
}

/// A row of the frame `number`.
pub(crate) fn row(number: u64, row: u32) -> [u8; SIDE as usize] {
    let mut bytes = [(number ^ u64::from(row)) as u8; SIDE as usize];
    bytes[..8].copy_from_slice(&(number << 8 | u64::from(row)).to_ne_bytes());
    bytes
}

/// A frame, all of which must be as it was written. Returns its number.
#[track_caller]
pub(crate) fn check(frame: &Frame) -> u64 {
    let number = frame.sequence();
    assert_eq!(*frame.meta(), meta(number), "its description is another's");
    for index in 0..SIDE {
        let mut bytes = [0; SIDE as usize];
        assert_eq!(frame.read_row(0, index, &mut bytes), Some(SIDE as usize));
        assert_eq!(bytes, row(number, index), "row {index} of frame {number} is torn, or another's");
    }
    number
}

/// Writes the next frame, and commits it. Returns its number.
pub(crate) fn send(producer: &mut Producer, wait: Duration) -> Result<u64, String> {
    let number = producer.sent();
    let mut loan = producer.loan_timeout(wait).map_err(|error| format!("{error:?}"))?;
    for index in 0..SIDE {
        loan.write((index * SIDE) as usize, &row(number, index)).expect("this process");
    }
    let sent = loan.commit(&meta(number)).expect("it fits");
    assert_eq!(sent, number);
    Ok(number)
}

#[derive(Default)]
pub(crate) struct Actor {
    producer: Option<Producer>,
    consumer: Option<Consumer>,
    held: Vec<Frame>,
    pixels: Option<File>,
}

pub(crate) fn choose(builder: Builder<Frames>, option: &str) -> Builder<Frames> {
    let number = |word: &str| word.parse::<u32>().expect("a number");
    match option.split_once('=').unwrap_or((option, "")) {
        ("newest", _) => builder.delivery(Delivery::NewestOnly),
        ("hold", most) => builder.hold(number(most)),
        ("await", _) => builder.on_death(OnDeath::AwaitSuccessor),
        ("park", _) => builder.wait(Wait::Park),
        ("start", "newest") => builder.start(Start::Newest),
        ("slots", slots) => builder.capacity(number(slots).into()).frame_bytes(BYTES as u64),
        _ => panic!("unknown option: {option}"),
    }
}

fn inherited(descriptor: &str) -> File {
    let path = format!("/proc/self/fd/{descriptor}");
    File::options().read(true).write(true).open(path).expect("it was inherited")
}

fn opened<T>(result: Result<T, OpenError>, into: &mut Option<T>, count: impl FnOnce(&T) -> u64) -> String {
    match result {
        Ok(handle) => format!("open {}", count(into.insert(handle))),
        Err(error) => error.to_string(),
    }
}

impl Actor {
    pub(crate) fn obey(&mut self, words: &[&str]) -> Option<String> {
        let number = |word: &str| word.parse::<u64>().expect("a number");
        Some(match *words {
            ["f-producer", name, ref options @ ..] => {
                let builder = options.iter().fold(ringshm::frames(name), |builder, option| choose(builder, option));
                opened(builder.producer(), &mut self.producer, Producer::sent)
            }
            ["f-consumer", name, ref options @ ..] => {
                let builder = options.iter().fold(ringshm::frames(name), |builder, option| choose(builder, option));
                opened(builder.consumer(), &mut self.consumer, Consumer::position)
            }
            ["f-sealed", ring, pixels, ref options @ ..] => {
                let builder = options.iter().fold(ringshm::frames(""), |builder, option| choose(builder, option));
                let pixels = self.pixels.insert(inherited(pixels));
                opened(
                    builder.consumer_of_sealed(inherited(ring), pixels.as_fd()),
                    &mut self.consumer,
                    Consumer::position,
                )
            }
            ["f-send", to, ref how @ ..] => self.send(number(to), how == ["ack"]),
            ["f-loan"] => match self.producer().loan().map(drop) {
                Ok(()) => "ok".to_owned(),
                Err(error) => format!("{error:?}"),
            },
            ["f-begin", rows] => self.begin(number(rows) as u32),
            ["f-recv", to, ref how @ ..] => self.recv(number(to), how == ["ack"]),
            ["f-take", count, ref how @ ..] => self.take(number(count), how == ["ack"]),
            ["f-let", frame] => {
                let there = self.held.len();
                self.held.retain(|held| held.sequence() != number(frame));
                assert_eq!(self.held.len() + 1, there);
                "ok".to_owned()
            }
            ["f-early", rows] => self.early(number(rows) as u32),
            ["f-harm"] => self.harm(),
            ["f-detach"] => {
                self.producer.take().into_iter().for_each(Producer::detach);
                "ok".to_owned()
            }
            ["f-close"] => {
                *self = Self::default();
                "ok".to_owned()
            }
            _ => return None,
        })
    }

    fn producer(&mut self) -> &mut Producer {
        self.producer.as_mut().expect("opened as a producer")
    }

    fn consumer(&mut self) -> &mut Consumer {
        self.consumer.as_mut().expect("opened as a consumer")
    }

    fn send(&mut self, to: u64, ack: bool) -> String {
        report("begin");
        while self.producer().sent() < to {
            match send(self.producer(), Duration::MAX) {
                Ok(number) if ack => report(&format!("did {number}")),
                Ok(_) => {}
                Err(error) => return error,
            }
        }
        format!("sent {to}")
    }

    fn begin(&mut self, rows: u32) -> String {
        let producer = self.producer();
        let number = producer.sent();
        let mut begun = producer.loan().expect("a slot").begin(&meta(number)).expect("it fits");
        for index in 0..rows {
            begun.write_row(0, index, &row(number, index)).expect("this process");
            begun.advance(index + 1);
        }
        // It stays as it is until the next loan, or the end of this process.
        core::mem::forget(begun);
        format!("begun {number}")
    }

    fn recv(&mut self, to: u64, ack: bool) -> String {
        report("begin");
        let (mut received, mut skipped) = (0, 0);
        loop {
            match self.consumer().recv_ref() {
                Ok(frame) => {
                    let number = check(&frame);
                    (received, skipped) = (received + 1, skipped + frame.skipped());
                    drop(frame);
                    if ack {
                        report(&format!("did {number}"));
                    }
                    if number + 1 >= to {
                        return format!("received {received} skipped {skipped}");
                    }
                }
                Err(error) => return format!("received {received} skipped {skipped}: {error:?}"),
            }
        }
    }

    fn take(&mut self, count: u64, ack: bool) -> String {
        for _ in 0..count {
            match self.consumer().recv_ref() {
                Ok(frame) => {
                    let number = check(&frame);
                    self.held.push(frame);
                    if ack {
                        report(&format!("did {number}"));
                    }
                }
                Err(error) => return format!("{error:?}"),
            }
        }
        let held: Vec<_> = self.held.iter().map(|frame| check(frame).to_string()).collect();
        format!("holds {}", held.join(" "))
    }

    fn early(&mut self, rows: u32) -> String {
        report("begin");
        let frame = match self.consumer().recv_early() {
            Ok(frame) => frame,
            Err(error) => return format!("{error:?}"),
        };
        match frame.wait_rows(rows, Duration::MAX) {
            Ok(ready) => {
                let mut bytes = [0; SIDE as usize];
                for index in 0..ready {
                    assert_eq!(frame.read_row(0, index, &mut bytes), Some(SIDE as usize));
                    assert_eq!(bytes, row(frame.sequence(), index), "row {index}");
                }
                format!("rows {ready} of {}", frame.sequence())
            }
            Err(error) => format!("{error:?}"),
        }
    }

    /// Tries to write pixels that it was given to read.
    fn harm(&mut self) -> String {
        use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mprotect};
        let pixels = self.pixels.as_ref().expect("opened as sealed");
        let map = |protection| {
            // SAFETY: the kernel chooses the addresses, and nothing is made of them.
            unsafe { mmap(core::ptr::null_mut(), 4096, protection, MapFlags::SHARED, pixels, 0) }
        };
        assert!(map(ProtFlags::READ | ProtFlags::WRITE).is_err(), "a mapping that can be written");
        let readable = map(ProtFlags::READ).expect("a mapping to read");
        // SAFETY: the mapping of just now, of which nobody knows.
        let changed = unsafe { mprotect(readable, 4096, MprotectFlags::READ | MprotectFlags::WRITE) };
        assert!(changed.is_err(), "a mapping that is made writable");
        let frame = self.held.first().expect("it holds one");
        let page = frame.as_ptr().cast_mut().cast();
        // SAFETY: a page of the ring's mapping; if this were to succeed, the test would fail.
        let changed = unsafe { mprotect(page, 4096, MprotectFlags::READ | MprotectFlags::WRITE) };
        assert!(changed.is_err(), "the ring's own mapping is made writable");
        assert!(rustix::io::pwrite(pixels, b"harm", 8192).is_err(), "written as a file");
        assert!(rustix::fs::ftruncate(pixels, 0).is_err(), "cut off");
        let hole = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        assert!(rustix::fs::fallocate(pixels, hole, 0, 4096).is_err(), "emptied");
        assert!(
            rustix::fs::fcntl_add_seals(pixels, rustix::fs::SealFlags::WRITE).is_err(),
            "sealed against its producer"
        );
        check(frame);
        "harmless".to_owned()
    }
}
