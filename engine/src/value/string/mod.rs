//! Strings: bytes, or an integer that stands for its digits.
//!
//! How a string is stored is the item's matter, since most values are short strings and lie in the item's
//! own block; what can happen to one stands in `effect`.

mod effect;

pub use effect::Effect;

use super::NewValue;
use super::types::Type;

/// The type.
pub static TYPE: Type = Type {
    number: 0,
    name: "string",
    empty: || NewValue::Bytes(b""),
    decode: |bytes| Some(NewValue::Bytes(bytes)),
    perform: effect::perform,
};
