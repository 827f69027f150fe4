//! The ground under ringshm: everything that two participants of a ring share, or wait with.
//!
//! The one switch between the real thing and the model is in this file. With `--cfg loom` the modules of `model` stand
//! where those of `real` stand otherwise, under the same names, so that loom explores the very code that ships:
//!
//! | module | real | model |
//! |---|---|---|
//! | [`atomic`] | `core::sync::atomic` | loom's atomics behind a gate, each access a step a participant may die at |
//! | [`barrier`] | compiler fence and `membarrier` | a full fence on both sides |
//! | [`cell`] | raw pointers | raw pointers with a shadow cell per granule, so that a race is reported |
//! | [`futex`] | the kernel's | a mutex and a condition variable, so that a lost wake-up is a deadlock |
//! | [`lock`] | the standard library's mutex | loom's |
//! | [`time`] | the monotonic clock | time stands still |
//! | [`wide`] | the kernel's futex, in half of a word | as `futex` |

#[cfg(loom)]
#[path = "model/mod.rs"]
mod imp;
#[cfg(not(loom))]
#[path = "real/mod.rs"]
mod imp;

pub mod bell;
pub mod crash;
pub mod doorbell;
pub mod eventcount;
pub mod pad;
pub mod robust;
pub mod semaphore;
pub mod signal;
pub mod sleepers;
pub mod summons;
pub mod wait;
pub mod watch;
mod words;

pub use imp::{atomic, barrier, cell, futex, hint, lock, time, wide};

#[cfg(loom)]
pub use imp::death;
