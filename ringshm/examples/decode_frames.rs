//! A decoder that draws each frame where its renderers read it: `cargo run --release -p ringshm --example decode_frames`, and beside it
//! `--example render_frames`, once or several times. Kill either of them and start it again.

use ringshm::frames::{FourCc, Meta, TimeBase};
use std::time::{Duration, Instant};

const WIDTH: u32 = 1920;
const HEIGHT: u32 = 1080;
const FRAMES: i64 = 200;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut meta = Meta::new(FourCc::GRAY, WIDTH, HEIGHT)?;
    meta.time_base = TimeBase { numerator: 1, denominator: 100 };
    let mut decoder = ringshm::frames("film").frame_bytes(meta.bytes as u64).capacity(6).producer()?;
    let begin = Instant::now();
    for time in 0..FRAMES {
        // Nobody who takes the newest frame only can make this wait.
        let mut begun = decoder.loan()?.begin(&meta.at(time))?;
        for row in 0..HEIGHT {
            // A bar that wanders over the picture, straight into the slot.
            let mut pixels = [16; WIDTH as usize];
            let bar = (time as usize * 8) % (WIDTH as usize - 64);
            pixels[bar..bar + 64].fill(235);
            begun.write_row(0, row, &pixels)?;
            if row % 120 == 119 {
                // A renderer that wants to can begin with these.
                begun.advance(row + 1);
            }
        }
        begun.finish();
        let due = begin + Duration::from_millis(10) * (time as u32 + 1);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    println!("{} frames, {:?}", decoder.sent(), begin.elapsed());
    Ok(())
}
