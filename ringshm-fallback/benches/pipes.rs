//! Pipes and FIFOs beside bare `write` and `read` of the same bytes, one call each for a message: a stream, one by one and in batches; and round trips.
//!
//! `cargo bench -p ringshm-fallback --bench pipes [-- WORD]`: only what has the word in its name.

mod support;

use ringshm_core::{Batch, Deadline, Receiver, Sender};
use ringshm_fallback::fifo::Fifo;
use ringshm_fallback::framing::HEADER;
use ringshm_fallback::pipe::Pipe;
use rustix::pipe::pipe;
use std::fs::File;
use std::io::{Read as _, Write as _};
use support::{beside, calls, calls_of, compare, pin};

const SIZES: &[usize] = &[64, 4096];
/// Messages that go together in a batch.
const TOGETHER: usize = 64;

/// What a message of `size` bytes is on its way: the header before it, and the seal behind it if it is long.
fn bytes_for(size: usize) -> usize {
    if HEADER + size > 4096 { HEADER + size + HEADER } else { HEADER + size }
}

fn count_for(size: usize) -> usize {
    if size < 1000 { 200_000 } else { 60_000 }
}

/// Messages per second, of `send` on one core and `receive` on the other.
fn rate(count: usize, send: impl FnOnce() + Send, receive: impl FnOnce()) -> f64 {
    support::rate(count, || beside(send, receive))
}

fn stream((mut sender, mut receiver): (impl Sender, impl Receiver), size: usize) -> f64 {
    let (count, message) = (count_for(size), vec![7; size]);
    rate(
        count,
        move || (0..count).for_each(|_| sender.send(&message).expect("the receiver is there")),
        move || {
            let mut into = Vec::new();
            (0..count).for_each(|_| assert_eq!(receiver.recv(&mut into).expect("the sender is there"), size));
        },
    )
}

fn batches((mut sender, mut receiver): (impl Sender, impl Receiver), size: usize) -> f64 {
    let (count, message) = (count_for(size) / TOGETHER * TOGETHER, vec![7; size]);
    rate(
        count,
        move || {
            let messages = [&message[..]; TOGETHER];
            (0..count / TOGETHER).for_each(|_| sender.send_slice(&messages).expect("the receiver is there"));
        },
        move || {
            let (mut batch, mut received) = (Batch::default(), 0);
            while received < count {
                batch.clear();
                received += receiver.recv_batch_by(&mut batch, TOGETHER, Deadline::NEVER).expect("the sender is there");
                assert!(batch.iter().all(|message| message.len() == size));
            }
        },
    )
}

fn bare_stream(size: usize) -> f64 {
    let (mut reading, mut writing) = bare();
    let (count, frame) = (count_for(size), vec![7; bytes_for(size)]);
    let mut into = vec![0; frame.len()];
    rate(
        count,
        move || (0..count).for_each(|_| writing.write_all(&frame).expect("it is read")),
        move || (0..count).for_each(|_| reading.read_exact(&mut into).expect("it is written")),
    )
}

fn bare_calls(size: usize) -> f64 {
    let (mut reading, mut writing) = bare();
    let frame = vec![7; bytes_for(size)];
    let mut into = frame.clone();
    calls(
        TURNS,
        || writing.write_all(&frame).expect("there is room"),
        || reading.read_exact(&mut into).expect("it is there"),
    )
}

fn bare() -> (File, File) {
    let (reading, writing) = pipe().expect("there are descriptors");
    (reading.into(), writing.into())
}

const TRIPS: usize = 20_000;
/// Turns of one thread that sends and receives.
const TURNS: usize = 10_000;

fn trips<S: Sender, R: Receiver>(there: (S, R), back: (S, R), size: usize) -> f64 {
    let ((mut ask, mut hear), (mut reply, mut listen)) = (there, back);
    let question = vec![7; size];
    rate(
        TRIPS,
        move || {
            let mut into = Vec::new();
            for _ in 0..TRIPS {
                hear.recv(&mut into).expect("the sender is there");
                reply.send(&into).expect("the receiver is there");
            }
        },
        move || {
            let mut into = Vec::new();
            for _ in 0..TRIPS {
                ask.send(&question).expect("the receiver is there");
                listen.recv(&mut into).expect("the sender is there");
            }
        },
    )
}

fn bare_trips(size: usize) -> f64 {
    let ((mut hear, mut ask), (mut listen, mut reply)) = (bare(), bare());
    let mut question = vec![7; bytes_for(size)];
    let mut into = question.clone();
    rate(
        TRIPS,
        move || {
            for _ in 0..TRIPS {
                hear.read_exact(&mut into).expect("it is written");
                reply.write_all(&into).expect("it is read");
            }
        },
        move || {
            for _ in 0..TRIPS {
                ask.write_all(&question).expect("it is read");
                listen.read_exact(&mut question).expect("it is written");
            }
        },
    )
}

fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let path = |n| std::env::temp_dir().join(format!("ringshm-bench-{}-{n}", std::process::id()));
    let pair = || Pipe::new().pair().expect("there are descriptors");
    let named = |n| {
        let sender = Fifo::new(path(n)).sender().expect("it can be made");
        (sender, Fifo::new(path(n)).receiver().expect("it is there"))
    };
    let measure = |name: &str, wrapped: &mut dyn FnMut(usize) -> f64, bare: &mut dyn FnMut(usize) -> f64| {
        if name.contains(&wanted) {
            compare(name, SIZES, wrapped, bare);
        }
    };
    pin(0);
    measure("pipe, calls", &mut |size| calls_of(TURNS, pair(), size), &mut bare_calls);
    measure("fifo, calls", &mut |size| calls_of(TURNS, named(0), size), &mut bare_calls);
    measure("pipe, one by one", &mut |size| stream(pair(), size), &mut bare_stream);
    measure("fifo, one by one", &mut |size| stream(named(0), size), &mut bare_stream);
    measure("pipe, batches", &mut |size| batches(pair(), size), &mut bare_stream);
    measure("fifo, batches", &mut |size| batches(named(0), size), &mut bare_stream);
    measure("pipe, round trips", &mut |size| trips(pair(), pair(), size), &mut bare_trips);
    measure("fifo, round trips", &mut |size| trips(named(0), named(1), size), &mut bare_trips);
}
