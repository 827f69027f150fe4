//! placeholder
use crate::layout::Kind;
use crate::memory::Memory;
use core::marker::PhantomData;
/// The ring's kind.
pub struct Mpmc<M: ?Sized>(PhantomData<fn(&M)>);
pub(crate) fn stride(_kind: Kind, message: u64, align: u64) -> Option<u64> {
    Some((align.max(8) + message).next_multiple_of(align.max(8)))
}
pub(crate) fn initialise(_memory: &Memory) {}
#[cfg(not(loom))]
pub(crate) fn is_received(_memory: &Memory) -> bool {
    true
}
pub(crate) struct Claim(u64);
impl Claim {
    pub(crate) fn nothing(origin: u64) -> Self {
        Self(origin.wrapping_sub(1))
    }
    pub(crate) fn word(self) -> u64 {
        self.0
    }
}
