//! A counted tree of shared pages: what hashes, sets, sorted sets, lists and streams are made of.
//!
//! ```text
//!   up to 2 KB       [ leaf: a, b, c ]                          one block, and nothing besides
//!
//!   above            [ node:  512 | 498 ]                       how many elements are below each entry, and
//!                       │        │                              what separates it from the one before
//!            [ node: 60 | 58 ]  [ node: 61 | 59 ]
//!               │     │            │     │
//!            [leaf] [leaf]      [leaf] [leaf]                   all at one depth; elements packed, in order
//! ```
//!
//! An element is a key (a number, or nothing) and bytes. The bytes lie in the leaf; those of a long element lie
//! in a rope that the leaf points to (its *tail*). An [`Order`] says what the key is and which of the bytes
//! decide between elements of one key: a set is in the order of (hash, member), a sorted set in that of (score,
//! member), a list has no keys and is in the order in which it was put.
//!
//! It promises:
//! - A clone is one reference, and holds the tree as it was, however large. Who changes a tree that others hold
//!   copies the pages on the way to what it changes (one of each level, and what splits or joins there); who
//!   holds it alone changes it in place.
//! - [`Tree::len`], [`Tree::heap_bytes`] and [`Tree::encoded_len`] take constant time (of a tree that is one leaf:
//!   a look at that leaf).
//! - By position, by order, in either direction: [`Tree::at`], [`Tree::rank`], [`Tree::find`], [`Tree::seek`],
//!   [`Tree::walk`] go down once, and so do [`Tree::insert`], [`Tree::replace`], [`Tree::remove`], which are told
//!   a [`Place`] that one of these gave. [`Tree::remove_range`] takes the same and the pages that it removes.
//! - All pages but the first and the last of their level are at least a third full. Elements that come one behind
//!   the other at an end fill their pages. A page that is removed from until it is joined with a neighbour takes
//!   a sixth of a page of new elements to be split again.
//! - Who lets the last reference to a large tree go frees nothing but puts it aside, where somebody frees in
//!   slices (`aside`). A held tree is read in slices by position: [`Tree::at`] goes on where one has stopped, and
//!   nothing moves in what is held. [`Tree::kept_from`] looks in slices at what only one holder keeps alive.
//! - [`Tree::scan`] sees each element that stays, while the tree changes between its steps.
//!
//! It does not know what the bytes mean, and does not refuse two equal elements: who puts one asks
//! [`Tree::find`] first. A [`Place`] is good until the next change.
//!
//! Files, from below: `page` (the block: unsafe code, with its proof), `order` (elements), `find`, `change`,
//! `walk`; `near` brings what `find` will look at into the cache; `either` is a tree or something else (unsafe code).

mod change;
#[cfg(test)]
mod check_tests;
mod either;
mod encode;
mod find;
mod hint;
mod near;
mod order;
mod page;
#[cfg(test)]
mod tests;
mod walk;

pub use self::either::{Either, TreeOr};
pub use self::find::{Place, Tree};
pub use self::hint::Near;
#[cfg(feature = "planted-bugs")]
pub(crate) use self::order::order_as_in_all_tests;
pub use self::order::{AsPut, Bound, Element, Identity, NewElement, Order, hash_of};
pub use self::page::Key;
pub(super) use self::page::free_slice;
pub use self::walk::Walk;
