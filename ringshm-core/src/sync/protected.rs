//! The value that a lock protects, as one participant sees it.
//!
//! # Safety
//! A guard reaches the value only while its lock is held. Where peers are not trusted, it is moved as words between shared and private
//! memory, and references lead to the private copy: a process that breaks the lock makes a wrong value and nothing worse. `T` is valid whatever
//! its bytes are.

#![allow(unsafe_code, reason = "references to, and copies of, a value in shared memory")]

use crate::layout::MAX_PAYLOAD_ALIGN;
use crate::member::Member;
use crate::slots::Payload;
use core::mem::MaybeUninit;
use ringshm_sync::cell::{Bytes, Reading, Writing};
use ringshm_sync::robust::Data;

/// The value, and room for a private copy of it.
#[derive(Debug)]
pub(super) struct Protected<T> {
    data: Bytes,
    trusts_peers: bool,
    scratch: Box<T>,
}

impl<T: Payload> Protected<T> {
    const IS_POSSIBLE: () = assert!(
        size_of::<T>() > 0 && align_of::<T>() <= MAX_PAYLOAD_ALIGN,
        "a payload has at least one byte, and an alignment of at most 128"
    );

    pub(super) fn new(member: &Member) -> Self {
        let () = Self::IS_POSSIBLE;
        let memory = member.memory();
        assert_eq!(memory.geometry().max_message, size_of::<T>() as u64, "the value in this memory is of another size");
        let data = memory.data().clone();
        Self { data, trusts_peers: member.trusts_peers(), scratch: Box::new(T::new_zeroed()) }
    }

    /// For a holder that only reads: the value itself, if peers are trusted; else it is in the scratch.
    pub(super) fn read(&mut self) -> Option<Reading> {
        if self.trusts_peers {
            // SAFETY: the data area holds one `T`; the lock keeps others from writing it.
            return Some(unsafe { self.data.read(0, size_of::<T>()) });
        }
        self.copy_out();
        None
    }

    /// For a holder that may write: as for [`read`](Self::read).
    pub(super) fn write(&mut self) -> Option<Writing> {
        if self.trusts_peers {
            // SAFETY: the data area holds one `T`; the lock gave it to the caller alone.
            return Some(unsafe { self.data.write(0, size_of::<T>()) });
        }
        self.copy_out();
        None
    }

    fn copy_out(&mut self) {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the data area holds a `T`, rounded up to words, and there is room for one.
        unsafe { self.data.load_words(0, value.as_mut_ptr().cast(), size_of::<T>()) };
        // SAFETY: all its bytes were written just now, and every bit pattern is a `T`.
        *self.scratch = unsafe { value.assume_init() };
    }

    fn copy_back(&self) {
        // SAFETY: the data area holds a `T`, rounded up to words; the scratch has as many bytes, none of them padding.
        unsafe { self.data.store_words(0, (&raw const *self.scratch).cast(), size_of::<T>()) };
    }

    pub(super) fn by_reading<'a>(&'a self, place: Option<&'a Reading>) -> &'a T {
        match place {
            // SAFETY: aligned, every bit pattern valid; read-locked, and the peers were trusted, at opening, to mind that.
            Some(place) => unsafe { &*place.as_ptr().cast::<T>() },
            None => &self.scratch,
        }
    }
}

/// The value in the hands of a holder that may write it.
#[derive(Debug)]
pub(super) struct Change {
    /// The value itself, if the holder trusts its peers; else it is in the scratch.
    place: Option<Writing>,
    has_changed: bool,
    pub(super) data: Data,
    was_panicking: bool,
}

impl Change {
    pub(super) fn begin<T: Payload>(value: &mut Protected<T>, data: Data) -> Self {
        Self { place: value.write(), has_changed: false, data, was_panicking: std::thread::panicking() }
    }

    pub(super) fn get<'a, T: Payload>(&'a self, value: &'a Protected<T>) -> &'a T {
        match &self.place {
            // SAFETY: aligned, every bit pattern valid; locked, and the peers were trusted, at opening, to mind that.
            Some(place) => unsafe { &*place.as_mut_ptr().cast::<T>() },
            None => &value.scratch,
        }
    }

    pub(super) fn get_mut<'a, T: Payload>(&'a mut self, value: &'a mut Protected<T>) -> &'a mut T {
        self.has_changed = true;
        match &mut self.place {
            // SAFETY: as for `get`, and the lock is the caller's alone.
            Some(place) => unsafe { &mut *place.as_mut_ptr().cast::<T>() },
            None => &mut value.scratch,
        }
    }

    /// Ends it, before the lock is given up. A panic since it began leaves the data in doubt.
    pub(super) fn end<T: Payload>(&mut self, value: &Protected<T>) -> Data {
        match self.place.take() {
            Some(place) => place.finish(),
            None if self.has_changed => value.copy_back(),
            None => {}
        }
        if std::thread::panicking() && !self.was_panicking {
            self.data = Data::InDoubt;
        }
        self.data
    }
}
