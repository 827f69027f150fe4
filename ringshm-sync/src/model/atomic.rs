//! loom's atomics behind a gate.
//!
//! loom 0.7 remembers only the last access to an atomic. A thread that loads an atomic and then stores to it hides, by
//! its own load, the access another thread made before, and the schedules in between are never tried. So each atomic
//! carries a second one, the gate, and every access first adds to it: read-modify-writes all depend on each other, so
//! loom tries every order of them. The gate is `Relaxed` and orders nothing else, so no missing edge is hidden by it.

use super::death;
pub use loom::sync::atomic::{Ordering, fence};

macro_rules! gated {
    ($name:ident, $inner:ident, $value:ty) => {
        /// The atomic of `core` with the same name, watched by loom.
        #[derive(Debug)]
        pub struct $name {
            gate: loom::sync::atomic::AtomicUsize,
            inner: loom::sync::atomic::$inner,
        }

        impl $name {
            /// An atomic with the value `value`.
            #[must_use]
            pub fn new(value: $value) -> Self {
                Self { gate: loom::sync::atomic::AtomicUsize::new(0), inner: loom::sync::atomic::$inner::new(value) }
            }

            /// A load by the kernel, in the middle of a system call: no step of the caller's.
            #[allow(dead_code, reason = "only the words of futexes have one")]
            pub(super) fn load_in_kernel(&self) -> $value {
                self.gate.fetch_add(1, Ordering::Relaxed);
                self.inner.load(Ordering::Relaxed)
            }

            fn inner(&self) -> &loom::sync::atomic::$inner {
                death::step();
                self.gate.fetch_add(1, Ordering::Relaxed);
                &self.inner
            }

            /// As in `core`.
            pub fn load(&self, order: Ordering) -> $value {
                self.inner().load(order)
            }

            /// As in `core`.
            pub fn store(&self, value: $value, order: Ordering) {
                self.inner().store(value, order);
            }

            /// As in `core`.
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                self.inner().swap(value, order)
            }

            /// As in `core`.
            ///
            /// # Errors
            /// The value found, if it was not `current`.
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.inner().compare_exchange(current, new, success, failure)
            }

            /// As in `core`.
            pub fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                self.inner().fetch_add(value, order)
            }

            /// As in `core`.
            pub fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                self.inner().fetch_sub(value, order)
            }

            /// As in `core`.
            pub fn fetch_or(&self, bits: $value, order: Ordering) -> $value {
                self.inner().fetch_or(bits, order)
            }

            /// As in `core`.
            pub fn fetch_and(&self, bits: $value, order: Ordering) -> $value {
                self.inner().fetch_and(bits, order)
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new(0)
            }
        }
    };
}

gated!(AtomicU32, AtomicU32, u32);
gated!(AtomicU64, AtomicU64, u64);
