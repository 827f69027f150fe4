//! One descriptor for all that a side waits for: its connections, whoever knocks, and the moment to try again.

use crate::wait::refused;
use core::mem::MaybeUninit;
use core::time::Duration;
use ringshm_core::error::OpenError;
use ringshm_core::{Deadline, Fault};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub(crate) use rustix::event::epoll::EventFlags;

/// Stands for the timer among those that are watched.
pub(crate) const TIMER: u64 = 0;
/// Stands for the socket that is listened on, or being connected.
pub(crate) const DOOR: u64 = 1;
/// Stands for the first connection; the next ones follow.
pub(crate) const FIRST_LINK: u64 = 2;

/// What is asked about at once.
const EVENTS: usize = 64;

/// An epoll of its own: readable when anything that it watches is ready, or the timer has gone off.
///
/// Each message through a socket that is watched calls the epoll back, whether anybody sleeps on it or not: 50 ns more, on either side, of 730. So a
/// connection is watched only where there are several, or others look at the descriptor.
#[derive(Debug)]
pub(crate) struct Watch {
    epoll: OwnedFd,
    timer: OwnedFd,
    /// Who was ready when it was last looked.
    ready: Vec<(u64, EventFlags)>,
}

fn os(step: &'static str) -> impl Fn(Errno) -> OpenError {
    move |errno| OpenError::Os { step, source: errno.into() }
}

impl Watch {
    pub(crate) fn new() -> Result<Self, OpenError> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(os("making an epoll descriptor"))?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)
            .map_err(os("making a timer (timerfd_create)"))?;
        let watch = Self { epoll, timer, ready: Vec::with_capacity(EVENTS) };
        watch.add(&watch.timer, TIMER, EventFlags::IN).map_err(os("watching a timer (epoll_ctl)"))?;
        Ok(watch)
    }

    pub(crate) fn add(&self, fd: impl AsFd, token: u64, flags: EventFlags) -> Result<(), Errno> {
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token), flags)
    }

    /// Watches a connection. If there is no memory to watch it, it is ended, and both sides find that out as of any other end.
    pub(crate) fn add_or_end(&self, socket: &OwnedFd, token: u64, flags: EventFlags) {
        if self.add(socket, token, flags).is_err() {
            let _ = shutdown(socket, Shutdown::Both);
        }
    }

    /// Watches for something else. Cannot fail for what is watched.
    pub(crate) fn change(&self, fd: impl AsFd, token: u64, flags: EventFlags) {
        let _ = epoll::modify(&self.epoll, fd, epoll::EventData::new_u64(token), flags);
    }

    /// To be called before it is closed: a descriptor that a forked child has too would stay.
    pub(crate) fn remove(&self, fd: impl AsFd) {
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Has the timer go off after `pause`.
    pub(crate) fn wake_after(&self, pause: Duration) {
        self.set(pause);
    }

    /// Has the timer not go off, and forgets that it did.
    pub(crate) fn let_sleep(&self) {
        self.set(Duration::ZERO);
    }

    fn set(&self, pause: Duration) {
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let it_value = Timespec::try_from(pause).unwrap_or(never);
        // Fails for times that are none only.
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: never, it_value });
    }

    /// Sleeps until something is ready, or until the deadline, and says what: at most once each, in turn. Signals do not end it.
    pub(crate) fn look(&mut self, deadline: Deadline) -> Result<impl Iterator<Item = (u64, EventFlags)> + '_, Fault> {
        loop {
            let left = deadline.remaining().map(|left| Timespec::try_from(left).unwrap_or(LONG));
            match epoll::wait(&self.epoll, &mut [MaybeUninit::uninit(); EVENTS], left.as_ref()) {
                Ok((events, _)) => {
                    self.ready.clear();
                    self.ready.extend(events.iter().map(|event| (event.data.u64(), event.flags)));
                    return Ok(self.ready.iter().copied());
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(refused("waiting for connections (epoll_wait)")(errno)),
            }
        }
    }
}

/// As long as the kernel takes.
const LONG: Timespec = Timespec { tv_sec: 1_000_000, tv_nsec: 0 };

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
