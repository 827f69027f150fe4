//! Padding to the unit in which the processor moves memory between cores.

/// Puts a value alone on two adjacent 64-byte lines: Intel and AMD fetch lines in pairs, Apple's and some other ARM cores
/// have lines of 128 bytes.
///
/// `crossbeam_utils::CachePadded` chooses the size by target; the layout of a segment must not depend on who compiled it.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct Padded<T>(pub T);

impl<T> core::ops::Deref for Padded<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}
