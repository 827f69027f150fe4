//! Atomics and the full fence of `core`, as types of their own: clippy then refuses those of `core` everywhere else.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this is the shim: the one place where they come from"
)]

pub use core::sync::atomic::Ordering;

macro_rules! plain {
    ($name:ident, $value:ty) => {
        /// The atomic of `core` with the same name, and its methods.
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name(core::sync::atomic::$name);

        impl $name {
            /// An atomic with the value `value`.
            #[must_use]
            pub const fn new(value: $value) -> Self {
                Self(core::sync::atomic::$name::new(value))
            }

            /// As in `core`.
            #[inline(always)]
            pub fn load(&self, order: Ordering) -> $value {
                self.0.load(order)
            }

            /// As in `core`.
            #[inline(always)]
            pub fn store(&self, value: $value, order: Ordering) {
                self.0.store(value, order);
            }

            /// As in `core`.
            #[inline(always)]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                self.0.swap(value, order)
            }

            /// As in `core`.
            ///
            /// # Errors
            /// The value found, if it was not `current`.
            #[inline(always)]
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.0.compare_exchange(current, new, success, failure)
            }

            /// As in `core`.
            #[inline(always)]
            pub fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                self.0.fetch_add(value, order)
            }

            /// As in `core`.
            #[inline(always)]
            pub fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                self.0.fetch_sub(value, order)
            }

            /// As in `core`.
            #[inline(always)]
            pub fn fetch_or(&self, bits: $value, order: Ordering) -> $value {
                self.0.fetch_or(bits, order)
            }

            /// As in `core`.
            #[inline(always)]
            pub fn fetch_and(&self, bits: $value, order: Ordering) -> $value {
                self.0.fetch_and(bits, order)
            }
        }
    };
}

plain!(AtomicU32, u32);
plain!(AtomicU64, u64);

impl AtomicU32 {
    /// The word, for a system call.
    pub(super) fn as_core(&self) -> &core::sync::atomic::AtomicU32 {
        &self.0
    }
}

/// As in `core`.
#[inline(always)]
pub fn fence(order: Ordering) {
    core::sync::atomic::fence(order);
}

/// As in `core`.
#[inline(always)]
pub(super) fn compiler_fence(order: Ordering) {
    core::sync::atomic::compiler_fence(order);
}
