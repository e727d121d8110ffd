//! The number of an entry: milliseconds and a count within them, in the order of both.

/// An entry's number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Id(pub u128);

impl Id {
    /// `0-0`, which no entry has.
    pub const ZERO: Id = Id(0);
    /// The last one that there can be.
    pub const MAX: Id = Id(u128::MAX);

    /// `ms-seq`.
    #[inline]
    pub const fn new(ms: u64, seq: u64) -> Id {
        Id((ms as u128) << 64 | seq as u128)
    }

    /// Milliseconds.
    #[inline]
    pub const fn ms(self) -> u64 {
        (self.0 >> 64) as u64
    }

    /// The count within them.
    #[inline]
    pub const fn seq(self) -> u64 {
        self.0 as u64
    }

    /// The one behind it, if there is one.
    pub fn after(self) -> Option<Id> {
        self.0.checked_add(1).map(Id)
    }

    /// The one before it, if there is one.
    pub fn before(self) -> Option<Id> {
        self.0.checked_sub(1).map(Id)
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.ms(), self.seq())
    }
}

impl std::fmt::Debug for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}
