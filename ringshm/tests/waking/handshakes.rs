//! Two processes that send each other numbers, and sleep in between.
//!
//! | command | report |
//! |---|---|
//! | `h-open WAY FROM INTO` | `open`: receives from the rings FROM in that way, and sends into the rings INTO |
//! | `h-call COUNT`, `h-echo COUNT` | `begin`, then `slept N`, how often: sends a number and waits for it; waits for one and sends it back |
//!
//! WAY is `futex`, `semaphore`, `set`, `io_uring` or `thread`.

use crate::support::{Folder, report};
use ringshm::asynchronous::{Async, Mechanism};
use ringshm::{Builder, Consumer, Interest, Key, Producer, Wait, WaitSet, Wakeup};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Of a set.
const RINGS: usize = 64;

/// How somebody waits.
enum Source {
    /// In the call itself.
    Ring(Consumer<u64>),
    /// For any of many rings, and a FIFO.
    Set(WaitSet, Vec<Key<Consumer<u64>>>, Key<File>),
    Task(Async<Consumer<u64>>, Runtime),
}

#[derive(Default)]
pub(crate) struct Actor {
    source: Option<Source>,
    /// Sent into in turn, and then into the FIFO, if there is one.
    sinks: Vec<Producer<u64>>,
    fifo: Option<File>,
}

fn fifo(folder: &Path, whose: &str) -> PathBuf {
    folder.join(format!("fifo-{whose}"))
}

pub(crate) fn make_fifos(folder: &Folder) {
    for whose in ["here", "there"] {
        let path = fifo(folder.path(), whose);
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a folder of one's own");
    }
}

/// For reading and writing, so that it is never at its end.
fn open_fifo(whose: &str) -> File {
    let folder = PathBuf::from(std::env::var_os("RINGSHM_DIR").expect("set by the parent"));
    OpenOptions::new().read(true).write(true).open(fifo(&folder, whose)).expect("a FIFO")
}

fn ring(way: &str, whose: &str, n: usize) -> Builder<u64> {
    let builder = ringshm::spsc::<u64>(&format!("{whose}{n}")).capacity(8);
    match way {
        "futex" => builder.wait(Wait::Park),
        "semaphore" => builder.wait(Wait::Park).wake_by(Wakeup::Semaphore),
        _ => builder,
    }
}

/// How often this thread has given its processor away by itself.
fn sleeps() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("a mounted /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok()).expect("as the kernel writes it")
}

impl Source {
    fn open(way: &str, whose: &str) -> Self {
        let consumer = |n| ring(way, whose, n).consumer().expect("a ring");
        match way {
            "futex" | "semaphore" => Self::Ring(consumer(0)),
            "set" => {
                let mut set = WaitSet::new();
                set.set_longest_sleep(Duration::MAX);
                let keys = (0..RINGS).map(|n| set.add(consumer(n))).collect();
                let fifo = set.add_fd(open_fifo(whose), Interest::Readable).expect("a FIFO can be waited for");
                Self::Set(set, keys, fifo)
            }
            _ => {
                ringshm::asynchronous::never_remind();
                // On one thread, so that it is this one that sleeps.
                let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("epoll");
                let context = tokio.enter();
                let task = Async::in_tokio_with(consumer(0), mechanism(way)).expect("the kernel has what it takes");
                drop(context);
                Self::Task(task, tokio)
            }
        }
    }

    fn next(&mut self) -> u64 {
        match self {
            Self::Ring(consumer) => consumer.recv().expect("the other side lives"),
            Self::Set(set, keys, fifo) => {
                let ready = set.wait().expect("epoll and threads");
                if ready.contains(*fifo) {
                    let mut number = [0; 8];
                    set[*fifo].read_exact(&mut number).expect("readable");
                    return u64::from_ne_bytes(number);
                }
                let key = keys.iter().find(|key| ready.contains(**key)).expect("something is ready");
                set[*key].try_recv().expect("nobody else receives")
            }
            Self::Task(task, tokio) => tokio.block_on(task.recv_async()).expect("the other side lives"),
        }
    }
}

/// Where the kernel refuses io_uring, or has none that waits for words, the other mechanism is tried twice, and it is said.
pub(crate) fn mechanism(way: &str) -> Mechanism {
    if way == "thread" {
        return Mechanism::Thread;
    }
    let choice = Mechanism::best();
    if choice.mechanism != Mechanism::IoUring {
        eprintln!("io_uring is not tried: {}", choice.reason);
    }
    choice.mechanism
}

impl Actor {
    pub(crate) fn obey(&mut self, words: &[&str]) -> Option<String> {
        Some(match *words {
            ["h-open", way, from, into] => {
                self.source = Some(Source::open(way, from));
                let many = if way == "set" { RINGS } else { 1 };
                self.sinks = (0..many).map(|n| ring(way, into, n).producer().expect("a ring")).collect();
                self.fifo = (way == "set").then(|| open_fifo(into));
                "open".to_owned()
            }
            ["h-call", count] => self.shake_hands(count, true),
            ["h-echo", count] => self.shake_hands(count, false),
            _ => return None,
        })
    }

    fn shake_hands(&mut self, count: &str, begins: bool) -> String {
        report("begin");
        let before = sleeps();
        for number in 0..count.parse().expect("a number") {
            if begins {
                self.send(number);
            }
            assert_eq!(self.source.as_mut().expect("opened").next(), number);
            if !begins {
                self.send(number);
            }
        }
        format!("slept {}", sleeps() - before)
    }

    /// Into one or the other, in an order that jumps to and fro.
    fn send(&mut self, number: u64) {
        let sinks = self.sinks.len() + usize::from(self.fifo.is_some());
        match self.sinks.get_mut(number as usize * 34 % sinks) {
            Some(ring) => ring.try_send(number).expect("room"),
            None => self.fifo.as_mut().expect("it is one of them").write_all(&number.to_ne_bytes()).expect("room"),
        }
    }
}
