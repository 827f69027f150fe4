//! The terminal that `top` draws on, and puts back as it was however it ends: a key, a signal, a panic.

use super::sample::{Sample, Sampler, Status};
use super::{HEADER, NUMBERS, cells, ring_cells};
use crate::every::{Beat, EveryArgs};
use crate::failure::Failure;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Alignment, Constraint, Layout};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, Row, Table, TableState};
use ratatui::{DefaultTerminal, Frame};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io;
use std::time::Duration;

/// How long a signal may go unnoticed.
const ATTENTION: Duration = Duration::from_millis(100);

/// Shows samples until somebody wants no more.
pub(crate) fn run(sampler: Sampler, every: &EveryArgs) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::at("showing this on the terminal", error);
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(failed)?;
    // This also has a panic put the terminal back.
    let terminal = ratatui::try_init().map_err(failed)?;
    let result = show(terminal, sampler, every, &mut signals);
    let restored = ratatui::try_restore().map_err(failed);
    if let Some(signal) = result? {
        // Everything is as it was: now the signal may have its way.
        let _ = signal_hook::low_level::emulate_default_handler(signal);
    }
    restored
}

/// Returns the signal that ended it, if one did.
fn show(
    mut terminal: DefaultTerminal,
    mut sampler: Sampler,
    every: &EveryArgs,
    signals: &mut Signals,
) -> Result<Option<i32>, Failure> {
    let mut beat = Beat::new(every.interval());
    let mut view = View { sample: sampler.sample()?, interval: every.interval(), state: TableState::default() };
    let mut looks = 0;
    loop {
        terminal.draw(|frame| view.draw(frame)).map_err(|error| Failure::at("drawing on the terminal", error))?;
        let signal = signals.pending().next();
        if signal.is_some() || Some(looks) == every.count {
            return Ok(signal);
        }
        let is_ready = event::poll(beat.left().min(ATTENTION)).or_else(|error| match error.kind() {
            io::ErrorKind::Interrupted => Ok(false),
            _ => Err(Failure::at("reading the terminal", error)),
        })?;
        if is_ready {
            let event = event::read().map_err(|error| Failure::at("reading the terminal", error))?;
            if view.hears(&event) == Wish::End {
                return Ok(None);
            }
        }
        if beat.left().is_zero() {
            beat.advance();
            view.sample = sampler.sample()?;
            looks += 1;
        }
    }
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    GoOn,
    End,
}

/// What is on the screen.
#[derive(Debug)]
struct View {
    sample: Sample,
    interval: Duration,
    state: TableState,
}

impl View {
    fn hears(&mut self, event: &Event) -> Wish {
        let Event::Key(key) = event else { return Wish::GoOn };
        if key.kind == KeyEventKind::Release {
            return Wish::GoOn;
        }
        let rows = self.sample.rings.iter().map(|ring| 1 + ring.participants.len()).sum::<usize>();
        let page = 10;
        let offset = self.state.offset_mut();
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Wish::End,
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Wish::End,
            KeyCode::Down | KeyCode::Char('j') => *offset += 1,
            KeyCode::Up | KeyCode::Char('k') => *offset = offset.saturating_sub(1),
            KeyCode::PageDown => *offset += page,
            KeyCode::PageUp => *offset = offset.saturating_sub(page),
            KeyCode::Home => *offset = 0,
            _ => {}
        }
        *offset = (*offset).min(rows.saturating_sub(1));
        Wish::GoOn
    }

    fn draw(&mut self, frame: &mut Frame<'_>) {
        let areas = Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)]);
        let [top, middle, bottom] = areas.areas(frame.area());
        frame.render_widget(summary(&self.sample), top);
        frame.render_stateful_widget(table(&self.sample), middle, &mut self.state);
        let keys = format!("every {:?}   q ends, arrows scroll", self.interval);
        frame.render_widget(Line::from(keys).dim(), bottom);
    }
}

/// `3 rings, 7 participants: 4 alive, 1 dead, 1 stopped, 1 slow`.
fn summary(sample: &Sample) -> Line<'static> {
    let all = || sample.rings.iter().flat_map(|ring| &ring.participants).map(|participant| participant.status);
    let mut text = format!("ringshm top: {} rings, {} participants", sample.rings.len(), all().count());
    let kinds =
        [Status::Alive, Status::Idle, Status::Slow, Status::Stalled, Status::Stopped, Status::Evicted, Status::Dead];
    let counts = kinds.map(|kind| (kind, all().filter(|status| *status == kind).count()));
    for (index, (kind, count)) in counts.into_iter().filter(|(_, count)| *count > 0).enumerate() {
        text.push_str(&format!("{} {count} {}", if index == 0 { ":" } else { "," }, kind.word()));
    }
    Line::from(text).bold()
}

fn table(sample: &Sample) -> Table<'static> {
    let header = Row::new(aligned(HEADER.map(str::to_owned))).bold().reversed();
    let rows: Vec<([String; 12], Style, Option<Status>)> = sample
        .rings
        .iter()
        .flat_map(|ring| {
            let whole = std::iter::once((ring_cells(ring), Style::new().bold(), None));
            let parts = ring.participants.iter();
            whole.chain(parts.map(move |part| (cells(ring, part), Style::new(), Some(part.status))))
        })
        .collect();
    let width = |column: usize| rows.iter().map(|(cells, ..)| cells[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<Constraint> = HEADER
        .iter()
        .enumerate()
        .map(|(column, title)| Constraint::Length(u16::try_from(width(column).max(title.len())).unwrap_or(u16::MAX)))
        .collect();
    let rows = rows.into_iter().map(|(cells, style, status)| {
        let mut cells = aligned(cells);
        if let Some(status) = status {
            cells[4] = cells[4].clone().style(style_of(status));
        }
        Row::new(cells).style(style)
    });
    Table::new(rows, widths).header(header).column_spacing(2)
}

fn aligned(cells: [String; 12]) -> Vec<Cell<'static>> {
    let alignment = |column| if NUMBERS.contains(&column) { Alignment::Right } else { Alignment::Left };
    let cells = cells.into_iter().enumerate();
    cells.map(|(column, text)| Cell::from(Text::from(text).alignment(alignment(column)))).collect()
}

fn style_of(status: Status) -> Style {
    match status {
        Status::Alive | Status::Idle => Style::new().fg(Color::Green),
        Status::Slow | Status::Stalled | Status::Stopped | Status::Evicted => Style::new().fg(Color::Yellow).bold(),
        Status::Dead => Style::new().fg(Color::Red).bold(),
        Status::Detached | Status::Closed | Status::Vacant => Style::new().fg(Color::DarkGray),
    }
}
