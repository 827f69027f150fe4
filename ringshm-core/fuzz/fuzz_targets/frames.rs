//! Rings of frames, in one object and sealed in two: whatever words and descriptions say, nothing outside of a slot is read or written.

#![no_main]

#[path = "../../tests/support/image.rs"]
#[allow(dead_code, reason = "the other targets and the tests use the rest")]
mod image;

libfuzzer_sys::fuzz_target!(|input: &[u8]| image::painted::survive(input));
