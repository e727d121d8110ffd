//! The data types, as a list: whoever handles values of any type asks their type and names none.

use super::hash;
use super::item::Item;
use super::list;
use super::saying::Words;
use super::set;
use super::sorted_set;
use super::stream;
use super::string;
use super::types::{OPS_MAX, Type};

/// All types.
pub static TYPES: &[&Type] = &[
    &string::TYPE,
    &list::TYPE,
    &hash::TYPE,
    &set::TYPE,
    &sorted_set::TYPE,
    &stream::TYPE,
    #[cfg(feature = "planted-bugs")]
    &super::counters::TYPE,
];

impl Type {
    /// The type with this number.
    pub fn numbered(number: u8) -> Option<&'static Type> {
        TYPES.iter().copied().find(|one| one.number == number)
    }

    /// How it is said to a Redis; a type that none has is not.
    pub fn words(&self) -> Option<Words> {
        let words = [
            (&string::TYPE, string::WORDS),
            (&list::TYPE, list::WORDS),
            (&hash::TYPE, hash::WORDS),
            (&set::TYPE, set::WORDS),
            (&sorted_set::TYPE, sorted_set::WORDS),
            (&stream::TYPE, stream::WORDS),
        ];
        words.iter().find(|(kind, _)| *kind == self).map(|(_, words)| *words)
    }

    /// The type and the effect that the journal knows by this number.
    pub fn of_change(change: u16) -> Option<(&'static Type, u8)> {
        let number = u8::try_from(change / OPS_MAX).ok()?;
        Some((Type::numbered(number)?, (change % OPS_MAX) as u8))
    }
}

impl Item {
    /// Which type the value is of.
    #[inline]
    pub fn kind(&self) -> &'static Type {
        let Some(object) = self.object() else { return &string::TYPE };
        let Some(kind) = Type::numbered(object.type_number()) else {
            unreachable!("every type stands in the list")
        };
        kind
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
