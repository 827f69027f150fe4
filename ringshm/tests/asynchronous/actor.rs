//! What a child can be told to do with tasks.
//!
//! | command | report |
//! |---|---|
//! | `a-open WAY [bounded]` | `open`: awaits messages from one ring of each kind, and from some that wake by semaphores |
//! | `w-open MECHANISM` | `open`: watches a descriptor of ring 0 |
//! | `w-recv` | as `a-recv 0`, from that |
//! | `a-recv N` | `begin`, then `received` and the message, or why not |
//! | `s-open` | `open`: sends to them |
//! | `s-send N` | `sent`: a message to that ring |
//! | `p-open WAY INTO FROM` | `open`: sends to one ring, and awaits another |
//! | `p-call COUNT`, `p-echo COUNT` | `begin`, then `called COUNT`, `echoed COUNT`: sends a number and awaits it; awaits one and sends it back |

use crate::support::{Folder, report};
use ringshm::asynchronous::{Async, Mechanism, Receives, Watcher};
use ringshm::{Consumer, Role, TryRecvError, Waitable, Wakeup, broadcast, latest, mpmc};
use rustix::event::{PollFd, PollFlags, poll};
use std::future::Future;

/// Who wakes a task, and by what.
pub(crate) const WAYS: [&str; 5] =
    ["neutral", "tokio-io_uring", "tokio-thread", "async-io-io_uring", "async-io-thread"];

/// By what a descriptor becomes readable.
pub(crate) const MECHANISMS: [&str; 2] = ["io_uring", "thread"];

fn mechanism(way: &str) -> Mechanism {
    if way.ends_with("io_uring") { io_uring_if_possible() } else { Mechanism::Thread }
}

/// An executor, and how its tasks are woken.
pub(crate) struct Way {
    way: String,
    tokio: Option<tokio::runtime::Runtime>,
}

/// Where the kernel refuses io_uring, or has none that waits for words, the other mechanism is tried twice, and it is said.
pub(crate) fn io_uring_if_possible() -> Mechanism {
    let choice = Mechanism::best();
    if choice.mechanism != Mechanism::IoUring {
        eprintln!("io_uring is not tried: {}", choice.reason);
    }
    choice.mechanism
}

impl Way {
    pub(crate) fn new(way: &str) -> Self {
        let tokio = way.starts_with("tokio").then(|| {
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads")
        });
        Self { way: way.to_owned(), tokio }
    }

    pub(crate) fn take<H: Waitable>(&self, handle: H) -> Async<H> {
        let mechanism = mechanism(&self.way);
        let _runtime = self.tokio.as_ref().map(|tokio| tokio.enter());
        match self.way.as_str() {
            "neutral" => Async::new(handle),
            "tokio-io_uring" | "tokio-thread" => Async::in_tokio_with(handle, mechanism),
            _ => Async::in_async_io_with(handle, mechanism),
        }
        .expect("the kernel has what it takes")
    }

    pub(crate) fn run<F: Future>(&self, future: F) -> F::Output {
        match &self.tokio {
            Some(tokio) => tokio.block_on(future),
            None => pollster::block_on(future),
        }
    }
}

/// What is received from.
enum Source {
    Slots(Async<ringshm::Consumer<u64>>),
    Records(Async<ringshm::RecordConsumer>),
    Jobs(Async<mpmc::Consumer<u64>>),
    Bytes(Async<mpmc::ByteConsumer>),
    Feed(Async<broadcast::Consumer<u64>>),
    Lossy(Async<broadcast::Reader<u64>>),
    Lines(Async<broadcast::RecordReader>),
    Register(Async<latest::Reader<u64>>),
}

/// What is sent to.
enum Sink {
    Slots(ringshm::Producer<u64>),
    Records(ringshm::RecordProducer),
    Jobs(mpmc::Producer<u64>),
    Bytes(mpmc::ByteProducer),
    Feed(Box<broadcast::Producer<u64>>),
    Lines(Box<broadcast::RecordProducer>),
    Register(latest::Writer<u64>),
}

/// Kinds of rings, by number.
pub(crate) const KINDS: usize = 12;

/// The crash point between publishing and waking of who sends to a ring of that kind.
#[cfg(feature = "crash-points")]
pub(crate) fn before_waking(kind: usize) -> &'static str {
    match kind {
        2 | 3 | 9 => "sleepers.taken",
        4..=7 | 10 | 11 => "eventcount.counted",
        _ => "doorbell.answered",
    }
}

#[derive(Default)]
pub(crate) struct Actor {
    way: Option<Way>,
    sources: Vec<Source>,
    sinks: Vec<Sink>,
    watcher: Option<Watcher<Consumer<u64>>>,
}

fn number(word: &str) -> usize {
    word.parse().expect("a number")
}

fn spsc(name: &str) -> ringshm::Builder<u64> {
    ringshm::spsc::<u64>(name).capacity(8)
}

fn jobs(name: &str) -> ringshm::Builder<mpmc::Mpmc<u64>> {
    ringshm::mpmc(name).capacity(8)
}

fn feed(name: &str) -> ringshm::Builder<broadcast::Broadcast<u64>> {
    ringshm::broadcast(name).capacity(8)
}

fn register(name: &str) -> ringshm::Builder<latest::Latest<u64>> {
    ringshm::latest(name)
}

/// What a program with an event loop of its own does.
fn watched(watcher: &mut Watcher<Consumer<u64>>) -> String {
    loop {
        match watcher.get_mut().try_recv() {
            Ok(message) => return format!("received {message}"),
            Err(TryRecvError::Empty) => {}
            Err(error) => return format!("{error:?}"),
        }
        if watcher.arm().expect("memory") {
            poll(&mut [PollFd::new(watcher, PollFlags::IN)], None).expect("a descriptor");
        }
    }
}

/// Whether the consumer of ring 0 is announced as asleep.
pub(crate) fn is_announced(folder: &Folder) -> bool {
    let snapshot = ringshm::inspect(&folder.directory(), "ring0").expect("a ring");
    snapshot.participants_of(Role::Consumer).any(|consumer| consumer.asleep)
}

impl Source {
    fn open(n: usize, way: &Way) -> Self {
        let name = &format!("ring{n}");
        match n {
            0 => Self::Slots(way.take(spsc(name).consumer().expect("a ring"))),
            1 => Self::Records(way.take(ringshm::spsc::<[u8]>(name).capacity(256).consumer().expect("a ring"))),
            2 => Self::Jobs(way.take(jobs(name).consumer().expect("a ring"))),
            3 => Self::Bytes(way.take(ringshm::mpmc::<[u8]>(name).capacity(8).consumer().expect("a ring"))),
            4 => Self::Feed(way.take(feed(name).consumer().expect("a ring"))),
            5 => Self::Lossy(way.take(feed(name).reader().expect("a ring"))),
            6 => Self::Lines(way.take(ringshm::broadcast::<[u8]>(name).capacity(256).reader().expect("a ring"))),
            7 => Self::Register(way.take(register(name).reader().expect("a ring"))),
            8 => Self::Slots(way.take(spsc(name).wake_by(Wakeup::Semaphore).consumer().expect("a ring"))),
            9 => Self::Jobs(way.take(jobs(name).wake_by(Wakeup::Semaphore).consumer().expect("a ring"))),
            10 => Self::Feed(way.take(feed(name).wake_by(Wakeup::Semaphore).consumer().expect("a ring"))),
            _ => Self::Register(way.take(register(name).wake_by(Wakeup::Semaphore).consumer().expect("a ring"))),
        }
    }

    fn recv(&mut self, way: &Way) -> String {
        fn said<C: Receives>(way: &Way, source: &mut Async<C>, number: impl Fn(C::Message) -> u64) -> String {
            match way.run(source.recv_async()) {
                Ok(message) => format!("received {}", number(message)),
                Err(error) => format!("{error:?}"),
            }
        }
        let bytes = |message: Vec<u8>| u64::from_ne_bytes(message.try_into().expect("a number"));
        match self {
            Self::Slots(source) => said(way, source, |n| n),
            Self::Records(source) => said(way, source, bytes),
            Self::Jobs(source) => said(way, source, |n| n),
            Self::Bytes(source) => {
                let mut message = Vec::new();
                match way.run(source.recv_into_async(&mut message)) {
                    Ok(8) => format!("received {}", bytes(message)),
                    other => format!("{other:?}"),
                }
            }
            Self::Feed(source) => said(way, source, |n| n),
            Self::Lossy(source) => said(way, source, |n| n),
            Self::Lines(source) => said(way, source, bytes),
            Self::Register(source) => said(way, source, |n| n),
        }
    }
}

impl Sink {
    fn open(n: usize) -> Self {
        let name = &format!("ring{n}");
        match n {
            0 => Self::Slots(spsc(name).producer().expect("a ring")),
            1 => Self::Records(ringshm::spsc::<[u8]>(name).capacity(256).producer().expect("a ring")),
            2 => Self::Jobs(jobs(name).producer().expect("a ring")),
            3 => Self::Bytes(ringshm::mpmc::<[u8]>(name).capacity(8).producer().expect("a ring")),
            4 | 5 => Self::Feed(Box::new(feed(name).producer().expect("a ring"))),
            6 => Self::Lines(Box::new(ringshm::broadcast::<[u8]>(name).capacity(256).producer().expect("a ring"))),
            7 => Self::Register(register(name).producer().expect("a ring")),
            8 => Self::Slots(spsc(name).wake_by(Wakeup::Semaphore).producer().expect("a ring")),
            9 => Self::Jobs(jobs(name).wake_by(Wakeup::Semaphore).producer().expect("a ring")),
            10 => Self::Feed(Box::new(feed(name).wake_by(Wakeup::Semaphore).producer().expect("a ring"))),
            _ => Self::Register(register(name).wake_by(Wakeup::Semaphore).producer().expect("a ring")),
        }
    }

    fn send(&mut self, value: u64) {
        let bytes = &value.to_ne_bytes();
        match self {
            Self::Slots(producer) => producer.try_send(value).expect("room"),
            Self::Records(producer) => producer.try_send(bytes).expect("room"),
            Self::Jobs(producer) => producer.try_send(value).expect("room"),
            Self::Bytes(producer) => producer.try_send(bytes).expect("room"),
            Self::Feed(producer) => producer.try_send(value).expect("room"),
            Self::Lines(producer) => producer.try_send(bytes).expect("room"),
            Self::Register(writer) => writer.write(value).expect("not forked"),
        }
    }
}

impl Actor {
    pub(crate) fn obey(&mut self, words: &[&str]) -> Option<String> {
        Some(match *words {
            ["a-open", way, ref options @ ..] => {
                if options != ["bounded"] {
                    ringshm::asynchronous::never_remind();
                }
                let way = self.way.insert(Way::new(way));
                self.sources = (0..KINDS).map(|n| Source::open(n, way)).collect();
                "open".to_owned()
            }
            ["a-recv", n] => {
                report("begin");
                self.sources[number(n)].recv(self.way.as_ref().expect("opened"))
            }
            ["w-open", way] => {
                let watcher = Watcher::with(spsc("ring0").consumer().expect("a ring"), mechanism(way));
                self.watcher = Some(watcher.expect("the kernel has what it takes"));
                "open".to_owned()
            }
            ["w-recv"] => {
                report("begin");
                watched(self.watcher.as_mut().expect("opened"))
            }
            ["s-open"] => {
                self.sinks = (0..KINDS).map(Sink::open).collect();
                "open".to_owned()
            }
            ["s-send", n] => {
                self.sinks[number(n)].send(7);
                "sent".to_owned()
            }
            ["p-open", way, into, from] => {
                ringshm::asynchronous::never_remind();
                let way = self.way.insert(Way::new(way));
                self.sinks = vec![Sink::Slots(spsc(into).producer().expect("a ring"))];
                self.sources = vec![Source::Slots(way.take(spsc(from).consumer().expect("a ring")))];
                "open".to_owned()
            }
            ["p-call", count] => self.exchange(number(count), true),
            ["p-echo", count] => self.exchange(number(count), false),
            _ => return None,
        })
    }

    fn exchange(&mut self, count: usize, begins: bool) -> String {
        report("begin");
        let [Sink::Slots(sink)] = &mut self.sinks[..] else { panic!("opened to call, or to echo") };
        let [Source::Slots(source)] = &mut self.sources[..] else { panic!("opened to call, or to echo") };
        self.way.as_ref().expect("opened").run(async {
            for value in 0..count as u64 {
                if begins {
                    sink.try_send(value).expect("room");
                }
                assert_eq!(source.recv_async().await.expect("a number"), value);
                if !begins {
                    sink.try_send(value).expect("room");
                }
            }
        });
        format!("{} {count}", if begins { "called" } else { "echoed" })
    }
}
