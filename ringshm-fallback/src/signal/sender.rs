//! Sending signals.

use super::Signals;
use super::kernel::{self, Origin};
use super::value::{Carried, Refusal};
use crate::backoff::Backoff;
use crate::wait::refused;
use ringshm_core::error::{OpenError, SendTimeoutError, TrySendError};
use ringshm_core::{Awaited, Capabilities, Channel, Deadline, Fault, Interest, Sender};
use ringshm_sync::time::Ration;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// The least time between two looks whether the process is still there, where nothing else calls for one.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);

/// A sender of signals to one process: made by [`Signals::sender`].
///
/// It is told `Disconnected` when the process has ended, within 50 ms if it goes on sending; what it sent meanwhile is lost, as is what the process
/// had not received. `Full` when as many signals wait as the process's `RLIMIT_SIGPENDING` (`ulimit -i`) allows all processes of its user together.
#[derive(Debug)]
pub struct SignalSender {
    process: OwnedFd,
    signal: i32,
    carried: Carried,
    origin: Origin,
    probes: Ration,
    capabilities: Capabilities,
}

/// The process of that number, in a way that no other can take its place.
pub(super) fn open_process(pid: u32) -> Result<OwnedFd, OpenError> {
    let missing = || OpenError::NotFound { path: format!("/proc/{pid}").into() };
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(missing)?;
    pidfd_open(number, PidfdFlags::NONBLOCK).map_err(|errno| match errno {
        // A thread that is not its process's first has a number, too.
        Errno::SRCH | Errno::INVAL | Errno::NOENT => missing(),
        _ => OpenError::Os { step: "opening the process (pidfd_open)", source: errno.into() },
    })
}

/// Whether the process has ended, zombies included.
pub(super) fn has_ended(process: &OwnedFd) -> bool {
    crate::wait::until_ready(process, Interest::Readable, Deadline::after(Duration::ZERO))
        == Ok(crate::wait::Wake::Ready)
}

impl SignalSender {
    pub(super) fn new(builder: &Signals, signal: i32, carried: Carried, pid: u32) -> Result<Self, OpenError> {
        let process = open_process(pid)?;
        if kernel::defenceless(pid, signal).is_some_and(|threads| threads > 0) {
            let name = &builder.name;
            return Err(OpenError::InvalidOption {
                option: "signal",
                reason: format!(
                    "process {pid} neither waits for {name} nor handles it, and would be ended by it: open its receiver first"
                ),
            });
        }
        // Asks for the right to send, and sends nothing.
        match kernel::notify(process.as_fd(), 0) {
            Ok(()) => {}
            Err(Errno::PERM) => {
                let reason = "it belongs to another user".to_owned();
                return Err(OpenError::Permission { path: format!("/proc/{pid}").into(), reason });
            }
            Err(errno) => return Err(OpenError::Os { step: STEP, source: errno.into() }),
        }
        let origin = Origin { pid: std::process::id(), uid: rustix::process::getuid().as_raw() };
        let capabilities = builder.capabilities(carried, false);
        Ok(Self { process, signal, carried, origin, probes: Ration::default(), capabilities })
    }

    fn put(&mut self, message: &[u8]) -> Result<(), TrySendError<()>> {
        let value = self.carried.pack(message).map_err(|refusal| match refusal {
            Refusal::TooLarge { max } => TrySendError::TooLarge { len: message.len(), max },
            Refusal::Unsupported(reason) => TrySendError::Unsupported { reason },
        })?;
        if self.probes.is_due(PROBE_INTERVAL) && has_ended(&self.process) {
            return Err(TrySendError::Disconnected(()));
        }
        let sent = match self.carried {
            Carried::Nothing => kernel::notify(self.process.as_fd(), self.signal),
            _ => kernel::queue(self.process.as_fd(), self.signal, self.origin, value),
        };
        sent.map_err(|errno| match errno {
            Errno::AGAIN => TrySendError::Full(()),
            Errno::SRCH => TrySendError::Disconnected(()),
            errno => TrySendError::Fault((), fault(errno)),
        })
    }

    fn put_or_look(&mut self, message: &[u8]) -> Result<(), TrySendError<()>> {
        match self.put(message) {
            Err(TrySendError::Full(())) if has_ended(&self.process) => Err(TrySendError::Disconnected(())),
            result => result,
        }
    }
}

const STEP: &str = "sending the signal (pidfd_send_signal)";

fn fault(errno: Errno) -> Fault {
    refused(STEP)(errno)
}

impl Channel for SignalSender {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn awaited(&self) -> Awaited<'_> {
        Awaited::Nothing
    }

    fn detach(self: Box<Self>) {}
}

impl Sender for SignalSender {
    fn try_send(&mut self, message: &[u8]) -> Result<(), TrySendError<()>> {
        self.put_or_look(message)
    }

    fn send_by(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendTimeoutError<()>> {
        let mut backoff = Backoff::until(deadline);
        loop {
            match self.put_or_look(message).map_err(TrySendError::into_lasting) {
                Ok(()) => return Ok(()),
                Err(Some(error)) => return Err(error),
                Err(None) if backoff.rest() => {}
                Err(None) => return Err(SendTimeoutError::Timeout(())),
            }
        }
    }
}
