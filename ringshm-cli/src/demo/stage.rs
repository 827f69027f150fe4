//! Two processes and what lies between them; whatever happens, nothing of it stays.
//!
//! Children die with their parent (`PR_SET_PDEATHSIG`), and the parent catches the signals that would end it, so that it can
//! kill its children and remove their rings first.

use super::child::{Part, Waiting, Word};
use super::{CHILD, Over};
use crate::failure::Failure;
use crate::size;
use indicatif::ProgressBar;
use ringshm::Directory;
use ringshm_benches::site;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Why the demonstration ends early.
#[derive(Debug)]
pub(super) enum Ending {
    Failed(Failure),
    /// By a signal.
    Interrupted(i32),
}

impl From<Failure> for Ending {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// One measurement.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) over: Over,
    pub(super) waiting: Waiting,
    /// What the two processes do. The first one must be ready before the second one starts.
    pub(super) parts: [Part; 2],
    pub(super) seconds: Option<f64>,
    pub(super) messages: Option<u64>,
    pub(super) file: Option<PathBuf>,
    pub(super) processors: Option<[usize; 2]>,
}

impl Stage {
    fn is_rally(&self) -> bool {
        self.parts.contains(&Part::Serve)
    }

    fn title(&self) -> String {
        let what = if self.is_rally() { "round trips" } else { "the feed" };
        format!("{what} through {}", self.over.label)
    }

    /// The name of its channel, or that of its rings with a way to wait, unless the user has chosen one.
    fn name(&self) -> String {
        let name = &self.over.name;
        let wait = match (self.waiting, self.processors) {
            (Waiting::Sleep, _) => "park",
            (Waiting::Spin, None) => "yield",
            (Waiting::Spin, Some(_)) => return name.clone(),
        };
        if !self.over.is_ring() || site::option(name, "wait").is_some() {
            return name.clone();
        }
        format!("{name}{}wait={wait}", if name.contains('?') { '&' } else { '?' })
    }
}

/// What happens while two processes play.
enum Event {
    /// A child said something.
    Line(usize, String),
    /// A child has closed its standard error: it is gone, or nearly so.
    End(usize),
    Signal(i32),
}

/// Starts the processes of one measurement after the other.
#[derive(Debug)]
pub(super) struct Theatre {
    directory: Directory,
    /// Those of the measurement that runs.
    channels: Vec<String>,
    events: Receiver<Event>,
    sender: Sender<Event>,
    children: Vec<Child>,
}

/// How often the display is brought up to date.
const TICK: Duration = Duration::from_millis(100);

impl Theatre {
    pub(super) fn open(directory: &Directory) -> Result<Self, Failure> {
        let (sender, events) = channel();
        let mut signals =
            Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(|error| Failure::at("catching signals", error))?;
        let to_parent = sender.clone();
        thread::spawn(move || {
            for signal in signals.forever() {
                if to_parent.send(Event::Signal(signal)).is_err() {
                    // Nobody cleans up any more.
                    let _ = signal_hook::low_level::emulate_default_handler(signal);
                }
            }
        });
        Ok(Self { directory: directory.clone(), channels: Vec::new(), events, sender, children: Vec::new() })
    }

    /// Runs the two processes of a measurement to their end. Returns the last word of each.
    pub(super) fn play(&mut self, stage: &Stage) -> Result<[Option<Word>; 2], Ending> {
        let failed = |error| Failure::at("making a pipe", error);
        let [first, second] = plumbing(stage).map_err(failed)?;
        self.children.clear();
        let ways: &[&str] = if stage.is_rally() { &["-there", "-back"] } else { &[""] };
        let own = |way: &&str| site::of(&stage.name(), &format!("demo-{}{way}", std::process::id()));
        self.channels = ways.iter().map(own).collect::<Result<_, _>>().map_err(Failure::because)?;
        let display = Display::new(stage, &self.directory);
        self.start(stage, 0, first)?;
        let mut second = Some(second);
        let mut words = [None, None];
        let mut running = 2;
        while running > 0 {
            match self.events.recv_timeout(TICK) {
                Ok(Event::Signal(signal)) => return Err(Ending::Interrupted(signal)),
                Ok(Event::Line(index, line)) => match serde_json::from_str(&line) {
                    Ok(Word::Ready) => {
                        if let Some(second) = second.take() {
                            self.start(stage, 1, second)?;
                        }
                    }
                    Ok(word) => words[index] = Some(word),
                    Err(_) => return Err(complaint(&line).into()),
                },
                Ok(Event::End(index)) => {
                    running -= 1;
                    let status =
                        self.children[index].wait().map_err(|error| Failure::at("waiting for a child", error))?;
                    if !status.success() {
                        return Err(Failure::new(format!("a child process failed ({status})")).into());
                    }
                    if second.is_some() {
                        return Err(Failure::new("a child process ended before it was ready").into());
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => display.tick(),
            }
        }
        Ok(words)
    }

    fn start(&mut self, stage: &Stage, index: usize, [stdin, stdout]: [Stdio; 2]) -> Result<(), Failure> {
        let failed = |error| Failure::at("starting a child process", error);
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.arg("--dir").arg(self.directory.path()).arg(CHILD);
        let mut option = |name: &str, value: String| _ = command.arg(name).arg(value);
        option("--part", name_of(stage.parts[index]));
        option("--waiting", name_of(stage.waiting));
        for (way, channel) in ["--there", "--back"].into_iter().zip(&self.channels) {
            option(way, channel.clone());
        }
        if stage.over.own_handles {
            command.arg("--own-handles");
        }
        let mut option = |name: &str, value: String| _ = command.arg(name).arg(value);
        option("--parent", std::process::id().to_string());
        if let Some(processors) = stage.processors {
            option("--cpu", processors[index].to_string());
        }
        if let Some(seconds) = stage.seconds {
            option("--seconds", seconds.to_string());
        }
        if let Some(messages) = stage.messages {
            option("--messages", messages.to_string());
        }
        if let Some(file) = &stage.file {
            command.arg("--file").arg(file);
        }
        // A group of its own: an interrupt from the keyboard is for the parent only.
        command.stdin(stdin).stdout(stdout).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(failed)?;
        let stderr = child.stderr.take();
        self.children.push(child);
        let sender = self.sender.clone();
        thread::spawn(move || {
            for line in stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).lines()).map_while(Result::ok) {
                let _ = sender.send(Event::Line(index, line));
            }
            let _ = sender.send(Event::End(index));
        });
        Ok(())
    }
}

impl Drop for Theatre {
    fn drop(&mut self) {
        for child in &mut self.children {
            // It fails only if the child is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
        // The children remove them when all goes well.
        self.channels.iter().for_each(|channel| site::clear(channel, Some(self.directory.path())));
    }
}

/// Standard input and output of the two processes.
fn plumbing(stage: &Stage) -> io::Result<[[Stdio; 2]; 2]> {
    let null = Stdio::null;
    Ok(match (site::scheme(&stage.over.name), stage.is_rally()) {
        ("pipe", false) => {
            let (reader, writer) = io::pipe()?;
            [[reader.into(), null()], [null(), writer.into()]]
        }
        ("pipe", true) => {
            let (there, serve) = io::pipe()?;
            let (back, give_back) = io::pipe()?;
            [[there.into(), give_back.into()], [back.into(), serve.into()]]
        }
        _ => [[null(), null()], [null(), null()]],
    })
}

/// The word for a choice on the command line.
fn name_of(choice: impl clap::ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// What a child wrote on its standard error before it failed.
fn complaint(line: &str) -> Failure {
    Failure::at("a child process failed", line.strip_prefix("ringshm: ").unwrap_or(line))
}

/// How far a measurement is, on a terminal.
struct Display {
    bar: ProgressBar,
    title: String,
    begun: Instant,
    /// The ring to look at, if there is one with a feed.
    ring: Option<(Directory, String)>,
}

impl Display {
    fn new(stage: &Stage, directory: &Directory) -> Self {
        // Hidden unless standard error is a terminal.
        let bar = ProgressBar::new_spinner();
        let has_counts = site::scheme(&stage.over.name) == "shm" && !stage.is_rally();
        let ring = has_counts.then(|| (directory.clone(), format!("demo-{}", std::process::id())));
        let display = Self { bar, title: stage.title(), begun: Instant::now(), ring };
        display.bar.set_message(stage.title());
        display.tick();
        display
    }

    /// How many messages were received so far, read from the ring itself.
    fn received(&self) -> Option<u64> {
        let (directory, ring) = self.ring.as_ref()?;
        ringshm::inspect(directory, ring).ok()?.consumer.messages
    }

    fn tick(&self) {
        if self.bar.is_hidden() {
            return;
        }
        if let Some(received) = self.received() {
            let rate = received as f64 / self.begun.elapsed().as_secs_f64().max(1e-9) / 1e6;
            let received = size::grouped(received);
            self.bar.set_message(format!("{}: {received} messages, {rate:.2} M msg/s", self.title));
        }
        self.bar.tick();
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
