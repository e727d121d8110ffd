//! A search under way: along the ranges of scores, a piece at a time.

use super::asked::Asked;
use crate::value::SharedValue;
use crate::value::geo::{Point, Search, ranges};
use crate::value::sorted_set::SortedSet;
use std::collections::{BTreeMap, btree_map};
use std::ops::Range;

/// Places whose distance is asked for in one piece: some 20 us.
const PIECE: u64 = 128;

/// A member that lies in the area.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit {
    /// Its number from the start on.
    pub(super) rank: u64,
    pub(super) score: f64,
    /// In metres.
    pub(super) distance: f64,
}

pub(super) struct Searching {
    set: SharedValue,
    search: Search,
    /// What is to be gone along, the next last.
    left: Vec<Range<u64>>,
    /// What was found, sorted as it comes, since sorting takes long at the end: by distance or by nothing, and in the
    /// order of the search.
    hits: BTreeMap<(u64, u64), Hit>,
    /// Whether it is sorted, and the farthest first.
    order: Option<bool>,
    /// When to stop; 0: at the end.
    enough: u64,
    /// The most that is shown.
    most: u64,
}

impl Searching {
    /// Searches in a sorted set; `None` where it is none.
    pub(super) fn of(set: SharedValue, asked: &Asked) -> Option<Searching> {
        let search = asked.search()?;
        let there: &SortedSet = set.object()?;
        let rank = |score| there.rank_of_score(score, false);
        let mut left: Vec<Range<u64>> = ranges(&search)
            .map(|(from, to)| {
                let start = rank(from);
                start..rank(to).max(start)
            })
            .collect();
        left.reverse();
        // The nearest ones, where only so many are wanted.
        let nearest = (asked.count > 0 && !asked.any).then_some(false);
        let order = asked.descending.or(nearest);
        Some(Searching {
            search,
            left,
            hits: BTreeMap::new(),
            order,
            enough: if asked.any { asked.count } else { 0 },
            most: if asked.count > 0 { asked.count } else { u64::MAX },
            set,
        })
    }

    /// The set that is searched.
    pub(super) fn set(&self) -> Option<&SortedSet> {
        self.set.object()
    }

    /// Whether one piece is enough.
    pub(super) fn is_short(&self) -> bool {
        self.left.iter().map(|range| range.end - range.start).sum::<u64>() <= PIECE
    }

    /// Metres of the unit.
    pub(super) fn unit(&self) -> f64 {
        self.search.unit
    }

    fn found(&self) -> u64 {
        self.hits.len() as u64
    }

    /// How many are shown.
    pub(super) fn count(&self) -> u64 {
        self.found().min(self.most)
    }

    /// Does a piece; whether that was the last.
    pub(super) fn more(&mut self) -> bool {
        let mut budget = PIECE;
        while budget > 0 {
            let Some(range) = self.left.last_mut() else { return true };
            let piece = range.start..range.end.min(range.start + budget);
            budget -= piece.end - piece.start;
            range.start = piece.end;
            if range.is_empty() {
                self.left.pop();
            }
            if self.look(piece) {
                self.left.clear();
            }
        }
        self.left.is_empty()
    }

    /// Looks at some members; whether there are enough.
    fn look(&mut self, range: Range<u64>) -> bool {
        let mut found = self.found();
        let Searching { set, search, hits, order, enough, .. } = self;
        let Some(set) = set.object::<SortedSet>() else { return true };
        let mut rank = range.start;
        set.visit(range, false, |entry| {
            if let Some(distance) = search.distance_of(Point::of_score(entry.score)) {
                let hit = Hit { rank, score: entry.score, distance };
                // Distances are not below 0: their bits are in their order.
                let bits = (distance + 0.0).to_bits();
                let key = order.map_or(0, |is_descending| if is_descending { !bits } else { bits });
                hits.insert((key, found), hit);
                found += 1;
            }
            rank += 1;
            *enough == 0 || found < *enough
        });
        *enough > 0 && found >= *enough
    }

    /// What was found, in the order in which it is shown.
    pub(super) fn take(&mut self) -> Taken {
        let most = usize::try_from(self.most).unwrap_or(usize::MAX);
        std::mem::take(&mut self.hits).into_values().take(most)
    }
}

/// Hits, one after the other.
pub(super) type Taken = std::iter::Take<btree_map::IntoValues<(u64, u64), Hit>>;
