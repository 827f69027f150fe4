//! What a child can be told to do with an MPMC ring.
//!
//! | command | report |
//! |---|---|
//! | `m-producer OPTION…`, `m-consumer OPTION…` | `open`, or the error |
//! | `m-send FROM TO [ack]` | `begin`, then `sent`: sends the numbers from the one to the other; with `ack` also `did N` after each |
//! | `m-recv COUNT [ack]`, `m-drain` | `begin`, then the numbers, those that were redelivered with a `!`; a drain also says why it ended |
//! | `m-hold` | the number of a message that it receives and does not release |
//! | `m-try-send N`, `m-try-recv` | `ok` or the number, or what stands in the way |
//! | `m-leave`, `m-detach` | `ok` |
//!
//! Options: `capacity=N` (8 if not given), `lanes=N` of each role, `once`, `await`, `park`, `spin`.

use crate::support::{report, ring_of_parent};
use ringshm::mpmc::{Consumer, Mpmc, Producer};
use ringshm::{Builder, OnDeath, TryRecvError, TrySendError, Wait};

/// A message: its number and what follows from it.
type Parcel = [u64; 5];

fn parcel(number: u64) -> Parcel {
    [number, !number, number.wrapping_mul(7), number ^ 0x5a5a, number.rotate_left(13)]
}

#[derive(Default)]
pub(crate) struct Actor {
    producer: Option<Producer<Parcel>>,
    consumer: Option<Consumer<Parcel>>,
}

fn number(word: &str) -> u64 {
    word.parse().expect("a number")
}

fn ring(options: &[&str]) -> Builder<Mpmc<Parcel>> {
    let ring = ringshm::mpmc::<Parcel>(&ring_of_parent()).capacity(8);
    options.iter().fold(ring, |ring, option| match option.split_once('=').unwrap_or((option, "")) {
        ("capacity", n) => ring.capacity(number(n)),
        ("lanes", n) => ring.producers(number(n) as u32).consumers(number(n) as u32),
        ("once", _) => ring.at_most_once(),
        ("await", _) => ring.on_death(OnDeath::AwaitSuccessor),
        ("park", _) => ring.wait(Wait::Park),
        ("spin", _) => ring.wait(Wait::Spin),
        _ => panic!("unknown option: {option}"),
    })
}

impl Actor {
    pub(crate) fn obey(&mut self, words: &[&str]) -> Option<String> {
        Some(match *words {
            ["m-producer", ref options @ ..] => match ring(options).producer() {
                Ok(producer) => {
                    self.producer = Some(producer);
                    "open".to_owned()
                }
                Err(error) => format!("{error:?}"),
            },
            ["m-consumer", ref options @ ..] => match ring(options).consumer() {
                Ok(consumer) => {
                    self.consumer = Some(consumer);
                    "open".to_owned()
                }
                Err(error) => format!("{error:?}"),
            },
            ["m-send", from, to, ref how @ ..] => {
                report("begin");
                let producer = self.producer.as_mut().expect("opened as a producer");
                for n in number(from)..number(to) {
                    producer.send(parcel(n)).expect("somebody receives");
                    if how == ["ack"] {
                        report(&format!("did {n}"));
                    }
                }
                "sent".to_owned()
            }
            ["m-recv", count, ref how @ ..] => self.receive(number(count), how == ["ack"]),
            ["m-drain"] => self.receive(u64::MAX, false),
            ["m-hold"] => {
                let guard =
                    self.consumer.as_mut().expect("opened as a consumer").recv_ref().expect("there is a message");
                let n = guard[0];
                guard.keep();
                n.to_string()
            }
            ["m-try-send", n] => {
                match self.producer.as_mut().expect("opened as a producer").try_send(parcel(number(n))) {
                    Ok(()) => "ok".to_owned(),
                    Err(TrySendError::Stalled(_, stall)) => format!("stalled by {}", stall.pid),
                    Err(error) => format!("{error:?}"),
                }
            }
            ["m-try-recv"] => match self.consumer.as_mut().expect("opened as a consumer").try_recv() {
                Ok(parcel) => parcel[0].to_string(),
                Err(TryRecvError::Stalled(stall)) => format!("stalled by {}", stall.pid),
                Err(error) => format!("{error:?}"),
            },
            ["m-leave"] => {
                *self = Self::default();
                "ok".to_owned()
            }
            ["m-detach"] => {
                self.producer.take().into_iter().for_each(Producer::detach);
                self.consumer.take().into_iter().for_each(Consumer::detach);
                "ok".to_owned()
            }
            _ => return None,
        })
    }

    fn receive(&mut self, count: u64, acknowledges: bool) -> String {
        report("begin");
        let consumer = self.consumer.as_mut().expect("opened as a consumer");
        let mut words = Vec::new();
        for _ in 0..count {
            match consumer.recv() {
                Ok(message) => {
                    assert_eq!(message, parcel(message[0]), "torn");
                    let flag = if consumer.redelivered() { "!" } else { "" };
                    words.push(format!("{}{flag}", message[0]));
                    if acknowledges {
                        report(&format!("did {}", message[0]));
                    }
                }
                Err(end) => {
                    words.push(format!("{end:?}"));
                    break;
                }
            }
        }
        words.join(" ")
    }
}
