//! Measures ringshm beside its rivals and beside what the hardware allows.
//!
//! | module | its subject |
//! |---|---|
//! | [`plan`] | what one run measures, as data |
//! | [`rivals`] | who is measured, as data |
//! | [`comparison`], [`site`], [`abilities`] | channels by their names: which of them this machine has, where theirs are, what they can do, side by side |
//! | [`stream`], [`crowd`], [`trip`], [`offered`], [`recovery`], [`limits`] | how: throughput of two and of many, times of single messages, latency at a given rate, deaths, the hardware's limits |
//! | [`frames`] | video: frames handed over, or written and read; the time from committed to borrowed; the age of the newest |
//! | [`tail`], [`setting`] | the one message in ten thousand, depending on what a real-time program asks of the machine |
//! | [`message`], [`records`] | what is sent, and how its consumer checks every byte |
//! | [`stage`], [`control`], [`probe`] | one run: its pinned members, the page they share, how far apart their cores are |
//! | [`processes`], [`quiet`] | a run from outside: its processes are started, awaited, and never survive; was anybody else busy? |
//! | [`suite`], [`measurement`] | all runs, as data; and the loop that plays them in interleaved rounds |
//! | [`summary`], [`table`], [`plot`] | what they say |
//!
//! Two programs measure: the binary `harness`, which `cargo xtask bench` runs, and `ringshm bench`, the short form.
//!
//! **The cores of a virtual machine move.** Two virtual CPUs may be hyper-threads of one core now and on two sockets a
//! minute later, and throughput differs tenfold between the two. So each run measures before and after how long a cache line
//! travels between its cores, and is labelled with it; runs whose labels differ are discarded, and figures of different labels are
//! never mixed.

#![allow(
    clippy::disallowed_types,
    reason = "what is measured here is never modelled: the control page and the bare limits use core's atomics themselves"
)]

pub mod abilities;
pub mod channel;
pub mod clock;
pub mod comparison;
pub mod control;
pub mod crowd;
pub mod frames;
pub mod limits;
pub mod measurement;
pub mod message;
pub mod offered;
pub mod plan;
pub mod plot;
pub mod probe;
pub mod processes;
pub mod quiet;
pub mod records;
pub mod recovery;
pub mod rivals;
pub mod setting;
pub mod site;
pub mod stage;
pub mod stream;
pub mod suite;
pub mod summary;
pub mod table;
pub mod tail;
pub mod trip;
