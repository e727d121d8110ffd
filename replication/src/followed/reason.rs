//! Why a follower ends, as it is counted and as it is read in the log.

use crate::info::DropKind;
use crate::standing::Outdated;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// See the module's doc.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// It has the copy that it wanted, and nothing more.
    Served,
    /// It closed its connection.
    Left,
    /// Its connection broke, or what it says cannot be read.
    Broke(String),
    /// Nothing was heard of it for so long.
    Silent(Duration),
    /// It took nothing of its copy for so long.
    Still(Duration),
    /// More waited for it than may.
    OverLimit {
        /// So many bytes.
        waiting: u64,
        /// Which limit, as the setting has it.
        limit: String,
    },
    /// The backlog does not reach back to it any more.
    FellOut,
    /// No copy could be made for it.
    NoCopy(String),
    /// The stream that it followed has ended.
    StreamEnded(String),
    /// This node may not feed it.
    Refused(String),
    /// What it was fed from is not this node's data any more.
    Outdated(Outdated),
    /// By an operator.
    Killed,
}

impl Reason {
    /// How it is counted, where this node let go of it.
    pub fn drop_kind(&self) -> Option<DropKind> {
        match self {
            Reason::Silent(_) => Some(DropKind::Silent),
            Reason::Still(_) => Some(DropKind::Still),
            Reason::OverLimit { .. } | Reason::FellOut => Some(DropKind::Journal),
            Reason::NoCopy(_) | Reason::StreamEnded(_) => Some(DropKind::Broken),
            _ => None,
        }
    }
}

impl Display for Reason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Served => f.write_str("it has its copy"),
            Reason::Left => f.write_str("it closed the connection"),
            Reason::Broke(why) => f.write_str(why),
            Reason::Silent(time) => {
                write!(f, "nothing was heard of it for {} s (replication_timeout)", time.as_secs())
            }
            Reason::Still(time) => {
                write!(
                    f,
                    "it took nothing of its copy for {} s (replication_timeout)",
                    time.as_secs()
                )
            }
            Reason::OverLimit { waiting, limit } => write!(
                f,
                "{waiting} bytes wait for it, over the {limit} of client-output-buffer-limit replica"
            ),
            Reason::FellOut => f.write_str(
                "it is further back than the stream is kept; raise repl_backlog_size or \
                 client-output-buffer-limit replica, or, where that has no hard limit, maxmemory, a quarter of which \
                 may wait then",
            ),
            Reason::NoCopy(why) => write!(f, "no copy could be made: {why}"),
            Reason::StreamEnded(why) => write!(f, "the stream has ended: {why}"),
            Reason::Refused(why) => f.write_str(why),
            Reason::Outdated(why) => why.fmt(f),
            Reason::Killed => f.write_str("an operator ended it"),
        }
    }
}
