//! Frozen cuts of a shard, read a slice at a time.

use super::body::Shard;
use super::turn::Turn;
use crate::cut::{CutId, FrozenCut, FrozenFailure, FrozenPart};
use crate::db::Changes;
use crate::rdb::forms::Recipient;
use crate::types::DbIndex;
use std::time::Duration;

/// How long a slice is while little is held: as other background work.
const SLICE: Duration = Duration::from_micros(crate::limits::SLICE_MICROS);

/// And while somebody is served, who waits for it: looking whether somebody wants something costs a fifth of it.
const SLICE_BESIDE_OTHERS: Duration = Duration::from_micros(12);

/// Whoever was served so short a time ago will want more.
const SERVED_LATELY: Duration = Duration::from_millis(2);

/// And while much is held: others wait longer, and less is held.
const SLICE_UNDER_PRESSURE: Duration = Duration::from_micros(4 * crate::limits::SLICE_MICROS);

/// From how much of the bound on that is much, in percent.
const PRESSURE: u64 = 25;

/// What a shard holds as its frozen cut begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FrozenBeginning {
    /// The journal's head.
    pub lsn: crate::types::Lsn,
    /// Changes of this shard's keys so far, and FLUSHALLs among them.
    pub changes: Changes,
    /// Keys of each database, and those of them that expire.
    pub sizes: Vec<(u64, u64)>,
    /// Some value has something inside that ends by itself.
    pub has_dated: bool,
}

impl Shard {
    /// Begins a frozen cut, which may hold `bound` bytes; `None` while there is another one. To be called inside a transaction
    /// that is alone on every shard: so the cuts of all are of one moment.
    pub fn frozen_begin(&mut self, id: CutId, bound: u64) -> Option<FrozenBeginning> {
        if self.frozen.is_some() {
            return None;
        }
        let cut = FrozenCut::begin(id, &self.keys, bound);
        let before = self.keys.set_before(Some(Box::new(cut.clone())));
        assert!(before.is_none(), "only frozen cuts ask before changes");
        self.frozen = Some(cut);
        let size = |index: usize| {
            let db = DbIndex(index as u16);
            (self.keys.len(db) as u64, self.keys.expires(db) as u64)
        };
        Some(FrozenBeginning {
            lsn: self.log.lsn(),
            changes: self.keys.changes(),
            sizes: (0..self.keys.db_count()).map(size).collect(),
            has_dated: self.keys.has_dated(),
        })
    }

    /// Whether there is a frozen cut, which no other can be beside.
    pub fn has_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// For whom a frozen cut is written, said as it begins; and whether nobody waits for it.
    pub fn frozen_for(&mut self, id: CutId, recipient: Recipient, is_at_leisure: bool) {
        if let Some(cut) = self.frozen.as_ref().filter(|cut| cut.id() == id) {
            cut.write_for(recipient, is_at_leisure);
        }
    }

    /// Puts a slice more of a frozen cut into a part of it; whether the cut may rest behind it, as somebody is served and nobody
    /// waits for it. Nothing when there is no such cut.
    pub fn frozen_more(&mut self, id: CutId, part: &mut FrozenPart) -> Option<bool> {
        let cut = self.frozen.clone().filter(|cut| cut.id() == id)?;
        let mut turn = Turn::begin();
        let stats = self.keys.stats;
        let pace = FrozenPace::of(cut.pressure(), self.served.since(&stats, turn.now()));
        let is_timed = self.is_timed;
        cut.more(&self.keys, part, &mut || !is_timed || turn.is_longer(pace.slice()));
        self.bury_gone(&cut);
        Some(cut.is_at_leisure() && pace == FrozenPace::BesideOthers)
    }

    /// Ends a frozen cut, at its end or before; `false` when there is more of it to be given back, and this is to be
    /// called again.
    pub fn frozen_end(&mut self, id: CutId) -> bool {
        let Some(cut) = self.frozen.clone().filter(|cut| cut.id() == id) else { return true };
        drop(self.keys.set_before(None));
        let mut turn = Turn::begin();
        let is_over = loop {
            match cut.clear_some() {
                true => break true,
                false if turn.is_longer(SLICE) => break false,
                false => {}
            }
        };
        self.bury_gone(&cut);
        if is_over {
            self.frozen = None;
        }
        is_over
    }

    fn bury_gone(&mut self, cut: &FrozenCut) {
        cut.take_gone().into_iter().for_each(|gone| self.keys.bury(gone));
    }

    /// Memory is short: a frozen cut must not keep what was flushed.
    pub(super) fn frozen_gives_way(&mut self) {
        if let Some(cut) = self.frozen.clone().filter(FrozenCut::keeps_flushed) {
            cut.fail(FrozenFailure::MemoryWanted);
            self.bury_gone(&cut);
        }
    }
}

/// How much of a shard's time a frozen cut takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum FrozenPace {
    /// Nobody else wants any.
    Alone,
    /// Somebody is served.
    BesideOthers,
    /// Much is held, whoever is served.
    UnderPressure,
}

impl FrozenPace {
    /// By how much is held, in percent of what may be, and how long ago somebody was served.
    fn of(pressure: u64, served: Option<Duration>) -> FrozenPace {
        match served {
            _ if pressure >= PRESSURE => FrozenPace::UnderPressure,
            Some(ago) if ago < SERVED_LATELY => FrozenPace::BesideOthers,
            _ => FrozenPace::Alone,
        }
    }

    /// How long a slice is.
    fn slice(self) -> Duration {
        match self {
            FrozenPace::Alone => SLICE,
            FrozenPace::BesideOthers => SLICE_BESIDE_OTHERS,
            FrozenPace::UnderPressure => SLICE_UNDER_PRESSURE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_served_lately_waits_for_a_short_slice_unless_much_is_held() {
        let (lately, long_ago) = (Duration::from_micros(1900), Duration::from_micros(2100));
        for (pressure, served, micros) in [
            (0, None, 100),
            (24, Some(Duration::ZERO), 12),
            (0, Some(lately), 12),
            (0, Some(long_ago), 100),
            (25, None, 400),
            (100, Some(Duration::ZERO), 400),
        ] {
            let expected = Duration::from_micros(micros);
            assert_eq!(
                FrozenPace::of(pressure, served).slice(),
                expected,
                "{pressure} %, {served:?}"
            );
        }
    }
}
