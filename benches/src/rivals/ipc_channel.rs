//! ipc-channel: its channel of bytes, which sleeps in the kernel. The receiver's server has a name that it tells the sender through a pipe.

use crate::channel::{Across, Link, Receiver, RecordReceiver, RecordSender, RecordsAcross, Sender};
use crate::message::{Inspect, Message};
use crate::plan::Plan;
use crate::records::RecordCheck;
use anyhow::Result;
use ipc_channel::ipc::{IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcSender, bytes_channel};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::OwnedFd;

/// ipc-channel.
pub(super) struct IpcChannel;

impl<M: Message> Sender<M> for IpcBytesSender {
    fn send(&mut self, message: M) {
        IpcBytesSender::send(self, message.as_bytes()).expect("the receiver lives");
    }

    fn send_batch(&mut self, first: u64, count: usize) {
        (first..first + count as u64).for_each(|number| Sender::<M>::send(self, M::numbered(number)));
    }
}

impl<M: Message> Receiver<M> for IpcBytesReceiver {
    fn recv(&mut self) -> M {
        let bytes = IpcBytesReceiver::recv(self).expect("the sender lives");
        M::read_from_bytes(&bytes).expect("it has this size")
    }

    fn recv_batch(&mut self, check: &mut impl Inspect) {
        check.see(&Receiver::<M>::recv(self));
    }
}

impl RecordSender for IpcBytesSender {
    fn send(&mut self, record: &[u8]) {
        IpcBytesSender::send(self, record).expect("the receiver lives");
    }

    fn send_batch(&mut self, records: &[&[u8]]) {
        records.iter().for_each(|record| RecordSender::send(self, record));
    }
}

impl RecordReceiver for IpcBytesReceiver {
    fn recv(&mut self, check: &mut RecordCheck) {
        check.see(&IpcBytesReceiver::recv(self).expect("the sender lives"));
    }

    fn recv_batch(&mut self, check: &mut RecordCheck) {
        RecordReceiver::recv(self, check);
    }
}

fn link() -> Result<Vec<OwnedFd>> {
    let (from, to) = rustix::pipe::pipe()?;
    Ok(vec![from, to])
}

fn sender(link: &Link) -> Result<IpcBytesSender> {
    let mut name = String::new();
    BufReader::new(link.file(0)?).read_line(&mut name)?;
    let server = IpcSender::<IpcBytesReceiver>::connect(name.trim_end().to_owned())?;
    let (to, from) = bytes_channel()?;
    server.send(from)?;
    Ok(to)
}

fn receiver(link: &Link) -> Result<IpcBytesReceiver> {
    let (server, name) = IpcOneShotServer::<IpcBytesReceiver>::new()?;
    writeln!(link.file(1)?, "{name}")?;
    let (_, from) = server.accept()?;
    Ok(from)
}

impl Across for IpcChannel {
    fn link<M: Message>(_plan: &Plan) -> Result<Vec<OwnedFd>> {
        link()
    }

    fn sender<M: Message>(_plan: &Plan, link: &Link) -> Result<impl Sender<M>> {
        sender(link)
    }

    fn receiver<M: Message>(_plan: &Plan, link: &Link) -> Result<impl Receiver<M>> {
        receiver(link)
    }
}

impl RecordsAcross for IpcChannel {
    fn link(_plan: &Plan) -> Result<Vec<OwnedFd>> {
        link()
    }

    fn sender(_plan: &Plan, link: &Link) -> Result<impl RecordSender> {
        sender(link)
    }

    fn receiver(_plan: &Plan, link: &Link) -> Result<impl RecordReceiver> {
        receiver(link)
    }
}
