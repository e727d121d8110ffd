//! Sorted sets.
//!
//! ```text
//!   5 | count, (string, double)      from the highest to the lowest: what Redis before 7.0 reads as well
//! ```

use super::dump::write_length;
use super::parts::Part;
use super::pieces::{Building, Pen, Writing};
use crate::value::sorted_set::SortedSet;
use crate::value::{NewValue, Object, Small};
use std::any::Any;
use std::sync::Arc;

const DOUBLES: u8 = 5;
/// What Redis keeps as it is, whatever is in it.
const PACKS: [u8; 2] = [12, 17];

/// A sorted set that is held while it is written.
struct Written {
    set: SortedSet,
    /// How many are still to be written.
    left: Option<u64>,
    pen: Pen,
}

pub(super) fn writing(object: &dyn Object) -> Option<Box<dyn Writing>> {
    let object: &dyn Any = object;
    let set = object.downcast_ref::<SortedSet>()?.clone();
    Some(Box::new(Written { set, left: None, pen: Pen::default() }))
}

impl Writing for Written {
    fn more(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(left) = self.left else {
            out.push(DOUBLES);
            write_length(self.set.len() as usize, out);
            self.left = Some(self.set.len());
            return false;
        };
        let mut left = left;
        if self.pen.begin(out) {
            self.set.visit(0..left, true, |entry| {
                self.pen.text(entry.member, out);
                self.pen.place(out).extend_from_slice(&entry.score.to_le_bytes());
                left -= 1;
                self.pen.has_room()
            });
        }
        self.left = Some(left);
        left == 0 && self.pen.is_clear()
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
