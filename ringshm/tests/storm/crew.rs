//! The participants of one ring, seen from outside, and the messages that went through their hands.

use crate::support::{Folder, Kind, Parcel, Place, Received, Stop, assert_all_are_back};
use crate::worker::{END, LOG, REDELIVERED, WORKER, is_end, joined};
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long survivors may take before they are said to hang.
pub(crate) const HANG: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Producer,
    Consumer,
}

impl Role {
    pub(crate) const BOTH: [Self; 2] = [Self::Producer, Self::Consumer];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }
}

/// How a participant was, or is to be, treated.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orders {
    /// The messages after which it leaves.
    pub(crate) turns: Option<u64>,
    /// Environment variables of its own.
    pub(crate) variables: Vec<(&'static str, String)>,
}

/// A participant.
pub(crate) struct Worker {
    child: Child,
    pub(crate) role: Role,
    /// What it takes part in: that of its ring, but for some that take the newest frame only.
    pub(crate) kind: Kind,
    pub(crate) id: u64,
    pub(crate) was_killed: bool,
    /// Whether it is still to be waited for.
    pub(crate) is_there: bool,
}

/// A ring, its participants, and those that were.
pub(crate) struct Crew {
    pub(crate) place: Place,
    pub(crate) folder: Folder,
    pub(crate) workers: Vec<Worker>,
    /// What was left in the ring at the end, and came out of it then.
    pub(crate) remains: Vec<u64>,
}

/// Where the rings are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    /// Under names in shared memory.
    Named,
    /// In System V segments, whose liveness is another one.
    SystemV,
}

impl Crew {
    pub(crate) fn of(kind: Kind, site: Site, capacity: u64, origin: u64) -> Self {
        let folder = Folder::for_leftovers();
        let name = match site {
            Site::Named => "storm".to_owned(),
            Site::SystemV => format!("sysv-shm://{:#x}", folder.key()),
        };
        let place = Place { kind, folder: folder.path().to_owned(), name, capacity, origin, is_silent: false };
        Self { place, folder, workers: Vec::new(), remains: Vec::new() }
    }

    /// How many participants of a role are normal.
    pub(crate) fn strength(&self, role: Role) -> usize {
        let has_many = match role {
            Role::Producer => self.place.kind.has_many_sources(),
            Role::Consumer => self.place.kind.has_many_sinks(),
        };
        if has_many { 2 } else { 1 }
    }

    pub(crate) fn log_of(&self, id: u64) -> PathBuf {
        self.folder.path().join(format!("log-{id}"))
    }

    fn end(&self) -> PathBuf {
        self.folder.path().join("end")
    }

    /// Starts a participant, and returns its index.
    pub(crate) fn start(&mut self, role: Role, orders: &Orders) -> usize {
        let id = self.workers.len() as u64 + 1;
        let turns = orders.turns.unwrap_or(u64::from(u32::MAX));
        let mut command = Command::new(std::env::current_exe().expect("a program knows its path"));
        let kind = match self.place.kind {
            Kind::Frames if id % 2 == 0 => Kind::NewestFrame,
            kind => kind,
        };
        let place = Place { kind, ..self.place.clone() };
        command.env(WORKER, format!("{} {id} {turns} {}", role.word(), place.words()));
        command.env(LOG, self.log_of(id)).env(END, self.end()).envs(orders.variables.iter().cloned());
        command.stdin(Stdio::null());
        let child = command.spawn().expect("this program can start itself");
        self.workers.push(Worker { child, role, kind, id, was_killed: false, is_there: true });
        self.workers.len() - 1
    }

    /// Starts who is missing of a role.
    pub(crate) fn fill(&mut self, role: Role) {
        while self.present(role).len() < self.strength(role) {
            self.start(role, &Orders::default());
        }
    }

    /// The indices of those that are there.
    pub(crate) fn present(&self, role: Role) -> Vec<usize> {
        let is_present = |worker: &Worker| worker.is_there && worker.role == role;
        (0..self.workers.len()).filter(|index| is_present(&self.workers[*index])).collect()
    }

    /// Messages that the consumers have written down.
    pub(crate) fn received(&self) -> u64 {
        let consumers = self.workers.iter().filter(|worker| worker.role == Role::Consumer);
        let bytes = consumers.map(|worker| std::fs::metadata(self.log_of(worker.id)).map_or(0, |log| log.len()));
        bytes.sum::<u64>() / 8
    }

    /// Waits until more messages have been received than could have been in the ring at this moment.
    pub(crate) fn moves(&self, what: &str) -> Duration {
        let (start, received) = (Instant::now(), self.received());
        let wanted = received + (self.place.most() + 2) * self.strength(Role::Consumer) as u64;
        while self.received() < wanted {
            assert!(start.elapsed() < HANG, "{what}: the survivors hang");
            std::thread::sleep(Duration::from_micros(20));
        }
        start.elapsed()
    }

    /// Whether a worker has ended. Notes whether it was killed, and fails if it ended in another way than it should.
    pub(crate) fn has_ended(&mut self, index: usize) -> bool {
        let worker = &mut self.workers[index];
        if !worker.is_there {
            return true;
        }
        let Some(status) = worker.child.try_wait().expect("it is a child") else { return false };
        worker.is_there = false;
        worker.was_killed = status.signal() == Some(9);
        assert!(worker.was_killed || status.success(), "{:?} {}: {status}", worker.role, worker.id);
        true
    }

    /// Waits for a worker's end.
    pub(crate) fn await_end(&mut self, index: usize, patience: Duration) -> bool {
        let start = Instant::now();
        while !self.has_ended(index) {
            if start.elapsed() > patience {
                return false;
            }
            std::thread::sleep(Duration::from_micros(20));
        }
        true
    }

    pub(crate) fn signal(&self, index: usize, signal: Signal) {
        kill_process(Pid::from_child(&self.workers[index].child), signal).expect("nobody has waited for it");
    }

    /// The process that takes part for a worker: itself, or the one that it started, or its forked copy.
    fn real(&self, index: usize) -> Option<Pid> {
        let mut path = self.log_of(self.workers[index].id).into_os_string();
        path.push(".pid");
        let text = std::fs::read_to_string(path).ok()?;
        Pid::from_raw(text.strip_suffix('\n')?.parse().ok()?)
    }

    /// Waits until the process that takes part stands still: it is stopped, or dead and its forked copy lives. `false` if it has left
    /// before.
    pub(crate) fn stands_still(&mut self, index: usize, what: &str) -> bool {
        let start = Instant::now();
        loop {
            match self.real(index).map(state_of) {
                Some('T') => return true,
                Some('Z' | 'X') => return false,
                // It died before it could fork.
                None if self.has_ended(index) && self.workers[index].was_killed => return false,
                // A forked copy, which only waits.
                Some('S') if self.has_ended(index) => {
                    let was_killed = self.workers[index].was_killed;
                    if !was_killed {
                        self.signal_real(index, Signal::KILL);
                    }
                    return was_killed;
                }
                _ => {}
            }
            assert!(start.elapsed() < HANG, "{what}: it neither comes there nor ends");
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    pub(crate) fn signal_real(&self, index: usize, signal: Signal) {
        let pid = self.real(index).expect("it stood still just now");
        // It may have gone on by itself: the kernel continues what is stopped in a group of processes that loses its leader.
        let _ = kill_process(pid, signal);
    }

    /// Waits until the process that takes part is gone.
    pub(crate) fn await_real_end(&mut self, index: usize, patience: Duration) -> bool {
        let start = Instant::now();
        let Some(pid) = self.real(index) else { return self.await_end(index, patience) };
        // A namespace's first process is waited for by the one that made it.
        while !matches!(state_of(pid), 'Z' | 'X') {
            if start.elapsed() > patience {
                return false;
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        self.await_end(index, patience)
    }

    /// Kills a worker. It is waited for later: the survivors have to do with what the kernel does by itself.
    pub(crate) fn kill(&mut self, index: usize) {
        self.signal(index, Signal::KILL);
    }

    /// Ends everybody in good order, and takes what is left out of the ring.
    pub(crate) fn finish(&mut self) {
        std::fs::write(self.end(), "").expect("the folder can be written");
        for index in self.present(Role::Producer) {
            assert!(self.await_end(index, HANG), "a producer hangs at the end");
        }
        let mut source = joined(|| self.place.source());
        let ends = if self.place.kind.gives_all_to_all() { 1 } else { self.present(Role::Consumer).len() as u64 };
        for end in 0..ends {
            source
                .send_by(Parcel::of(end), HANG)
                .unwrap_or_else(|stop| panic!("the ring is stuck at the end: {stop:?}"));
        }
        let start = Instant::now();
        for index in self.present(Role::Consumer) {
            while !self.await_end(index, Duration::from_millis(50)) {
                assert!(start.elapsed() < HANG, "a consumer hangs at the end");
                if self.place.kind.is_lossy() {
                    // The last message may pass a reader by as any other, and nothing else would come.
                    source.send_by(Parcel::of(ends), HANG).expect("nobody is waited for");
                }
            }
        }
        // Not closed: the ring stays, to be looked at.
        source.detach();
        if !self.place.kind.gives_all_to_all() {
            let mut sink = joined(|| self.place.sink());
            loop {
                match sink.recv_by(Duration::from_millis(30)) {
                    Ok(Received { parcel, redelivered }) if !is_end(parcel.number()) => {
                        self.remains.push(parcel.number() | if redelivered { REDELIVERED } else { 0 });
                    }
                    Ok(_) => {}
                    Err(Stop::Timeout) => break,
                    Err(stop) => panic!("at the end: {stop:?}"),
                }
            }
        }
        if self.place.kind.is_of_frames() {
            assert_all_are_back(&self.place);
        }
    }
}

/// The letter for a process's state in `/proc`; X if it is gone.
fn state_of(pid: Pid) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('X')
}

impl Drop for Crew {
    fn drop(&mut self) {
        for index in 0..self.workers.len() {
            if let Some(pid) = self.real(index).filter(|pid| !matches!(state_of(*pid), 'Z' | 'X')) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        for worker in self.workers.iter_mut().filter(|worker| worker.is_there) {
            let _ = worker.child.kill();
            let _ = worker.child.wait();
        }
        // The folder goes with what is in it. A segment does not.
        self.place.remove();
    }
}
