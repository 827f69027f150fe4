//! A child process, seen from inside: it does what it is told, command by command.
//!
//! | command | report |
//! |---|---|
//! | `producer CARRIER PLACE OPTION…`, `consumer …` | `open N` (messages sent or received so far), or the error's variant and text |
//! | `send FROM TO [ack]` | `begin`, then `sent TO`, or why it stopped at which number; with `ack` also `did N` after each |
//! | `recv FROM TO [ack]`, `hold FROM TO` | as `send`, with `received TO`; `hold` reports `did N` before it releases |
//! | `try-send N`, `send-by N MS`, `next`, `recv-by MS` | `ok` or the number received, or why not |
//! | `peer`, `count` | what the other side is; messages sent or received so far |
//! | `close`, `detach` | `ok` |
//! | `remove NAME [force]` | `ok`, or the error's variant and text |
//!
//! A place is a ring's name, `file:///PATH`, `sysv-shm://KEY`, or `memfd:FD`. Options: `capacity=N`, `schema=N`, `await` (a successor), `park`, `spin`, `semaphore`, `set` (a
//! consumer in a wait set), `new`, `existing`.

use super::carrier::{Carried, variant};
use super::child::{obey, report};
use super::{Carrier, Parcel, Receives, Sends, Short, Stop};
use ringshm::{Builder, Directory, Existence, OnDeath, OpenError, Role, Wait, Wakeup};
use std::time::Duration;

/// What a child holds.
#[derive(Default)]
struct Puppet {
    producer: Option<Box<dyn Sends>>,
    consumer: Option<Box<dyn Receives>>,
}

/// In a child: obeys until the parent closes the pipe. In the test run itself: returns at once. `extra` knows the commands
/// that only one test binary needs.
pub(crate) fn play(extra: impl Fn(&[&str]) -> Option<String>) {
    let mut puppet = Puppet::default();
    obey(|words| extra(words).or_else(|| puppet.obey(words)));
}

fn refused(error: &OpenError) -> String {
    format!("{}: {error}", variant(error))
}

fn number(word: &str) -> u64 {
    word.parse().expect("a number")
}

impl Puppet {
    fn obey(&mut self, words: &[&str]) -> Option<String> {
        Some(match *words {
            ["producer", carrier, place, ref options @ ..] => self.open(Role::Producer, carrier, place, options),
            ["consumer", carrier, place, ref options @ ..] => self.open(Role::Consumer, carrier, place, options),
            ["send", from, to, ref how @ ..] => self.send(number(from), number(to), how == ["ack"]),
            ["recv", from, to, ref how @ ..] => self.recv(number(from), number(to), how == ["ack"]),
            ["hold", from, to] => self.hold(number(from), number(to)),
            ["try-send", n] => said(self.producer().try_send(number(n)).map(|()| "ok".to_owned())),
            ["send-by", n, ms] => {
                report("begin");
                said(self.producer().send_by(number(n), millis(ms)).map(|()| "ok".to_owned()))
            }
            ["next"] => said(self.consumer().try_recv().map(|n| n.to_string())),
            ["recv-by", ms] => {
                report("begin");
                said(self.consumer().recv_by(millis(ms)).map(|n| n.to_string()))
            }
            ["peer"] => match &self.producer {
                Some(producer) => format!("{:?}", producer.peer()),
                None => format!("{:?}", self.consumer().peer()),
            },
            ["count"] => match &self.producer {
                Some(producer) => producer.sent().to_string(),
                None => self.consumer().received().to_string(),
            },
            ["close"] => {
                *self = Self::default();
                "ok".to_owned()
            }
            ["detach"] => {
                let puppet = core::mem::take(self);
                puppet.producer.into_iter().for_each(Sends::detach);
                puppet.consumer.into_iter().for_each(Receives::detach);
                "ok".to_owned()
            }
            ["remove", name, ref how @ ..] => match ringshm::remove(&Directory::default(), name, how == ["force"]) {
                Ok(()) => "ok".to_owned(),
                Err(error) => refused(&error),
            },
            _ => return None,
        })
    }

    fn producer(&mut self) -> &mut dyn Sends {
        &mut **self.producer.as_mut().expect("opened as a producer")
    }

    fn consumer(&mut self) -> &mut dyn Receives {
        &mut **self.consumer.as_mut().expect("opened as a consumer")
    }

    fn open(&mut self, role: Role, carrier: &str, place: &str, options: &[&str]) -> String {
        let opened = match Carrier::from_word(carrier) {
            Carrier::Fixed => self.open_for::<Parcel>(role, place, options),
            Carrier::Short => self.open_for::<Short>(role, place, options),
            Carrier::Records => self.open_for::<[u8]>(role, place, options),
        };
        match opened {
            Ok(count) => format!("open {count}"),
            Err(error) => refused(&error),
        }
    }

    fn open_for<M: Carried + ?Sized>(&mut self, role: Role, place: &str, options: &[&str]) -> Result<u64, OpenError> {
        let memfd = place.strip_prefix("memfd:").map(|fd| {
            let path = format!("/proc/self/fd/{fd}");
            std::fs::File::options().read(true).write(true).open(path).expect("the memfd was inherited")
        });
        let name = if memfd.is_some() { "" } else { place };
        let builder = options.iter().fold(ringshm::spsc::<M>(name), |builder, option| choose(builder, option));
        let receives = if options.contains(&"set") { M::receives_in_set } else { M::receives };
        match (role, memfd) {
            (Role::Producer, None) => self.sends(M::sends(builder.producer()?)),
            (Role::Producer, Some(memfd)) => self.sends(M::sends(builder.producer_of(memfd)?)),
            (Role::Consumer, None) => self.receives(receives(builder.consumer()?)),
            (Role::Consumer, Some(memfd)) => self.receives(receives(builder.consumer_of(memfd)?)),
        }
    }

    fn sends(&mut self, producer: Box<dyn Sends>) -> Result<u64, OpenError> {
        Ok(self.producer.insert(producer).sent())
    }

    fn receives(&mut self, consumer: Box<dyn Receives>) -> Result<u64, OpenError> {
        Ok(self.consumer.insert(consumer).received())
    }

    fn send(&mut self, from: u64, to: u64, ack: bool) -> String {
        report("begin");
        for n in from..to {
            if let Err(stop) = self.producer().send(n) {
                return format!("{stop:?} at {n}");
            }
            if ack {
                report(&format!("did {n}"));
            }
        }
        format!("sent {to}")
    }

    fn recv(&mut self, from: u64, to: u64, ack: bool) -> String {
        report("begin");
        for n in from..to {
            match self.consumer().recv() {
                Ok(found) => assert_eq!(found, n, "the messages come in order, each once"),
                Err(stop) => return format!("{stop:?} at {n}"),
            }
            if ack {
                report(&format!("did {n}"));
            }
        }
        format!("received {to}")
    }

    fn hold(&mut self, from: u64, to: u64) -> String {
        report("begin");
        for n in from..to {
            let held = self.consumer().recv_held(&mut |found| {
                assert_eq!(found, n, "the messages come in order, each once");
                report(&format!("did {n}"));
            });
            if let Err(stop) = held {
                return format!("{stop:?} at {n}");
            }
        }
        format!("received {to}")
    }
}

fn said(result: Result<String, Stop>) -> String {
    result.unwrap_or_else(|stop| format!("{stop:?}"))
}

fn millis(word: &str) -> Duration {
    Duration::from_millis(number(word))
}

fn choose<M: Carried + ?Sized>(builder: Builder<M>, option: &str) -> Builder<M> {
    match option.split_once('=').unwrap_or((option, "")) {
        ("capacity", n) => builder.capacity(number(n)),
        ("schema", n) => builder.schema(number(n)),
        ("await", _) => builder.on_death(OnDeath::AwaitSuccessor),
        ("park", _) => builder.wait(Wait::Park),
        ("set", _) => builder,
        ("spin", _) => builder.wait(Wait::Spin),
        ("semaphore", _) => builder.wake_by(Wakeup::Semaphore),
        ("new", _) => builder.existence(Existence::MustNotExist),
        ("existing", _) => builder.existence(Existence::MustExist),
        _ => panic!("unknown option: {option}"),
    }
}
