//! What stands behind a key: one block that holds key, deadline and value, and the number rules of Redis.
//!
//! It promises:
//! - an [`Item`] is one pointer; a small value lies in the item's own block, an integer is stored as one;
//! - "this value as of now" ([`Item::share`]) is one reference, however large the value: it is a tree of
//!   chunks (`rope`, `chunk`), and who writes to what somebody else holds copies the chunks that the write
//!   touches;
//! - collections are made of one structure (`tree`): elements packed in shared pages, by position and by order;
//! - a type owns its effects (`effect`): what can happen inside a value of it, how that is told, and one body
//!   that performs it, on a master and on a replica. The types stand in one list (`registry`).
//!
//! It does not know commands, clocks or journals: deadlines are numbers that it keeps, and nothing here
//! ever expires. Errors are for callers to word; this room only says "not a number".

mod aside;
mod chunk;
#[cfg(feature = "planted-bugs")]
pub mod counters;
mod effect;
pub mod geo;
pub mod hash;
pub mod hyperloglog;
mod item;
pub mod list;
mod listpack;
pub mod number;
mod object;
mod registry;
mod rope;
pub mod saying;
pub mod set;
mod shared;
mod small;
pub mod sorted_set;
pub mod stream;
pub mod string;
pub mod tree;
mod types;

pub use self::aside::bytes_set_aside;
pub use self::chunk::Left;
pub use self::effect::{ChangeHead, Reading, SentEffect, Told, TypeEffect, Write};
pub use self::item::{INLINE_MAX, Item};
pub use self::object::{InItem, Object};
pub use self::registry::TYPES;
pub use self::rope::{Rope, RopeRef};
pub use self::shared::{Digits, NewValue, SharedValue, Value};
pub use self::small::Small;
pub use self::tree::Near;
pub use self::types::{Type, Unfit};

/// What a page of a stream's groups takes to free, in pieces of other values.
const PIECES_OF_GROUPS: usize = 16;

/// Frees up to so many chunks and pages of values that nobody holds any more and that were put aside on this
/// thread; `false` when there were none. From the first call on, they are put aside on it.
pub fn free_slice(pieces: usize) -> bool {
    let chunks = chunk::free_slice(pieces);
    let groups = stream::free_slice(pieces.div_ceil(PIECES_OF_GROUPS));
    tree::free_slice(pieces) || chunks || groups
}

/// The seed of a random test: `SEED` from the environment, or a new one; printed in either case.
#[cfg(test)]
pub(crate) fn test_seed() -> u64 {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("SEED={seed}");
    seed
}
