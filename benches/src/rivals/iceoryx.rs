//! iceoryx2: publish and subscribe with slices, filled and read in place; nothing is lost, and the subscriber polls.
//!
//! Its files have the run's name, and who started the run removes what a killed process leaves of them.

use super::pausing::{Eager, until};
use crate::channel::{Across, Link, Receiver, RecordReceiver, RecordSender, RecordsAcross, Sender};
use crate::message::{Check, Message};
use crate::plan::Cargo;
use crate::plan::Plan;
use crate::records::{Feed, RecordCheck};
use anyhow::{Result, anyhow};
use core::fmt::Debug;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::publish_subscribe::PortFactory;
use std::os::fd::OwnedFd;
use zerocopy::IntoBytes as _;

/// iceoryx2.
pub(super) struct Iceoryx;

type Ipc = ipc::Service;
type Service<T> = PortFactory<Ipc, [T], ()>;

/// A port, and the node that it belongs to.
struct Port<P> {
    port: P,
    _node: Node<Ipc>,
}

fn service<T: ZeroCopySend + Debug + 'static>(plan: &Plan, link: &Link) -> Result<(Node<Ipc>, Service<T>)> {
    set_log_level(LogLevel::Error);
    let mut config = Config::default();
    config.global.prefix = FileName::new(link.name.as_bytes()).map_err(|error| anyhow!("{error:?}"))?;
    let root = std::env::temp_dir().join(&link.name);
    let root = Path::new(root.as_os_str().as_encoded_bytes()).map_err(|error| anyhow!("{error:?}"))?;
    config.global.set_root_path(&root);
    let node = NodeBuilder::new().config(&config).create::<Ipc>()?;
    let service = node
        .service_builder(&"bench".try_into()?)
        .publish_subscribe::<[T]>()
        .enable_safe_overflow(false)
        .subscriber_max_buffer_size(plan.capacity)
        .max_publishers(1)
        .max_subscribers(1)
        .open_or_create()?;
    Ok((node, service))
}

fn publisher<T: ZeroCopySend + Debug + 'static>(
    plan: &Plan,
    link: &Link,
    longest: usize,
) -> Result<Port<Publisher<Ipc, [T], ()>>> {
    let (node, service) = service(plan, link)?;
    let port = service
        .publisher_builder()
        .initial_max_slice_len(longest)
        .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
        .create()?;
    Ok(Port { port, _node: node })
}

fn subscriber<T: ZeroCopySend + Debug + 'static>(plan: &Plan, link: &Link) -> Result<Port<Subscriber<Ipc, [T], ()>>> {
    let (node, service) = service(plan, link)?;
    Ok(Port { port: service.subscriber_builder().create()?, _node: node })
}

impl<M: Message> Sender<M> for Port<Publisher<Ipc, [u64], ()>> {
    #[inline]
    fn send(&mut self, message: M) {
        let slice = self.port.loan_slice_uninit(M::WORDS as usize).expect("a slice is free");
        slice.write_from_slice(message.words()).send().expect("the subscriber lives");
    }

    fn send_batch(&mut self, first: u64, count: usize) {
        (first..first + count as u64).for_each(|number| Sender::<M>::send(self, M::numbered(number)));
    }
}

impl<M: Message> Receiver<M> for Port<Subscriber<Ipc, [u64], ()>> {
    #[inline]
    fn recv(&mut self) -> M {
        until::<Eager, _>(|| {
            let sample = self.port.receive().expect("the publisher lives")?;
            Some(M::read_from_bytes(sample.payload().as_bytes()).expect("it has this size"))
        })
    }

    fn recv_batch(&mut self, check: &mut Check) {
        check.see(&Receiver::<M>::recv(self));
    }
}

impl RecordSender for Port<Publisher<Ipc, [u8], ()>> {
    fn send(&mut self, record: &[u8]) {
        let slice = self.port.loan_slice_uninit(record.len()).expect("a slice is free");
        slice.write_from_slice(record).send().expect("the subscriber lives");
    }

    fn send_batch(&mut self, records: &[&[u8]]) {
        records.iter().for_each(|record| self.send(record));
    }
}

impl RecordReceiver for Port<Subscriber<Ipc, [u8], ()>> {
    fn recv(&mut self, check: &mut RecordCheck) {
        until::<Eager, _>(|| {
            check.see(self.port.receive().expect("the publisher lives")?.payload());
            Some(())
        });
    }

    fn recv_batch(&mut self, check: &mut RecordCheck) {
        self.recv(check);
    }
}

impl Across for Iceoryx {
    fn link<M: Message>(_plan: &Plan) -> Result<Vec<OwnedFd>> {
        Ok(Vec::new())
    }

    fn sender<M: Message>(plan: &Plan, link: &Link) -> Result<impl Sender<M>> {
        publisher::<u64>(plan, link, M::WORDS as usize)
    }

    fn receiver<M: Message>(plan: &Plan, link: &Link) -> Result<impl Receiver<M>> {
        subscriber::<u64>(plan, link)
    }
}

impl RecordsAcross for Iceoryx {
    fn link(_plan: &Plan) -> Result<Vec<OwnedFd>> {
        Ok(Vec::new())
    }

    fn sender(plan: &Plan, link: &Link) -> Result<impl RecordSender> {
        let longest = match plan.cargo {
            Cargo::Records(size) => size,
            _ => Feed::market().longest(),
        };
        publisher::<u8>(plan, link, longest)
    }

    fn receiver(plan: &Plan, link: &Link) -> Result<impl RecordReceiver> {
        subscriber::<u8>(plan, link)
    }
}
