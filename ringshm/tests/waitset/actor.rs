//! What a child can be told to do with a wait set.
//!
//! | command | report |
//! |---|---|
//! | `w-open RINGS FIFOS [bounded]` | `open`: has a set that receives from as many rings, of all kinds in turn, and reads as many FIFOs |
//! | `w-open-last RINGS` | the same, of which only the last ring is shared with anybody |
//! | `w-wait` | `begin`, then `ready` and the numbers of what was ready, after receiving from it; or what else a ring said |
//! | `w-poll` | the same, of what is ready now |
//! | `s-open RINGS FIFOS` | `open`: sends to them |
//! | `s-send N` | `sent`: a message to that ring, or beyond the rings a byte to that FIFO |
//! | `p-open N` | `open`: sends to ring number N |
//! | `p-call COUNT`, `p-echo COUNT` | `begin`, then `called COUNT`, `echoed COUNT`: sends a number and waits for it; waits for one and sends it back |

use crate::support::{Folder, report};
use ringshm::{Interest, Key, Ready, Role, Token, TryRecvError, WaitSet, Wakeup, broadcast, latest, mpmc};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

/// What is in the set, and how to receive from it.
enum Source {
    Slots(Key<ringshm::Consumer<u64>>),
    Records(Key<ringshm::RecordConsumer>),
    Jobs(Key<mpmc::Consumer<u64>>),
    Feed(Key<broadcast::Consumer<u64>>),
    Lossy(Key<broadcast::Reader<u64>>),
    Register(Key<latest::Reader<u64>>),
    Fifo(Key<File>),
}

/// What is sent to.
enum Sink {
    Slots(ringshm::Producer<u64>),
    Records(ringshm::RecordProducer),
    Jobs(mpmc::Producer<u64>),
    Feed(Box<broadcast::Producer<u64>>),
    Register(latest::Writer<u64>),
    Fifo(File),
}

#[derive(Default)]
pub(crate) struct Actor {
    set: WaitSet,
    sources: Vec<Source>,
    sinks: Vec<Sink>,
}

/// Kinds of rings, by number.
const KINDS: usize = 6;

fn name(n: usize) -> String {
    format!("ring{n}")
}

fn fifo(folder: &std::path::Path, n: usize) -> PathBuf {
    folder.join(format!("fifo{n}"))
}

fn folder() -> PathBuf {
    std::env::var_os("RINGSHM_DIR").expect("set by the parent").into()
}

/// The FIFOs, for `w-open` and `s-open`.
pub(crate) fn make_fifos(folder: &Folder, count: usize) {
    for n in 0..count {
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, fifo(folder.path(), n), rustix::fs::FileType::Fifo, mode, 0)
            .expect("a folder of one's own");
    }
}

/// Of so many rings, how many have a consumer, or readers, announced as asleep.
pub(crate) fn sleepers(folder: &Folder, rings: usize) -> usize {
    let asleep = |n: &usize| {
        let snapshot = ringshm::inspect(&folder.directory(), &name(*n)).expect("a ring");
        snapshot.participants_of(Role::Consumer).any(|consumer| consumer.asleep)
    };
    (0..rings).filter(asleep).count()
}

/// Of all kinds some have participants that sleep on semaphores, when they wait for nothing else.
fn wakeup(n: usize) -> Wakeup {
    if n % 5 == 4 { Wakeup::Semaphore } else { Wakeup::Futex }
}

fn number(word: &str) -> usize {
    word.parse().expect("a number")
}

impl Source {
    fn open(n: usize, set: &mut WaitSet) -> Self {
        let (name, wakeup) = (&name(n), wakeup(n));
        match n % KINDS {
            0 => Self::Slots(set.add(slots(name, wakeup).consumer().expect("a ring"))),
            1 => Self::Records(set.add(records(name, wakeup).consumer().expect("a ring"))),
            2 => Self::Jobs(set.add(few(name, wakeup).consumer().expect("a ring"))),
            3 => Self::Feed(set.add(feed(name, wakeup).consumer().expect("a ring"))),
            4 => Self::Lossy(set.add(feed(name, wakeup).reader().expect("a ring"))),
            _ => Self::Register(set.add(register(name, wakeup).consumer().expect("a ring"))),
        }
    }

    fn token(&self) -> Token {
        match self {
            Self::Slots(key) => key.token(),
            Self::Records(key) => key.token(),
            Self::Jobs(key) => key.token(),
            Self::Feed(key) => key.token(),
            Self::Lossy(key) => key.token(),
            Self::Register(key) => key.token(),
            Self::Fifo(key) => key.token(),
        }
    }

    /// Receives until there is no more.
    fn drain(&self, set: &mut WaitSet) -> Result<(), TryRecvError> {
        loop {
            let received = match self {
                Self::Slots(key) => set[*key].try_recv().map(|_| ()),
                Self::Records(key) => set[*key].try_recv_ref().map(|_| ()),
                Self::Jobs(key) => set[*key].try_recv().map(|_| ()),
                Self::Feed(key) => set[*key].try_recv().map(|_| ()),
                Self::Lossy(key) => set[*key].try_recv().map(|_| ()),
                Self::Register(key) => {
                    let reader = &mut set[*key];
                    let is_new = reader.changed();
                    reader.read();
                    return if is_new { Ok(()) } else { Err(TryRecvError::Disconnected) };
                }
                Self::Fifo(key) => {
                    assert_eq!(set[*key].read(&mut [0; 2]).expect("readable"), 1);
                    return Ok(());
                }
            };
            match received {
                Ok(()) => {}
                Err(TryRecvError::Empty) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

fn slots(name: &str, wakeup: Wakeup) -> ringshm::Builder<u64> {
    ringshm::spsc(name).capacity(8).wake_by(wakeup)
}

fn records(name: &str, wakeup: Wakeup) -> ringshm::Builder<[u8]> {
    ringshm::spsc(name).capacity(256).wake_by(wakeup)
}

/// With few lanes: there are many rings.
fn few(name: &str, wakeup: Wakeup) -> ringshm::Builder<mpmc::Mpmc<u64>> {
    ringshm::mpmc(name).capacity(8).producers(2).consumers(2).wake_by(wakeup)
}

fn feed(name: &str, wakeup: Wakeup) -> ringshm::Builder<broadcast::Broadcast<u64>> {
    ringshm::broadcast(name).capacity(8).wake_by(wakeup)
}

fn register(name: &str, wakeup: Wakeup) -> ringshm::Builder<latest::Latest<u64>> {
    ringshm::latest(name).wake_by(wakeup)
}

impl Sink {
    fn open(n: usize) -> Self {
        let (name, wakeup) = (&name(n), wakeup(n));
        match n % KINDS {
            0 => Self::Slots(slots(name, wakeup).producer().expect("a ring")),
            1 => Self::Records(records(name, wakeup).producer().expect("a ring")),
            2 => Self::Jobs(few(name, wakeup).producer().expect("a ring")),
            3 | 4 => Self::Feed(Box::new(feed(name, wakeup).producer().expect("a ring"))),
            _ => Self::Register(register(name, wakeup).producer().expect("a ring")),
        }
    }

    fn send(&mut self, value: u64) {
        match self {
            Self::Slots(producer) => producer.try_send(value).expect("room"),
            Self::Records(producer) => producer.try_send(&value.to_ne_bytes()).expect("room"),
            Self::Jobs(producer) => producer.try_send(value).expect("room"),
            Self::Feed(producer) => producer.try_send(value).expect("room"),
            Self::Register(writer) => writer.write(value).expect("not forked"),
            Self::Fifo(file) => file.write_all(&[1]).expect("room"),
        }
    }
}

impl Actor {
    pub(crate) fn obey(&mut self, words: &[&str]) -> Option<String> {
        Some(match *words {
            ["w-open", rings, fifos, ref options @ ..] => {
                if !options.contains(&"bounded") {
                    self.set.set_longest_sleep(Duration::MAX);
                }
                self.sources = (0..number(rings)).map(|n| Source::open(n, &mut self.set)).collect();
                for n in 0..number(fifos) {
                    // For writing too, so that it is never at its end.
                    let file = OpenOptions::new().read(true).write(true).open(fifo(&folder(), n)).expect("a FIFO");
                    let key = self.set.add_fd(file, Interest::Readable).expect("a FIFO can be waited for");
                    self.sources.push(Source::Fifo(key));
                }
                "open".to_owned()
            }
            ["w-open-last", rings] => {
                self.set.set_longest_sleep(Duration::MAX);
                let last = number(rings) - 1;
                for _ in 0..last {
                    let (producer, consumer) = ringshm::spsc::<u64>("").capacity(1).threads().expect("memory");
                    self.set.add(consumer);
                    // It takes part for ever.
                    std::mem::forget(producer);
                }
                self.sources
                    .push(Source::Slots(self.set.add(ringshm::spsc::<u64>(&name(last)).consumer().expect("a ring"))));
                "open".to_owned()
            }
            ["w-wait"] => {
                report("begin");
                let ready = self.set.wait().expect("epoll and threads");
                self.drain(&ready)
            }
            ["w-poll"] => {
                let ready = self.set.try_wait().expect("epoll");
                self.drain(&ready)
            }
            ["s-open", rings, fifos] => {
                self.sinks = (0..number(rings)).map(Sink::open).collect();
                for n in 0..number(fifos) {
                    let file = OpenOptions::new().write(true).open(fifo(&folder(), n)).expect("a FIFO");
                    self.sinks.push(Sink::Fifo(file));
                }
                "open".to_owned()
            }
            ["s-send", n] => {
                self.sinks[number(n)].send(7);
                "sent".to_owned()
            }
            ["p-open", n] => {
                self.sinks = vec![Sink::Slots(ringshm::spsc::<u64>(&name(number(n))).producer().expect("a ring"))];
                "open".to_owned()
            }
            ["p-call", count] => {
                report("begin");
                for value in 0..number(count) as u64 {
                    self.sinks[0].send(value);
                    assert_eq!(self.next(), value);
                }
                format!("called {count}")
            }
            ["p-echo", count] => {
                report("begin");
                for value in 0..number(count) as u64 {
                    assert_eq!(self.next(), value);
                    self.sinks[0].send(value);
                }
                format!("echoed {count}")
            }
            _ => return None,
        })
    }

    /// The next message. If nobody rings for it, the parent loses patience.
    fn next(&mut self) -> u64 {
        let [Source::Slots(key)] = self.sources[..] else { panic!("opened to call, or to echo") };
        assert!(self.set.wait().expect("threads").contains(key));
        self.set[key].try_recv().expect("it is ready")
    }

    fn drain(&mut self, ready: &Ready) -> String {
        let mut text = "ready".to_owned();
        let mut end = None;
        for (n, source) in self.sources.iter().enumerate() {
            if ready.contains(source.token()) {
                text += &format!(" {n}");
                end = end.or(source.drain(&mut self.set).err());
            }
        }
        end.map_or(text, |end| format!("{end:?}"))
    }
}
