//! A handle with a descriptor, for event loops of any kind: see [`Watcher`].

use super::descriptor::{Descriptor, Mechanism};
use super::handles::Waited;
use ringshm_core::Waitable;
use ringshm_sync::watch::{Watch, announce};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// A handle with a descriptor that becomes readable when it is worth a look: for epoll, poll, an event loop of one's own, `tokio::io::unix::AsyncFd`,
/// `async_io::Async`. Do not read from the descriptor.
///
/// **Arm, then wait, then look, then arm again.** [`arm`](Self::arm) makes the descriptor unreadable, announces that somebody waits, and looks
/// once more. If it says that there is nothing yet, the descriptor becomes readable when the ring is rung for, and stays so until it is armed again:
/// level-triggered watchers see it as long as that takes, edge-triggered ones once. It becomes readable without a message too, at the latest
/// after 20 ms, and 0.9 ms more for each handle of this process that is watched or awaited, up to 200 ms, because nobody rings for what a killed process left
/// undone. Therefore always look at the ring after that, with the handle's `try_` calls, until they say `Empty` or `Full`.
///
/// What is armed stays announced until somebody rings, once.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use ringshm::asynchronous::Watcher;
/// use rustix::event::{PollFd, PollFlags, poll};
///
/// let (mut ticks, receiver) = ringshm::spsc::<u64>("").capacity(8).threads()?;
/// let mut receiver = Watcher::new(receiver)?;
/// let sending = std::thread::spawn(move || ticks.send(7));
/// let tick = loop {
///     if let Ok(tick) = receiver.get_mut().try_recv() {
///         break tick;
///     }
///     if receiver.arm()? {
///         poll(&mut [PollFd::new(&receiver, PollFlags::IN)], None)?;
///     }
/// };
/// assert_eq!(tick, 7);
/// # sending.join().expect("it does not panic")?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Watcher<H: Waitable> {
    watch: Watch<Waited<H>>,
    descriptor: Descriptor,
    process: u32,
}

impl<H: Waitable> Watcher<H> {
    /// Watches the handle by the [best](Mechanism::best) mechanism.
    ///
    /// # Errors
    /// If the system has no descriptor, or no thread; the handle is dropped then.
    pub fn new(handle: H) -> io::Result<Self> {
        Self::with(handle, Mechanism::best().mechanism)
    }

    /// Watches it by that mechanism.
    ///
    /// # Errors
    /// As for [`new`](Self::new); and if the kernel does not have the mechanism.
    pub fn with(handle: H, mechanism: Mechanism) -> io::Result<Self> {
        let descriptor = Descriptor::open(mechanism, true)?;
        Ok(Self { watch: Watch::new(Waited(handle)), descriptor, process: std::process::id() })
    }

    /// By what the descriptor becomes readable.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.descriptor.mechanism()
    }

    /// Says whether there is nothing to be seen yet: then the descriptor, unreadable now, becomes readable when there may be. `false`: look at
    /// the ring, and arm again.
    ///
    /// # Errors
    /// If the kernel has no memory for it: the descriptor may stay unreadable.
    pub fn arm(&mut self) -> io::Result<bool> {
        self.descriptor.clear();
        self.descriptor.register();
        if !announce(std::slice::from_mut(&mut self.watch)) {
            return Ok(false);
        }
        self.descriptor.watch(&self.watch)
    }

    /// The handle, to be used without a descriptor, or detached.
    #[must_use]
    pub fn into_inner(mut self) -> H {
        if self.process == std::process::id() {
            self.watch.withdraw();
        }
        self.descriptor.quit();
        self.watch.into_inner().0
    }

    /// The handle.
    #[must_use]
    pub fn get_ref(&self) -> &H {
        &self.watch.get().0
    }

    /// The handle, to be used: everything that does not wait. What blocks may be woken 5 ms late while the watcher is armed.
    #[must_use]
    pub fn get_mut(&mut self) -> &mut H {
        &mut self.watch.get_mut().0
    }
}

impl<H: Waitable> AsFd for Watcher<H> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl<H: Waitable> AsRawFd for Watcher<H> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
