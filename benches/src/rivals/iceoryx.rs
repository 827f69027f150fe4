//! iceoryx2: publish and subscribe with slices, filled and read in place; nothing is lost, and the subscriber polls. It has no queue whose
//! messages consumers share, so there each consumer has a service of its own, which the producers serve in turns.
//!
//! Its files have the run's name, and who started the run removes what a killed process leaves of them.

use super::pausing::{Eager, until};
use crate::channel::{Across, Link, Receiver, RecordReceiver, RecordSender, RecordsAcross, Sender};
use crate::message::{END, Inspect, Message};
use crate::plan::{Cargo, Plan};
use crate::records::{Feed, RecordCheck};
use anyhow::{Result, anyhow, ensure};
use core::fmt::Debug;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::port::update_connections::UpdateConnections as _;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::PortFactory as _;
use iceoryx2::service::port_factory::publish_subscribe::PortFactory;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use zerocopy::IntoBytes as _;

/// iceoryx2.
pub(super) struct Iceoryx;

/// iceoryx2 with a service for each consumer.
pub(super) struct Services;

pub(super) type Ipc = ipc::Service;
pub(super) type Service<T> = PortFactory<Ipc, [T], ()>;

/// A port, and the node that it belongs to.
pub(super) struct Port<P> {
    pub(super) port: P,
    pub(super) _node: Node<Ipc>,
}

pub(super) fn node(link: &Link) -> Result<Node<Ipc>> {
    set_log_level(LogLevel::Error);
    let mut config = Config::default();
    config.global.prefix = FileName::new(link.name.as_bytes()).map_err(|error| anyhow!("{error:?}"))?;
    let root = std::env::temp_dir().join(&link.name);
    let root = Path::new(root.as_os_str().as_encoded_bytes()).map_err(|error| anyhow!("{error:?}"))?;
    config.global.set_root_path(&root);
    Ok(NodeBuilder::new().config(&config).create::<Ipc>()?)
}

/// The service of a number, with so many subscribers.
fn service<T: ZeroCopySend + Debug + 'static>(
    plan: &Plan,
    node: &Node<Ipc>,
    number: usize,
    subscribers: usize,
) -> Result<Service<T>> {
    let service = node
        .service_builder(&format!("bench-{number}").as_str().try_into()?)
        .publish_subscribe::<[T]>()
        .enable_safe_overflow(false)
        .subscriber_max_buffer_size(plan.capacity)
        .max_publishers(plan.crew.producers)
        .max_subscribers(subscribers)
        .open_or_create()?;
    Ok(service)
}

fn publisher<T: ZeroCopySend + Debug + 'static>(
    plan: &Plan,
    link: &Link,
    longest: usize,
) -> Result<Port<Publisher<Ipc, [T], ()>>> {
    let node = node(link)?;
    let port = publisher_of(&service(plan, &node, 0, plan.crew.consumers)?, longest)?;
    Ok(Port { port, _node: node })
}

fn publisher_of<T: ZeroCopySend + Debug + 'static>(
    service: &Service<T>,
    longest: usize,
) -> Result<Publisher<Ipc, [T], ()>> {
    let builder = service.publisher_builder().initial_max_slice_len(longest);
    Ok(builder.backpressure_strategy(BackpressureStrategy::RetryUntilDelivered).create()?)
}

fn subscriber<T: ZeroCopySend + Debug + 'static>(plan: &Plan, link: &Link) -> Result<Port<Subscriber<Ipc, [T], ()>>> {
    let node = node(link)?;
    let port = subscriber_of(plan, &service(plan, &node, 0, plan.crew.consumers)?)?;
    Ok(Port { port, _node: node })
}

/// A subscriber that is connected to all publishers. A message goes to those alone that are, once their buffer is full.
pub(super) fn subscriber_of<T: ZeroCopySend + Debug + 'static>(
    plan: &Plan,
    service: &Service<T>,
) -> Result<Subscriber<Ipc, [T], ()>> {
    let subscriber = service.subscriber_builder().create()?;
    let end = Instant::now() + Duration::from_secs(5);
    while service.dynamic_config().number_of_publishers() < plan.crew.producers {
        ensure!(Instant::now() < end, "the publishers did not come");
        std::thread::sleep(Duration::from_millis(1));
    }
    subscriber.update_connections()?;
    Ok(subscriber)
}

/// The publishers for all consumers, and whose turn it is.
struct Turns {
    publishers: Vec<Publisher<Ipc, [u64], ()>>,
    next: usize,
    _node: Node<Ipc>,
}

/// A consumer's own service. A message that ends the run is held back while others come, as it overtakes those of other publishers.
struct Own(Port<Subscriber<Ipc, [u64], ()>>, bool);

#[inline]
fn publish<M: Message>(to: &Publisher<Ipc, [u64], ()>, message: M) {
    let slice = to.loan_slice_uninit(M::WORDS as usize).expect("a slice is free");
    slice.write_from_slice(message.words()).send().expect("the subscriber lives");
}

#[inline]
fn receive<M: Message>(from: &Subscriber<Ipc, [u64], ()>) -> Option<M> {
    let sample = from.receive().expect("the publisher lives")?;
    Some(M::read_from_bytes(sample.payload().as_bytes()).expect("it has this size"))
}

impl<M: Message> Sender<M> for Turns {
    #[inline]
    fn send(&mut self, message: M) {
        publish(&self.publishers[self.next], message);
        self.next = (self.next + 1) % self.publishers.len();
    }

    fn send_batch(&mut self, first: u64, count: usize) {
        (first..first + count as u64).for_each(|number| Sender::<M>::send(self, M::numbered(number)));
    }
}

impl<M: Message> Receiver<M> for Own {
    #[inline]
    fn recv(&mut self) -> M {
        until::<Eager, _>(|| match receive::<M>(&self.0.port) {
            Some(end) if end.number() == END => {
                self.1 = true;
                None
            }
            None if self.1 => Some(M::numbered(END)),
            other => other,
        })
    }

    fn recv_batch(&mut self, check: &mut impl Inspect) {
        check.see(&Receiver::<M>::recv(self));
    }
}

impl<M: Message> Sender<M> for Port<Publisher<Ipc, [u64], ()>> {
    #[inline]
    fn send(&mut self, message: M) {
        publish(&self.port, message);
    }

    fn send_batch(&mut self, first: u64, count: usize) {
        (first..first + count as u64).for_each(|number| Sender::<M>::send(self, M::numbered(number)));
    }
}

impl<M: Message> Receiver<M> for Port<Subscriber<Ipc, [u64], ()>> {
    #[inline]
    fn recv(&mut self) -> M {
        until::<Eager, _>(|| receive(&self.port))
    }

    fn recv_batch(&mut self, check: &mut impl Inspect) {
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

impl Across for Services {
    fn link<M: Message>(_plan: &Plan) -> Result<Vec<OwnedFd>> {
        Ok(Vec::new())
    }

    fn sender<M: Message>(plan: &Plan, link: &Link) -> Result<impl Sender<M>> {
        let node = node(link)?;
        let publishers = (0..plan.crew.consumers)
            .map(|number| publisher_of(&service(plan, &node, number, 1)?, M::WORDS as usize))
            .collect::<Result<_>>()?;
        Ok(Turns { publishers, next: 0, _node: node })
    }

    fn receiver<M: Message>(plan: &Plan, link: &Link) -> Result<impl Receiver<M>> {
        let node = node(link)?;
        let port = subscriber_of::<u64>(plan, &service(plan, &node, link.member, 1)?)?;
        Ok(Own(Port { port, _node: node }, false))
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
