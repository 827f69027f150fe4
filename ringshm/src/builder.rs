//! Choosing a ring and a role in it.
//!
//! # Safety
//! One method here is unsafe to call: it passes a promise on.

#![allow(unsafe_code, reason = "trust_peers is an unsafe promise by the caller")]

use crate::place::place_of;
use core::marker::PhantomData;
use ringshm_core::attach::{self, Existence};
use ringshm_core::error::OpenError;
use ringshm_core::inspect::Snapshot;
use ringshm_core::layout::Wakeup;
use ringshm_core::memory::Memory;
use ringshm_core::message::{consumer_in, producer_in};
use ringshm_core::mpmc::Mpmc;
use ringshm_core::open::Options;
use ringshm_core::os::{Directory, IntoMemfd, Name, Place};
use ringshm_core::wait::Wait;
use ringshm_core::{Behaviour, HugePages, Message, OnDeath};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Begins to describe a ring with one producer and one consumer that carries `M`: a fixed-size type, or `[u8]` for byte
/// records of any length.
///
/// The name has 1 to 200 letters, digits, `.`, `_` and `-`, with or without `shm://` before it; or it leads elsewhere: `file:///path`, as
/// [`file`](Builder::file), or `sysv-shm://key`, as [`system_v`](Builder::system_v). It is checked when a role is taken.
pub fn spsc<M: Message + ?Sized>(name: &str) -> Builder<M> {
    Builder::new(name)
}

/// Begins to describe a ring with many producers and many consumers, each message to one of them, that carries `M`: a fixed-size type,
/// or `[u8]` for byte messages up to a longest one. Its handles are in [`mpmc`](mod@crate::mpmc). The name is as for [`spsc`].
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let jobs = ringshm::mpmc::<u64>("").capacity(64).heap()?;
/// let mut producers = [jobs.producer()?, jobs.producer()?];
/// let mut consumers = [jobs.consumer()?, jobs.consumer()?];
/// producers[0].send(1)?;
/// producers[1].send(2)?;
/// assert_eq!(consumers[1].recv()?, 1);
/// assert_eq!(consumers[0].recv()?, 2);
/// # Ok(()) }
/// ```
pub fn mpmc<M: ?Sized>(name: &str) -> Builder<Mpmc<M>> {
    Builder::new(name)
}

/// A ring and how to take part in it: made by [`spsc`] or [`mpmc`], ended by [`producer`](Self::producer), [`consumer`](Self::consumer)
/// or [`threads`](Self::threads).
#[derive(Debug)]
#[must_use = "a builder does nothing until a role is taken"]
pub struct Builder<M: ?Sized> {
    pub(crate) name: String,
    elsewhere: Option<Elsewhere>,
    pub(crate) options: Options,
    _carries: PhantomData<fn(&M)>,
}

/// Where a ring is that has no name.
#[derive(Clone, Debug)]
enum Elsewhere {
    File(PathBuf),
    SystemV(i32),
    At(Place),
}

impl<M: ?Sized> Builder<M> {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), elsewhere: None, options: Options::default(), _carries: PhantomData }
    }

    /// Where the ring is.
    pub(crate) fn place(&self) -> Result<Place, OpenError> {
        match &self.elsewhere {
            None => place_of(&self.options.directory, &self.name),
            Some(Elsewhere::File(path)) => Place::file(path),
            Some(Elsewhere::SystemV(key)) => Place::system_v(*key),
            Some(Elsewhere::At(place)) => Ok(place.clone()),
        }
    }

    /// At a place that is known already.
    pub(crate) fn at(mut self, place: Place) -> Self {
        self.elsewhere = Some(Elsewhere::At(place));
        self
    }
}

impl<M: Message + ?Sized> Builder<M> {
    /// The capacity in messages, or in bytes for `[u8]`; rounded up to a power of two. Of frames in slots: 3 to 1024, not rounded, 8 if not given.
    ///
    /// If both sides ask for a capacity, it must be the same. If one does not, a ring that it creates holds 4 MiB, and it joins
    /// a ring of any capacity; the side that asks then gets at least what it asked for, or
    /// [`OpenError::LayoutMismatch`]. So: either side may start first if both name the same capacity, or none, or one that 4 MiB
    /// can hold.
    pub fn capacity(mut self, capacity: u64) -> Self {
        self.options.wishes.capacity = Some(capacity);
        self
    }

    /// A number for the meaning of the payload, 0 if not given; both sides must give the same. The name, size and
    /// alignment of the type are compared anyway; change this when its fields change and those do not.
    pub fn schema(mut self, schema: u64) -> Self {
        self.options.schema = schema;
        self
    }

    /// How blocking calls wait. Each side chooses for itself. For a participant that must make no system call at all:
    /// [`Wait::Spin`], with [`OnDeath::LeaveToOthers`].
    pub fn wait(mut self, wait: Wait) -> Self {
        self.options.behaviour.wait = wait;
        self
    }

    /// What calls do when the other side dies without closing the ring. Each side chooses for itself.
    pub fn on_death(mut self, on_death: OnDeath) -> Self {
        self.options.behaviour.on_death = on_death;
        self
    }

    /// Enters all pages of the ring into this process's page table when it joins, so that no later call takes a page fault for being the
    /// first to touch one. Each side chooses for itself. Joining takes longer: about 0.1 ms for each mebibyte. Without effect on the heap.
    ///
    /// If the kernel cannot (before Linux 5.14), joining fails with [`OpenError::Os`], and nobody has joined.
    pub fn prefault(mut self) -> Self {
        self.options.behaviour.residency.prefault = true;
        self
    }

    /// Locks the ring's pages in memory as long as the handle lives: they are neither swapped out nor faulted in later. For threads that
    /// must not wait for a page. Without effect on the heap.
    ///
    /// If the limit for locked memory (`ulimit -l`) is too small, joining fails with [`OpenError::Os`], which says so, and nobody has joined.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let name = format!("locked-{}", std::process::id());
    /// let mut producer = ringshm::spsc::<u64>(&name).capacity(64).lock_memory().producer()?;
    /// let mut consumer = ringshm::spsc::<u64>(&name).capacity(64).prefault().consumer()?;
    /// producer.send(7)?;
    /// assert_eq!(consumer.recv()?, 7);
    /// # Ok(()) }
    /// ```
    pub fn lock_memory(mut self) -> Self {
        self.options.behaviour.residency.lock = true;
        self
    }

    /// Puts the ring into huge pages (2 MiB on most machines), if this makes it: the processor then remembers with one entry of its address cache
    /// (TLB) where it needs 512, and a page fault, if there is one, brings in 2 MiB. As far as whole ones fit: the rest, and a ring that is
    /// shorter than one, lies in small pages. Without effect on the heap.
    ///
    /// Who joins such a ring with this option maps its huge pages as such; who joins without uses the same memory through small entries. Only the
    /// maker makes huge pages: in a ring that is there and was made without them there are none, since to make them would take pages away from
    /// running participants for a moment. With this option all pages are entered, as by [`prefault`](Self::prefault).
    ///
    /// With [`HugePages::Try`], what the machine refuses is no error: [`Resident::pages`](crate::Resident::pages) says how much there is,
    /// and why not more. With [`HugePages::Require`], joining then fails with [`OpenError::InvalidOption`], and nobody has joined. No mount option
    /// and no right is needed, but Linux 6.1.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use ringshm::{HugePages, Resident as _};
    ///
    /// let name = format!("huge-{}", std::process::id());
    /// let producer = ringshm::spsc::<u64>(&name).huge_pages(HugePages::Try).producer()?;
    /// let consumer = ringshm::spsc::<u64>(&name).huge_pages(HugePages::Try).consumer()?;
    /// let pages = consumer.pages()?;
    /// match pages.why_small {
    ///     None => assert!(pages.huge >= 4 << 20),
    ///     Some(reason) => println!("{} bytes in huge pages: {reason}", pages.huge),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn huge_pages(mut self, huge_pages: HugePages) -> Self {
        self.options.behaviour.residency.huge_pages = huge_pages;
        self
    }

    /// The NUMA node that the memory of a ring comes from, if this makes the ring: all of it, whoever touches a page first. Without this, a ring's memory
    /// comes from the node on which its maker runs, as far as there is any (all pages are allocated when the ring is made), or from where the policy of
    /// its process says. A ring that exists stays where it is; [`Resident::pages`](crate::Resident::pages) says where. Without effect on the heap.
    ///
    /// Joining fails with [`OpenError::InvalidOption`] if the node is not there, has no memory, or may not be used by this process (cpuset); with
    /// [`OpenError::NoSpace`] if it has not enough; with [`OpenError::Os`] if the process may not choose: containers often forbid `mbind`.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use ringshm::{OpenError, Resident as _};
    ///
    /// match ringshm::spsc::<u64>("on node 0").capacity(64).numa_node(0).memfd() {
    ///     Ok(ring) => {
    ///         let producer = ringshm::spsc::<u64>("").prefault().producer_of(&ring)?;
    ///         assert!(producer.pages()?.nodes.iter().all(|(node, _)| *node == 0));
    ///     }
    ///     Err(OpenError::Os { step, source }) => println!("not allowed here: {step}: {source}"),
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn numa_node(mut self, node: u32) -> Self {
        self.options.behaviour.residency.numa_node = Some(node);
        self
    }

    /// Whether the ring may exist already. By default it is opened if it does and created if it does not.
    pub fn existence(mut self, existence: Existence) -> Self {
        self.options.existence = existence;
        self
    }

    /// How a participant that sleeps is woken, in a ring that this creates: by a futex if not given. With [`Wakeup::Semaphore`] it sleeps on a
    /// semaphore in its lane, so that it can be a program in C (`ringshm/tests/semaphores/peer.c` is one side of an SPSC ring); all do,
    /// message for message, what they do otherwise. A reader without a lane has no semaphore, and is woken by a futex. To wake several readers
    /// takes as many system calls, and not one. Who asks for it does not join a ring without it; who does not joins either.
    ///
    /// A [`WaitSet`](crate::WaitSet) and tasks wait for rings of both sorts, by futex: who wakes by semaphores looks for them, too. A program
    /// in C that does not is noticed by their next bounded look.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use ringshm::{Wait, Wakeup};
    ///
    /// let ring = ringshm::spsc::<u64>("").capacity(8).wake_by(Wakeup::Semaphore).wait(Wait::Park);
    /// let (mut producer, mut consumer) = ring.threads()?;
    /// let receiver = std::thread::spawn(move || consumer.recv());
    /// producer.send(7)?;
    /// assert_eq!(receiver.join().expect("it does not panic")?, 7);
    /// # Ok(()) }
    /// ```
    pub fn wake_by(mut self, wakeup: Wakeup) -> Self {
        self.options.wishes.wakeup = wakeup;
        self
    }

    /// The folder for the ring's name, a mounted tmpfs: by default what the environment variable `RINGSHM_DIR` says, or
    /// `/dev/shm`.
    pub fn directory(mut self, path: impl AsRef<Path>) -> Self {
        self.options.directory = Directory::new(path.as_ref());
        self
    }

    /// Puts the ring into an ordinary file at exactly this path, and not under a name in shared memory: so it outlives a restart of the machine. The
    /// builder's name is not used then. The same ring is called `file:///var/lib/app/feed.ring` where a name is asked for.
    ///
    /// It is a ring like others: as fast while nobody sleeps, made whole or not at all, all of its disk space allocated when it is made, refused to other users, and
    /// removed when it is over. If everybody has left in order and something was not received, or the machine was switched off in order
    /// while participants ran, it is there for the next ones: they take the roles over as those of killed processes, and go on where these stopped.
    ///
    /// What it is not:
    ///
    /// - **Safe from a loss of power.** The kernel writes the file when it likes, in any order, so a machine that stops without
    ///   warning leaves a mixture: old messages in the place of new ones, or a ring that is `Corrupt`. [`Resident::sync`](crate::Resident::sync) writes what
    ///   is there now, for a ring that rests.
    /// - **For real-time threads.** A page that the kernel has written to its disk takes a page fault with the next store, which may wait for the disk; locked
    ///   memory does not help. Nor do [`huge_pages`](Self::huge_pages) and [`numa_node`](Self::numa_node) mean anything on a disk. On a tmpfs
    ///   all of this is as in `/dev/shm`.
    /// - **For network file systems.** Two machines do not share memory: NFS, SMB and their like, and FUSE, are refused with
    ///   [`OpenError::InvalidOption`].
    /// - **Sure of its space where files are copied when written** (btrfs without `chattr +C`, ZFS, snapshots below): there, a full disk is a `SIGBUS`.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = std::env::temp_dir();
    /// let path = folder.join(format!("feed-{}.ring", std::process::id()));
    /// let mut producer = ringshm::spsc::<u64>("").file(&path).capacity(64).producer()?;
    /// producer.send(7)?;
    /// drop(producer);
    /// // Nobody is there, and one message is: the ring waits for who comes for it, be it after a restart.
    /// let mut consumer = ringshm::spsc::<u64>("").file(&path).consumer()?;
    /// assert_eq!(consumer.recv()?, 7);
    /// drop(consumer);
    /// assert!(!path.exists(), "it was over");
    /// # Ok(()) }
    /// ```
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        self.elsewhere = Some(Elsewhere::File(path.as_ref().to_owned()));
        self
    }

    /// Puts the ring into a System V segment with this key, any number but 0: for machines, or containers, on which programs agree about such keys, and have no
    /// folder in common. The builder's name is not used then. The same ring is called `sysv-shm://0x51ab` where a name is asked for.
    ///
    /// It is a ring like others, and its promises are the same. Beside the segment it takes a set of 130 semaphores with the same key, which
    /// stand in for the locks that the kernel keeps on files. What is different:
    ///
    /// - It survives its processes, and not the machine. `kernel.shm_rmid_forced`, and `RemoveIPC` of systemd when the user logs out, remove it sooner.
    /// - A forked child does not keep its parent's role alive, and a program that the process becomes by `exec` does, until it ends.
    /// - **A process that takes part must not change its IPC namespace** (`unshare`, `setns`): the kernel then gives its locks away as if it were dead.
    /// - Who has the key of another program's segment gets [`OpenError::Corrupt`]; limits of the kernel are [`OpenError::Limit`].
    /// - Who removes segment and semaphores in use (`ipcrm`, [`remove`] with `force`) leaves the participants without a way to
    ///   know who is alive: one that waits and asks gets [`Fault::Removed`](crate::Fault::Removed).
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let key = 0x5200_00f1 | (std::process::id() as i32 & 0xffff) << 8;
    /// let mut producer = ringshm::spsc::<u64>("").system_v(key).capacity(64).producer()?;
    /// let mut consumer = ringshm::spsc::<u64>("").system_v(key).capacity(64).consumer()?;
    /// producer.send(7)?;
    /// assert_eq!(consumer.recv()?, 7);
    /// # Ok(()) }
    /// ```
    pub fn system_v(mut self, key: i32) -> Self {
        self.elsewhere = Some(Elsewhere::SystemV(key));
        self
    }

    /// The first position: for tests of the wrap.
    #[doc(hidden)]
    pub fn origin(mut self, origin: u64) -> Self {
        self.options.wishes.origin = origin;
        self
    }

    /// Lets guards and loans refer to the shared memory itself, instead of to a private copy.
    ///
    /// # Safety
    /// As long as the handle lives, every process that can open the ring (the same user, root, and whoever is given a
    /// descriptor) must keep its protocol: nobody writes what is lent to this side. Otherwise a reference changes under
    /// the feet of safe code.
    pub unsafe fn trust_peers(mut self) -> Self {
        // SAFETY: the caller promises the same.
        self.options.behaviour = unsafe { self.options.behaviour.trusting_peers() };
        self
    }

    /// Takes the sending role: of a new ring, one that a consumer opened, or one whose producer is gone.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn producer(self) -> Result<M::Producer, OpenError> {
        self.options.producer_at::<M>(&self.place()?)
    }

    /// Takes the receiving role: of a new ring, one that a producer opened, or one whose consumer is gone.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn consumer(self) -> Result<M::Consumer, OpenError> {
        self.options.consumer_at::<M>(&self.place()?)
    }

    /// Creates the ring without a name, in a sealed memfd: nobody can shrink it, and who holds the descriptor has the ring.
    /// Pass it on (by inheritance, or over a Unix socket), and take the roles with [`producer_of`](Self::producer_of) and
    /// [`consumer_of`](Self::consumer_of). The builder's name is only a label.
    ///
    /// # Errors
    /// [`OpenError::NoSpace`], [`OpenError::InvalidOption`], [`OpenError::Os`].
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let ring = ringshm::spsc::<u64>("a label").capacity(8).memfd()?;
    /// let mut producer = ringshm::spsc::<u64>("").producer_of(&ring)?;
    /// let mut consumer = ringshm::spsc::<u64>("").consumer_of(&ring)?;
    /// producer.send(7)?;
    /// assert_eq!(consumer.recv()?, 7);
    /// # Ok(()) }
    /// ```
    pub fn memfd(self) -> Result<OwnedFd, OpenError> {
        self.options.memfd::<M>(&self.name)
    }

    /// Takes the sending role of the ring in a memfd.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn producer_of(self, memfd: impl IntoMemfd) -> Result<M::Producer, OpenError> {
        self.options.producer_of::<M>(memfd)
    }

    /// Takes the receiving role of the ring in a memfd.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn consumer_of(self, memfd: impl IntoMemfd) -> Result<M::Consumer, OpenError> {
        self.options.consumer_of::<M>(memfd)
    }

    /// Makes the ring on the heap and takes both roles, for two threads of this process. The name is not used.
    ///
    /// # Errors
    /// [`OpenError::NoSpace`] if it is larger than any machine; [`OpenError::InvalidOption`].
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (mut producer, mut consumer) = ringshm::spsc::<[u8]>("").capacity(1 << 12).threads()?;
    /// let sender = std::thread::spawn(move || producer.send(b"hello"));
    /// assert_eq!(&*consumer.recv_ref()?, b"hello");
    /// sender.join().expect("it does not panic")?;
    /// # Ok(()) }
    /// ```
    pub fn threads(self) -> Result<(M::Producer, M::Consumer), OpenError> {
        self.options.threads::<M>()
    }

    /// Makes the ring on the heap, for threads of this process, with nobody in it. The name is not used.
    ///
    /// # Errors
    /// As for [`threads`](Self::threads).
    pub fn heap(self) -> Result<Heap<M>, OpenError> {
        let memory = self.options.heap::<M>()?;
        Ok(Heap { memory, behaviour: self.options.behaviour, _carries: PhantomData })
    }
}

impl<M: ?Sized> Builder<Mpmc<M>> {
    /// The most producers of a ring that this creates, 1 to 64; 64 if not given. Each takes 384 bytes. A ring that exists has as many as
    /// it was made for.
    pub fn producers(mut self, most: u32) -> Self {
        self.options.wishes.producers = most;
        self
    }

    /// The most consumers of a ring that this creates, as for [`producers`](Self::producers).
    pub fn consumers(mut self, most: u32) -> Self {
        self.options.wishes.consumers = most;
        self
    }

    /// Delivers each message at most once: a message whose consumer dies with it is dropped and counted, where it would otherwise be given to
    /// another one, marked as redelivered. The creator of the ring decides; who asks for it does not join a ring without it.
    pub fn at_most_once(mut self) -> Self {
        self.options.wishes.at_most_once = true;
        self
    }
}

impl Builder<Mpmc<[u8]>> {
    /// The longest message in bytes of a ring that this creates; 2048 if not given. Each slot has room for it. Who asks for more than an
    /// existing ring takes gets [`OpenError::LayoutMismatch`].
    pub fn max_message(mut self, bytes: u64) -> Self {
        self.options.wishes.max_message = Some(bytes);
        self
    }
}

/// A ring on the heap, from which threads of this process take any number of roles: made by [`Builder::heap`].
#[derive(Debug)]
pub struct Heap<M: ?Sized> {
    pub(crate) memory: Arc<Memory>,
    pub(crate) behaviour: Behaviour,
    pub(crate) _carries: PhantomData<fn(&M)>,
}

impl<M: Message + ?Sized> Heap<M> {
    /// Takes a sending role.
    ///
    /// # Errors
    /// [`OpenError::RoleTaken`] if there are as many as the ring was made for.
    pub fn producer(&self) -> Result<M::Producer, OpenError> {
        producer_in::<M>(&self.memory, self.behaviour)
    }

    /// Takes a receiving role.
    ///
    /// # Errors
    /// [`OpenError::RoleTaken`] if there are as many as the ring was made for.
    pub fn consumer(&self) -> Result<M::Consumer, OpenError> {
        consumer_in::<M>(&self.memory, self.behaviour)
    }
}

/// The names of all rings in a folder, in order.
///
/// # Errors
/// [`OpenError::Os`] if the folder cannot be read.
pub fn names(directory: &Directory) -> Result<Vec<Name>, OpenError> {
    directory.names()
}

/// Looks at a ring without taking part in it. The name is as for [`spsc`].
///
/// # Errors
/// `NotFound`, `Permission`, `Version`, `Corrupt`, `InvalidName`, `Os`.
pub fn inspect(directory: &Directory, name: &str) -> Result<Snapshot, OpenError> {
    ringshm_core::inspect::inspect_at(&place_of(directory, name)?)
}

/// Removes a ring and what is in it. With `force` even while live processes use it, or if it is damaged. The name is as for [`spsc`].
///
/// # Errors
/// `NotFound`, `InUse`, `Busy`, `InvalidName`; without `force` also `Corrupt` and `Version`.
pub fn remove(directory: &Directory, name: &str, force: bool) -> Result<(), OpenError> {
    attach::remove_at(&place_of(directory, name)?, force)
}
