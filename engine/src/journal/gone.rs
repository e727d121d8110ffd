//! Why a log cannot be read from some position, or no longer.

use crate::types::Lsn;

/// Why a position cannot be read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GoneReason {
    /// The log holds only what is younger.
    Trimmed,
    /// The log has not come so far: the position is not of this log.
    Ahead,
    /// The position lies inside a frame: it is not of this log.
    InsideFrame,
}

/// A position cannot be read from, or no longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gone {
    /// The oldest position that can.
    pub oldest: Lsn,
    /// The newest one.
    pub head: Lsn,
    /// What is wrong with the one that was asked for.
    pub reason: GoneReason,
}

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Gone { oldest, head, reason } = self;
        match reason {
            GoneReason::Trimmed => write!(f, "trimmed: the log holds {oldest} to {head}"),
            GoneReason::Ahead => write!(f, "ahead: the log ends at {head}"),
            GoneReason::InsideFrame => {
                write!(f, "inside a frame: the log holds {oldest} to {head}")
            }
        }
    }
}

impl std::error::Error for Gone {}
