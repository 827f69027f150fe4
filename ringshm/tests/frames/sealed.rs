//! Sealed rings of frames: what a consumer in another process can do with the pixels, and what becomes of it.

use crate::actor::{SIDE, check, send};
use crate::support::{Folder, PATIENCE, Process};
use core::time::Duration;
use ringshm::frames::{Producer, Sealed};
use ringshm::handover::{self, Handover};
use ringshm::{Deadline, OpenError, RecvError};
use rustix::io::{FdFlags, fcntl_setfd};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;

fn sealed(slots: u64) -> (Producer, Sealed) {
    let builder = ringshm::frames("camera").capacity(slots).frame_bytes(u64::from(SIDE * SIDE));
    builder.sealed().expect("room for it")
}

/// A process that inherits both descriptors, and takes part with them.
fn renderer(folder: &Folder, sealed: &Sealed, options: &str) -> Process {
    for descriptor in [&sealed.ring, &sealed.pixels] {
        fcntl_setfd(descriptor, FdFlags::empty()).expect("an open descriptor");
    }
    let mut process = Process::start(folder);
    let (ring, pixels) = (sealed.ring.as_raw_fd(), sealed.pixels.as_raw_fd());
    let reply = process.ask(&format!("f-sealed {ring} {pixels} {options}"));
    assert!(reply.starts_with("open "), "{reply}");
    process
}

#[test]
fn a_consumer_reads_the_pixels_and_cannot_write_them_in_any_way() {
    let folder = Folder::new();
    let (mut producer, sealed) = sealed(6);
    let mut renderer = renderer(&folder, &sealed, "newest hold=3");
    for number in 0..3 {
        send(&mut producer, Duration::ZERO).expect("a slot");
        assert!(renderer.ask("f-take 1").ends_with(&number.to_string()));
    }
    assert_eq!(renderer.ask("f-harm"), "harmless");
    // Nor can anybody else who comes by the descriptor.
    assert!(rustix::io::pwrite(&sealed.pixels, b"harm", 4096).is_err());
    let mut loan = producer.try_loan().expect("a slot");
    assert!(loan.bytes_mut().is_some(), "nobody else can write what its producer refers to");
    drop(loan);
    renderer.finish();
}

#[test]
fn a_killed_consumer_of_a_sealed_ring_gives_its_frames_back() {
    let folder = Folder::new();
    let (mut producer, sealed) = sealed(4);
    for _ in 0..20 {
        let mut victim = renderer(&folder, &sealed, "hold=2 start=newest");
        for _ in 0..2 {
            send(&mut producer, PATIENCE).expect("a slot");
        }
        assert!(victim.ask("f-take 2").starts_with("holds"));
        victim.kill();
        for _ in 0..4 {
            send(&mut producer, PATIENCE).expect("all slots");
        }
    }
}

#[test]
fn nobody_waits_for_a_successor_who_cannot_come() {
    let (mut producer, sealed) = sealed(3);
    let consumer = ringshm::frames("").on_death(ringshm::OnDeath::AwaitSuccessor).hold(1);
    let mut consumer = consumer.consumer_of_sealed(&sealed.ring, &sealed.pixels).expect("a free lane");
    send(&mut producer, Duration::ZERO).expect("a slot");
    producer.detach();
    let frame = consumer.recv_ref().expect("the last");
    assert_eq!(check(&frame), 0);
    drop(frame);
    assert_eq!(consumer.recv_ref().map(drop), Err(RecvError::Disconnected));
    let refused = ringshm::frames("").producer_of(&sealed.ring).map(drop);
    assert!(matches!(refused, Err(OpenError::InvalidOption { option: "memfd", .. })), "{refused:?}");
}

#[test]
fn descriptors_that_do_not_belong_together_are_refused() {
    let ((_first, one), (_second, other)) = (sealed(3), sealed(3));
    let (_third, smaller) = sealed(4);
    let joined = |ring, pixels| ringshm::frames("").consumer_of_sealed(ring, pixels).map(drop);
    for pixels in [&other.pixels, &smaller.pixels] {
        let refused = joined(&one.ring, pixels);
        assert!(matches!(refused, Err(OpenError::Corrupt { field: "frame pool" })), "{refused:?}");
    }
    let swapped = joined(&one.pixels, &one.ring);
    assert!(matches!(swapped, Err(OpenError::Corrupt { field: "seals" })), "{swapped:?}");
    let plain = ringshm::frames("").frame_bytes(64).capacity(3).memfd().expect("room");
    let refused = joined(&plain, &one.pixels);
    assert!(matches!(refused, Err(OpenError::Corrupt { field: "frame pool" })), "{refused:?}");
    assert!(joined(&one.ring, &one.pixels).is_ok());
}

#[test]
fn both_descriptors_are_handed_over_a_socket() {
    let (mut producer, sealed) = sealed(4);
    let (here, there) = UnixStream::pair().expect("a pair");
    handover::give_sealed(&here, &sealed, Deadline::NEVER).expect("there is room");
    let (ring, pixels) = handover::take_sealed(&there, Deadline::NEVER).expect("it was given");
    let mut first = ringshm::frames("").hold(1).consumer_of_sealed(ring, pixels).expect("a free lane");
    let place = format!("@frames-{}", std::process::id());
    let mut offer = Handover::new(&place).offer().expect("a free name");
    let taker = std::thread::spawn(move || {
        ringshm::frames("").hold(1).consumer_from_sealed(Handover::new(&place), Deadline::NEVER)
    });
    offer.give_sealed_by(&sealed, Deadline::NEVER).expect("somebody comes");
    let mut second = taker.join().expect("it does not panic").expect("a free lane");
    send(&mut producer, Duration::ZERO).expect("a slot");
    assert_eq!(check(&first.recv_ref().expect("the frame")), 0);
    assert_eq!(check(&second.recv_ref().expect("the frame")), 0);
}

#[test]
fn pixels_are_entered_or_huge_before_anybody_takes_part() {
    use ringshm::{HugePages, Resident as _};
    let builder = || ringshm::frames("camera").capacity(4).frame_bytes(1 << 21).huge_pages(HugePages::Try).prefault();
    let (producer, sealed) = builder().sealed().expect("room for it");
    let consumer = builder().consumer_of_sealed(&sealed.ring, &sealed.pixels).expect("a free lane");
    for pages in [producer.pages(), consumer.pages()].map(|pages| pages.expect("there is /proc")) {
        assert!(pages.bytes > 4 << 21, "those of the pixels");
        assert_eq!(pages.entered, pages.bytes);
        assert!(pages.huge >= 4 << 21 || pages.why_small.is_some(), "{pages:?}");
    }
    let none = ringshm::frames("camera").frame_bytes(1 << 45).sealed().map(drop);
    assert!(matches!(none, Err(OpenError::NoSpace { .. })), "{none:?}");
}
