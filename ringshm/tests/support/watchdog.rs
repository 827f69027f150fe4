//! An end for waits within one process.

use super::PATIENCE;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;

/// Ends the test run if it lives too long: a wait that nobody ends cannot fail by itself, and a wait with an end looks once more before it
/// ends, and so finds what nobody rang for.
pub(crate) struct Watchdog(#[expect(dead_code, reason = "its end is what counts")] Sender<()>);

impl Watchdog {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = channel();
        let test = thread::current().name().unwrap_or("a test").to_owned();
        thread::spawn(move || {
            if receiver.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{test}: a wake-up was lost");
                std::process::abort();
            }
        });
        Self(sender)
    }
}
