//! Segments as nobody should leave them behind: cut, empty, of another version, damaged bit by bit, or written to by somebody
//! else while they are in use. The answer is an error that names the field, or a value; never a panic, a hang, or an
//! access outside of the object.

#![cfg(not(loom))]

#[path = "../support/image.rs"]
mod image;

mod frames;
mod headers;
mod live;
mod made;
mod many;
mod mutator;
#[path = "../support/watch.rs"]
mod watch;
mod words;

use image::forge;
use proptest::prelude::{any, prop};
use proptest::test_runner::Config;

/// As the fuzz target does, and not for ever.
fn drain(image: &[u8]) {
    let _watch = watch::Watch::over("an image");
    image::drain(image);
}

proptest::proptest! {
    #![proptest_config(Config { cases: 1500, failure_persistence: None, ..Config::default() })]

    #[test]
    fn no_bytes_of_a_fuzzer_do_harm(input in prop::collection::vec(any::<u8>(), 0..700)) {
        drain(&forge(&input));
    }

    #[test]
    fn no_bytes_of_a_fuzzer_lead_out_of_the_slot_of_a_frame(input in prop::collection::vec(any::<u8>(), 0..200)) {
        let _watch = watch::Watch::over("a ring of frames");
        image::painted::survive(&input);
    }

    #[test]
    fn no_garbage_behind_a_good_header_does_harm(
        good in prop::sample::select(made::all()),
        garbage in prop::collection::vec(any::<u8>(), 1..900),
        at in 512..6000_usize,
    ) {
        let mut image = good;
        let end = image.len().min(at + garbage.len());
        image[at..end].copy_from_slice(&garbage[..end - at]);
        drain(&image);
    }
}
