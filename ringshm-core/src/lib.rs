//! The rings of ringshm and the memory they live in.
//!
//! | layer | files |
//! |---|---|
//! | handles | [`Producer`], [`Consumer`] (fixed-size messages), [`RecordProducer`], [`RecordConsumer`] (byte records) |
//! | the ring | `spsc`, [`express`] |
//! | what is no ring: locks and meeting points | [`sync`] |
//! | who takes part | `endpoint`, `lanes`, `ledger` |
//! | where it lies | `memory`, [`layout`], `attach`, `os` |
//!
//! Programs use the crate `ringshm`, which adds builders and re-exports the handles.

mod ahead;
mod bell;
pub mod broadcast;
pub mod capabilities;
mod detector;
mod endpoint;
pub mod error;
pub mod express;
pub mod frames;
mod geometry;
mod identity;
#[cfg(not(loom))]
pub mod inspect;
pub mod lanes;
pub mod latest;
pub mod layout;
pub mod ledger;
mod member;
pub mod memory;
pub mod message;
pub mod mpmc;
mod position;
mod record;
pub mod records;
pub mod slots;
mod spsc;
pub mod sync;
pub mod traits;
pub mod waitable;

#[cfg(not(loom))]
pub mod attach;
#[cfg(not(loom))]
pub mod collect;
#[cfg(not(loom))]
pub mod open;
#[cfg(not(loom))]
pub mod os;

pub use capabilities::{Capabilities, Longest, Loss, Order, Parties};
pub use error::Fault;
pub use lanes::{Peer, Role};
pub use member::{Behaviour, HugePages, OnDeath, Residency};
pub use message::Message;
pub use records::{RecordConsumer, RecordDrain, RecordLoan, RecordProducer, RecordRef};
pub use ringshm_sync::time::Deadline;
pub use ringshm_sync::{semaphore, wait};
pub use slots::{Consumer, Drain, Iter, Loan, Payload, Producer, RecvRef, TryIter};
pub use traits::{Awaited, Batch, Channel, Interest, Receiver, Sender};
pub use waitable::Waitable;
