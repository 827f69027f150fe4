//! Waiting for many things at once: see [`WaitSet`].
//!
//! ```text
//!   the owner's thread                          sentries, 127 words each      lookout
//!   look at every channel and descriptor
//!   announce, look again  (ringshm-sync: watch)
//!   sleep on   the set's signal ◀──────────── raise when a word changes ◀─── raise when epoll says so
//!              the bells of the first 127 channels
//! ```
//!
//! A set of up to 127 channels makes two system calls for a sleep, `membarrier` and `futex_waitv`, and has no thread besides its owner's; a set
//! of descriptors only is an epoll. Where both come together, or more channels than the kernel lets a thread sleep on, threads are started
//! that sleep on the rest; they touch no ring, and are joined when the set is dropped.
//!
//! No sleep is longer than some milliseconds ([`longest_sleep`]), because nobody rings for what a killed process left undone.

mod channel;
mod descriptors;
mod found;

pub use found::{Key, Ready, Token};

use crate::sentry::POSTS;
use channel::{Channel, Posted};
use descriptors::Descriptors;
use ringshm_core::traits::OfRing;
use ringshm_core::{Awaited, Interest, Waitable};
use ringshm_sync::doorbell::LONGEST_PARK;
use ringshm_sync::futex::{MOST_WORDS, Words};
use ringshm_sync::signal::Signal;
use ringshm_sync::time::{Deadline, Ration};
use ringshm_sync::watch::{Watch, Watched as _, announce};
use std::collections::HashMap;
use std::io;
use std::ops::{Index, IndexMut};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Wake;
use std::time::Duration;

/// Channels that the owner sleeps on itself.
const DIRECT: usize = MOST_WORDS - 1;

/// What a channel adds to the longest sleep: an idle set looks at its channels as many times a second as costs it a few thousandths of a core.
const SLEEP_PER_CHANNEL: Duration = Duration::from_micros(600);
/// The longest sleep of any set.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// How long a set of so many channels sleeps at most.
fn longest_sleep(channels: usize) -> Duration {
    let more = SLEEP_PER_CHANNEL.saturating_mul(u32::try_from(channels).unwrap_or(u32::MAX));
    LONGEST_PARK.saturating_add(more).min(LONGEST_SLEEP)
}

type Id = u64;

/// Waits for many channels, of any kinds and types, and for file descriptors, from one thread.
///
/// The set owns what it waits for: [`add`](Self::add) takes a handle and gives a [`Key`] of its type, which is an index into the
/// set; [`remove`](Self::remove) gives the handle back. Between two waits handles may be used, added and removed at will.
///
/// A wait returns when anything is ready, and names everything that is: nothing is passed over, however busy the rest is. A handle is ready while
/// its next `try_` call would say anything but `Empty` or `Full`; so a message that is left in its ring makes the next wait return at once, and
/// so does a channel that is `Disconnected` and was not removed. A producer is ready whenever there is room: add it when it was refused. Use
/// the `try_` calls on what is ready: where several processes receive, another may have been faster.
///
/// Whether anybody publishes is found as by every blocking call: who publishes makes no system call unless somebody sleeps. A process that is
/// killed between publishing and waking delays that message by at most 5 ms, and 0.6 ms more for each channel of the set, up to 100 ms
/// together; and so long does it take to notice that a process died.
///
/// A set of more than 127 channels, and one of channels and descriptors, has helper threads, which are started by the first wait that needs
/// them and joined when the set is dropped. In a forked child a set must not be used, only dropped.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use ringshm::WaitSet;
///
/// let (mut ticks, receiver) = ringshm::spsc::<u64>("").capacity(8).threads()?;
/// let (mut lines, records) = ringshm::spsc::<[u8]>("").capacity(1 << 12).threads()?;
/// let mut set = WaitSet::new();
/// let (receiver, records) = (set.add(receiver), set.add(records));
///
/// ticks.send(7)?;
/// lines.send(b"seven")?;
/// let ready = set.wait()?;
/// assert!(ready.contains(receiver) && ready.contains(records));
/// assert_eq!(set[receiver].try_recv()?, 7);
/// assert_eq!(&*set[records].try_recv_ref()?, b"seven");
/// assert!(set.try_wait()?.is_empty());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct WaitSet {
    channels: Vec<Watch<Channel>>,
    /// Where in `channels` each of them is.
    places: HashMap<Id, usize>,
    sentries: Vec<Posted>,
    descriptors: Option<Descriptors>,
    shared: Arc<Shared>,
    next: Id,
    /// In place of [`longest_sleep`]: for tests that must not be helped by it.
    longest_sleep: Option<Duration>,
    /// When a set that is kept busy looks at everything.
    looks: Ration,
    /// The process whose threads and lanes these are.
    process: u32,
}

/// Ends the wait of a set from another thread. Any number of them may call.
#[derive(Clone, Debug)]
pub struct Notifier {
    shared: Arc<Shared>,
}

/// What a set, its notifiers and its helpers share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Everybody who wants the owner to look again raises it.
    signal: Signal,
    is_notified: Mutex<bool>,
    /// What epoll watches for the notifiers, once there are descriptors.
    event: OnceLock<OwnedFd>,
}

impl Shared {
    fn is_notified(&self) -> MutexGuard<'_, bool> {
        self.is_notified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn raise_event(&self) {
        if let Some(event) = self.event.get() {
            // It fails if it was raised 2^64 times and not looked at: then it is raised.
            let _ = rustix::io::write(event, &1_u64.to_ne_bytes());
        }
    }

    fn forget_event(&self) {
        if let Some(event) = self.event.get() {
            // It fails if it is not raised.
            let _ = rustix::io::read(event, &mut [0; 8]);
        }
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.signal.raise();
    }
}

impl WaitSet {
    /// With nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            channels: Vec::new(),
            places: HashMap::new(),
            sentries: Vec::new(),
            descriptors: None,
            shared: Arc::default(),
            next: 0,
            longest_sleep: None,
            looks: Ration::default(),
            process: std::process::id(),
        }
    }

    /// Sleeps for so long at most: for tests.
    #[doc(hidden)]
    pub fn set_longest_sleep(&mut self, longest: Duration) {
        self.longest_sleep = Some(longest);
    }

    fn is_forked(&self) -> bool {
        self.process != std::process::id()
    }

    fn new_id(&mut self) -> Id {
        self.next += 1;
        self.next
    }

    /// Waits for this handle too: any that receives or sends, of any ring.
    pub fn add<H: Waitable + 'static>(&mut self, handle: H) -> Key<H> {
        let id = self.new_id();
        self.places.insert(id, self.channels.len());
        self.channels.push(Watch::new(Channel::new(id, handle)));
        Key::new(id)
    }

    /// Waits for this descriptor too: a socket, a pipe, a timer, anything that epoll takes. The set keeps `fd`, owned or borrowed, until it is
    /// removed. It should not block.
    ///
    /// # Errors
    /// Those of `epoll_ctl`: `EPERM` for a regular file, which is always ready; `EEXIST` if it is in the set already; no more descriptors or
    /// memory. Then `fd` is dropped.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use ringshm::{Interest, WaitSet};
    /// use std::io::{Read as _, Write as _};
    /// use std::os::unix::net::UnixStream;
    ///
    /// let (mut ticks, receiver) = ringshm::spsc::<u64>("").capacity(8).threads()?;
    /// let (mut far, near) = UnixStream::pair()?;
    /// let mut set = WaitSet::new();
    /// let receiver = set.add(receiver);
    /// let socket = set.add_fd(near, Interest::Readable)?;
    /// far.write_all(b"x")?;
    /// assert!(set.wait()?.contains(socket));
    /// set[socket].read_exact(&mut [0])?;
    /// ticks.send(7)?;
    /// assert!(set.wait()?.contains(receiver));
    /// # Ok(()) }
    /// ```
    pub fn add_fd<F: AsFd + Send + 'static>(&mut self, fd: F, interest: Interest) -> io::Result<Key<F>> {
        let id = self.new_id();
        self.descriptors()?.add(id, fd, interest)?;
        Ok(Key::new(id))
    }

    /// Waits for this channel too, whatever it is: `Box<dyn Receiver>`, `Box<dyn Sender>`, or a handle of any mechanism. It is ready as handles
    /// of rings are; where the kernel keeps it, it may also be ready for what turns out to be half a message.
    ///
    /// # Errors
    /// As for [`add_fd`](Self::add_fd); and if the mechanism has nothing to wait for
    /// ([`can_be_awaited`](crate::Capabilities::can_be_awaited)). Then the channel is dropped.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use ringshm::{Receiver, Sender, WaitSet};
    ///
    /// let (mut lines, records) = ringshm::spsc::<[u8]>("").capacity(1 << 12).threads()?;
    /// let mut set = WaitSet::new();
    /// let records: Box<dyn Receiver> = Box::new(records);
    /// let records = set.add_channel(records)?;
    /// lines.send(b"seven")?;
    /// assert!(set.wait()?.contains(records));
    /// let mut record = Vec::new();
    /// set[records].try_recv(&mut record)?;
    /// assert_eq!(record, b"seven");
    /// # Ok(()) }
    /// ```
    pub fn add_channel<C: ringshm_core::Channel + 'static>(&mut self, channel: C) -> io::Result<Key<C>> {
        let channel = match OfRing::new(channel) {
            Ok(ring) => return Ok(Key::new(self.add(ring).id())),
            Err(channel) => channel,
        };
        let interest = match channel.awaited() {
            Awaited::Descriptor(_, interest) => interest,
            Awaited::Bell(_) | Awaited::Nothing => return Err(nothing_to_await(&channel)),
        };
        let id = self.new_id();
        self.descriptors()?.add_channel(id, channel, interest)?;
        Ok(Key::new(id))
    }

    fn descriptors(&mut self) -> io::Result<&mut Descriptors> {
        Ok(match &mut self.descriptors {
            Some(descriptors) => descriptors,
            descriptors => descriptors.insert(Descriptors::new(&self.shared)?),
        })
    }

    /// What a key stands for. `None` if it was removed.
    #[must_use]
    pub fn get<H: 'static>(&self, key: Key<H>) -> Option<&H> {
        match self.places.get(&key.id()) {
            Some(place) => {
                let handle = self.channels[*place].get().handle.as_any();
                handle.downcast_ref().or_else(|| handle.downcast_ref().map(OfRing::get))
            }
            None => self.descriptors.as_ref()?.get(key.id()),
        }
    }

    /// What a key stands for, to be used. `None` if it was removed.
    #[must_use]
    pub fn get_mut<H: 'static>(&mut self, key: Key<H>) -> Option<&mut H> {
        match self.places.get(&key.id()) {
            Some(place) => {
                let handle = self.channels[*place].get_mut().handle.as_any_mut();
                if handle.is::<H>() { handle.downcast_mut() } else { handle.downcast_mut().map(OfRing::get_mut) }
            }
            None => self.descriptors.as_mut()?.get_mut(key.id()),
        }
    }

    /// Waits for it no longer, and gives it back. `None` if it was removed before.
    pub fn remove<H: 'static>(&mut self, key: Key<H>) -> Option<H> {
        let Some(place) = self.places.remove(&key.id()) else {
            return self.descriptors.as_mut()?.remove(key.id());
        };
        // The last one takes its place.
        for place in [place, self.channels.len() - 1] {
            if let Some(beyond) = place.checked_sub(DIRECT) {
                if let Some(posted) = self.sentries.get_mut(beyond / POSTS) {
                    posted.forget(beyond % POSTS);
                }
            }
        }
        let mut watch = self.channels.swap_remove(place);
        if let Some(moved) = self.channels.get(place) {
            self.places.insert(moved.get().id, place);
        }
        if !self.is_forked() {
            watch.withdraw();
        }
        let handle = watch.into_inner().handle.into_any();
        match handle.downcast() {
            Ok(handle) => Some(*handle),
            Err(handle) => handle.downcast::<OfRing<H>>().ok().map(|handle| handle.into_inner()),
        }
    }

    /// How many things it waits for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.channels.len() + self.descriptors.as_ref().map_or(0, Descriptors::len)
    }

    /// Whether it waits for nothing: then only a [`Notifier`] or a time-out ends a wait.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What ends a wait from another thread.
    #[must_use]
    pub fn notifier(&self) -> Notifier {
        Notifier { shared: Arc::clone(&self.shared) }
    }

    /// Waits until something is ready or a [`Notifier`] calls, as long as it takes.
    ///
    /// # Errors
    /// If the system has no thread for the set, or epoll fails: the set can be used again. In a forked child.
    pub fn wait(&mut self) -> io::Result<Ready> {
        self.wait_until(Deadline::NEVER)
    }

    /// As [`wait`](Self::wait), for at most `timeout`, on the monotonic clock: then it returns with nothing.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn wait_timeout(&mut self, timeout: Duration) -> io::Result<Ready> {
        self.wait_until(Deadline::after(timeout))
    }

    /// What is ready now.
    ///
    /// # Errors
    /// If epoll fails.
    pub fn try_wait(&mut self) -> io::Result<Ready> {
        self.look(true)
    }

    fn longest_sleep(&self) -> Duration {
        self.longest_sleep.unwrap_or_else(|| longest_sleep(self.channels.len()))
    }

    fn wait_until(&mut self, deadline: Deadline) -> io::Result<Ready> {
        let mut at_all = self.looks.is_due(self.longest_sleep());
        loop {
            // Before the look: what is raised later ends the sleep.
            let seen = self.shared.signal.seen();
            let ready = self.look(at_all)?;
            if ready.is_notified || !ready.is_empty() || deadline.is_over() {
                return Ok(ready);
            }
            if self.is_forked() {
                return Err(io::Error::other(
                    "this wait set was inherited through fork and belongs to the parent process: make another one in the child",
                ));
            }
            at_all = announce(&mut self.channels) && self.sleep(seen, deadline)?;
        }
    }

    /// At everything, or at what may have been rung for.
    fn look(&mut self, at_all: bool) -> io::Result<Ready> {
        let mut ready = Ready::default();
        for watch in &mut self.channels {
            if (at_all || !watch.is_quiet()) && watch.look() {
                ready.ids.push(watch.get().id);
            }
        }
        if let Some(descriptors) = &mut self.descriptors {
            descriptors.look(&mut ready.ids)?;
        }
        ready.is_notified = core::mem::take(&mut *self.shared.is_notified());
        Ok(ready)
    }

    /// Sleeps until there is a reason to look again. Says whether that is the time, and not a ring.
    fn sleep(&mut self, seen: u32, deadline: Deadline) -> io::Result<bool> {
        if let Some(descriptors) = &mut self.descriptors {
            if self.channels.is_empty() {
                return descriptors.wait(deadline).map(|()| false);
            }
            descriptors.watch()?;
        }
        let (direct, others) = self.channels.split_at(self.channels.len().min(DIRECT));
        let mut all_stand = true;
        let needed = others.len().div_ceil(POSTS);
        while self.sentries.len() < needed {
            self.sentries.push(Posted::start()?);
        }
        let mut chunks = others.chunks(POSTS);
        for posted in &mut self.sentries {
            all_stand &= posted.watch(chunks.next().unwrap_or(&[]), &self.shared);
        }
        let mut words = Words::new();
        words.push(self.shared.signal.word(), seen);
        for watch in direct {
            match watch.standing() {
                Some(expected) => words.push(watch.get().bell().word(), expected),
                None => all_stand = false,
            }
        }
        if !all_stand {
            return Ok(false);
        }
        let end = if self.channels.is_empty() { deadline } else { deadline.at_most(self.longest_sleep()) };
        words.wait(end);
        Ok(end.is_over())
    }
}

/// What is said of a channel that cannot be waited for together with others.
pub(crate) fn nothing_to_await(channel: &impl ringshm_core::Channel) -> io::Error {
    let mechanism = channel.capabilities().mechanism;
    let refusal = format!(
        "{mechanism} has nothing by which others could wait for this channel: use its blocking calls in a thread of their own, or ask it again and again"
    );
    io::Error::new(io::ErrorKind::Unsupported, refusal)
}

impl Default for WaitSet {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for WaitSet {
    fn drop(&mut self) {
        // For the producers and consumers at the other ends, who would otherwise ring for nobody, once.
        if !self.is_forked() {
            self.channels.iter_mut().for_each(Watch::withdraw);
        }
    }
}

/// # Panics
/// If it was removed: see [`WaitSet::get`].
impl<H: 'static> Index<Key<H>> for WaitSet {
    type Output = H;

    fn index(&self, key: Key<H>) -> &H {
        self.get(key).expect("the key stands for something in this set")
    }
}

/// # Panics
/// If it was removed: see [`WaitSet::get_mut`].
impl<H: 'static> IndexMut<Key<H>> for WaitSet {
    fn index_mut(&mut self, key: Key<H>) -> &mut H {
        self.get_mut(key).expect("the key stands for something in this set")
    }
}

impl Notifier {
    /// Ends the wait that the set is in, or else the next one, with [`Ready::is_notified`]. Several calls before that end one wait.
    pub fn notify(&self) {
        *self.shared.is_notified() = true;
        self.shared.signal.raise();
        self.shared.raise_event();
    }
}
