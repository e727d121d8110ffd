//! Sorted sets.
//!
//! ```text
//!   5 | count, (string, double)      from the highest to the lowest: what Redis before 7.0 reads as well
//! ```

use super::dump::{write_length, write_text};
use super::parts::Part;
use super::pieces::{Building, Writing};
use crate::value::sorted_set::SortedSet;
use crate::value::{NewValue, Object, Small};
use std::any::Any;
use std::sync::Arc;

const DOUBLES: u8 = 5;
/// What Redis keeps as it is, whatever is in it.
const PACKS: [u8; 2] = [12, 17];

/// Members in one piece: some 20 us.
const PIECE: u64 = 128;

/// A sorted set that is held while it is written.
struct Written {
    set: SortedSet,
    /// How many are still to be written.
    left: Option<u64>,
}

pub(super) fn writing(object: &dyn Object) -> Option<Box<dyn Writing>> {
    let object: &dyn Any = object;
    let set = object.downcast_ref::<SortedSet>()?.clone();
    Some(Box::new(Written { set, left: None }))
}

impl Writing for Written {
    fn more(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(left) = self.left else {
            out.push(DOUBLES);
            write_length(self.set.len() as usize, out);
            self.left = Some(self.set.len());
            return false;
        };
        let from = left.saturating_sub(PIECE);
        self.set.visit(from..left, true, |entry| {
            write_text(entry.member, out);
            out.extend_from_slice(&entry.score.to_le_bytes());
            true
        });
        self.left = Some(from);
        from == 0
    }
}

/// A sorted set that is being put together.
struct Built {
    set: SortedSet,
    longest: usize,
    small: Small,
}

pub(super) fn building(form: u8, small: Small) -> Box<dyn Building> {
    let value = if PACKS.contains(&form) { usize::MAX } else { small.value };
    Box::new(Built { set: SortedSet::default(), longest: 0, small: Small { value, ..small } })
}

impl Building for Built {
    fn add(&mut self, part: &Part<'_>) -> bool {
        let Part::Member { member, score } = part else { return true };
        self.longest = self.longest.max(member.len());
        member.with_bytes(|member| self.set.set(*score, member))
    }

    fn end(&mut self) -> NewValue<'static> {
        let mut set = std::mem::take(&mut self.set);
        if set.len() > self.small.entries || self.longest > self.small.value {
            set.make_large();
        }
        NewValue::Object(Arc::new(set))
    }
}
