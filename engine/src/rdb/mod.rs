//! Redis's own form of values: what DUMP answers with, RESTORE takes, and files of snapshots consist of.
//!
//! ```text
//!   payload ─► footer: version, checksum (`dump`, `crc`)
//!           ─► bytes of a type of value (`decode`): strings (`read`, `lzf`), small collections (`packs`),
//!              streams (`stream`)
//!           ─► parts (`parts`): element, element ...; field, value, until; member, score ...
//!           ─► a value, if they go together (`assembly`, `check`)
//!
//!   file or stream ─► keys with values (`file`): short ones as they are (`extent`), others in parts
//! ```
//!
//! It promises:
//! - every form of a value that Redis up to 8 and Valkey up to 9 write is read, into parts that do not tell
//!   in which form it was;
//! - bytes that are no value are an error that says where and why. Nobody is trusted: memory is taken for
//!   what is there and not for what is told, and no bytes lead to a panic;
//! - a decoder goes on from part to part and holds nothing, so that large values are read between other work;
//! - what is written can be read by Redis 6.2 and all that came after it.
//!
//! It does not know keys, commands, or what this node makes of the parts.

mod assembly;
mod check;
mod crc;
mod decode;
pub mod dump;
mod extent;
pub mod file;
pub mod file_write;
pub mod forms;
pub mod functions;
mod hash;
mod list;
mod listpack;
pub mod lzf;
mod packs;
mod parts;
mod pieces;
mod read;
mod set;
mod sorted_set;
mod stream;
mod stream_value;
#[cfg(test)]
mod tests;

pub use self::assembly::Assembly;
pub use self::crc::Crc;
pub use self::decode::{Decoder, EMPTY};
pub use self::parts::{Kind, Part, StreamFacts, StreamId};
pub use self::pieces::{Building, Writing};
pub use self::read::{Malformed, Text};
