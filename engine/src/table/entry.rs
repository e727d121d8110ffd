//! What a table asks of what it holds.

/// What a [`Table`](super::Table) holds.
pub trait TableEntry {
    /// The key; the same as long as the entry is in a table.
    fn key(&self) -> &[u8];

    /// The instant at which the entry is due, in whatever unit the owner counts; `u64::MAX` for never.
    fn due(&self) -> u64;

    /// A hint that [`TableEntry::key`] will be called soon.
    fn prefetch(&self) {}

    /// A hint that what stands behind the entry will be looked at soon; the entry itself is at hand.
    fn prefetch_behind(&self) {}
}
