//! A child process, seen from inside: it opens sides of channels by their names and does with them what it is told, command by command.
//!
//! | command | report |
//! |---|---|
//! | `sender NAME`, `receiver NAME` | `open`, or the error's variant and text |
//! | `send FROM TO` | `begin`, then `sent TO`, or why it stopped at which number |
//! | `send-slice FROM TO` | the same, in one call |
//! | `recv FROM TO` | `begin`, then `received TO`; `lagged N before M` where records were missed, and it goes on behind them |
//! | `recv-all` | `begin`, then at the end `N records, L lost, S in sum, then WHY`: whatever came, in order |
//! | `recv-some N` | the same, for `N` records |
//! | `try-send N`, `send-by N MS`, `next`, `recv-by MS` | `ok` or the number received, or why not |
//! | `position` | `position()` |
//! | `close`, `detach` | `ok` |

use super::{number_of, obey, record, report};
use ringshm_core::error::{OpenError, RecvError, RecvTimeoutError, TryRecvError};
use ringshm_core::{Batch, Receiver, Sender};
use ringshm_fallback::address::Address;
use ringshm_fallback::open;
use std::fmt::Debug;
use std::time::Duration;

/// What a child holds.
#[derive(Default)]
pub(crate) struct Puppet {
    pub(crate) sender: Option<Box<dyn Sender>>,
    pub(crate) receiver: Option<Box<dyn Receiver>>,
}

/// In a child: obeys until the parent closes the pipe. In the test run itself: returns at once. `extra` knows the commands that only one test
/// binary needs.
pub(crate) fn play(mut extra: impl FnMut(&mut Puppet, &[&str]) -> Option<String>) {
    let mut puppet = Puppet::default();
    obey(|words| extra(&mut puppet, words).or_else(|| puppet.obey(words)));
}

fn refused(error: &OpenError) -> String {
    let debug = format!("{error:?}");
    let variant = debug.split([' ', '(']).next().unwrap_or_default();
    format!("{variant}: {error}")
}

fn number(word: &str) -> u64 {
    word.parse().expect("a number")
}

fn said<E: Debug>(result: Result<String, E>) -> String {
    result.unwrap_or_else(|error| format!("{error:?}"))
}

impl Puppet {
    pub(crate) fn sender(&mut self) -> &mut dyn Sender {
        &mut **self.sender.as_mut().expect("opened as a sender")
    }

    pub(crate) fn receiver(&mut self) -> &mut dyn Receiver {
        &mut **self.receiver.as_mut().expect("opened as a receiver")
    }

    fn obey(&mut self, words: &[&str]) -> Option<String> {
        let mut message = Vec::new();
        Some(match *words {
            ["sender", name] => match Address::parse(name).and_then(open::sender) {
                Ok(sender) => {
                    self.sender = Some(sender);
                    "open".to_owned()
                }
                Err(error) => refused(&error),
            },
            ["receiver", name] => match Address::parse(name).and_then(open::receiver) {
                Ok(receiver) => {
                    self.receiver = Some(receiver);
                    "open".to_owned()
                }
                Err(error) => refused(&error),
            },
            ["send", from, to] => {
                report("begin");
                for n in number(from)..number(to) {
                    if let Err(error) = self.sender().send(&record(n)) {
                        return Some(format!("{error:?} at {n}"));
                    }
                }
                format!("sent {to}")
            }
            ["send-slice", from, to] => {
                report("begin");
                let records: Vec<_> = (number(from)..number(to)).map(record).collect();
                let slices: Vec<_> = records.iter().map(Vec::as_slice).collect();
                said(self.sender().send_slice(&slices).map(|()| format!("sent {to}")))
            }
            ["recv", from, to] => {
                report("begin");
                self.recv(number(from), number(to))
            }
            ["recv-all"] => {
                report("begin");
                self.recv_most(u64::MAX)
            }
            ["recv-some", most] => {
                report("begin");
                self.recv_most(number(most))
            }
            ["try-send", n] => said(self.sender().try_send(&record(number(n))).map(|()| "ok".to_owned())),
            ["send-by", n, ms] => {
                report("begin");
                let timeout = Duration::from_millis(number(ms));
                said(self.sender().send_timeout(&record(number(n)), timeout).map(|()| "ok".to_owned()))
            }
            ["next"] => {
                said::<TryRecvError>(self.receiver().try_recv(&mut message).map(|_| number_of(&message).to_string()))
            }
            ["recv-by", ms] => {
                report("begin");
                let timeout = Duration::from_millis(number(ms));
                said::<RecvTimeoutError>(
                    self.receiver().recv_timeout(&mut message, timeout).map(|_| number_of(&message).to_string()),
                )
            }
            ["position"] => format!("{:?}", self.receiver().position()),
            ["close"] => {
                *self = Self::default();
                "ok".to_owned()
            }
            ["detach"] => {
                let puppet = core::mem::take(self);
                puppet.sender.into_iter().for_each(|sender| sender.detach());
                puppet.receiver.into_iter().for_each(|receiver| receiver.detach());
                "ok".to_owned()
            }
            _ => return None,
        })
    }

    fn recv(&mut self, from: u64, to: u64) -> String {
        let mut message = Vec::new();
        let mut next = from;
        while next < to {
            match self.receiver().recv(&mut message) {
                Ok(_) => {
                    assert_eq!(number_of(&message), next, "the messages come in order, each once");
                    next += 1;
                }
                Err(RecvError::Lagged(count)) => {
                    report(&format!("lagged {count} before {}", next + count));
                    next += count;
                }
                Err(error) => return format!("{error:?} at {next}"),
            }
        }
        format!("received {to}")
    }

    fn recv_most(&mut self, most: u64) -> String {
        let (mut count, mut lost, mut sum, mut last) = (0, 0, 0_u64, None);
        let mut batch = Batch::default();
        let end = loop {
            if count >= most {
                break "that was all".to_owned();
            }
            batch.clear();
            let room = usize::try_from(most - count).unwrap_or(usize::MAX).min(64);
            match self.receiver().recv_batch_by(&mut batch, room, ringshm_core::Deadline::NEVER) {
                Ok(_) => {
                    for message in batch.iter() {
                        let n = number_of(message);
                        assert!(last.is_none_or(|last| last < n), "{n} came after {last:?}");
                        last = Some(n);
                        count += 1;
                        sum += n;
                    }
                }
                Err(RecvTimeoutError::Lagged(missed)) => lost += missed,
                Err(error) => break format!("{error:?}"),
            }
        };
        format!("{count} records, {lost} lost, {sum} in sum, then {end}")
    }
}
