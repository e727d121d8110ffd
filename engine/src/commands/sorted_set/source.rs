//! What sorted sets are combined of.

use crate::value::set::Set;
use crate::value::sorted_set::{Entry, SortedSet};
use crate::value::{Item, SharedValue};
use std::ops::Range;

/// A value that takes part, or none; its score is multiplied first.
pub(super) struct Source {
    value: Option<SharedValue>,
    pub(super) weight: f64,
}

/// Whether a value can take part.
pub(super) fn takes_part(item: &Item) -> bool {
    item.object().is_some_and(|object| {
        let object: &dyn std::any::Any = object;
        object.is::<SortedSet>() || object.is::<Set>()
    })
}

impl Source {
    pub(super) fn of(value: Option<SharedValue>, weight: f64) -> Source {
        Source { value, weight }
    }

    fn sorted_set(&self) -> Option<&SortedSet> {
        self.value.as_ref()?.object()
    }

    /// A plain set: all scores are 1.
    fn set(&self) -> Option<&Set> {
        self.value.as_ref()?.object()
    }

    /// How many members it has.
    pub(super) fn len(&self) -> u64 {
        self.sorted_set().map_or_else(|| self.set().map_or(0, Set::len), SortedSet::len)
    }

    /// The score of a member, as it is there.
    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        match self.sorted_set() {
            Some(set) => set.score(member),
            None => self.set()?.has(member).then_some(1.0),
        }
    }

    /// Shows some of the members.
    pub(super) fn visit<'a>(&'a self, range: Range<u64>, mut see: impl FnMut(Entry<'a>)) {
        if let Some(set) = self.sorted_set() {
            set.visit(range, false, |entry| {
                see(entry);
                true
            });
        } else if let Some(set) = self.set() {
            set.range(range).for_each(|member| see(Entry { score: 1.0, member: member.value }));
        }
    }
}
