//! What one run measures, as data: it travels to the processes that play it as JSON.

use crate::abilities::Abilities;
use crate::setting::Setting;
use crate::tail::Counts;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One run: who, what, how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The rival's name in [`crate::rivals::all`]; or the name of a channel, as [`ringshm::open`] takes it.
    pub rival: String,
    /// What is measured.
    pub test: Test,
    /// What is sent.
    pub cargo: Cargo,
    /// Between how many.
    pub crew: Crew,
    /// Slots of the channel, for those that count slots.
    pub capacity: usize,
    /// How a consumer waits, where the rival leaves the choice.
    pub wait: Waiting,
    /// Measured for as long, in seconds, after warming up.
    pub seconds: f64,
    /// The folder for the names of rings, if it is not the usual one.
    #[serde(default)]
    pub directory: Option<PathBuf>,
}

/// How many send, and how many receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crew {
    /// Those that send.
    pub producers: usize,
    /// Those that receive.
    pub consumers: usize,
}

impl Crew {
    /// One of each.
    pub const PAIR: Self = Self { producers: 1, consumers: 1 };

    /// All of them.
    #[must_use]
    pub fn members(&self) -> usize {
        self.producers + self.consumers
    }

    /// Whether they share the two cores of a run, so that one who waits had better let another one work.
    #[must_use]
    pub fn is_crowd(&self) -> bool {
        self.members() > 2
    }
}

impl core::fmt::Display for Crew {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}P{}C", self.producers, self.consumers)
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Test {
    /// Throughput, one way.
    Stream {
        /// Messages sent together; 1 is one by one.
        batch: usize,
    },
    /// Throughput where every message goes to one of the consumers: of all consumers together.
    Share {
        /// Messages sent together; 1 is one by one.
        batch: usize,
    },
    /// Throughput where every message goes to all consumers: of each of them.
    Spread {
        /// Messages sent together; 1 is one by one.
        batch: usize,
    },
    /// The rate of a producer that nobody holds back, with so many readers that may lose messages.
    Lossy,
    /// The time from when a value is written until it is seen.
    Seen,
    /// The time from when a consumer is killed until another one has its message.
    Recovery,
    /// A message sent and received by one thread, with nobody else there.
    Alone,
    /// The time until the answer.
    RoundTrip,
    /// The same, where both sides sleep for each message.
    Wake,
    /// As `Offered`, to a consumer that sleeps for each message.
    WakeAt {
        /// Messages in a second.
        rate: f64,
    },
    /// The time from when a message should have been sent until it is received.
    Offered {
        /// Messages in a second.
        rate: f64,
    },
    /// As [`Offered`](Self::Offered), all rounds together, and down to one message in ten thousand.
    Tail {
        /// Messages in a second.
        rate: f64,
        /// What both sides ask of the machine.
        setting: Setting,
    },
    /// Blocks copied into memory on one core and out of it on the other: nothing that copies is faster.
    Copy,
    /// As [`Offered`](Self::Offered), of frames, to a consumer that wants the newest only and is busy with each for a while: how old is what it gets?
    Newest {
        /// Frames in a second.
        rate: f64,
    },
    /// Nothing is measured: one process takes both sides of a channel, sends a message and receives it, and says what the channel can do.
    Look,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Cargo {
    /// Messages of a fixed size in bytes: 8, 64, 256, 1024 or 4096.
    Messages(usize),
    /// Records that all have this size in bytes.
    Records(usize),
    /// Records of the sizes of a market-data feed: median 170 bytes, mean 265, up to 28 KB.
    Feed,
    /// Frames of video, in I420: 12 bits for each pixel.
    Frames {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// What is done with the pixels.
        pixels: Pixels,
    },
}

/// What is done with the pixels of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pixels {
    /// Nothing: the frame is handed over, and only its first bytes are written and read.
    Untouched,
    /// Its producer writes every byte, and its consumer reads every byte.
    Touched,
}

/// Bytes of a frame of so many pixels.
#[must_use]
pub fn frame_bytes(width: u32, height: u32) -> usize {
    width as usize * height as usize * 3 / 2
}

/// How a consumer waits, where the rival leaves the choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Waiting {
    /// Spins for ever.
    Spin,
    /// Sleeps at once.
    Park,
    /// Spins for a while, then sleeps.
    SpinThenPark,
}

impl Cargo {
    /// The bytes of a message, on average.
    #[must_use]
    pub fn mean_size(&self) -> f64 {
        match self {
            Self::Messages(size) | Self::Records(size) => *size as f64,
            Self::Feed => crate::records::Feed::market().mean(),
            Self::Frames { width, height, .. } => frame_bytes(*width, *height) as f64,
        }
    }

    /// Bytes that a channel of `slots` such messages holds.
    #[must_use]
    pub fn bytes(&self, slots: usize) -> usize {
        match self {
            Self::Messages(size) => slots * size,
            // With eight bytes for a length.
            Self::Records(size) => slots * (size + 8),
            Self::Feed => slots * 256,
            Self::Frames { width, height, .. } => slots * (frame_bytes(*width, *height) + 8),
        }
    }
}

impl core::fmt::Display for Cargo {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let size = |size: usize| {
            if size >= 1 << 20 {
                format!("{} MiB", size >> 20)
            } else if size > 1024 {
                format!("{} KiB", size >> 10)
            } else {
                format!("{size} B")
            }
        };
        match self {
            Self::Messages(bytes) => f.write_str(&size(*bytes)),
            Self::Records(bytes) => write!(f, "records of {}", size(*bytes)),
            Self::Feed => f.write_str("feed records"),
            Self::Frames { width, height, pixels: Pixels::Untouched } => write!(f, "{width}x{height}, handed over"),
            Self::Frames { width, height, pixels: Pixels::Touched } => write!(f, "{width}x{height}, every byte"),
        }
    }
}

/// What a run found. Times in nanoseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// How long a cache line travelled one way, before the run.
    pub before: f64,
    /// And after it.
    pub after: f64,
    /// What was measured.
    pub reading: Reading,
}

/// What a run measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reading {
    /// Messages in a second: the median over windows of 5 to 50 µs, or `sustained` if that is much less. 0 for times.
    pub rate: f64,
    /// Messages in a second over the run, without windows in which a core was taken away.
    pub sustained: f64,
    /// Messages in a second over the whole run, whatever happened in it.
    pub whole: f64,
    /// A time: the median over windows for round trips, the median over messages otherwise. 0 for rates.
    pub time: f64,
    /// The distribution of the times.
    pub spread: Option<Percentiles>,
    /// The share of a core that the consumer used.
    pub cpu: Option<f64>,
    /// The share of the messages that got lost, where that may be.
    #[serde(default)]
    pub lost: Option<f64>,
    /// What a channel can do, where that was the question.
    #[serde(default)]
    pub abilities: Option<Abilities>,
    /// All times, where those of several runs are added up.
    #[serde(default)]
    pub counts: Counts,
}

/// A distribution of times, in nanoseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// One in ten is longer.
    pub p90: f64,
    /// One in a hundred is longer.
    pub p99: f64,
    /// One in a thousand is longer.
    pub p999: f64,
    /// None is longer.
    pub max: f64,
    /// How many were measured.
    pub count: u64,
}
