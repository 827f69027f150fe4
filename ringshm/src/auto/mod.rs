//! `auto://name`: the two sides find each other, and the best that they have in common.
//!
//! ```text
//!   receiver opens                                   sender tries, in this order
//!   a ring of that name in its shared memory  ◀────  if a live receiver is in it
//!   a socket that hands over a ring (memfd)   ◀────  if it can be reached, and the ring can be mapped
//!   a Unix stream socket                      ◀────  if it can be reached
//!   a TCP port, if the name says which        ◀────  at last
//! ```
//!
//! Nothing is assumed: that a ring is the same object on both sides follows from the other side's lock on its lane, which the kernel shows only
//! to who has that very file; a handed-over ring is the same object because its descriptor came with the socket. Whoever comes to a place
//! and finds nobody alive there has learned nothing, and goes on to the next.
//!
//! The receiver is asleep for all places at once until a message comes through one of them. When that one's sender is gone, both choose anew,
//! if they wait for successors. What a dead receiver has left in a ring, its sender takes out again and sends to the next one, wherever that is;
//! it looks once in a millisecond of sending. So what it sends within a millisecond after the death, and nothing after that, stays in the ring, for who
//! comes to the same place.

mod receiver;
mod search;
mod sender;

pub(crate) use receiver::AutoReceiver;
pub(crate) use sender::AutoSender;

use ringshm_core::error::OpenError;
use ringshm_core::os::{Directory, Name};
use ringshm_core::{Capabilities, Longest, Loss, OnDeath, Order, Parties};
use ringshm_fallback::address::Address;
use std::path::PathBuf;

/// Bytes of a ring that an `auto` channel makes, unless its name says otherwise.
const CAPACITY: u64 = 4 << 20;

/// What carries the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Ring,
    HandedRing,
    Unix,
    Tcp,
}

impl Way {
    /// The best first.
    const ALL: [Self; 4] = [Self::Ring, Self::HandedRing, Self::Unix, Self::Tcp];

    /// As in the option `without`.
    fn word(self) -> &'static str {
        match self {
            Self::Ring => "shm",
            Self::HandedRing => "handover",
            Self::Unix => "unix",
            Self::Tcp => "tcp",
        }
    }
}

/// What a name says.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    name: Name,
    directory: Directory,
    /// Where the sockets' files are.
    sockets: PathBuf,
    on_death: OnDeath,
    capacity: u64,
    /// `host:port`.
    tcp: Option<String>,
    without: Vec<Way>,
}

impl Plan {
    pub(crate) fn of(mut address: Address, directory: Directory) -> Result<Self, OpenError> {
        let name = Name::new(address.place())?;
        let sockets = address.take("sockets").map_or_else(std::env::temp_dir, PathBuf::from);
        let without = address.take_as("without", |list| {
            let way = |word: &str| Way::ALL.into_iter().find(|way| way.word() == word);
            list.split(',').map(way).collect::<Option<Vec<_>>>().ok_or("a list of shm, handover, unix, tcp")
        })?;
        let plan = Self {
            name,
            directory,
            sockets,
            on_death: address.take_on_death()?,
            capacity: address.take_number("capacity")?.unwrap_or(CAPACITY).max(64).next_power_of_two(),
            tcp: address.take("tcp"),
            without: without.unwrap_or_default(),
        };
        address.finish()?;
        Ok(plan)
    }

    /// The ways that there may be, the best first.
    fn ways(&self) -> impl Iterator<Item = Way> + '_ {
        let is_there = |way: &Way| !self.without.contains(way) && (*way != Way::Tcp || self.tcp.is_some());
        Way::ALL.into_iter().filter(is_there)
    }

    fn awaits(&self) -> bool {
        self.on_death == OnDeath::AwaitSuccessor
    }

    /// What holds whichever way it is carried.
    fn capabilities(&self) -> Capabilities {
        let bytes = usize::try_from(self.capacity / 2 - 8).unwrap_or(usize::MAX);
        Capabilities {
            mechanism: "auto",
            longest: Longest {
                bytes,
                because: "half of the ring that may carry it: give both sides a larger capacity",
            },
            shortest: 0,
            forbidden: None,
            keeps_boundaries: true,
            order: Order::Sent,
            senders: Parties::One,
            receivers: Parties::One,
            priorities: 1,
            loss: Loss::WithReceiver,
            numbers: true,
            tells_receiver: true,
            tells_sender: true,
            crosses_hosts: self.tcp.is_some(),
            can_be_awaited: false,
        }
    }

    /// A socket of that purpose: by its path, and by a name that needs no file system.
    fn places(&self, purpose: &str) -> [String; 2] {
        let user = rustix::process::geteuid().as_raw();
        let file = format!("ringshm.{user}.{}.{purpose}", self.name.as_str());
        [self.sockets.join(&file).to_string_lossy().into_owned(), format!("@{file}")]
    }

    /// The names of the sockets that carry messages.
    fn streams(&self) -> Vec<String> {
        let longest = self.capabilities().longest.bytes;
        let unix = |place: String| format!("unix:{}?type=stream&max_message={longest}", escaped(&place));
        self.places("sock").map(unix).to_vec()
    }

    fn tcp(&self) -> Option<String> {
        let longest = self.capabilities().longest.bytes;
        self.tcp.as_ref().map(|place| format!("tcp://{}?max_message={longest}", escaped(place)))
    }

    /// For people.
    fn ring(&self) -> String {
        self.directory.path_of(&self.name).display().to_string()
    }
}

/// A place, as a part of a name.
fn escaped(place: &str) -> String {
    place.replace('%', "%25").replace('?', "%3F")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(name: &str) -> Result<Plan, OpenError> {
        Plan::of(Address::parse(name)?, Directory::default())
    }

    #[test]
    fn ways_are_left_out_that_are_not_wanted_or_lead_nowhere() {
        let ways = |name| plan(name).unwrap().ways().collect::<Vec<_>>();
        assert_eq!(ways("auto://x"), [Way::Ring, Way::HandedRing, Way::Unix]);
        assert_eq!(ways("auto://x?tcp=host:9&without=shm,handover"), [Way::Unix, Way::Tcp]);
        for name in ["auto://x?without=pipe", "auto://", "auto://a/b", "auto://x?host=y"] {
            assert!(plan(name).is_err(), "{name}");
        }
    }

    #[test]
    fn places_survive_in_names() {
        let plan = plan("auto://x?sockets=/a%3Fb%25").unwrap();
        let name = &plan.streams()[0];
        assert_eq!(Address::parse(name).unwrap().place(), plan.places("sock")[0]);
        assert!(plan.places("sock")[0].starts_with("/a?b%/ringshm."));
    }
}
