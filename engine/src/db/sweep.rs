//! The sweep that finds what has expired and nobody looks for.

use crate::table::Cursor;

/// Where the sweep is.
#[derive(Default)]
pub(crate) struct SweepState {
    pub(super) db: usize,
    pub(super) cursor: Cursor,
    /// DEBUG SET-ACTIVE-EXPIRE 0.
    pub(super) is_off: bool,
}
