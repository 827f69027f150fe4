//! What services need beside a ring: locks and meeting points in shared memory, for processes and threads, any of which may be killed.
//!
//! | object | as in the standard library | if somebody is killed |
//! |---|---|---|
//! | [`mutex`] | [`Mutex<T>`] | the next holder is told that the value may be half changed |
//! | [`rwlock`] | [`RwLock<T>`] | the same for writers; readers no longer count |
//! | [`condvar`] | [`Condvar`] | it delays the others by one park (5 ms) at most |
//! | [`barrier`] | [`Barrier`] | those who wait are told that it is broken |
//! | [`once`] | [`Once`] | another one does it |
//!
//! Each is an object of its own, with a name, in a memfd or on the heap, as a ring is; [`inspect`](crate::inspect), [`remove`](crate::remove) and
//! [`collect`](crate::collect) know them. The last one to leave removes the name, unless somebody has [detached](Mutex::detach). A handle is one
//! participant: each thread opens its own.
//!
//! ```
//! use ringshm::sync::LockError;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = std::path::Path::new("/dev/shm").join(format!("ringshm-doc-sync-{}", std::process::id()));
//! # std::fs::create_dir(&folder)?;
//! let mut total = ringshm::sync::mutex::<u64>("total").directory(&folder).value(40).open()?;
//! match total.lock() {
//!     Ok(mut total) => *total += 2,
//!     Err(LockError::OwnerDied(mut total)) => {
//!         // The one who held it was killed. Look whether the value is whole, and put it right.
//!         *total = 42;
//!         total.mark_consistent();
//!     }
//!     Err(error) => return Err(error.to_string().into()),
//! }
//! assert_eq!(*total.lock().map_err(|error| error.to_string())?, 42);
//! # drop(total);
//! # std::fs::remove_dir(&folder)?;
//! # Ok(()) }
//! ```
//!
//! # Safety
//! One method here is unsafe to call: it passes a promise on.

#![allow(unsafe_code, reason = "trust_peers is an unsafe promise by the caller")]

pub use ringshm_core::sync::{
    Barrier, BarrierError, BarrierTimeoutError, BarrierWaitResult, Condvar, LockError, LockTimeoutError, Mutex,
    MutexGuard, Once, OnceState, OnceTimeoutError, Primitive, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
    WaitTimeoutResult,
};

use core::marker::PhantomData;
use ringshm_core::attach::Existence;
use ringshm_core::error::OpenError;
use ringshm_core::memory::Memory;
use ringshm_core::open::Options;
use ringshm_core::os::{Directory, IntoMemfd, Name};
use ringshm_core::sync::take_part_in;
use ringshm_core::wait::Wait;
use ringshm_core::{Behaviour, Payload};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

/// Begins to describe a value `T` that one participant at a time has to itself. The name is as for [`spsc`](crate::spsc).
pub fn mutex<T: Payload>(name: &str) -> Builder<Mutex<T>> {
    Builder::new(name)
}

/// Begins to describe a value `T` that many participants read at a time, or one writes. The name is as for [`spsc`](crate::spsc).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limits = ringshm::sync::rwlock::<[u64; 2]>("").value([1, 100]).heap()?;
/// let (mut first, mut second) = (limits.participant()?, limits.participant()?);
/// {
///     let (one, other) = (first.read().expect("nobody dies"), second.read().expect("nobody dies"));
///     assert_eq!(*one, *other);
/// }
/// *first.write().expect("nobody dies") = [2, 50];
/// assert_eq!(*second.read().expect("nobody dies"), [2, 50]);
/// # Ok(()) }
/// ```
pub fn rwlock<T: Payload>(name: &str) -> Builder<RwLock<T>> {
    Builder::new(name)
}

/// Begins to describe a condition variable, to be used with a [`mutex`]. The name is as for [`spsc`](crate::spsc), and not that of the mutex.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (value, change) = (ringshm::sync::mutex::<u64>("").heap()?, ringshm::sync::condvar("").heap()?);
/// let (mut value_of_other, mut change_of_other) = (value.participant()?, change.participant()?);
/// let (mut value, mut change) = (value.participant()?, change.participant()?);
/// let other = std::thread::spawn(move || {
///     *value_of_other.lock().expect("nobody dies") = 7;
///     change_of_other.notify_one()
/// });
/// let value = value.lock().expect("nobody dies");
/// let value = change.wait_while(value, |value| *value == 0).expect("nobody dies");
/// assert_eq!(*value, 7);
/// # other.join().expect("it does not panic")?;
/// # Ok(()) }
/// ```
pub fn condvar(name: &str) -> Builder<Condvar> {
    Builder::new(name)
}

/// Begins to describe where `parties` participants, 1 to 64, meet. All must name the same number. The name is as for [`spsc`](crate::spsc).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let start = ringshm::sync::barrier("", 2).heap()?;
/// let (mut one, mut other) = (start.participant()?, start.participant()?);
/// let thread = std::thread::spawn(move || other.wait());
/// let leads = one.wait()?.is_leader();
/// assert_ne!(leads, thread.join().expect("it does not panic")?.is_leader());
/// # Ok(()) }
/// ```
pub fn barrier(name: &str, parties: u32) -> Builder<Barrier> {
    let mut builder = Builder::new(name);
    builder.options.wishes.producers = parties;
    builder
}

/// Begins to describe something that is to be done once. The name is as for [`spsc`](crate::spsc).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let set_up = ringshm::sync::once("").heap()?;
/// let (mut one, mut other) = (set_up.participant()?, set_up.participant()?);
/// one.call_once(|state| assert!(!state.is_interrupted()))?;
/// other.call_once(|_| unreachable!("it is done"))?;
/// # Ok(()) }
/// ```
pub fn once(name: &str) -> Builder<Once> {
    Builder::new(name)
}

/// An object and how to take part in it: ended by [`open`](Self::open), or what else makes handles.
#[derive(Debug)]
#[must_use = "a builder does nothing until the object is opened"]
pub struct Builder<P> {
    name: String,
    options: Options,
    initial: Vec<u8>,
    _makes: PhantomData<fn() -> P>,
}

impl<P> Builder<P> {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), options: Options::default(), initial: Vec::new(), _makes: PhantomData }
    }
}

impl<P: Primitive> Builder<P> {
    /// A number for the meaning of the object, 0 if not given; all must give the same. Name, size and alignment of the value's type are compared
    /// anyway.
    pub fn schema(mut self, schema: u64) -> Self {
        self.options.schema = schema;
        self
    }

    /// How calls wait. Each participant chooses for itself.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.options.behaviour.wait = wait;
        self
    }

    /// Whether the object may exist already. By default it is opened if it does and created if it does not.
    pub fn existence(mut self, existence: Existence) -> Self {
        self.options.existence = existence;
        self
    }

    /// The folder for the object's name, a mounted tmpfs: by default what the environment variable `RINGSHM_DIR` says, or `/dev/shm`.
    pub fn directory(mut self, path: impl AsRef<Path>) -> Self {
        self.options.directory = Directory::new(path.as_ref());
        self
    }

    /// Takes part in the object, and creates it if there is none.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::RoleTaken`] if it has as many live participants as it was made for.
    pub fn open(self) -> Result<P, OpenError> {
        self.options.primitive(&Name::new(&self.name)?, &self.initial)
    }

    /// Creates the object without a name, in a sealed memfd, with nobody in it: who holds the descriptor has the object. The builder's name is only
    /// a label.
    ///
    /// # Errors
    /// [`OpenError::NoSpace`], [`OpenError::Os`], [`OpenError::InvalidOption`].
    pub fn memfd(self) -> Result<OwnedFd, OpenError> {
        self.options.primitive_memfd::<P>(&self.name, &self.initial)
    }

    /// Takes part in the object in a memfd.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_of(self, memfd: impl IntoMemfd) -> Result<P, OpenError> {
        self.options.primitive_of(memfd)
    }

    /// Makes the object on the heap, for threads of this process, with nobody in it. The name is not used.
    ///
    /// # Errors
    /// [`OpenError::NoSpace`] if it is larger than any machine; [`OpenError::InvalidOption`].
    pub fn heap(self) -> Result<Heap<P>, OpenError> {
        let memory = self.options.primitive_heap::<P>(&self.initial)?;
        Ok(Heap { memory, behaviour: self.options.behaviour, _makes: PhantomData })
    }
}

impl<T: Payload, P: Primitive<Value = T>> Builder<P> {
    /// What the value is at first, if this creates the object; all zero if not given.
    pub fn value(mut self, value: T) -> Self {
        self.initial = value.as_bytes().to_vec();
        self
    }

    /// The most participants of an object that this creates, 1 to 64; 64 if not given. Each takes 384 bytes, and writers of an [`RwLock`] look at each.
    pub fn participants(mut self, most: u32) -> Self {
        self.options.wishes.producers = most;
        self
    }

    /// Lets guards refer to the shared memory itself, instead of to a private copy.
    ///
    /// # Safety
    /// As long as the handle lives, every process that can open the object (the same user, root, and whoever is given a descriptor) must keep its
    /// protocol: nobody writes the value, or the words of the lock, without holding it. Otherwise a reference changes under the feet of safe code.
    pub unsafe fn trust_peers(mut self) -> Self {
        // SAFETY: the caller promises the same.
        self.options.behaviour = unsafe { self.options.behaviour.trusting_peers() };
        self
    }
}

/// An object on the heap, of which threads of this process make any number of handles: made by [`Builder::heap`].
#[derive(Debug)]
pub struct Heap<P> {
    memory: Arc<Memory>,
    behaviour: Behaviour,
    _makes: PhantomData<fn() -> P>,
}

impl<P: Primitive> Heap<P> {
    /// Takes part.
    ///
    /// # Errors
    /// [`OpenError::RoleTaken`] if there are as many as the object was made for.
    pub fn participant(&self) -> Result<P, OpenError> {
        take_part_in::<P>(&self.memory, self.behaviour)
    }
}
