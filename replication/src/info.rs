//! What INFO, ROLE and the metrics show of replication: plain values, gathered for one question.

use crate::guard::Held;
use engine::types::Lsn;

/// A node's replication at one moment.
#[derive(Clone, Debug)]
pub struct Info {
    /// 40 hex digits of the current history.
    pub history: String,
    /// The history that it branched off last, if any, and the offset at which.
    pub parent: Option<(String, u64)>,
    /// Sum of the journal heads: a number that only grows within a history.
    pub offset: u64,
    /// Per shard, what the journals hold.
    pub journals: Vec<Journal>,
    /// Those who follow this node.
    pub replicas: Vec<Replica>,
    /// Whom this node follows.
    pub upstream: Option<Upstream>,
    /// Counters since start.
    pub counters: Counters,
    /// The stream of commands, while there is one: its name and offsets are those that a Redis knows this node by.
    pub stream: Option<Stream>,
}

/// The stream of commands that those are sent who follow as a Redis does.
#[derive(Clone, Debug)]
pub struct Stream {
    /// 40 hex digits.
    pub id: String,
    /// How many bytes it has.
    pub offset: u64,
    /// How many it had before those that are kept.
    pub first: u64,
    /// How many are kept.
    pub bytes: u64,
}

/// One shard's journal.
#[derive(Clone, Copy, Debug)]
pub struct Journal {
    /// The oldest position held.
    pub first: Lsn,
    /// The head.
    pub head: Lsn,
    /// Bytes held.
    pub bytes: u64,
    /// Milliseconds since the oldest record held was written.
    pub oldest_age_ms: u64,
}

/// One replica of this node.
#[derive(Clone, Debug)]
pub struct Replica {
    /// Names the session.
    pub session: u64,
    /// Where it says it is reached.
    pub ip: String,
    /// On which port.
    pub port: u16,
    /// How far it is.
    pub state: ReplicaState,
    /// Sum of what it acknowledged; 0 until it is in stable sync.
    pub offset: u64,
    /// Per shard; of a replica in stable sync only.
    pub lags: Vec<Lag>,
    /// Milliseconds since its last acknowledgement.
    pub last_ack_ms: u64,
    /// Items sent and items to be sent, during a full sync.
    pub progress: Option<Progress>,
    /// What it is sent.
    pub speaks: Speaks,
}

/// What a replica is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speaks {
    /// The journals: it is a node like this one.
    Journals,
    /// Commands, as a Redis is.
    Commands {
        /// Bytes of its stream that it has not acknowledged.
        lag_bytes: u64,
    },
}

/// How far a full sync is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Items done.
    pub done: u64,
    /// Items in all, as far as is known.
    pub total: u64,
    /// Items a second, over the whole sync.
    pub rate: f64,
    /// Seconds to go at that rate; none while nobody knows.
    pub eta_seconds: Option<f64>,
}

impl Progress {
    /// From what was done in `seconds`.
    pub fn of(done: u64, total: u64, seconds: f64) -> Progress {
        let rate = if seconds > 0.0 { done as f64 / seconds } else { 0.0 };
        let left = total.saturating_sub(done) as f64;
        let eta_seconds = (rate > 0.0 && left > 0.0).then(|| left / rate);
        Progress { done, total, rate, eta_seconds }
    }

    /// Between 0 and 1, which it is not before the end: then there is no progress to be shown any more.
    pub fn ratio(&self) -> f64 {
        /// The most that two digits behind the point do not make 100 % of.
        const MOST: f64 = 0.9999;
        if self.total == 0 { 0.0 } else { (self.done as f64 / self.total as f64).min(MOST) }
    }
}

/// How far a replica is behind on one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Records that it has not acknowledged.
    pub records: u64,
    /// Their bytes in the journal, at least.
    pub bytes: u64,
    /// Milliseconds since the oldest of them was written.
    pub millis: u64,
}

/// The states of a replica, as its master sees them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplicaState {
    /// The handshake is done, flows are being made.
    Preparation,
    /// Items are sent.
    FullSync,
    /// It has yet to read the rest of the journal that was before the one of now, and has nothing of that.
    CatchingUp,
    /// It follows the journal.
    StableSync,
}

impl ReplicaState {
    /// Dragonfly's word.
    pub fn word(self) -> &'static str {
        match self {
            ReplicaState::Preparation => "preparation",
            ReplicaState::FullSync => "full_sync",
            ReplicaState::CatchingUp => "catching_up",
            ReplicaState::StableSync => "stable_sync",
        }
    }
}

/// Whom this node follows.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// As given.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How far the link is.
    pub state: LinkState,
    /// Milliseconds since something arrived.
    pub last_io_ms: u64,
    /// Milliseconds since the link broke, while it is down.
    pub down_ms: Option<u64>,
    /// Why it broke last.
    pub last_error: Option<String>,
    /// Sum of what is applied.
    pub offset: u64,
    /// Per flow, what is applied.
    pub applied: Vec<Lsn>,
    /// Per flow, how far the master's journal was as of its last word (at most about a second old); of a link in stable
    /// sync only.
    pub heads: Vec<Lsn>,
    /// Names the session with the master.
    pub session: u64,
    /// Items received and to be received, during a full sync.
    pub progress: Option<Progress>,
    /// The guard holds, and why.
    pub guard: Option<Held>,
    /// How often the link was made anew.
    pub reconnects: u64,
}

impl Upstream {
    /// Sum of what is applied; none while a full sync is under way, or what came of one that broke off is applied: half of
    /// a copy is no position, and whoever chooses a master by it must not see one.
    pub fn position(&self) -> Option<u64> {
        let is_half = self.state == LinkState::FullSync || self.progress.is_some();
        (!is_half).then_some(self.offset)
    }

    /// Per flow, records that the master had written as of its last word and that are not applied here; empty where its
    /// heads are not known.
    pub fn lags(&self) -> Vec<u64> {
        let lag = |(head, applied): (&Lsn, &Lsn)| head.0.saturating_sub(applied.0);
        self.heads.iter().zip(&self.applied).map(lag).collect()
    }
}

/// The states of a link to a master.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkState {
    /// No connection.
    Connecting,
    /// It cannot be followed, however often it is tried: an operator has to do something.
    Refused,
    /// Talking about terms.
    Handshake,
    /// Receiving items.
    FullSync,
    /// Following the journal.
    StableSync,
}

impl LinkState {
    /// Dragonfly's word.
    pub fn word(self) -> &'static str {
        match self {
            LinkState::Connecting => "connecting",
            LinkState::Refused => "refused",
            LinkState::Handshake => "preparation",
            LinkState::FullSync => "full_sync",
            LinkState::StableSync => "stable_sync",
        }
    }
}

/// Counters since start.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Full syncs that replicas of this node began.
    pub full: u64,
    /// Partial syncs that they began.
    pub partial_ok: u64,
    /// Asked-for partial syncs that became full ones.
    pub partial_err: u64,
    /// Full syncs by reason.
    pub full_reasons: Vec<(String, u64)>,
    /// Replicas that this node let go of, by [`DropKind`].
    pub dropped: [u64; DROP_KINDS],
    /// As a replica: partial syncs asked for and granted.
    pub psync_attempts: u64,
    /// See `psync_attempts`.
    pub psync_successes: u64,
}

impl Counters {
    /// A replica was granted to go on, or a full sync for this reason.
    pub fn note_sync(&mut self, full: bool, why: &str, asked_partial: bool) {
        /// Reasons told apart: beyond it they are counted together.
        const REASONS_MAX: usize = 16;
        if !full {
            self.partial_ok += 1;
            return;
        }
        self.partial_err += u64::from(asked_partial);
        self.full += 1;
        // The words before the figures: reasons of one kind are counted together.
        let kind = why.split([':', ' ']).next().unwrap_or_default().to_owned();
        let reasons = &mut self.full_reasons;
        match reasons.iter().position(|(known, _)| *known == kind) {
            Some(place) => reasons[place].1 += 1,
            None if reasons.len() < REASONS_MAX => reasons.push((kind, 1)),
            None => {}
        }
    }
}

/// How many kinds of drops there are.
pub const DROP_KINDS: usize = 5;

/// Why this node let go of a replica, as it is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DropKind {
    /// The journal does not reach back to it.
    Journal,
    /// Nothing was heard from it.
    Silent,
    /// It lives, but its data did not move.
    Still,
    /// It did not come with all its connections.
    NotConnected,
    /// What it was to be fed from was not there any more.
    Broken,
}

impl DropKind {
    /// All of them, in the order in which they are counted.
    pub const ALL: [DropKind; DROP_KINDS] = [
        DropKind::Journal,
        DropKind::Silent,
        DropKind::Still,
        DropKind::NotConnected,
        DropKind::Broken,
    ];

    /// The label in metrics.
    pub fn word(self) -> &'static str {
        match self {
            DropKind::Journal => "journal",
            DropKind::Silent => "silent",
            DropKind::Still => "stalled",
            DropKind::NotConnected => "not_connected",
            DropKind::Broken => "broken_off",
        }
    }

    /// What an operator may do; nothing where the reason says it.
    pub fn advice(self) -> &'static str {
        match self {
            DropKind::Journal => "",
            DropKind::Silent => {
                ". It comes back by itself if it runs and reaches this node; where it pauses for so long, raise \
                 replication_timeout on both"
            }
            DropKind::Still => {
                ". It comes back by itself; see what holds it up (its disk, CPU, memory or network), or raise \
                 replication_timeout on this node"
            }
            DropKind::NotConnected => {
                ". It asks again by itself; see whether it can make one connection per shard to this node \
                 (maxclients, open files, firewall)"
            }
            DropKind::Broken => ". It asks again by itself",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 % and nothing left, before a byte had come and while seconds of data were still under way.
    #[test]
    fn a_full_sync_that_goes_on_is_never_at_100_percent() {
        for (done, total, seconds, ratio, left) in [
            (0, 0, 0.0, 0.0, None),
            (0, 0, 9.0, 0.0, None),
            (0, 1000, 9.0, 0.0, None),
            (250, 1000, 5.0, 0.25, Some(15.0)),
            (1000, 1000, 5.0, 0.9999, None),
            (1200, 1000, 5.0, 0.9999, None),
            (999_999_999, 1_000_000_000, 1.0, 0.9999, Some(1.0 / 999_999_999.0)),
        ] {
            let progress = Progress::of(done, total, seconds);
            assert_eq!((progress.ratio(), progress.eta_seconds), (ratio, left), "{progress:?}");
            assert_ne!(format!("{:.2}", progress.ratio() * 100.0), "100.00");
        }
    }
}
