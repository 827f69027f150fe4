//! A side of any channel, by its name.

use crate::auto::{AutoReceiver, AutoSender, Plan};
use crate::broadcast::{OnSlowReader, Start};
use crate::builder::Builder;
use crate::mpmc::Mpmc;
use crate::place;
use ringshm_core::error::OpenError;
use ringshm_core::layout::Wakeup;
use ringshm_core::os::{Directory, Place};
use ringshm_core::wait::Wait;
use ringshm_core::{Message, OnDeath, Receiver, Sender};
use ringshm_fallback::address::Address;
use ringshm_fallback::open::{self as fallback, SCHEMES};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Begins to describe a channel of bytes by its name, whose scheme says by which mechanism: a program changes its transport by changing a name.
/// Nothing is opened until a side is taken.
///
/// | name | mechanism | options |
/// |---|---|---|
/// | `shm://ticks`, or just `ticks` | a ring in shared memory | `ring=spsc` (default), `mpmc`, `broadcast`; `capacity=BYTES` (of `mpmc`: messages), `schema=N`, `wait=spin`, `yield`, `park`, `wakeup=semaphore`; of `mpmc`: `max_message=BYTES`, `at_most_once`; of `broadcast`: `lossy`, `from=oldest`, `newest`, `evict_after=MILLISECONDS` |
/// | `pipe:`, `pipe:3` | a pipe: standard input or output, or an inherited descriptor | `framing`, `max_message`, `capacity=BYTES`, `senders=many`, `packets` |
/// | `fifo:///run/x` | a FIFO, made if there is none | the same but for `packets`; `await`, `mode`, `keep`, `linger=MILLISECONDS` |
/// | `mq:///x` | a POSIX message queue | `messages=N`, `max_message`, `mode`, `priority=N`, `framing`, `numbered`, `await` |
/// | `sysv://0x51ab`, `sysv:///path?id=N` | a System V message queue | `capacity=BYTES`, `max_message`, `mode`, `type=N`, `receive=N`, `framing`, `numbered`, `await` |
/// | `unix:///run/x.sock?type=stream`, `seqpacket`, `dgram`; `unix:@name` | a Unix socket, with a path or an abstract name | `framing`, `max_message`, `mode`, `uid=N` or `any`, `await`; but for `dgram`: `listen=sender`, `slow=wait`, `drop` |
/// | `tcp://host:port` | TCP | `framing`, `max_message`, `listen`, `slow`, `delay`, `keepalive=SECONDS`, `user_timeout=SECONDS`, `await` |
/// | `udp://host:port` | UDP, to one host or a group | `framing`, `max_message`, `receive_buffer=BYTES`, `interface`, `ttl`, `loopback` |
/// | `signal://PID?signal=RTMIN+1`; `signal:?signal=…` to receive | queued signals | `framing=frames`, `raw:4`, `raw:8`; `from=PID`, `uid`, `await` |
/// | `auto://ticks` | the best that both sides have in common: the ring of that name, if both have the same; else one that the receiver hands over through a Unix socket; else that socket; else TCP. [`carried_by`](crate::Channel::carried_by) says which and why. It cannot be waited for together with others, as what carries it changes | `tcp=host:port`, `capacity=BYTES` (the same on both sides), `sockets=FOLDER`, `without=shm,handover,unix,tcp` |
/// | `file:///var/lib/app/feed.ring` | a ring in a file ([`Builder::file`]) | as `shm` |
/// | `sysv-shm://0x51ab` | a ring in System V shared memory ([`Builder::system_v`]) | as `shm` |
///
/// With `await`, a side whose other side dies, or leaves, waits for the next one instead of ending with `Disconnected`. `framing` is `frames` (default: what
/// got lost is counted), or what a program that is not ringshm expects: `lines`, `len32` or `raw:BYTES` in streams, `bare` in packets. `max_message` is in bytes,
/// `mode` in octal digits, 600 if not given. Options that concern one side only may be given to both. What a mechanism can do, it says itself:
/// [`Capabilities`](crate::Capabilities).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let name = format!("shm://opened-{}?capacity=4096", std::process::id());
/// let mut sender = ringshm::open(&name).sender()?;
/// let mut receiver = ringshm::open(&name).receiver()?;
/// sender.send(b"seven")?;
/// let mut message = Vec::new();
/// receiver.recv(&mut message)?;
/// assert_eq!(message, b"seven");
/// # Ok(()) }
/// ```
pub fn open(name: &str) -> Opening {
    Opening { name: name.to_owned(), directory: None, on_death: OnDeath::Disconnect }
}

/// The schemes of this crate.
const OWN_SCHEMES: &[&str] = &["shm", "file", "sysv-shm", "auto"];

/// A channel and how to take part in it: made by [`open`].
#[derive(Clone, Debug)]
#[must_use = "nothing is opened until a side is taken"]
pub struct Opening {
    name: String,
    directory: Option<PathBuf>,
    on_death: OnDeath,
}

impl Opening {
    /// The folder for rings, as in [`Builder::directory`].
    pub fn directory(mut self, path: impl AsRef<Path>) -> Self {
        self.directory = Some(path.as_ref().to_owned());
        self
    }

    /// What calls do when the other side dies or leaves, if the name does not say (`await`).
    pub fn on_death(mut self, on_death: OnDeath) -> Self {
        self.on_death = on_death;
        self
    }

    /// Whether the name has a scheme that there is. Its place and options are checked when a side is taken.
    ///
    /// # Errors
    /// [`OpenError::InvalidName`].
    pub fn check(&self) -> Result<(), OpenError> {
        self.address().map(drop)
    }

    /// Takes the sending side.
    ///
    /// # Errors
    /// [`OpenError`]: `InvalidName` and `InvalidOption` for a mistake in the name, which they explain.
    pub fn sender(self) -> Result<Box<dyn Sender>, OpenError> {
        let address = self.address()?;
        match address.scheme() {
            scheme if place::SCHEMES.contains(&scheme) => {}
            "auto" => return Ok(Box::new(AutoSender::new(Plan::of(address, self.folder())?))),
            _ => return fallback::sender(address),
        }
        let ring = Ring::of(address, self.folder())?;
        Ok(match ring.kind {
            Kind::Spsc => Box::new(ring.describe(crate::spsc::<[u8]>("")).producer()?),
            Kind::Mpmc => Box::new(ring.mpmc().producer()?),
            Kind::Broadcast => {
                let policy = ring.evict_after.map_or(OnSlowReader::Wait, |after| OnSlowReader::Evict { after });
                let builder = ring.describe(crate::broadcast::<[u8]>(""));
                Box::new(builder.on_slow_reader(policy).producer()?)
            }
        })
    }

    /// Takes the receiving side.
    ///
    /// # Errors
    /// As for [`sender`](Self::sender).
    pub fn receiver(self) -> Result<Box<dyn Receiver>, OpenError> {
        let address = self.address()?;
        match address.scheme() {
            scheme if place::SCHEMES.contains(&scheme) => {}
            "auto" => return Ok(Box::new(AutoReceiver::new(Plan::of(address, self.folder())?)?)),
            _ => return fallback::receiver(address),
        }
        let ring = Ring::of(address, self.folder())?;
        Ok(match ring.kind {
            Kind::Spsc => Box::new(ring.describe(crate::spsc::<[u8]>("")).consumer()?),
            Kind::Mpmc => Box::new(ring.mpmc().consumer()?),
            Kind::Broadcast => {
                let builder = ring.describe(crate::broadcast::<[u8]>("")).start(ring.from);
                if ring.is_lossy { Box::new(builder.reader()?) } else { Box::new(builder.consumer()?) }
            }
        })
    }

    fn folder(&self) -> Directory {
        self.directory.as_deref().map_or_else(Directory::default, Directory::new)
    }

    /// The name, taken apart. One without a scheme is a ring's.
    fn address(&self) -> Result<Address, OpenError> {
        let address = if self.name.contains(':') {
            Address::parse(&self.name)
        } else {
            Address::parse(&format!("shm://{}", self.name))
        }?;
        let known = [OWN_SCHEMES, SCHEMES].concat();
        if known.contains(&address.scheme()) {
            return Ok(address.with_on_death(self.on_death));
        }
        let schemes = known.join(", ");
        Err(address.invalid(format!("{:?} is no scheme; there are: {schemes}", address.scheme())))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Spsc,
    Mpmc,
    Broadcast,
}

/// A ring, as its name describes it.
struct Ring {
    place: Place,
    kind: Kind,
    capacity: Option<u64>,
    schema: u64,
    wait: Wait,
    on_death: OnDeath,
    wakeup: Wakeup,
    max_message: Option<u64>,
    is_at_most_once: bool,
    is_lossy: bool,
    from: Start,
    evict_after: Option<Duration>,
}

impl Ring {
    fn of(mut address: Address, directory: Directory) -> Result<Self, OpenError> {
        let kind = address.take_as("ring", |kind| match kind {
            "spsc" => Ok(Kind::Spsc),
            "mpmc" => Ok(Kind::Mpmc),
            "broadcast" => Ok(Kind::Broadcast),
            _ => Err("spsc, mpmc or broadcast"),
        })?;
        let kind = kind.unwrap_or(Kind::Spsc);
        let wait = address.take_as("wait", |wait| match wait {
            "spin" => Ok(Wait::Spin),
            "yield" => Ok(Wait::SpinThenYield(Wait::BUDGET)),
            "park" => Ok(Wait::Park),
            _ => Err("spin, yield or park"),
        })?;
        let wakeup = address.take_as("wakeup", |wakeup| match wakeup {
            "futex" => Ok(Wakeup::Futex),
            "semaphore" => Ok(Wakeup::Semaphore),
            _ => Err("futex or semaphore"),
        })?;
        let mut ring = Self {
            place: place::located(&directory, &address)?,
            kind,
            capacity: address.take_number("capacity")?,
            schema: address.take_number("schema")?.unwrap_or(0),
            wait: wait.unwrap_or_default(),
            on_death: address.take_on_death()?,
            wakeup: wakeup.unwrap_or(Wakeup::Futex),
            max_message: None,
            is_at_most_once: false,
            is_lossy: false,
            from: Start::Oldest,
            evict_after: None,
        };
        match kind {
            Kind::Spsc => {}
            Kind::Mpmc => {
                ring.max_message = address.take_number("max_message")?;
                ring.is_at_most_once = address.take_flag("at_most_once")?;
            }
            Kind::Broadcast => {
                ring.is_lossy = address.take_flag("lossy")?;
                let from = address.take_as("from", |from| match from {
                    "oldest" => Ok(Start::Oldest),
                    "newest" => Ok(Start::Newest),
                    _ => Err("oldest or newest"),
                })?;
                ring.from = from.unwrap_or(Start::Oldest);
                ring.evict_after = address.take_number("evict_after")?.map(Duration::from_millis);
            }
        }
        address.finish()?;
        Ok(ring)
    }

    /// What all rings' builders are told.
    fn describe<M: Message + ?Sized>(&self, builder: Builder<M>) -> Builder<M> {
        let mut builder = builder.schema(self.schema).wait(self.wait).on_death(self.on_death).wake_by(self.wakeup);
        if let Some(capacity) = self.capacity {
            builder = builder.capacity(capacity);
        }
        builder.at(self.place.clone())
    }

    fn mpmc(&self) -> Builder<Mpmc<[u8]>> {
        let mut builder = self.describe(crate::mpmc::<[u8]>(""));
        if let Some(bytes) = self.max_message {
            builder = builder.max_message(bytes);
        }
        if self.is_at_most_once { builder.at_most_once() } else { builder }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str) -> String {
        match (open(name).sender(), open(name).receiver()) {
            (Err(one), Err(other)) => {
                assert_eq!(one.to_string(), other.to_string());
                one.to_string()
            }
            _ => panic!("{name} was opened"),
        }
    }

    #[test]
    fn a_mistake_in_a_name_is_explained() {
        for (name, says) in [
            ("", "1 to 200 bytes"),
            ("shm://", "1 to 200 bytes"),
            ("shm://no/name", "letters, digits"),
            ("pigeon://x", "\"pigeon\" is no scheme; there are: shm"),
            ("shm://x?ring=queue", "\"queue\" is not spsc, mpmc or broadcast"),
            ("shm://x?capacity=much", "\"much\" is not a number"),
            ("shm://x?lossy", "shm has no option \"lossy\"; it has: ring, wait"),
            ("shm://x?ring=mpmc&from=newest", "no option \"from\""),
            ("shm://x?ring=broadcast&from=5", "oldest or newest"),
            ("shm://x?wait=for it", "spin, yield or park"),
        ] {
            let refusal = refusal(name);
            assert!(refusal.contains(says), "{name}: {refusal}");
        }
    }
}
