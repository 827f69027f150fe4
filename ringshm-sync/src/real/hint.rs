//! What a spinning thread tells the processor and the scheduler.

pub use core::hint::spin_loop;
pub use std::thread::yield_now;
