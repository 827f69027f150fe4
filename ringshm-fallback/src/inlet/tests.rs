//! What an outlet writes into a stream, an inlet finds in it, wherever it breaks.

use super::*;
use crate::link::{Sink, Unsent};
use crate::outlet::{Form, Outlet};
use std::collections::VecDeque;
use std::io::IoSlice;

/// A stream in memory, which takes and gives a number of bytes at a time.
struct Tube {
    bytes: VecDeque<u8>,
    /// Bytes that one call moves.
    bite: usize,
    room: usize,
    writes: usize,
    is_over: bool,
}

impl Tube {
    fn new(bite: usize) -> Self {
        Self { bytes: VecDeque::new(), bite, room: usize::MAX, writes: 0, is_over: false }
    }

    fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.iter().copied().collect(), is_over: true, ..Self::new(usize::MAX) }
    }
}

impl Sink for Tube {
    fn write(&mut self, parts: &[IoSlice<'_>], _: Patience) -> Result<usize, Halt> {
        self.writes += 1;
        let most = self.bite.min(self.room - self.bytes.len());
        let before = self.bytes.len();
        self.bytes.extend(parts.iter().flat_map(|part| part.iter()).take(most));
        match self.bytes.len() - before {
            0 => Err(Halt::NotReady),
            written => Ok(written),
        }
    }
}

impl Source for Tube {
    fn read(&mut self, into: &mut [u8], _: Patience) -> Result<usize, Halt> {
        let count = self.bite.min(into.len()).min(self.bytes.len());
        self.bytes.drain(..count).zip(into).for_each(|(byte, place)| *place = byte);
        if count == 0 && !self.is_over { Err(Halt::NotReady) } else { Ok(count) }
    }
}

const WHOLE: usize = 64;

fn form(framing: Framing) -> Form {
    Form { framing, numbered: true, longest: 300, whole_up_to: Some(WHOLE), packets: false }
}

fn inlet(framing: Framing) -> Inlet {
    Inlet::new(framing, 300, Some(WHOLE), false)
}

fn received(inlet: &mut Inlet, tube: &mut Tube) -> Result<Vec<u8>, Unreceived> {
    let mut message = b"what was there before".to_vec();
    let len = inlet.recv(&mut message, Patience::None, tube)?;
    assert_eq!(len, message.len());
    Ok(message)
}

/// Everything in the tube, up to its end, with what was told in between.
fn told(inlet: &mut Inlet, tube: &mut Tube) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        match received(inlet, tube) {
            Ok(message) => told.push(String::from_utf8_lossy(&message).into_owned()),
            Err(Unreceived::Halted(_)) => return told,
            Err(Unreceived::Lagged(count)) => told.push(format!("lagged {count}")),
            Err(Unreceived::Rejected(rejection)) => told.push(format!("rejected {}", &rejection.reason[..8])),
        }
    }
}

fn sent(framing: Framing, numbers: core::ops::Range<u64>, message: &[u8]) -> Vec<u8> {
    let (mut outlet, mut tube) = (Outlet::new(form(framing)), Tube::new(usize::MAX));
    let mut skipped = 0;
    for number in 0..numbers.end {
        if number == numbers.start {
            skipped = tube.bytes.len();
        }
        outlet.send(message, Patience::None, &mut tube).unwrap();
    }
    tube.bytes.into_iter().skip(skipped).collect()
}

#[test]
fn what_is_sent_is_received_wherever_the_stream_breaks() {
    let messages: Vec<Vec<u8>> = [0, 1, 15, 47, 48, 49, 100, 300, 3].iter().map(|len| vec![b'x'; *len]).collect();
    let slices: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    for framing in [Framing::Frames, Framing::Lines, Framing::Len32] {
        for bite in [1, 2, 15, 16, 17, 63, 1000] {
            for together in [false, true] {
                let (mut outlet, mut inlet, mut tube) = (Outlet::new(form(framing)), inlet(framing), Tube::new(bite));
                if together {
                    outlet.send_slice(&slices, &mut tube).unwrap();
                } else {
                    slices.iter().for_each(|message| outlet.send(message, Patience::None, &mut tube).unwrap());
                }
                let mut batch = Batch::default();
                inlet.recv_batch(&mut batch, 2, Patience::None, &mut tube).unwrap();
                while batch.len() < messages.len() {
                    let left = messages.len() - batch.len();
                    inlet.recv_batch(&mut batch, left, Patience::None, &mut tube).unwrap();
                }
                assert!(batch.iter().eq(slices.iter().copied()), "{framing:?}, {bite}");
                assert_eq!(received(&mut inlet, &mut tube), Err(Halt::NotReady.into()));
                assert_eq!(inlet.position(), (framing == Framing::Frames).then_some(messages.len() as u64));
            }
        }
    }
}

#[test]
fn messages_that_go_together_never_exceed_what_is_taken_as_a_whole() {
    let (mut outlet, mut tube) = (Outlet::new(form(Framing::Lines)), Tube::new(WHOLE));
    let messages = [&[b'x'; 7][..]; 80];
    outlet.send_slice(&messages, &mut tube).unwrap();
    assert_eq!((tube.bytes.len(), tube.writes), (640, 10));
}

#[test]
fn a_message_of_which_a_part_was_taken_is_sent_and_its_rest_goes_first() {
    for len in [40, 9000] {
        let form = Form { longest: 9000, ..form(Framing::Frames) };
        let (mut outlet, mut tube) = (Outlet::new(form), Tube::new(usize::MAX));
        tube.room = 20;
        outlet.send(&vec![b'a'; len], Patience::None, &mut tube).unwrap();
        assert!(outlet.has_rest());
        let full = Err(Unsent::Halted(Halt::NotReady));
        assert_eq!(outlet.send(b"b", Patience::None, &mut tube), full);
        tube.room = 30;
        assert_eq!(outlet.send(b"b", Patience::None, &mut tube), full, "a part of the rest");
        tube.room = usize::MAX;
        outlet.send(b"b", Patience::None, &mut tube).unwrap();
        let mut inlet = Inlet::new(Framing::Frames, 9000, Some(WHOLE), false);
        assert_eq!(received(&mut inlet, &mut tube).unwrap(), vec![b'a'; len]);
        assert_eq!(received(&mut inlet, &mut tube).unwrap(), b"b");
        assert_eq!(inlet.position(), Some(2));
    }
}

#[test]
fn gaps_are_counted_and_another_sender_counts_from_zero() {
    let bytes =
        [sent(Framing::Frames, 2..4, b"old"), sent(Framing::Frames, 7..8, b"old"), sent(Framing::Frames, 0..1, b"new")];
    let mut inlet = inlet(Framing::Frames);
    let mut tube = Tube::of(&bytes.concat());
    assert_eq!(
        told(&mut inlet, &mut tube),
        ["old", "old", "lagged 3", "old", "new"],
        "none is missed before the first"
    );
    assert_eq!(inlet.position(), Some(1));
    let mut tube = Tube::of(&sent(Framing::Frames, 3..4, b"x"));
    assert_eq!(told(&mut inlet, &mut tube), ["lagged 2", "x"]);
}

#[test]
fn garbage_is_told_once_and_the_next_frame_is_found() {
    let frames = sent(Framing::Frames, 0..3, b"message");
    for cut in 1..frames.len() / 3 {
        let mut inlet = inlet(Framing::Frames);
        assert_eq!(
            told(&mut inlet, &mut Tube { bite: 5, ..Tube::of(&frames[cut..]) }),
            ["rejected no frame", "message", "message"],
            "{cut}"
        );
    }
    let mut inlet = inlet(Framing::Frames);
    assert_eq!(told(&mut inlet, &mut Tube::of(&[7; 5000])), ["rejected no frame"]);
}

#[test]
fn what_follows_half_a_message_is_not_taken_for_its_rest() {
    let long = sent(Framing::Frames, 0..1, &[b'L'; 200]);
    assert_eq!(long.len(), HEADER + 200 + HEADER);
    let next = sent(Framing::Frames, 0..30, b"next");
    for cut in 1..long.len() {
        let mut inlet = inlet(Framing::Frames);
        let told = told(&mut inlet, &mut Tube { bite: 7, ..Tube::of(&[&long[..cut], &next].concat()) });
        let (rejected, messages) = told.split_first().unwrap();
        assert!(rejected.starts_with("rejected"), "{cut}: {told:?}");
        assert!(messages.len() == 30 && messages.iter().all(|message| message == "next"), "{cut}: {told:?}");
    }
}

#[test]
fn half_a_message_at_the_end_is_told_and_then_the_end() {
    let long = sent(Framing::Frames, 0..1, &[b'L'; 200]);
    for cut in 1..long.len() {
        let (mut inlet, mut tube) = (inlet(Framing::Frames), Tube::of(&long[..cut]));
        assert_eq!(told(&mut inlet, &mut tube), ["rejected half a m"], "{cut}");
        tube.bytes.extend(sent(Framing::Frames, 0..1, b"after the end"));
        assert_eq!(told(&mut inlet, &mut tube), ["after the end"]);
    }
}

#[test]
fn a_message_that_is_too_long_is_passed_over() {
    for framing in [Framing::Frames, Framing::Lines, Framing::Len32] {
        let other = Form { longest: 1 << 20, ..form(framing) };
        for len in [301, 5000, 900_000] {
            let (mut outlet, mut tube) = (Outlet::new(other), Tube::new(100));
            outlet.send(&vec![b'x'; len], Patience::None, &mut tube).unwrap();
            outlet.send(b"short", Patience::None, &mut tube).unwrap();
            tube.is_over = true;
            assert_eq!(told(&mut inlet(framing), &mut tube), ["rejected a messag", "short"], "{framing:?} {len}");
        }
        let mut outlet = Outlet::new(form(framing));
        let too_large = Unsent::TooLarge { len: 301, max: 300 };
        assert_eq!(outlet.send(&[b'x'; 301], Patience::None, &mut Tube::new(1)), Err(too_large));
    }
}

#[test]
fn what_a_framing_cannot_carry_is_refused() {
    let raw = Framing::Raw(core::num::NonZeroUsize::new(4).unwrap());
    for (framing, message) in [(Framing::Lines, &b"two\nlines"[..]), (raw, b""), (Framing::Bare, b"")] {
        let (mut outlet, mut tube) = (Outlet::new(form(framing)), Tube::new(100));
        let refused = outlet.send(message, Patience::None, &mut tube);
        assert!(matches!(refused, Err(Unsent::Unsupported { .. })), "{framing:?}: {refused:?}");
        let refused = outlet.send_slice(&[b"x", b"y", message, b"z"], &mut tube).unwrap_err();
        assert_eq!((refused.sent, tube.bytes.len()), (2, 2 * (1 + framing.overhead())));
    }
}

#[test]
fn of_a_packet_whole_frames_are_taken_and_what_is_behind_them_is_rejected() {
    let frame = sent(Framing::Frames, 0..1, b"message");
    let twice = sent(Framing::Frames, 0..2, b"message");
    for (packet, whole, is_clean) in
        [(&frame[..20], 0, false), (&twice, 2, true), (&twice[..30], 1, false), (&[7; 100], 0, false)]
    {
        let (mut inlet, mut tube) = (Inlet::new(Framing::Frames, 300, None, true), Tube::of(packet));
        let told_of_it = told(&mut inlet, &mut tube);
        assert_eq!(told_of_it.iter().filter(|told| *told == "message").count(), whole, "{packet:?}");
        assert_eq!(told_of_it.len() == whole, is_clean, "{packet:?}: {told_of_it:?}");
        // What was left over of it is not the beginning of the next.
        let mut tube = Tube::of(&frame);
        assert_eq!(told(&mut inlet, &mut tube), ["message"]);
    }
}

#[test]
fn no_bytes_make_it_panic_or_run_for_ever() {
    let mut seed = 1_u64;
    let mut dice = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    for _ in 0..3000 {
        let mut bytes = [sent(Framing::Frames, 0..3, b"message"), sent(Framing::Frames, 0..2, &[3; 90])].concat();
        for _ in 0..dice() % 4 {
            let at = dice() % bytes.len();
            match dice() % 3 {
                0 => bytes[at] ^= 1 << (dice() % 8),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, dice() as u8),
            }
        }
        for framing in [Framing::Frames, Framing::Lines, Framing::Len32] {
            let mut tube = Tube { bite: 1 + dice() % 50, ..Tube::of(&bytes) };
            let told = told(&mut inlet(framing), &mut tube);
            assert!(told.len() <= bytes.len() && tube.bytes.is_empty());
        }
    }
}
