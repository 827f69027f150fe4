//! The real ground: the processor's atomics, plain memory, the kernel's futex and clock.

pub mod atomic;
pub mod barrier;
pub mod cell;
pub mod futex;
pub mod hint;
pub mod lock;
pub mod time;
pub mod wide;
