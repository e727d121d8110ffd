//! Strings: bytes, or an integer that stands for its digits.
//!
//! How a string is stored is the item's matter, since most values are short strings and lie in the item's
//! own block; what can happen to one stands in `effect`.

mod effect;
mod patch;
mod told;

pub use effect::{Effect, TYPE, Written};
pub use patch::Patches;
pub use told::WORDS;
