//! HyperLogLog: how many different elements there were, in 12 KB at most. A value is a string of Redis's own
//! bytes, so that it can be read there, copied and kept as one.
//!
//! ```text
//!   0      4          5         8                    16
//!   +------+----------+---------+--------------------+-----------------------------------------+
//!   | HYLL | 0 dense, | nothing | count, little      | dense:  16384 registers of 6 bits       |
//!   |      | 1 sparse | (3)     | endian; top bit:   | sparse: opcodes, which name runs        |
//!   |      |          |         | it is out of date  |                                         |
//!   +------+----------+---------+--------------------+-----------------------------------------+
//! ```
//!
//! An element's hash chooses a register and says how high it is at least. Bytes may come from anybody: what
//! they lack or have too much of is found where they are read, and answered with [`Fault`].

mod check;
mod dense;
mod edit;
mod estimate;
mod hash;
mod mark;
mod sparse;
mod view;

pub use check::self_test;
pub use edit::Edit;
pub use hash::Hashing;
pub use mark::{Fault, Mark, REGISTERS};
pub use view::{HyperLogLog, NOTE_AT, Union};

#[cfg(test)]
mod tests;
