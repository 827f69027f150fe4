//! A spinning thread of the model lets the others run: without it loom would explore spinning for ever.

pub use loom::thread::yield_now;

/// As in the real hint.
pub fn spin_loop() {
    yield_now();
}
