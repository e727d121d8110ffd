//! Values of several parts: written, and put together again, a piece at a time.
//!
//! ```text
//!   DUMP     object ─► Writing ─► bytes ... bytes
//!   RESTORE  Decoder ─► part, part ... ─► Building ─► object
//! ```

use super::parts::Part;
use crate::value::NewValue;

/// For whom a value is written.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Reader {
    /// One who takes all that there is of it.
    #[default]
    Newest,
    /// A Redis 6.2: what it does not know of a stream is left out.
    Redis62,
}

/// A value that is being written.
pub trait Writing: Send {
    /// Writes some more, a few microseconds' worth; whether that was the last.
    fn more(&mut self, out: &mut Vec<u8>) -> bool;
}

/// A value that is being put together.
pub trait Building: Send {
    /// Adds a part; whether it is new, where a value has each once. Whether else they go together is checked
    /// elsewhere.
    fn add(&mut self, part: &Part<'_>) -> bool;

    /// All of it.
    fn end(&mut self) -> NewValue<'static>;
}
