//! The thresholds of small forms.

/// Up to when a collection is small.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Small {
    /// So many elements at the most.
    pub entries: u64,
    /// Each of so many bytes at the most.
    pub value: usize,
}
