//! Ends a test that hangs.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Longer than anything that a test watches takes, on a machine however busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Aborts the process if it is not dropped in time.
#[derive(Debug)]
pub(crate) struct Watch(#[expect(dead_code, reason = "its drop is the message")] Sender<()>);

impl Watch {
    pub(crate) fn over(what: &'static str) -> Self {
        let (alive, watched) = channel();
        std::thread::spawn(move || {
            if watched.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{what} hangs");
                std::process::abort();
            }
        });
        Self(alive)
    }
}
