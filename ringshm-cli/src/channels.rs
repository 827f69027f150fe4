//! The rings and other channels that `recv` receives from: one, or several by turns.
//!
//! One that is alone is waited for by a blocking call of its own. Several are waited for together, by a wait set; whatever has
//! something gets one turn of a bounded size, so a busy ring does not keep the others waiting for longer than that.

use crate::failure::Failure;
use crate::far::Far;
use crate::recv::Args;
use crate::ring::{Kind, refuse};
use crate::source::{Source, Tally, Value};
use clap::ValueEnum;
use ringshm::broadcast::Start;
use ringshm::{Channel as _, Directory, Key, Name, OnDeath, Ready, Token, Wait, WaitSet};
use std::hint;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// How long to wait for something, before somebody asks whether standard output still has a reader.
pub(crate) const IDLE: Duration = Duration::from_secs(1);

/// Where to receive from.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) name: String,
}

impl Place {
    /// The kind before a name, if one stands there, and the name.
    pub(crate) fn split(argument: &str) -> (Option<Kind>, &str) {
        let known = |(word, name)| Kind::from_str(word, false).ok().map(|kind| (Some(kind), name));
        argument.split_once(':').and_then(known).unwrap_or((None, argument))
    }

    /// `[KIND:]NAME`, of the usual kind without one; or a name with a scheme.
    pub(crate) fn parse(argument: &str, usual: Kind) -> Result<Self, Failure> {
        let (kind, name) = Self::split(argument);
        let kind = kind.unwrap_or(usual);
        if Kind::of(name, kind) == Kind::Named {
            ringshm::open(name).check()?;
            return Ok(Self { kind: Kind::Named, name: name.to_owned() });
        }
        Ok(Self { kind, name: Name::new(name)?.as_str().to_owned() })
    }
}

/// A handle, whatever its type and wherever it is.
pub(crate) trait Held {
    /// What a wait set calls it. `None`: it is in none.
    fn token(&self) -> Option<Token>;

    fn source<'s>(&'s mut self, set: &'s mut WaitSet) -> &'s mut dyn Source;

    /// Leaves its channel, and the set.
    fn leave(self: Box<Self>, set: &mut WaitSet);
}

impl<S: Source + 'static> Held for Key<S> {
    fn token(&self) -> Option<Token> {
        Some(Key::token(*self))
    }

    fn source<'s>(&'s mut self, set: &'s mut WaitSet) -> &'s mut dyn Source {
        &mut set[*self]
    }

    fn leave(self: Box<Self>, set: &mut WaitSet) {
        if let Some(source) = set.remove(*self) {
            source.leave();
        }
    }
}

/// One that no set can wait for, and that is alone.
impl Held for Far {
    fn token(&self) -> Option<Token> {
        None
    }

    fn source<'s>(&'s mut self, _set: &'s mut WaitSet) -> &'s mut dyn Source {
        self
    }

    fn leave(self: Box<Self>, _set: &mut WaitSet) {
        Source::leave(*self);
    }
}

/// One of the rings.
pub(crate) struct Channel {
    pub(crate) place: Place,
    pub(crate) held: Box<dyn Held>,
    /// Records to receive from it.
    pub(crate) most: u64,
    pub(crate) tally: Tally,
}

/// All of them that are not over yet.
pub(crate) struct Channels {
    pub(crate) open: Vec<Channel>,
    pub(crate) set: WaitSet,
    how: Wait,
}

impl Channels {
    /// Joins all of them, or none.
    pub(crate) fn join(args: &Args, directory: &Directory) -> Result<Self, Failure> {
        let places = args.places()?;
        let mut channels = Self { open: Vec::new(), set: WaitSet::new(), how: args.ring.strategy() };
        for place in &places {
            if let Err(failure) = channels.join_one(args, directory, place) {
                // Those that were joined are left in order: their senders wait for the next receiver.
                channels.leave_all();
                return Err(if places.len() == 1 { failure } else { failure.of(&place.name) });
            }
        }
        Ok(channels)
    }

    fn join_one(&mut self, args: &Args, directory: &Directory, place: &Place) -> Result<(), Failure> {
        let (ring, kind, name) = (&args.ring, place.kind, place.name.as_str());
        let on_death = if args.follow { OnDeath::AwaitSuccessor } else { OnDeath::Disconnect };
        let set = &mut self.set;
        let held: Box<dyn Held> = match kind {
            Kind::Spsc => {
                let builder = ring.describe(kind, ringshm::spsc::<[u8]>(name), directory, on_death);
                Box::new(set.add(builder.consumer()?))
            }
            Kind::Mpmc => Box::new(set.add(ring.mpmc(name, directory, on_death).consumer()?)),
            Kind::Broadcast => {
                let builder = ring.describe(kind, ringshm::broadcast::<[u8]>(name), directory, on_death);
                let builder = builder.start(args.from.map_or(Start::Oldest, Start::from));
                if args.lossy { Box::new(set.add(builder.reader()?)) } else { Box::new(set.add(builder.consumer()?)) }
            }
            Kind::Latest => {
                let builder = ring.describe(kind, ringshm::latest::<Value>(name), directory, on_death);
                // With a lane, for everybody to see, if it is to stay; otherwise unseen.
                let stays = args.wanted_of(kind) > 1;
                Box::new(set.add(if stays { builder.consumer()? } else { builder.reader()? }))
            }
            Kind::Frames => return Err(Failure::usage("a ring of frames is received from alone")),
            Kind::Named => {
                let opening = ringshm::open(name).directory(directory.path()).on_death(on_death);
                let far = Far::new(opening.receiver()?, name);
                if args.channels.len() == 1 && !far.capabilities().can_be_awaited {
                    Box::new(far)
                } else {
                    Box::new(set.add_channel(far).map_err(Failure::because)?)
                }
            }
        };
        let most = args.wanted_of(kind);
        self.open.push(Channel { place: place.clone(), held, most, tally: Tally::default() });
        Ok(())
    }

    /// Waits until any of them has something, for [`IDLE`] at most.
    pub(crate) fn wait(&mut self) -> io::Result<Ready> {
        let begun = Instant::now();
        loop {
            let ready = self.set.try_wait()?;
            let waited = begun.elapsed();
            if !ready.is_empty() || waited >= IDLE {
                return Ok(ready);
            }
            match self.how {
                Wait::Spin => hint::spin_loop(),
                Wait::SpinThenYield(budget) | Wait::SpinThenPark(budget) if waited < budget => hint::spin_loop(),
                Wait::SpinThenYield(_) => thread::yield_now(),
                Wait::SpinThenPark(_) | Wait::Park => return self.set.wait_timeout(IDLE - waited),
            }
        }
    }

    /// Leaves one of them; the others keep their order.
    pub(crate) fn leave(&mut self, index: usize) -> (Place, Tally) {
        let Channel { place, held, tally, .. } = self.open.remove(index);
        held.leave(&mut self.set);
        (place, tally)
    }

    fn leave_all(&mut self) {
        while !self.open.is_empty() {
            self.leave(0);
        }
    }
}

impl Args {
    /// Where to receive from, if the options go with that.
    fn places(&self) -> Result<Vec<Place>, Failure> {
        let mut places: Vec<Place> = Vec::with_capacity(self.channels.len());
        for argument in &self.channels {
            let place = Place::parse(argument, self.ring.kind.unwrap_or_default())?;
            if places.iter().any(|other| other.name == place.name) {
                return Err(Failure::usage(format!("{} is given twice", place.name)));
            }
            places.push(place);
        }
        let kinds: Vec<Kind> = places.iter().map(|place| place.kind).collect();
        if kinds.contains(&Kind::Frames) {
            return Err(Failure::usage("a ring of frames is received from alone"));
        }
        self.ring.check(&kinds)?;
        refuse(self.from.is_some(), "--from", &[Kind::Broadcast, Kind::Frames], &kinds)?;
        refuse(self.lossy, "--lossy", &[Kind::Broadcast], &kinds)?;
        Ok(places)
    }

    /// How many records to receive from a ring.
    fn wanted_of(&self, kind: Kind) -> u64 {
        if kind == Kind::Latest && !self.follow && self.count.is_none() { 1 } else { self.count.unwrap_or(u64::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_name_and_perhaps_a_kind() {
        let parse = |argument| Place::parse(argument, Kind::Spsc).map(|place| (place.kind, place.name));
        for (argument, kind, name) in [
            ("prices", Kind::Spsc, "prices"),
            ("shm://prices", Kind::Spsc, "prices"),
            ("mpmc:jobs", Kind::Mpmc, "jobs"),
            ("latest:shm://status", Kind::Latest, "status"),
            ("spsc:broadcast", Kind::Spsc, "broadcast"),
        ] {
            assert_eq!(parse(argument).unwrap(), (kind, name.to_owned()), "{argument}");
        }
        for argument in ["", "mpmc:", "shm://no/name", "queue:jobs"] {
            assert!(parse(argument).is_err(), "{argument}");
        }
    }
}
