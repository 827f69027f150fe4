//! A renderer that shows the newest frame of `decode_frames`, and holds the one on the screen while it takes the next.

use ringshm::frames::{Consumer, Delivery, Frame};
use ringshm::{OpenError, RecvTimeoutError};
use std::time::Duration;

/// Where the bar is, in place.
fn bar(frame: &Frame) -> Option<usize> {
    let mut row = vec![0; frame.meta().width as usize];
    frame.read_row(0, frame.meta().height / 2, &mut row)?;
    row.iter().position(|pixel| *pixel == 235)
}

/// The decoder says how large frames are: until it has come there is no ring.
fn open() -> Result<Consumer, OpenError> {
    loop {
        match ringshm::frames("film").delivery(Delivery::NewestOnly).hold(2).consumer() {
            Err(OpenError::NotFound { .. }) => std::thread::sleep(Duration::from_millis(20)),
            result => return result,
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut frames = open()?;
    let (mut on_screen, mut shown): (Option<Frame>, u64) = (None, 0);
    loop {
        match frames.recv_ref_timeout(Duration::from_secs(5)) {
            Ok(frame) => {
                assert!(bar(&frame).is_some(), "torn");
                // The one before goes back to the decoder when this one is on the screen.
                on_screen = Some(frame);
                shown += 1;
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let last = on_screen.map(|frame| frame.meta().timestamp);
    println!("{shown} frames shown, {} skipped, the last at {last:?}", frames.skipped());
    Ok(())
}
