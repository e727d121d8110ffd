//! What the commands of lists have in common.

use crate::db::Keyspace;
use crate::value::list::Limit;
use std::ops::Range;

/// Elements that are looked at or written in one piece: some 20 us.
pub(super) const PIECE: u64 = 512;

/// Up to when a list is kept as a listpack.
pub(super) fn limit(keys: &Keyspace) -> Limit {
    Limit::of(keys.encodings().list_max_listpack_size)
}

/// The number that an index, which counts from the end where it is negative, has from the start on.
pub(super) fn index_of(index: i64, length: u64) -> Option<u64> {
    let index = if index < 0 { length as i64 + index } else { index };
    u64::try_from(index).ok().filter(|index| *index < length)
}

/// The elements from one index to another, of which each counts from the end where it is negative.
pub(super) fn range_of(start: i64, stop: i64, length: u64) -> Range<u64> {
    let from_start = |index: i64| if index < 0 { length as i64 + index } else { index };
    let start = from_start(start).max(0) as u64;
    let end = from_start(stop).max(-1).saturating_add(1) as u64;
    let end = end.min(length);
    start.min(end)..end
}
