//! Rings of frames that show where a byte comes from: each slot is full of a colour of its own, and what lies between slots is of none. Whatever
//! the words and descriptions of such a ring are, what a frame gives is of one colour, and nothing between slots is ever written.
//!
//! A sealed ring, which is two objects, is handled as one: its words, and behind them its pool. That is how the two lie in a ring that is one object.

use super::many::{FRAME_SLOTS, ORIGINS, bytes_of, change_one, live_words, options_of};
use super::{CALLS, Script, behaviour, framed, sealed, sealed_to_read};
use framed::{PAGE, RECORD, head_at};
use ringshm_core::error::OpenError;
use ringshm_core::frames::{Consumer, Delivery, Frame, Frames};
use ringshm_core::layout::Header;
use std::fs::File;
use std::sync::OnceLock;
use zerocopy::FromBytes as _;

/// What lies between slots.
const NONE: u8 = 0xee;
/// Bytes of a slot; the rest of its page is between slots.
const SLOT: usize = 24;
/// A record's fixed part, and the first of its program's own bytes.
const RECORD_LEN: usize = 176;

fn colour_of(slot: usize) -> u8 {
    0x10 + slot as u8
}

/// A ring of frames, in one object or sealed in two.
#[derive(Clone, Debug)]
struct Ring {
    is_sealed: bool,
    image: Vec<u8>,
}

impl Ring {
    fn made(is_sealed: bool, origin: u64) -> Self {
        let options = options_of(FRAME_SLOTS, origin);
        let image = if is_sealed {
            let (producer, objects) = options.sealed_frames("good").expect("a small ring");
            let consumer = options.consumer_of_sealed(&objects.ring, &objects.pixels).expect("a free lane");
            let _present = framed::act(producer, consumer);
            [objects.ring, objects.pixels].map(|object| bytes_of(&File::from(object))).concat()
        } else {
            let memfd = options.memfd::<Frames>("good").expect("a small ring");
            let consumer = options.consumer_of::<Frames>(&memfd).expect("a free lane");
            let _present = framed::act(options.producer_of::<Frames>(&memfd).expect("a free lane"), consumer);
            bytes_of(&File::from(memfd))
        };
        let mut ring = Self { is_sealed, image };
        let pixels_at = ring.pixels_at();
        for (slot, page) in ring.image[pixels_at..].chunks_mut(PAGE).enumerate() {
            page.fill(NONE);
            page[..SLOT].fill(colour_of(slot));
        }
        ring
    }

    /// Where the words end, and the pool begins.
    fn pool_at(&self) -> usize {
        Header::read_from_bytes(&self.image[..super::HEADER]).expect("a header").data_at as usize + PAGE
    }

    fn pixels_at(&self) -> usize {
        self.pool_at() + PAGE
    }

    /// Changes its words, and single fields of its descriptions, as a fuzzer's bytes want it. Not its header: that says how large a slot is.
    fn damage(&mut self, script: &mut Script<'_>) {
        let words: Vec<usize> = live_words(&self.image).into_iter().filter(|at| *at < self.pixels_at()).collect();
        for _ in 0..1 + script.byte() % 12 {
            let choice = script.byte();
            if choice < 96 {
                change_one(script, &mut self.image, &words, choice);
                continue;
            }
            let record = head_at(&self.image, usize::from(script.byte()) % FRAME_SLOTS as usize) + RECORD;
            let [at, other] = [(); 2].map(|()| record + usize::from(script.byte()) % (RECORD_LEN / 4) * 4);
            let field = |at: usize| u32::from_ne_bytes(self.image[at..at + 4].try_into().expect("four bytes"));
            let near = u32::from(script.byte()).wrapping_sub(128);
            let value = match choice % 6 {
                0 => field(at).wrapping_add(near),
                1 => (SLOT as u32).wrapping_add(near),
                2 => (PAGE as u32).wrapping_add(near),
                3 => near,
                4 => field(other),
                _ => script.word() as u32,
            };
            self.image[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
    }

    fn laid_out(&self) -> Objects {
        if self.is_sealed {
            let (words, pool) = self.image.split_at(self.pool_at());
            Objects { ring: sealed(words), pixels: Some(sealed_to_read(pool)) }
        } else {
            Objects { ring: sealed(&self.image), pixels: None }
        }
    }

    /// Whether nobody has written between slots.
    fn is_whole(&self, objects: &Objects) -> bool {
        let image = bytes_of(objects.pixels.as_ref().unwrap_or(&objects.ring));
        let pixels_at = image.len() - (self.image.len() - self.pixels_at());
        image[pixels_at..].chunks(PAGE).all(|page| page[SLOT..].iter().all(|byte| *byte == NONE))
    }
}

/// The memfds of a ring.
struct Objects {
    ring: File,
    pixels: Option<File>,
}

impl Objects {
    fn consumer(&self, delivery: Delivery, trusts_peers: bool) -> Result<Consumer, OpenError> {
        let mut options = options_of(FRAME_SLOTS, 0);
        options.behaviour = behaviour(trusts_peers);
        options.behaviour.delivery = delivery;
        match &self.pixels {
            Some(pixels) => options.consumer_of_sealed(&self.ring, pixels),
            None => options.consumer_of::<Frames>(&self.ring),
        }
    }
}

/// Makes a ring as a fuzzer's bytes want it, and has consumers look at all that they can get of it, alone and then, at times, beside a producer.
pub(crate) fn survive(input: &[u8]) {
    static GOOD: OnceLock<Vec<Ring>> = OnceLock::new();
    let both = |origin| [false, true].map(|is_sealed| Ring::made(is_sealed, origin));
    let good = GOOD.get_or_init(|| ORIGINS.into_iter().flat_map(both).collect());
    let mut script = Script(input);
    let choice = usize::from(script.byte());
    let (mut ring, trusts_peers) = (good[choice / 2 % good.len()].clone(), choice % 2 == 0);
    ring.damage(&mut script);

    let objects = ring.laid_out();
    let mut consumers =
        [Delivery::EveryFrame, Delivery::NewestOnly].map(|delivery| objects.consumer(delivery, trusts_peers).ok());
    let mut held = Vec::new();
    for call in 0..CALLS / 2 {
        for consumer in consumers.iter_mut().flatten() {
            let frame = if call % 2 == 0 { consumer.try_recv_early() } else { consumer.try_recv_ref() };
            held.extend(frame.inspect(look));
        }
        if call % 3 == 0 {
            held.clear();
        }
    }
    drop(held);
    // Rarely, because it waits: and nobody but their maker can write into sealed ones.
    if !ring.is_sealed && choice >= 224 {
        let options = options_of(FRAME_SLOTS, 0);
        framed::use_frames(consumers, options.producer_of::<Frames>(&objects.ring).ok());
    }
    assert!(ring.is_whole(&objects), "written outside of a slot");
}

/// Whatever a frame gives is of its slot.
fn look(frame: &Frame) {
    let mut seen = vec![0; frame.len()];
    let mut colours: Vec<u8> = if frame.read(0, &mut seen) { seen } else { Vec::new() };
    colours.extend(frame.bytes().unwrap_or_default());
    let mut row = [0; PAGE];
    for (index, plane) in frame.meta().planes().iter().enumerate() {
        assert!(plane.end() <= frame.len() && frame.len() <= SLOT);
        for number in 0..=plane.rows {
            let len = frame.read_row(index, number, &mut row).unwrap_or(0);
            colours.extend(&row[..len]);
            colours.extend(frame.row(index, number).unwrap_or_default());
        }
    }
    let is_a_slot = |colour: &u8| (0..FRAME_SLOTS as usize).any(|slot| colour_of(slot) == *colour);
    assert!(
        colours.iter().all(|colour| *colour == colours[0] && is_a_slot(colour)),
        "read outside of a slot: {colours:?}"
    );
    framed::look(frame);
}
