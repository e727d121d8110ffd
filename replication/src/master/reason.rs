//! Why a session with a replica ends, as one decides by it and as it is read: in logs, and by the replica.

use crate::info::DropKind;
use crate::standing::Outdated;
use crate::wire;
use engine::types::Lsn;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// See the module's doc.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// It has its terms and does not come with its flows.
    NotConnected,
    /// Not even the control connection was handed over.
    GaveUp,
    /// It left.
    ControlClosed,
    /// The control connection broke, or what is said on it does not hold together.
    ControlBroke(String),
    /// It left a flow.
    FlowClosed(u16),
    /// A flow broke, or what is said on it does not hold together.
    Flow(u16, String),
    /// A flow that is connected already, or that there is not.
    ConnectedTwice(usize),
    /// A node follows once.
    SameNode,
    /// Neither data nor signs of life.
    Silent(Duration),
    /// Signs of life, but its data stands.
    Still(Duration),
    /// The journal does not reach back to it any more.
    FellOut(FellOut),
    /// The older history ends where the next one began.
    LegIsOver,
    /// Somebody else took it away.
    CutDropped,
    /// The journals do not hold what it was granted.
    CannotBegin(String),
    /// What it was fed from is not this node's data any more.
    Outdated(Outdated),
    /// By an operator.
    Killed,
}

/// Where a replica was when the journal was trimmed past it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FellOut {
    /// Which journal.
    pub flow: u16,
    /// What it has acknowledged.
    pub acked: Lsn,
    /// What the journal holds.
    pub held: (Lsn, Lsn),
    /// Bytes between it and the head.
    pub behind: u64,
    /// What `repl_backlog_size` had to be.
    pub needed: u64,
}

impl Reason {
    /// The replica looked at the terms and left, if it had not come with its connections.
    pub fn has_left(&self) -> bool {
        matches!(self, Reason::ControlClosed | Reason::ControlBroke(_))
    }

    /// What kind of drop it is, where this node let go of a replica that had not left.
    pub fn drop_kind(&self) -> Option<DropKind> {
        Some(match self {
            Reason::FellOut(_) => DropKind::Journal,
            Reason::Silent(_) => DropKind::Silent,
            Reason::Still(_) => DropKind::Still,
            Reason::NotConnected => DropKind::NotConnected,
            Reason::CutDropped | Reason::CannotBegin(_) => DropKind::Broken,
            _ => return None,
        })
    }
}

impl Display for Reason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NotConnected => f.write_str("its flows were not all connected in time"),
            Reason::GaveUp => f.write_str("it gave up before it was told the terms"),
            Reason::ControlClosed => f.write_str("the replica closed the control connection"),
            Reason::ControlBroke(error) => write!(f, "control connection: {error}"),
            Reason::FlowClosed(flow) => write!(f, "flow {flow}: the replica closed it"),
            Reason::Flow(flow, error) => write!(f, "flow {flow}: {error}"),
            Reason::ConnectedTwice(flow) => {
                write!(f, "flow {flow} was connected twice or does not exist")
            }
            Reason::SameNode => f.write_str("the same node began another session"),
            Reason::Silent(time) => {
                write!(f, "nothing was heard from it for {} ms", time.as_millis())
            }
            Reason::Still(time) => write!(f, "its data did not move for {} ms", time.as_millis()),
            Reason::FellOut(FellOut { flow, acked, held: (first, head), behind, needed }) => {
                write!(
                    f,
                    "{} of shard {flow} (acknowledged {acked}, held {first} to {head}, {behind} bytes \
                     behind): raise repl_backlog_size above {needed}",
                    wire::FELL_OUT
                )
            }
            Reason::LegIsOver => {
                f.write_str("it has everything of the older history and continues in the next one")
            }
            Reason::CutDropped => f.write_str("the cut was dropped"),
            Reason::CannotBegin(why) => f.write_str(why),
            Reason::Outdated(why) => why.fmt(f),
            Reason::Killed => f.write_str("it was ended by CLIENT KILL"),
        }
    }
}
