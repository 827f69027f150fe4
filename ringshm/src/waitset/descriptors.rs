//! The file descriptors of a set: epoll, and a thread that waits for it while the set's owner sleeps on its rings.
//!
//! The owner asks epoll itself before it sleeps, and again after: the thread says only that there is a reason to. So a descriptor is reported
//! for as long as it is ready, and the thread does not run at all while the owner is awake and finds some ready.

use super::{Id, Shared};
use ringshm_core::{Awaited, Channel, Interest};
use ringshm_sync::time::Deadline;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::time::Timespec;
use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// What stands for the set's own event, that of its notifiers.
const OWN: Id = Id::MAX;

/// Something with a descriptor, of a type that its owner knows.
trait Source: Any + Send {
    fn fd(&self) -> BorrowedFd<'_>;

    /// Whether there is more than the descriptor shows.
    fn has_more(&mut self) -> bool {
        false
    }

    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl<F: AsFd + Send + 'static> Source for F {
    fn fd(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// A channel that is awaited by a descriptor.
struct OfKernel<C>(C);

impl<C: Channel + 'static> Source for OfKernel<C> {
    fn fd(&self) -> BorrowedFd<'_> {
        match self.0.awaited() {
            Awaited::Descriptor(fd, _) => fd,
            Awaited::Bell(_) | Awaited::Nothing => unreachable!("a channel stays what it is"),
        }
    }

    fn has_more(&mut self) -> bool {
        self.0.has_more()
    }

    fn as_any(&self) -> &dyn Any {
        &self.0
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        &mut self.0
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        Box::new(self.0)
    }
}

pub(super) struct Descriptors {
    epoll: Arc<OwnedFd>,
    sources: HashMap<Id, Box<dyn Source>>,
    lookout: Option<Lookout>,
    shared: Arc<Shared>,
}

impl fmt::Debug for Descriptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Descriptors")
            .field("epoll", &self.epoll)
            .field("count", &self.sources.len())
            .finish_non_exhaustive()
    }
}

impl Descriptors {
    /// None, but for the event of the set's notifiers.
    pub(super) fn new(shared: &Arc<Shared>) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &event, EventData::new_u64(OWN), EventFlags::IN)?;
        // Only this function sets it, once for a set.
        let _ = shared.event.set(event);
        Ok(Self { epoll: Arc::new(epoll), sources: HashMap::new(), lookout: None, shared: Arc::clone(shared) })
    }

    pub(super) fn len(&self) -> usize {
        self.sources.len()
    }

    pub(super) fn add(&mut self, id: Id, fd: impl AsFd + Send + 'static, interest: Interest) -> io::Result<()> {
        self.put(id, Box::new(fd), interest)
    }

    pub(super) fn add_channel(
        &mut self,
        id: Id,
        channel: impl Channel + 'static,
        interest: Interest,
    ) -> io::Result<()> {
        self.put(id, Box::new(OfKernel(channel)), interest)
    }

    fn put(&mut self, id: Id, source: Box<dyn Source>, interest: Interest) -> io::Result<()> {
        epoll::add(&*self.epoll, source.fd(), EventData::new_u64(id), flags_of(interest))?;
        self.sources.insert(id, source);
        Ok(())
    }

    pub(super) fn get<F: 'static>(&self, id: Id) -> Option<&F> {
        self.sources.get(&id)?.as_any().downcast_ref()
    }

    pub(super) fn get_mut<F: 'static>(&mut self, id: Id) -> Option<&mut F> {
        self.sources.get_mut(&id)?.as_any_mut().downcast_mut()
    }

    pub(super) fn remove<F: 'static>(&mut self, id: Id) -> Option<F> {
        let source = self.sources.remove(&id)?;
        // It fails if the source has another descriptor now, and the one it had is closed: then epoll has forgotten that.
        let _ = epoll::delete(&*self.epoll, source.fd());
        source.into_any().downcast().ok().map(|source| *source)
    }

    /// Adds those that are ready, or in error, to `ready`: all of them, so that none is ever passed over for another.
    pub(super) fn look(&mut self, ready: &mut Vec<Id>) -> io::Result<()> {
        let first = ready.len();
        ready.extend(self.sources.iter_mut().filter_map(|(id, source)| source.has_more().then_some(*id)));
        let mut events = Vec::with_capacity(self.sources.len() + 1);
        self.ask(&mut events, Some(&Timespec::default()))?;
        for event in events {
            match event.data.u64() {
                OWN => self.shared.forget_event(),
                id if ready[first..].contains(&id) => {}
                id => ready.push(id),
            }
        }
        Ok(())
    }

    /// Waits until one is ready, a notifier calls, or the deadline.
    pub(super) fn wait(&mut self, deadline: Deadline) -> io::Result<()> {
        let left = deadline.remaining().map(|left| Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        self.ask(&mut Vec::with_capacity(1), left.as_ref())
    }

    fn ask(&self, events: &mut Vec<Event>, timeout: Option<&Timespec>) -> io::Result<()> {
        match epoll::wait(&*self.epoll, spare_capacity(events), timeout) {
            // After a signal: the caller looks at everything, and waits again.
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// While the caller sleeps on other things, has the set's signal raised when a descriptor is ready. The caller has looked at the signal
    /// before it looked at the descriptors.
    pub(super) fn watch(&mut self) -> io::Result<()> {
        if self.sources.is_empty() {
            return Ok(());
        }
        let lookout = match &mut self.lookout {
            Some(lookout) => lookout,
            lookout => lookout.insert(Lookout::start(&self.epoll, &self.shared)?),
        };
        lookout.watch();
        Ok(())
    }
}

fn flags_of(interest: Interest) -> EventFlags {
    match interest {
        Interest::Readable => EventFlags::IN | EventFlags::RDHUP,
        Interest::Writable => EventFlags::OUT,
        Interest::Either => EventFlags::IN | EventFlags::RDHUP | EventFlags::OUT,
    }
}

/// What the thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// Nothing: it has raised the signal, or was not asked yet.
    Rest,
    /// It waits for a descriptor.
    Watch,
    /// It ends.
    End,
}

#[derive(Debug)]
struct Orders {
    task: Mutex<Task>,
    change: Condvar,
}

impl Orders {
    fn task(&self) -> MutexGuard<'_, Task> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that waits for epoll.
#[derive(Debug)]
struct Lookout {
    orders: Arc<Orders>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// A forked child has the value and not the thread.
    process: u32,
}

impl Lookout {
    fn start(epoll: &Arc<OwnedFd>, shared: &Arc<Shared>) -> io::Result<Self> {
        let orders = Arc::new(Orders { task: Mutex::new(Task::Rest), change: Condvar::new() });
        let thread = std::thread::Builder::new().name("ringshm-lookout".to_owned()).spawn({
            let (orders, epoll, shared) = (Arc::clone(&orders), Arc::clone(epoll), Arc::clone(shared));
            move || stand(&orders, &epoll, &shared)
        })?;
        Ok(Self { orders, shared: Arc::clone(shared), thread: Some(thread), process: std::process::id() })
    }

    fn watch(&self) {
        let mut task = self.orders.task();
        if *task == Task::Rest {
            *task = Task::Watch;
            self.orders.change.notify_one();
        }
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            return;
        }
        *self.orders.task() = Task::End;
        self.orders.change.notify_one();
        self.shared.raise_event();
        if let Some(thread) = self.thread.take() {
            // It does not panic.
            let _ = thread.join();
        }
    }
}

fn stand(orders: &Orders, epoll: &OwnedFd, shared: &Shared) {
    loop {
        let mut task = orders.task();
        while *task == Task::Rest {
            task = orders.change.wait(task).unwrap_or_else(PoisonError::into_inner);
        }
        if *task == Task::End {
            return;
        }
        drop(task);
        let mut event = Vec::with_capacity(1);
        let outcome = epoll::wait(epoll, spare_capacity(&mut event), None);
        if outcome == Err(Errno::INTR) {
            continue;
        }
        // On any other error too: the owner asks epoll itself, and reports it.
        let mut task = orders.task();
        if *task == Task::Watch {
            *task = Task::Rest;
        }
        drop(task);
        shared.signal.raise();
    }
}
