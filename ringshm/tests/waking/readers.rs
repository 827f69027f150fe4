//! Readers of one broadcast ring, each of which waits in a way of its own.
//!
//! | command | report |
//! |---|---|
//! | `f-open WAY` | `open`: a lossless reader of records, in a task by `io_uring` or `thread`, in a `set`, or one that does nothing but `spin` |
//! | `f-save FILE` | `begin`, then `received N: ERROR`: writes the records to a file, to the end |
//! | `f-feed FILE` | `sent N`: broadcasts the lines of a file |

use crate::handshakes::mechanism;
use crate::support::{NAME, report};
use ringshm::asynchronous::Async;
use ringshm::broadcast::RecordConsumer;
use ringshm::{Key, RecvError, TryRecvError, Wait, WaitSet};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Some hundred records: whoever is slower than the producer holds it up.
const CAPACITY: u64 = 1 << 17;

enum Reader {
    Spinning(RecordConsumer),
    Set(WaitSet, Key<RecordConsumer>),
    Task(Async<RecordConsumer>, Runtime),
}

#[derive(Default)]
pub(crate) struct Actor(Option<Reader>);

fn open(wait: Wait) -> RecordConsumer {
    ringshm::broadcast::<[u8]>(NAME).capacity(CAPACITY).wait(wait).consumer().expect("a ring")
}

impl Reader {
    fn new(way: &str) -> Self {
        match way {
            "spin" => Self::Spinning(open(Wait::Spin)),
            "set" => {
                let mut set = WaitSet::new();
                set.set_longest_sleep(Duration::MAX);
                let key = set.add(open(Wait::default()));
                Self::Set(set, key)
            }
            _ => {
                ringshm::asynchronous::never_remind();
                let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
                let tokio = tokio.expect("threads");
                let context = tokio.enter();
                let task = Async::in_tokio_with(open(Wait::default()), mechanism(way));
                drop(context);
                Self::Task(task.expect("the kernel has what it takes"), tokio)
            }
        }
    }

    fn recv(&mut self, record: &mut Vec<u8>) -> Result<usize, RecvError> {
        match self {
            Self::Spinning(consumer) => consumer.recv(record),
            Self::Set(set, key) => loop {
                match set[*key].try_recv(record) {
                    Ok(len) => return Ok(len),
                    Err(TryRecvError::Empty) => assert!(set.wait().expect("no helpers are needed").contains(*key)),
                    Err(TryRecvError::Disconnected) => return Err(RecvError::Disconnected),
                    Err(error) => panic!("{error}"),
                }
            },
            Self::Task(task, tokio) => tokio.block_on(task.recv_into_async(record)),
        }
    }

    fn save(&mut self, file: &str) -> String {
        let mut file = BufWriter::new(File::create(file).expect("a writable folder"));
        let (mut record, mut received) = (Vec::new(), 0);
        let end = loop {
            match self.recv(&mut record) {
                Ok(_) => file.write_all(&record).expect("room for the feed"),
                Err(error) => break error,
            }
            received += 1;
        };
        file.flush().expect("room for the feed");
        format!("received {received}: {end:?}")
    }
}

impl Actor {
    pub(crate) fn obey(&mut self, words: &[&str]) -> Option<String> {
        Some(match *words {
            ["f-open", way] => {
                self.0 = Some(Reader::new(way));
                "open".to_owned()
            }
            ["f-save", file] => {
                report("begin");
                self.0.take().expect("opened").save(file)
            }
            ["f-feed", file] => {
                let mut producer = ringshm::broadcast::<[u8]>(NAME).capacity(CAPACITY).producer().expect("a ring");
                let feed = std::fs::read(file).expect("the feed");
                for line in feed.split_inclusive(|byte| *byte == b'\n') {
                    producer.send(line).expect("the ring is good");
                }
                format!("sent {}", producer.sent())
            }
            _ => return None,
        })
    }
}
