//! `ringshm view`: the newest frames on the terminal, two pixels in each place.

use super::picture::{Picture, Rgb};
use super::pixels::name_of;
use super::{describe, producer_died};
use crate::every;
use crate::failure::Failure;
use crate::ring::RingArgs;
use crate::size;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Position, Rect};
use ratatui::style::Color;
use ratatui::text::Line;
use ratatui::{DefaultTerminal, Frame as Screen};
use ringshm::frames::{Consumer, Frame};
use ringshm::{Directory, OnDeath, OpenError, Peer, RecvTimeoutError};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

const AFTER_HELP: &str = "\
The picture takes what room the terminal has. It needs a terminal with 24-bit colours (most have; tmux wants `set -as terminal-features \
',*:RGB'`) and a font with the half block ▀. The sender never waits for it, and other receivers are not disturbed.

It waits for the ring to be made, and ends when the sender has closed it. Keys: q or Ctrl-C ends.";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The ring
    name: String,
    /// If the sender dies, wait for the next one
    #[arg(long)]
    follow: bool,
    /// End after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = every::seconds)]
    seconds: Option<Duration>,
}

/// How long a key or a signal may go unnoticed.
const ATTENTION: Duration = Duration::from_millis(40);

pub(crate) fn run(directory: &Directory, args: &Args) -> Result<(), Failure> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "standard input or output is no terminal: use recv --png, or recv --y4m and a player",
        ));
    }
    ringshm::Name::new(&args.name)?;
    let failed = |error: io::Error| Failure::at("showing this on the terminal", error);
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(failed)?;
    // This also has a panic put the terminal back.
    let terminal = ratatui::try_init().map_err(failed)?;
    let mut preview =
        Preview { args, directory, consumer: None, shown: None, pace: Pace::default(), said: String::new() };
    let result = preview.show(terminal, &mut signals);
    drop(preview);
    let restored = ratatui::try_restore().map_err(failed);
    if let Some(signal) = result? {
        // Everything is as it was: now the signal may have its way.
        let _ = signal_hook::low_level::emulate_default_handler(signal);
    }
    restored
}

struct Preview<'a> {
    args: &'a Args,
    directory: &'a Directory,
    consumer: Option<Consumer>,
    /// Held to be drawn again when the size of the terminal changes.
    shown: Option<Frame>,
    pace: Pace,
    /// The line below.
    said: String,
}

impl Preview<'_> {
    /// Returns the signal that ended it, if one did.
    fn show(&mut self, mut terminal: DefaultTerminal, signals: &mut Signals) -> Result<Option<i32>, Failure> {
        let begun = Instant::now();
        self.said = format!("{}: waiting for its sender; q ends", self.args.name);
        let mut is_new = true;
        loop {
            if is_new {
                self.draw(&mut terminal)?;
            }
            let signal = signals.pending().next();
            if signal.is_some() || self.args.seconds.is_some_and(|seconds| begun.elapsed() >= seconds) {
                return Ok(signal);
            }
            is_new = match self.next()? {
                Next::Frame => true,
                Next::Nothing => false,
                Next::End => return Ok(None),
            };
            match heard()? {
                Wish::GoOn => {}
                Wish::Draw => is_new = true,
                Wish::End => return Ok(None),
            }
        }
    }

    /// Takes the newest frame, and waits for it a little.
    fn next(&mut self) -> Result<Next, Failure> {
        let Some(consumer) = &mut self.consumer else {
            let on_death = if self.args.follow { OnDeath::AwaitSuccessor } else { OnDeath::Disconnect };
            match describe(&self.args.name, &RingArgs::default(), self.directory, on_death, true).consumer() {
                Ok(consumer) => self.consumer = Some(consumer),
                Err(OpenError::NotFound { .. }) => {
                    event::poll(ATTENTION).or_else(not_interrupted)?;
                }
                Err(error) => return Err(error.into()),
            }
            return Ok(Next::Nothing);
        };
        // In a ring with little room it may hold no more than one.
        if consumer.held() == consumer.most_held() {
            self.shown = None;
        }
        match consumer.recv_ref_timeout(ATTENTION) {
            Ok(frame) => {
                self.pace.count(&frame);
                self.said = self.pace.line(&self.args.name, &frame);
                self.shown = Some(frame);
                Ok(Next::Frame)
            }
            Err(RecvTimeoutError::Timeout) => Ok(Next::Nothing),
            Err(RecvTimeoutError::Disconnected) => match consumer.peer() {
                Peer::Closed => Ok(Next::End),
                Peer::Dead { pid } => Err(producer_died(pid, self.pace.all)),
                Peer::Live { .. } | Peer::Detached | Peer::Vacant => Ok(Next::Nothing),
            },
            Err(error) => Err(Failure::new(error.to_string())),
        }
    }

    fn draw(&self, terminal: &mut DefaultTerminal) -> Result<(), Failure> {
        let mut result = Ok(());
        let draw = |screen: &mut Screen<'_>| {
            let area = screen.area();
            let (above, below) =
                (Rect { height: area.height.saturating_sub(1), ..area }, area.bottom().saturating_sub(1));
            if let Some(frame) = &self.shown {
                result = Picture::new(frame).map(|mut picture| paint(&mut picture, above, screen.buffer_mut()));
            }
            if area.height > 0 {
                screen.render_widget(Line::from(self.said.as_str()), Rect { y: below, height: 1, ..area });
            }
        };
        terminal.draw(draw).map_err(|error| Failure::at("drawing on the terminal", error))?;
        result
    }
}

/// What became of a look into the ring.
enum Next {
    Frame,
    Nothing,
    End,
}

/// What somebody wants.
enum Wish {
    GoOn,
    Draw,
    End,
}

fn not_interrupted(error: io::Error) -> Result<bool, Failure> {
    match error.kind() {
        io::ErrorKind::Interrupted => Ok(false),
        _ => Err(Failure::at("reading the terminal", error)),
    }
}

/// What the terminal has to say, if anything.
fn heard() -> Result<Wish, Failure> {
    if !event::poll(Duration::ZERO).or_else(not_interrupted)? {
        return Ok(Wish::GoOn);
    }
    let event = event::read().map_err(|error| Failure::at("reading the terminal", error))?;
    Ok(match event {
        Event::Resize(..) => Wish::Draw,
        Event::Key(key) if key.kind != KeyEventKind::Release => match key.code {
            KeyCode::Char('q') | KeyCode::Esc => Wish::End,
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Wish::End,
            _ => Wish::GoOn,
        },
        _ => Wish::GoOn,
    })
}

/// How many frames were shown lately.
#[derive(Debug, Default)]
struct Pace {
    all: u64,
    skipped: u64,
    shown: u32,
    since: Option<Instant>,
    per_second: f64,
}

impl Pace {
    fn count(&mut self, frame: &Frame) {
        let since = *self.since.get_or_insert_with(Instant::now);
        self.skipped += frame.skipped();
        self.all += 1;
        self.shown += 1;
        if since.elapsed() >= Duration::from_secs(1) {
            self.per_second = f64::from(self.shown) / since.elapsed().as_secs_f64();
            (self.shown, self.since) = (0, None);
        }
    }

    fn line(&self, name: &str, frame: &Frame) -> String {
        let (number, skipped) = (size::grouped(frame.sequence()), size::grouped(self.skipped));
        let (width, height, pixels) = (frame.meta().width, frame.meta().height, name_of(frame));
        let per_second = self.per_second;
        format!("{name}  {width}x{height} {pixels}  frame {number}  {per_second:.0} shown/s  {skipped} skipped  q ends")
    }
}

/// How many samples of a picture make a pixel of the screen, across and down.
const SAMPLES: u32 = 3;

/// The largest size of the picture's shape that fits.
fn fit(picture: (u32, u32), room: (u32, u32)) -> (u32, u32) {
    let (width, height) = (u64::from(picture.0), u64::from(picture.1));
    let (most_wide, most_high) = (u64::from(room.0), u64::from(room.1));
    let (wide, high) = if width * most_high > height * most_wide {
        (most_wide, height * most_wide / width)
    } else {
        (width * most_high / height, most_high)
    };
    (wide.max(1) as u32, high.max(1) as u32)
}

/// The picture in so many pixels, each the average of some of those that it stands for.
fn shrink(picture: &mut Picture<'_>, (wide, high): (u32, u32)) -> Vec<Rgb> {
    let (width, height) = (picture.width(), picture.height());
    // The middle of one of the equal parts that a pixel is cut into.
    let at = |index: u32, part: u32, of: u32, all: u32| {
        let parts = u64::from(of) * u64::from(SAMPLES) * 2;
        let place = (u64::from(index) * u64::from(SAMPLES) + u64::from(part)) * 2 + 1;
        (place * u64::from(all) / parts) as u32
    };
    let mut colours = Vec::with_capacity(wide as usize * high as usize);
    for y in 0..high {
        let mut sums = vec![[0_u32; 3]; wide as usize];
        for down in 0..SAMPLES {
            let row = picture.row(at(y, down, high, height));
            for (x, sum) in (0..).zip(&mut sums) {
                for across in 0..SAMPLES {
                    let colour = row.pixel(at(x, across, wide, width));
                    sum.iter_mut().zip(colour).for_each(|(sum, part)| *sum += u32::from(part));
                }
            }
        }
        colours.extend(sums.into_iter().map(|sum| sum.map(|sum| (sum / (SAMPLES * SAMPLES)) as u8)));
    }
    colours
}

/// Draws the picture in the middle of the area.
fn paint(picture: &mut Picture<'_>, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let (wide, high) = fit((picture.width(), picture.height()), (area.width.into(), 2 * u32::from(area.height)));
    let colours = shrink(picture, (wide, high));
    let colour = |x: u32, y: u32| {
        let inside = y < high;
        inside.then(|| colours[(y * wide + x) as usize]).map(|[red, green, blue]| Color::Rgb(red, green, blue))
    };
    let (left, top) = ((area.width - wide as u16) / 2, (area.height - high.div_ceil(2) as u16) / 2);
    for y in 0..high.div_ceil(2) {
        for x in 0..wide {
            let place = Position::new(area.x + left + x as u16, area.y + top + y as u16);
            let Some(cell) = buffer.cell_mut(place) else { continue };
            cell.set_symbol("▀").set_fg(colour(x, 2 * y).unwrap_or_default());
            cell.set_bg(colour(x, 2 * y + 1).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringshm::frames::{FourCc, Meta};

    #[test]
    fn a_picture_keeps_its_shape() {
        assert_eq!(fit((1280, 720), (80, 46)), (80, 45));
        assert_eq!(fit((1280, 720), (200, 46)), (81, 46));
        assert_eq!(fit((1, 1000), (80, 46)), (1, 46));
        assert_eq!(fit((4000, 1), (80, 46)), (80, 1));
        assert_eq!(fit((u32::MAX, u32::MAX), (3, 2)), (2, 2));
    }

    #[test]
    fn two_pixels_are_in_each_place() {
        let meta = Meta::new(FourCc::RGB, 4, 4).unwrap();
        let (mut producer, mut consumer) = ringshm::frames("").frame_bytes(meta.bytes as u64).threads().unwrap();
        let mut loan = producer.loan().unwrap();
        // Each row has its own red, each column its own blue.
        let pixels = (0..16_u8).flat_map(|at| [at / 4 * 50, 0, at % 4 * 60]);
        loan.write(0, &pixels.collect::<Vec<_>>()).unwrap();
        loan.commit(&meta).unwrap();
        let frame = consumer.recv_ref().unwrap();
        let area = Rect::new(0, 0, 6, 2);
        let mut buffer = Buffer::empty(area);
        paint(&mut Picture::new(&frame).unwrap(), area, &mut buffer);
        let cell = |x, y| {
            let cell = &buffer[(x, y)];
            (cell.symbol().to_owned(), cell.fg, cell.bg)
        };
        // Four wide, in the middle of six.
        for (x, y) in [(0, 0), (1, 1), (3, 1)] {
            let rgb = |y: u8| Color::Rgb(y * 50, 0, x as u8 * 60);
            assert_eq!(cell(1 + x, y), ("▀".to_owned(), rgb(2 * y as u8), rgb(2 * y as u8 + 1)));
        }
        assert_eq!((cell(0, 0).0, cell(5, 1).0), (" ".to_owned(), " ".to_owned()));
        // No room at all is no reason to fail.
        paint(&mut Picture::new(&frame).unwrap(), Rect::new(0, 0, 0, 0), &mut Buffer::empty(Rect::new(0, 0, 0, 0)));
    }
}
