//! The data types, as a list: whoever handles values of any type asks their type and names none.

use super::effect::Unfit;
use super::{Item, NewValue, string};

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
}

/// All types.
pub static TYPES: &[&Type] = &[
    &string::TYPE,
    #[cfg(feature = "planted-bugs")]
    &super::counters::TYPE,
];

/// Effects of one type at the most: what is left of a byte's half.
const OPS_MAX: u16 = 16;

impl Type {
    /// The type with this number.
    pub fn numbered(number: u8) -> Option<&'static Type> {
        TYPES.iter().copied().find(|one| one.number == number)
    }

    /// The number by which the journal knows an effect of this type.
    pub fn change(&self, op: u8) -> u16 {
        u16::from(self.number) * OPS_MAX + u16::from(op)
    }

    /// The type and the effect that the journal knows by this number.
    pub fn of_change(change: u16) -> Option<(&'static Type, u8)> {
        let number = u8::try_from(change / OPS_MAX).ok()?;
        Some((Type::numbered(number)?, (change % OPS_MAX) as u8))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_numbers_and_names_of_their_own() {
        for (index, one) in TYPES.iter().enumerate() {
            for other in &TYPES[index + 1..] {
                assert_ne!(one.number, other.number, "{one:?} and {other:?}");
                assert_ne!(one.name, other.name);
            }
            assert_eq!(Type::of_change(one.change(15)), Some((*one, 15)));
        }
        assert_eq!(Type::of_change(u16::MAX), None);
    }
}
