//! The guard: whether a full sync that nobody asked for may replace what this node holds.
//!
//! It protects data from a master that *lost* its own: one that was restarted empty, and that has been
//! written to since. So it compares histories, not whether a key has been written meanwhile.
//!
//! ```text
//!   our copy               the master's history         its keys          an automatic full sync
//!   in part, or no keys    any                          any               goes on
//!   whole                  related to ours              any               goes on
//!   whole                  unrelated                    as many as ours   goes on
//!   whole                  unrelated                    fewer             is held
//!   whole                  another (--break_...)        any               is held
//! ```
//!
//! Histories are related when one branched off the other, or both off a third: a promotion, a start from
//! a snapshot. It is asked at every attempt, with what the master says of itself at that moment: a master
//! that is filled again is followed once it holds as much. REPLICAOF is not asked at all. On a chain
//! every node has its own guard.
//!
//! This is a pure decision-maker; the model drives it.

use crate::handshake::Terms;
use crate::planted;
use engine::journal::Lineage;

/// What the configuration says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rules {
    /// `replica_guard`: fewer keys of an unrelated history are not taken for more.
    pub is_on: bool,
    /// `break_replication_on_master_restart`: a copy of another history is not taken, however much
    /// it holds.
    pub breaks_on_restart: bool,
}

/// What this node holds.
#[derive(Clone, Copy, Debug)]
pub struct Ours<'a> {
    /// The history of its data and those before.
    pub lineage: &'a Lineage,
    /// It is not a part of a copy: it could be promoted.
    pub is_whole: bool,
    /// Keys in all databases, those included whose time has come: a replica does not delete them by
    /// itself.
    pub keys: u64,
}

/// Why a master is not followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// Keys here.
    pub own_keys: u64,
    /// Keys of the master.
    pub master_keys: u64,
    /// However many keys it had.
    pub breaks_on_restart: bool,
}

impl Held {
    /// For the operator; without figures, so that it is one text for as long as it is so.
    pub fn text(&self, host: &str, port: u16) -> String {
        let why = match self.breaks_on_restart {
            true => "break_replication_on_master_restart is set",
            false => "it holds fewer keys than this node",
        };
        format!(
            "the guard holds: the master is of another history and {why}: its data would wipe ours; \
             REPLICAOF {host} {port} once more overrides this guard"
        )
    }
}

/// Whether a sync on `terms`, which no operator asked for, is held.
pub fn judge(rules: Rules, ours: &Ours<'_>, terms: &Terms) -> Option<Held> {
    if !terms.full {
        return None;
    }
    let theirs = &terms.lineage;
    let theirs = Theirs {
        is_same: theirs.current() == ours.lineage.current(),
        is_related: are_related(ours.lineage, theirs),
        keys: terms.keys,
    };
    judge_keys(rules, (ours.is_whole, ours.keys), theirs)
}

/// What a master of any kind would replace ours with.
#[derive(Clone, Copy, Debug)]
pub struct Theirs {
    /// Its history is the one of our data.
    pub is_same: bool,
    /// Its history and ours have one in common.
    pub is_related: bool,
    /// Keys in all its databases.
    pub keys: u64,
}

/// Whether a full sync that no operator asked for is held, where this node holds a whole copy, or not, of so
/// many keys.
pub fn judge_keys(rules: Rules, (is_whole, keys): (bool, u64), theirs: Theirs) -> Option<Held> {
    if !is_whole || keys == 0 {
        return None;
    }
    let restarted = rules.breaks_on_restart && !theirs.is_same;
    let has_less = match planted::guard_looks_for_a_key() {
        true => theirs.keys == 0,
        false => theirs.keys < keys,
    };
    let lost = rules.is_on && has_less && !theirs.is_related;
    (restarted || lost).then_some(Held {
        own_keys: keys,
        master_keys: theirs.keys,
        breaks_on_restart: restarted,
    })
}

/// Whether two histories have one in common: the current one of either, or a branch.
fn are_related(ours: &Lineage, theirs: &Lineage) -> bool {
    let mut own = ours.branches().map(|branch| branch.history);
    theirs.shards_of(&ours.current()).is_some() || own.any(|own| theirs.shards_of(&own).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::journal::HistoryId;
    use engine::types::Lsn;

    fn history(number: u8) -> HistoryId {
        HistoryId([number; 20])
    }

    /// A lineage in words: `1` is history 1, `2<1` is 2, which branched off 1.
    fn lineage(words: &str) -> Lineage {
        let mut numbers = words.split('<').rev().map(|word| history(word.parse().unwrap()));
        let first = Lineage::unrelated(numbers.next().unwrap(), 1);
        numbers.fold(first, |lineage, next| lineage.branch_off(next, 1, vec![Lsn(5)]))
    }

    fn terms(words: &str, keys: u64) -> Terms {
        let lineage = lineage(words);
        Terms {
            full: true,
            reason: String::new(),
            session: 1,
            chain: Vec::new(),
            history: lineage.current(),
            lineage,
            from: vec![Lsn(0)],
            to: None,
            seed: 0,
            walks: 1,
            dbs: 16,
            keys,
        }
    }

    #[test]
    fn only_a_whole_copy_is_kept_from_an_unrelated_master_with_fewer_keys() {
        let on = Rules { is_on: true, breaks_on_restart: false };
        let off = Rules { is_on: false, breaks_on_restart: false };
        let breaks = Rules { is_on: false, breaks_on_restart: true };
        let rows = [
            (on, "1", true, 100, "2", 0, true),
            // The story: one SET before the replica's next attempt opened it.
            (on, "1", true, 100, "2", 1, true),
            (on, "1", true, 100, "2", 99, true),
            (on, "1", true, 100, "2", 100, false),
            (on, "1", true, 0, "2", 0, false),
            (on, "1", false, 100, "2", 0, false),
            // The same master, flushed; one that was promoted; one that fell back; a sibling.
            (on, "1", true, 100, "1", 0, false),
            (on, "1", true, 100, "2<1", 1, false),
            (on, "2<1", true, 100, "1", 1, false),
            (on, "3<1", true, 100, "2<1", 1, false),
            (on, "3<1", true, 100, "2<4", 1, true),
            (off, "1", true, 100, "2", 0, false),
            (breaks, "1", true, 100, "2", 1000, true),
            (breaks, "1", true, 100, "2<1", 1000, true),
            (breaks, "1", true, 100, "1", 0, false),
            (breaks, "1", false, 100, "2", 1000, false),
            (breaks, "1", true, 0, "2", 1000, false),
        ];
        for (rules, own, is_whole, keys, theirs, their_keys, is_held) in rows {
            let lineage = lineage(own);
            let ours = Ours { lineage: &lineage, is_whole, keys };
            let row = format!("{rules:?} {own} {is_whole} {keys} / {theirs} {their_keys}");
            let held = judge(rules, &ours, &terms(theirs, their_keys));
            assert_eq!(held.is_some(), is_held, "{row}");
            let partial = Terms { full: false, ..terms(theirs, their_keys) };
            assert_eq!(judge(rules, &ours, &partial), None, "{row}");
        }
    }
}
