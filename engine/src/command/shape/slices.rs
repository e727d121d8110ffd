//! What takes long goes on in slices: a shard does some 50 us of it, serves others, and comes back. The
//! keys stay open meanwhile, so that nobody sees half of it.
//!
//! ```text
//!   BITCOUNT of 512 MB ─► a reference to the value ─► slice, others, slice, others ... ─► reply
//! ```

use crate::command::{Cx, Refusal};

/// Does one piece, of some microseconds; answers whether that was the last one. The reply is written with
/// the last piece.
pub type Slices = Box<dyn FnMut(&mut Cx<'_>) -> Result<bool, Refusal> + Send>;

/// What came of a command that may take long.
pub enum Whole {
    /// It is done.
    Done,
    /// Nothing is done yet, nothing is changed or written: it goes on in slices.
    Later(Slices),
}

impl Whole {
    /// What is done at once where it is short.
    pub fn of(mut slices: Slices, is_short: bool, cx: &mut Cx<'_>) -> Result<Whole, Refusal> {
        if !is_short {
            return Ok(Whole::Later(slices));
        }
        while !slices(cx)? {}
        Ok(Whole::Done)
    }
}
