//! ringbuf: `try_push` and `try_pop`; `push_iter`, and reading in place what is there.

use super::pausing::{Pausing, until, until_sent};
use crate::channel::{Receiver, Sender, Within};
use crate::message::{Inspect, Message};
use crate::plan::Plan;
use anyhow::Result;
use core::marker::PhantomData;
use ringbuf::traits::{Consumer as _, Observer as _, Producer as _, Split as _};
use ringbuf::{HeapCons, HeapProd, HeapRb};

/// ringbuf.
pub(super) struct Ringbuf<P>(PhantomData<P>);

struct To<P, M>(HeapProd<M>, PhantomData<P>);
struct From<P, M>(HeapCons<M>, PhantomData<P>);

impl<P: Pausing, M: Message> Sender<M> for To<P, M> {
    #[inline(always)]
    fn send(&mut self, message: M) {
        until_sent::<P, M>(message, |message| self.0.try_push(message));
    }

    #[inline]
    fn send_batch(&mut self, first: u64, count: usize) {
        until::<P, _>(|| (self.0.vacant_len() >= count).then_some(()));
        self.0.push_iter((first..first + count as u64).map(M::numbered));
    }
}

impl<P: Pausing, M: Message> Receiver<M> for From<P, M> {
    #[inline(always)]
    fn recv(&mut self) -> M {
        until::<P, _>(|| self.0.try_pop())
    }

    #[inline]
    fn recv_batch(&mut self, check: &mut impl Inspect) {
        until::<P, _>(|| (!self.0.is_empty()).then_some(()));
        let (first, second) = self.0.as_slices();
        let count = first.len() + second.len();
        for message in first.iter().chain(second) {
            check.see(message);
        }
        self.0.skip(count);
    }
}

impl<P: Pausing> Within for Ringbuf<P> {
    fn pair<M: Message>(plan: &Plan) -> Result<(impl Sender<M> + Send, impl Receiver<M> + Send)> {
        let (to, from) = HeapRb::<M>::new(plan.capacity).split();
        Ok((To(to, PhantomData::<P>), From(from, PhantomData::<P>)))
    }
}
