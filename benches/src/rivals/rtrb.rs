//! rtrb: `push` and `pop`, and chunks that are filled and read in place.

use super::pausing::{Pausing, until, until_sent};
use crate::channel::{Receiver, Sender, Within};
use crate::message::{Inspect, Message};
use crate::plan::Plan;
use anyhow::Result;
use core::marker::PhantomData;
use rtrb::{Consumer, Producer, PushError, RingBuffer};

/// rtrb.
pub(super) struct Rtrb<P>(PhantomData<P>);

struct To<P, M>(Producer<M>, PhantomData<P>);
struct From<P, M>(Consumer<M>, PhantomData<P>);

impl<P: Pausing, M: Message> Sender<M> for To<P, M> {
    #[inline(always)]
    fn send(&mut self, message: M) {
        until_sent::<P, M>(message, |message| self.0.push(message).map_err(|PushError::Full(same)| same));
    }

    #[inline]
    fn send_batch(&mut self, first: u64, count: usize) {
        until::<P, _>(|| {
            let chunk = self.0.write_chunk_uninit(count).ok()?;
            Some(chunk.fill_from_iter((first..).map(M::numbered)))
        });
    }
}

impl<P: Pausing, M: Message> Receiver<M> for From<P, M> {
    #[inline(always)]
    fn recv(&mut self) -> M {
        until::<P, _>(|| self.0.pop().ok())
    }

    #[inline]
    fn recv_batch(&mut self, check: &mut impl Inspect) {
        let ready = until::<P, _>(|| Some(self.0.slots()).filter(|ready| *ready > 0));
        let chunk = self.0.read_chunk(ready).expect("as many are ready");
        let (first, second) = chunk.as_slices();
        for message in first.iter().chain(second) {
            check.see(message);
        }
        chunk.commit_all();
    }
}

impl<P: Pausing> Within for Rtrb<P> {
    fn pair<M: Message>(plan: &Plan) -> Result<(impl Sender<M> + Send, impl Receiver<M> + Send)> {
        let (to, from) = RingBuffer::<M>::new(plan.capacity);
        Ok((To(to, PhantomData::<P>), From(from, PhantomData::<P>)))
    }
}
