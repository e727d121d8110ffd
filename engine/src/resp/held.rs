//! Large values that replies refer to.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::Arc;

/// A large value that a reply refers to.
pub trait Held: Send + Sync {
    /// How many bytes it has.
    fn length(&self) -> usize;
    /// Bytes from `from` on: at least one, unless the value ends there.
    fn stretch(&self, from: usize) -> &[u8];
    /// How many of its bytes are there only because replies refer to it, as far as so many looks tell; of what
    /// several hold, this one's part. Nothing of what is data anyway.
    fn kept(&self, looks: &mut usize) -> usize;
}

/// Values, and before which byte each stands, in order.
#[derive(Default)]
pub(super) struct Holdings {
    values: VecDeque<(usize, Arc<dyn Held>)>,
    /// Of all of them.
    bytes: usize,
    /// Whether values are referred to however short what stands before them is.
    pub(super) is_ready: bool,
}

impl Deref for Holdings {
    type Target = VecDeque<(usize, Arc<dyn Held>)>;

    fn deref(&self) -> &Self::Target {
        &self.values
    }
}

impl Holdings {
    /// The bytes of all values.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn reserve(&mut self, values: usize) {
        self.values.reserve_exact(values);
    }

    pub(super) fn push(&mut self, at: usize, value: Arc<dyn Held>) {
        self.bytes += value.length();
        self.values.push_back((at, value));
    }

    pub(super) fn take_first(&mut self) -> Option<(usize, Arc<dyn Held>)> {
        let first = self.values.pop_front()?;
        self.bytes -= first.1.length();
        Some(first)
    }

    pub(super) fn take_last(&mut self) -> Option<(usize, Arc<dyn Held>)> {
        let last = self.values.pop_back()?;
        self.bytes -= last.1.length();
        Some(last)
    }
}

/// Appends all bytes of a value.
pub(super) fn copy(value: &dyn Held, out: &mut Vec<u8>) {
    let end = out.len() + value.length();
    while out.len() < end {
        let stretch = value.stretch(value.length() - (end - out.len()));
        out.extend_from_slice(stretch);
    }
}
