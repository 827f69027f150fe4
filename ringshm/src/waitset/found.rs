//! What a wait finds, and what stands for it.

use super::Id;
use std::fmt;
use std::marker::PhantomData;

/// Stands for something in a set, and knows its type. Belongs to the set that gave it: in another one it means nothing, or something else.
pub struct Key<H> {
    id: Id,
    _of: PhantomData<fn() -> H>,
}

/// Stands for something in a set, whatever its type: see [`Ready`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(Id);

/// What a wait found.
#[derive(Clone, Debug, Default)]
pub struct Ready {
    pub(super) ids: Vec<Id>,
    pub(super) is_notified: bool,
}

impl Ready {
    /// Whether this is ready.
    #[must_use]
    pub fn contains(&self, which: impl Into<Token>) -> bool {
        self.ids.contains(&which.into().0)
    }

    /// Everything that is ready: channels first, in no particular order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Token> + '_ {
        self.ids.iter().map(|id| Token(*id))
    }

    /// How many are ready.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether nothing is: the wait has timed out, or [is notified](Self::is_notified).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether a [`Notifier`](super::Notifier) has called.
    #[must_use]
    pub fn is_notified(&self) -> bool {
        self.is_notified
    }
}

impl<H> Key<H> {
    pub(super) fn new(id: Id) -> Self {
        Self { id, _of: PhantomData }
    }

    pub(super) fn id(self) -> Id {
        self.id
    }

    /// The same without the type.
    #[must_use]
    pub fn token(self) -> Token {
        Token(self.id)
    }
}

impl<H> From<Key<H>> for Token {
    fn from(key: Key<H>) -> Self {
        key.token()
    }
}

impl<H> PartialEq<Key<H>> for Token {
    fn eq(&self, key: &Key<H>) -> bool {
        self.0 == key.id
    }
}

// Whatever `H` is: a key is a number.
impl<H> Clone for Key<H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H> Copy for Key<H> {}

impl<H> PartialEq for Key<H> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl<H> Eq for Key<H> {}

impl<H> std::hash::Hash for Key<H> {
    fn hash<S: std::hash::Hasher>(&self, state: &mut S) {
        self.id.hash(state);
    }
}

impl<H> fmt::Debug for Key<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.id).finish()
    }
}
