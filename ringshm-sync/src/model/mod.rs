//! The model of the ground: the same names as in `real`, over loom.

pub mod atomic;
pub mod barrier;
pub mod cell;
pub mod death;
pub mod futex;
pub mod hint;
pub mod lock;
pub mod time;
pub mod wide;
