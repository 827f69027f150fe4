//! What a real-time program asks of the machine before it sends: the settings whose effect on the tail of the latency is measured.
//!
//! # Safety
//! `sched_setscheduler` is given a parameter that outlives the call.

#![allow(unsafe_code, reason = "sched_setscheduler, which rustix does not offer")]

use anyhow::{Context as _, Result};
use ringshm::{Builder, HugePages, Message};
use serde::{Deserialize, Serialize};
use std::io;

/// The priority in `SCHED_FIFO`: above everything that is not real-time, and below the kernel's own threads (50).
const PRIORITY: i32 = 10;

/// What both sides of a channel ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The pages are entered before the first message.
    pub prefault: bool,
    /// And locked.
    pub lock: bool,
    /// The ring lies in huge pages.
    pub huge_pages: bool,
    /// Both processes are scheduled by `SCHED_FIFO` while they exchange messages.
    pub fifo: bool,
}

impl Setting {
    /// Those that are compared: nothing, each, and everything.
    pub const ALL: [Self; 6] = {
        let nothing = Self { prefault: false, lock: false, huge_pages: false, fifo: false };
        [
            nothing,
            Self { prefault: true, ..nothing },
            Self { prefault: true, lock: true, ..nothing },
            Self { huge_pages: true, ..nothing },
            Self { fifo: true, ..nothing },
            Self { prefault: true, lock: true, huge_pages: true, fifo: true },
        ]
    };

    /// A ring, or a role of one, with what this asks of it.
    pub fn of<M: Message + ?Sized>(self, mut ring: Builder<M>) -> Builder<M> {
        if self.prefault {
            ring = ring.prefault();
        }
        if self.lock {
            ring = ring.lock_memory();
        }
        if self.huge_pages {
            ring = ring.huge_pages(HugePages::Require);
        }
        ring
    }

    /// Why this machine, or who runs this, does not get it: found by asking for it, for a ring of so many bytes. `None` if it is to be had.
    #[must_use]
    pub fn refusal(self, bytes: u64) -> Option<String> {
        let attempt = || -> Result<()> {
            let ring = self.of(ringshm::spsc::<[u8]>("setting").capacity(bytes)).memfd()?;
            self.of(ringshm::spsc::<[u8]>("")).producer_of(&ring)?;
            // In a thread, whose scheduling ends with it.
            let scheduled = std::thread::spawn(move || self.while_scheduled(|| ())).join();
            scheduled.expect("it does not panic")
        };
        attempt().err().map(|error| format!("{error:#}"))
    }

    /// Does something in the scheduling class that this asks for.
    ///
    /// # Errors
    /// If this thread may not have it.
    pub fn while_scheduled<T>(self, act: impl FnOnce() -> T) -> Result<T> {
        if !self.fifo {
            return Ok(act());
        }
        schedule(libc::SCHED_FIFO, PRIORITY)
            .context("SCHED_FIFO is not permitted (raise the limit, `ulimit -r`, or grant CAP_SYS_NICE)")?;
        let result = act();
        schedule(libc::SCHED_OTHER, 0).context("leaving SCHED_FIFO")?;
        Ok(result)
    }
}

impl core::fmt::Display for Setting {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let all = [
            (self.prefault, "prefault"),
            (self.lock, "lock"),
            (self.huge_pages, "huge pages"),
            (self.fifo, "SCHED_FIFO"),
        ];
        let words: Vec<&str> = all.into_iter().filter(|(is_on, _)| *is_on).map(|(_, word)| word).collect();
        f.pad(&if words.is_empty() { "nothing".to_owned() } else { words.join(", ") })
    }
}

/// Puts this thread into a scheduling class.
fn schedule(policy: libc::c_int, priority: i32) -> io::Result<()> {
    // SAFETY: numbers only, of which zero is one.
    let mut parameter: libc::sched_param = unsafe { core::mem::zeroed() };
    parameter.sched_priority = priority;
    // SAFETY: 0 is the calling thread; the parameter outlives the call.
    let result = unsafe { libc::sched_setscheduler(0, policy, &raw const parameter) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
