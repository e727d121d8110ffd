//! What a data type is.

use super::item::Item;
use super::shared::NewValue;

/// A data type: what the rooms above need to know of it.
pub struct Type {
    /// Its number in the journal and on the wire, for ever.
    pub number: u8,
    /// What TYPE answers.
    pub name: &'static str,
    /// What a key holds that a change creates, before the change.
    pub empty: fn() -> NewValue<'static>,
    /// A whole value, of what [`super::Object::encode`] wrote; `None` where the bytes say nothing. The
    /// bytes come from another node.
    pub decode: for<'a> fn(bytes: &'a [u8]) -> Option<NewValue<'a>>,
    /// Performs one of its effects, given as a number and bytes, on an item that holds this type.
    pub perform: fn(item: &mut Item, op: u8, bytes: &[u8]) -> Result<(), Unfit>,
    /// Which of its effects may be what somebody waits for who sleeps at a key; none said: all of them.
    pub wakes: Option<fn(op: u8) -> bool>,
}

/// Why an effect cannot be performed: it was made by nobody whose value equals ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// The type has no such effect.
    Unknown,
    /// Its bytes say nothing.
    Malformed,
    /// It would make a value longer than any may be.
    TooLong,
}

/// Effects of one type at the most: what is left of a byte's half.
pub(super) const OPS_MAX: u16 = 16;

impl Type {
    /// The number by which the journal knows an effect of this type.
    pub fn change(&self, op: u8) -> u16 {
        u16::from(self.number) * OPS_MAX + u16::from(op)
    }
}

impl PartialEq for Type {
    fn eq(&self, other: &Type) -> bool {
        self.number == other.number
    }
}

impl std::fmt::Debug for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
