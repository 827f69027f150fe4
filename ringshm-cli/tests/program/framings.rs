//! Lines, lengths, and raw bytes; and what does not fit into any of them.

use crate::place::{Place, assert_same, feed};
use std::num::NonZeroUsize;

fn len32(records: &[&[u8]]) -> Vec<u8> {
    records.iter().flat_map(|record| [&(record.len() as u32).to_le_bytes()[..], record].concat()).collect()
}

#[test]
fn a_last_line_needs_no_newline() {
    let place = Place::new();
    place.run_with(&["send", "last"], b"one\n\ntwo");
    assert_eq!(place.info("last")["producer"]["messages"], 3);
    assert_eq!(place.run(&["recv", "last"]).stdout, b"one\n\ntwo\n");
}

#[test]
fn a_newline_at_the_end_begins_no_record() {
    let place = Place::new();
    place.run_with(&["send", "last"], b"one\n\n");
    assert_eq!(place.info("last")["producer"]["messages"], 2);
    assert_eq!(place.run(&["recv", "last", "--len32"]).stdout, len32(&[b"one", b""]));
}

#[test]
fn lengths_carry_any_bytes_and_empty_records() {
    let place = Place::new();
    let long = vec![b'\n'; 100_000];
    let stream = len32(&[b"", b"one", b"", b"two\nlines", &long, b"\xff\0", b""]);
    assert_eq!(place.run_with(&["send", "len", "--len32"], &stream).code(), Some(0));
    assert_eq!(place.info("len")["producer"]["messages"], 7);
    assert_same(&place.run(&["recv", "len", "--len32"]).stdout, &stream);
}

#[test]
fn a_truncated_length_or_record_is_an_error_and_not_the_end() {
    for (tail, message) in [
        (&b"\x09\0"[..], "record 2: 2 of the 4 bytes of its length are there"),
        (&b"\x09\0\0\0abc"[..], "record 2: 3 of its 9 bytes are there"),
        (&b"\x09\0\0\0"[..], "record 2: 0 of its 9 bytes are there"),
    ] {
        let place = Place::new();
        let stream = [&len32(&[b"whole"]), tail].concat();
        let send = place.run_with(&["send", "cut", "--len32"], &stream);
        assert_eq!(send.code(), Some(1));
        assert!(send.stderr.contains(message), "{}", send.stderr);
        // The receiver gets what there was, and is told that it was not all.
        let recv = place.run(&["recv", "cut"]);
        assert_eq!((recv.code(), recv.stdout.as_slice()), (Some(3), &b"whole\n"[..]));
    }
}

#[test]
fn raw_bytes_are_cut_and_joined() {
    let place = Place::new();
    let bytes = &feed()[..1_000_001];
    assert_eq!(place.run_with(&["send", "raw", "--raw", "--size", "4KiB"], bytes).code(), Some(0));
    let sent = bytes.len().div_ceil(NonZeroUsize::new(4096).unwrap().get());
    assert_eq!(place.info("raw")["producer"]["messages"], sent);
    assert_same(&place.run(&["recv", "raw", "--raw"]).stdout, bytes);
}

#[test]
fn a_record_that_is_too_long_is_told_with_a_capacity_that_would_do() {
    let long = vec![b'x'; 5000];
    let lines = [&b"short\nalso short\n"[..], &long, b"\nafter\n"].concat();
    let endless = [&b"short\nalso short\n"[..], &long].concat();
    let records = len32(&[b"short", b"also short", &long]);
    for (framing, input) in [("--lines", &lines), ("--lines", &endless), ("--len32", &records)] {
        let place = Place::new();
        let send = place.run_with(&["send", "long", framing, "--capacity", "1KiB"], input);
        assert_eq!(send.code(), Some(1));
        let message = "record 3 has 5000 bytes and the channel takes at most 504: remove it, and give the next one --capacity 16KiB";
        assert!(send.stderr.contains(message), "{}", send.stderr);
        assert_eq!(place.run(&["recv", "long", "--count", "2"]).stdout, b"short\nalso short\n");
        // The advice is good, and no more than needed.
        for (capacity, code) in [("8KiB", 1), ("16KiB", 0)] {
            let place = Place::new();
            let send = place.run_with(&["send", "long", framing, "--capacity", capacity], input);
            assert_eq!(send.code(), Some(code), "{capacity}: {}", send.stderr);
        }
    }
}

#[test]
fn a_raw_record_that_is_too_long_is_told_before_anything_is_read() {
    let place = Place::new();
    let send = place.run_with(&["send", "long", "--raw", "--size", "600", "--capacity", "1KiB"], &[0; 100]);
    assert_eq!(send.code(), Some(1));
    assert!(send.stderr.contains("record 1 has 600 bytes"), "{}", send.stderr);
}

#[test]
fn a_line_longer_than_what_is_read_at_once_arrives() {
    let place = Place::new();
    let mut line = vec![b'x'; 3_000_000];
    line[1_500_000] = b'\r';
    line.push(b'\n');
    let input = [&b"before\n"[..], &line, b"after\n"].concat();
    assert_eq!(place.run_with(&["send", "long", "--capacity", "16MiB"], &input).code(), Some(0));
    assert_same(&place.run(&["recv", "long"]).stdout, &input);
}

#[test]
fn the_capacity_of_an_existing_ring_must_be_the_same() {
    let place = Place::new();
    place.run_with(&["send", "size", "--capacity", "64KiB"], b"x\n");
    let send = place.run_with(&["send", "size", "--capacity", "128KiB"], b"y\n");
    assert_eq!(send.code(), Some(1));
    assert!(send.stderr.contains("65536") && send.stderr.contains("131072"), "{}", send.stderr);
}

#[test]
fn framings_exclude_each_other() {
    let place = Place::new();
    for arguments in [
        &["send", "x", "--lines", "--len32"][..],
        &["send", "x", "--raw"],
        &["send", "x", "--size", "3"],
        &["send", "x", "--raw", "--size", "0"],
        &["recv", "x", "--raw", "--lines"],
        &["recv", "x", "--count", "0"],
        &["send", "x", "--skip", "1", "--resume"],
        &["send", "x", "--capacity", "many"],
        &["send"],
        &["frobnicate"],
    ] {
        let refused = place.run(arguments);
        assert_eq!(refused.code(), Some(2), "{arguments:?}: {refused:?}");
        assert!(!refused.stderr.is_empty());
    }
    assert_eq!(place.leftovers(), [""; 0]);
}
