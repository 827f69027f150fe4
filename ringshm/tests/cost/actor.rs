//! The producer whose steps are counted, and consumers that wait.
//!
//! | command | report |
//! |---|---|
//! | `c-produce WAY` | the thread that sends: it has two rings, `first` and `second` |
//! | `c-send RING` | `sent`: a message, between two stops if it is `first` |
//! | `c-consume WAY` | `open`: receives from `first`, or in a set from both |
//! | `c-recv` | `begin`, then `received`: waits for a message |
//!
//! WAY is `spin`, `parkable`, `park`, `semaphore`, `semaphore-spin`, `set`, `io_uring` or `thread`.

use crate::support::report;
use nix::sys::signal::{Signal, raise};
use ringshm::asynchronous::{Async, Mechanism};
use ringshm::{Builder, Consumer, Key, Producer, Wait, WaitSet, Wakeup};
use std::time::Duration;
use tokio::runtime::Runtime;

enum Source {
    Ring(Consumer<u64>),
    Set(WaitSet, Key<Consumer<u64>>, Key<Consumer<u64>>),
    Task(Async<Consumer<u64>>, Runtime),
}

#[derive(Default)]
pub(crate) struct Actor {
    sinks: Option<[Producer<u64>; 2]>,
    source: Option<Source>,
}

fn ring(way: &str, name: &str) -> Builder<u64> {
    let builder = ringshm::spsc::<u64>(name).capacity(64);
    let builder = if way.starts_with("semaphore") { builder.wake_by(Wakeup::Semaphore) } else { builder };
    match way {
        "spin" | "semaphore-spin" => builder.wait(Wait::Spin),
        "park" => builder.wait(Wait::Park),
        _ => builder,
    }
}

impl Source {
    fn open(way: &str) -> Self {
        let consumer = |name| ring(way, name).consumer().expect("a ring");
        match way {
            "set" => {
                let mut set = WaitSet::new();
                set.set_longest_sleep(Duration::MAX);
                let keys = (set.add(consumer("first")), set.add(consumer("second")));
                Self::Set(set, keys.0, keys.1)
            }
            "io_uring" | "thread" => {
                ringshm::asynchronous::never_remind();
                let best = Mechanism::best().mechanism;
                let mechanism = if way == "thread" { Mechanism::Thread } else { best };
                let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("epoll");
                let context = tokio.enter();
                let task = Async::in_tokio_with(consumer("first"), mechanism).expect("the kernel has what it takes");
                drop(context);
                Self::Task(task, tokio)
            }
            _ => Self::Ring(consumer("first")),
        }
    }

    fn recv(&mut self) {
        match self {
            Self::Ring(consumer) => consumer.recv().map(drop).expect("the producer lives"),
            Self::Set(set, first, second) => {
                let ready = set.wait().expect("no helpers are needed");
                let key = if ready.contains(*first) { first } else { second };
                set[*key].try_recv().map(drop).expect("nobody else receives");
            }
            Self::Task(task, tokio) => tokio.block_on(task.recv_async()).map(drop).expect("the producer lives"),
        }
    }
}

fn stop() {
    raise(Signal::SIGSTOP).expect("a thread may stop itself");
}

impl Actor {
    pub(crate) fn obey(&mut self, words: &[&str]) -> Option<String> {
        Some(match *words {
            ["c-produce", way] => {
                self.sinks = Some(["first", "second"].map(|name| ring(way, name).producer().expect("a ring")));
                nix::unistd::gettid().to_string()
            }
            ["c-send", name] => {
                let [first, second] = self.sinks.as_mut().expect("opened");
                if name == "first" {
                    stop();
                    let sent = first.try_send(7);
                    stop();
                    sent.expect("room");
                } else {
                    second.try_send(7).expect("room");
                }
                "sent".to_owned()
            }
            ["c-consume", way] => {
                self.source = Some(Source::open(way));
                "open".to_owned()
            }
            ["c-recv"] => {
                report("begin");
                self.source.as_mut().expect("opened").recv();
                "received".to_owned()
            }
            _ => return None,
        })
    }
}
