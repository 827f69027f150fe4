//! Segment images: whatever the bytes are, the rings answer with errors or values.

#![no_main]

#[path = "../../tests/support/image.rs"]
#[allow(dead_code, reason = "the other targets and the tests use the rest")]
mod image;

libfuzzer_sys::fuzz_target!(|input: &[u8]| image::drain(&image::forge(input)));
