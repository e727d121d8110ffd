//! Which data a position speaks of, and who may continue from where (J6).
//!
//! ```text
//!   A  0 ----------- a ------- x        x: written on A after the branch, unknown to B
//!                     \
//!   B                  0 --------- b -- y
//!                                   \
//!   C (current)                      0 -------- head
//!
//!   asked A at or below a:  continue through A to a, B from 0 to b, C from 0
//!   asked B above b:        full sync, and the shard that is ahead is named
//!   asked B exactly at b:   the same as C at 0
//! ```
//!
//! Every arrow is a vector of one LSN per log. "Below" means in every component: logs are cut apart
//! by shard, and a position that is ahead in one of them has seen what this node never had.
//! Nothing here knows a socket or where logs are kept; it compares numbers.

use std::{fmt, str::FromStr};

use super::frame::FRAME_SHARDS_MAX;
use crate::types::{Lsn, ShardId};

/// How many branches back a lineage remembers. Each was a promotion or a restart; a log reaches back
/// over a few of them at most, and each costs up to 20 KB in the handshake.
pub const BRANCHES_MAX: usize = 16;

/// 160 bits that name one history: drawn at random by whoever begins it, shown as 40 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HistoryId(pub [u8; 20]);

impl fmt::Display for HistoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for HistoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text of a handshake that is no history, position or lineage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

impl FromStr for HistoryId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<HistoryId, Malformed> {
        let digit = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(Malformed("a history id is 40 lower-case hex digits")),
        };
        if text.len() != 40 {
            return Err(Malformed("a history id is 40 lower-case hex digits"));
        }
        let mut id = [0; 20];
        for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(HistoryId(id))
    }
}

/// How far one has applied a history: everything up to these LSNs, and nothing after them.
///
/// As text: `<40 hex>:<lsn>,<lsn>,...`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Position {
    /// The history.
    pub history: HistoryId,
    /// One LSN per log, in the coordinates of that history.
    pub lsns: Vec<Lsn>,
}

impl Position {
    /// The beginning of a history of that many shards.
    pub fn zero(history: HistoryId, shards: u16) -> Position {
        Position { history, lsns: zeros(usize::from(shards)) }
    }
}

fn zeros(shards: usize) -> Vec<Lsn> {
    vec![Lsn(0); shards]
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.history)?;
        for (index, lsn) in self.lsns.iter().enumerate() {
            write!(f, "{}{lsn}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for Position {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Position, Malformed> {
        let (history, numbers) =
            text.split_once(':').ok_or(Malformed("a position is <history>:<lsn>,<lsn>,..."))?;
        let lsns = numbers
            .split(',')
            .take(FRAME_SHARDS_MAX + 1)
            .map(|number| decimal(number).map(Lsn))
            .collect::<Result<Vec<Lsn>, Malformed>>()?;
        if lsns.len() > FRAME_SHARDS_MAX {
            return Err(Malformed("a position has at most 1024 LSNs"));
        }
        Ok(Position { history: history.parse()?, lsns })
    }
}

/// Digits only: no sign, no spaces, no empty text.
fn decimal(text: &str) -> Result<u64, Malformed> {
    let malformed = Malformed("a number is decimal digits up to 2^53");
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed);
    }
    text.parse().ok().filter(|number| *number <= LSN_MAX).ok_or(malformed)
}

/// The highest LSN that a peer may name: 28 years of ten million records a second. So positions can be
/// counted on, and those of all shards summed up, without an overflow.
pub const LSN_MAX: u64 = 1 << 53;

/// What is held of one log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogRange {
    /// The oldest position from which it can be read.
    pub first: Lsn,
    /// Its last LSN.
    pub head: Lsn,
}

/// What is held of all logs of one history: this node's own, or those that it relayed as a replica.
#[derive(Clone, Copy, Debug)]
pub struct HeldLogs<'a> {
    /// The history in whose coordinates the logs are.
    pub history: HistoryId,
    /// One per shard of that history.
    pub logs: &'a [LogRange],
}

/// Where a history began as the continuation of another.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Branch {
    parent: HistoryId,
    /// What was really held of the parent, in the parent's coordinates; its length is the parent's
    /// shard count.
    at: Vec<Lsn>,
}

/// The current history and those that it branched off.
///
/// As text: `<40 hex>/<shards>`, then for every branch, youngest first, `;` and the parent's
/// [`Position`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lineage {
    current: HistoryId,
    shards: u16,
    /// Youngest first; at most [`BRANCHES_MAX`].
    branches: Vec<Branch>,
}

/// One stretch of the way from an asked position to the present.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leg {
    /// The history whose logs are to be sent.
    pub history: HistoryId,
    /// From after these.
    pub from: Vec<Lsn>,
    /// Up to these, where the next leg's history begins; without end for the current history.
    pub to: Option<Vec<Lsn>>,
}

/// What is to be done with somebody who asks to continue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Send these, one after the other; the last one is of the current history. Never empty.
    Continue(Vec<Leg>),
    /// Everything has to be sent anew, on all flows.
    Full(Reason),
}

/// Why a position cannot be continued from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The history is neither the current one nor among its ancestors.
    UnknownHistory(HistoryId),
    /// The position has another number of components than its history has shards.
    ShardCount {
        /// The history.
        history: HistoryId,
        /// Components of the position.
        asked: usize,
        /// Shards of the history.
        shards: usize,
    },
    /// This shard is beyond where the next history branched off: it has what this node never had.
    AheadOfBranch {
        /// The first shard that is.
        shard: ShardId,
        /// The history that was asked for.
        history: HistoryId,
        /// Where the asker is.
        asked: Lsn,
        /// Where the branch is.
        branch: Lsn,
    },
    /// This shard is beyond the end of the current history: it has what this node never had.
    AheadOfHead {
        /// The first shard that is.
        shard: ShardId,
        /// Where the asker is.
        asked: Lsn,
        /// Where the log ends.
        head: Lsn,
    },
    /// The log of this shard does not reach back so far, or (of an older history) not far enough on.
    Trimmed {
        /// The history whose log it is.
        history: HistoryId,
        /// The first shard that lacks something.
        shard: ShardId,
        /// From where it would be needed.
        asked: Lsn,
        /// What is held.
        held: LogRange,
    },
    /// No log of this history is held.
    NotHeld(HistoryId),
}

/// Stands in the text of a [`Reason`] where who asked has what this node never had.
pub const AHEAD: &str = "ahead of";

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::UnknownHistory(history) => write!(f, "unknown history {history}"),
            Reason::ShardCount { history, asked, shards } => {
                write!(f, "shard count: {asked} positions in history {history} of {shards} shards")
            }
            Reason::AheadOfBranch { shard, history, asked, branch } => write!(
                f,
                "shard {shard} is at {asked} of history {history}, {AHEAD} its branch at {branch}"
            ),
            Reason::AheadOfHead { shard, asked, head } => {
                write!(f, "shard {shard} is at {asked}, {AHEAD} the head at {head}")
            }
            Reason::Trimmed { history, shard, asked, held } => write!(
                f,
                "trimmed: shard {shard} holds {} to {} of history {history}, {asked} was asked for",
                held.first, held.head
            ),
            Reason::NotHeld(history) => write!(f, "no log of history {history} is held"),
        }
    }
}

impl Lineage {
    /// A history that is related to nothing: an empty start.
    pub fn unrelated(current: HistoryId, shards: u16) -> Lineage {
        Lineage { current, shards, branches: Vec::new() }
    }

    /// A new history that continues this one from `at`, the vector that is really held: after a
    /// promotion, and after a start from a snapshot. `at` has one LSN per shard of this history.
    ///
    /// The oldest branch is forgotten beyond [`BRANCHES_MAX`]: whoever stands there syncs fully.
    ///
    /// # Panics
    /// If `at` has another length than this history has shards, or `current` is not new.
    pub fn branch_off(mut self, current: HistoryId, shards: u16, at: Vec<Lsn>) -> Lineage {
        assert_eq!(at.len(), usize::from(self.shards), "one LSN per shard of the parent");
        assert!(self.shards_of(&current).is_none(), "history {current} is in use already");
        self.branches.insert(0, Branch { parent: self.current, at });
        self.branches.truncate(BRANCHES_MAX);
        Lineage { current, shards, branches: self.branches }
    }

    /// The history that this one branched off, with those before, and where; none if it branched off nothing.
    pub fn before(&self) -> Option<(Lineage, Vec<Lsn>)> {
        let (youngest, older) = self.branches.split_first()?;
        let (current, shards) = (youngest.parent, youngest.at.len() as u16);
        let lineage = Lineage { current, shards, branches: older.to_vec() };
        Some((lineage, youngest.at.clone()))
    }

    /// The current history.
    pub fn current(&self) -> HistoryId {
        self.current
    }

    /// How many shards the current history has.
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// The ancestors, youngest first, each where its child branched off.
    pub fn branches(&self) -> impl Iterator<Item = Position> + '_ {
        self.branches
            .iter()
            .map(|branch| Position { history: branch.parent, lsns: branch.at.clone() })
    }

    /// How many shards `history` has, if it is the current one or an ancestor.
    pub fn shards_of(&self, history: &HistoryId) -> Option<usize> {
        if *history == self.current {
            return Some(usize::from(self.shards));
        }
        let branch = self.branches.iter().find(|branch| branch.parent == *history)?;
        Some(branch.at.len())
    }

    /// Whether somebody who has applied `asked` may continue, given the logs that are held.
    pub fn judge(&self, asked: &Position, held: &[HeldLogs<'_>]) -> Verdict {
        #[cfg(feature = "planted-bugs")]
        if super::planted::is_on(&super::planted::HISTORY_BY_ID_ONLY)
            && self.shards_of(&asked.history).is_some()
        {
            let from = asked.lsns.clone();
            return Verdict::Continue(vec![Leg { history: self.current, from, to: None }]);
        }
        match self.way(asked) {
            Ok(legs) => match legs.iter().find_map(|leg| self.obstacle(leg, held)) {
                Some(reason) => Verdict::Full(reason),
                None => Verdict::Continue(legs),
            },
            Err(reason) => Verdict::Full(reason),
        }
    }

    /// The legs from `asked` to the present, if there is a way in principle.
    fn way(&self, asked: &Position) -> Result<Vec<Leg>, Reason> {
        let history = asked.history;
        let shards = self.shards_of(&history).ok_or(Reason::UnknownHistory(history))?;
        if asked.lsns.len() != shards {
            return Err(Reason::ShardCount { history, asked: asked.lsns.len(), shards });
        }
        let mut from = asked.lsns.clone();
        let mut legs = Vec::new();
        // The branches from the asked history on; none if it is the current one.
        let older = self.branches.iter().position(|branch| branch.parent == history);
        for branch in self.branches[..older.map_or(0, |index| index + 1)].iter().rev() {
            if let Some((shard, asked, limit)) = first_above(&from, branch.at.iter().copied()) {
                let history = branch.parent;
                return Err(Reason::AheadOfBranch { shard, history, asked, branch: limit });
            }
            if from != branch.at {
                legs.push(Leg { history: branch.parent, from, to: Some(branch.at.clone()) });
            }
            // Exactly at the branch is the beginning of the child.
            from = zeros(self.child_shards(branch));
        }
        legs.push(Leg { history: self.current, from, to: None });
        Ok(legs)
    }

    fn child_shards(&self, branch: &Branch) -> usize {
        let index = self.branches.iter().position(|other| other.parent == branch.parent);
        match index.and_then(|index| index.checked_sub(1)) {
            Some(child) => self.branches[child].at.len(),
            None => usize::from(self.shards),
        }
    }

    /// What keeps us from sending a leg.
    fn obstacle(&self, leg: &Leg, held: &[HeldLogs<'_>]) -> Option<Reason> {
        let history = leg.history;
        let Some(held) = held.iter().find(|held| held.history == history) else {
            return Some(Reason::NotHeld(history));
        };
        if held.logs.len() != leg.from.len() {
            let (asked, shards) = (leg.from.len(), held.logs.len());
            return Some(Reason::ShardCount { history, asked, shards });
        }
        let heads = held.logs.iter().map(|log| log.head);
        if leg.to.is_none()
            && let Some((shard, asked, head)) = first_above(&leg.from, heads)
        {
            return Some(Reason::AheadOfHead { shard, asked, head });
        }
        leg.from.iter().zip(held.logs).enumerate().find_map(|(shard, (from, log))| {
            let to = leg.to.as_ref().map_or(log.head, |to| to[shard]);
            let lacks = *from < log.first || to > log.head;
            // A shard that is at the end of this leg needs nothing of its log.
            (lacks && *from != to).then_some(Reason::Trimmed {
                history,
                shard: ShardId(shard as u16),
                asked: *from,
                held: *log,
            })
        })
    }
}

/// The first component of `lsns` that is above its limit.
fn first_above(lsns: &[Lsn], limits: impl Iterator<Item = Lsn>) -> Option<(ShardId, Lsn, Lsn)> {
    lsns.iter()
        .zip(limits)
        .enumerate()
        .find(|(_, (lsn, limit))| *lsn > limit)
        .map(|(shard, (lsn, limit))| (ShardId(shard as u16), *lsn, limit))
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.current, self.shards)?;
        self.branches().try_for_each(|branch| write!(f, ";{branch}"))
    }
}

impl FromStr for Lineage {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Lineage, Malformed> {
        let mut parts = text.split(';');
        let (current, shards) = parts
            .next()
            .and_then(|part| part.split_once('/'))
            .ok_or(Malformed("a lineage begins with <history>/<shards>"))?;
        let shards = decimal(shards)?;
        if shards == 0 || shards > FRAME_SHARDS_MAX as u64 {
            return Err(Malformed("a history has 1 to 1024 shards"));
        }
        let mut lineage = Lineage::unrelated(current.parse()?, shards as u16);
        for part in parts {
            let Position { history, lsns } = part.parse()?;
            if lineage.branches.len() == BRANCHES_MAX {
                return Err(Malformed("a lineage has at most 16 branches"));
            }
            if lineage.shards_of(&history).is_some() {
                return Err(Malformed("a history cannot branch off itself"));
            }
            lineage.branches.push(Branch { parent: history, at: lsns });
        }
        Ok(lineage)
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
