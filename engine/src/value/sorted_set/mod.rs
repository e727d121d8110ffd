//! Sorted sets: members, each of them once, in the order of their scores, and of their bytes where these are equal.
//!
//! ```text
//!   few    one block, in their order (`packed`)
//!   many   a tree in their order, and an index that says which score a member has (`indexed`)
//!
//!   as a whole:  mark | member, member ...  in their order, each: n | score, n bytes | length | member
//! ```
//!
//! What OBJECT ENCODING answers is a mark of the value: who changes it says when it became large, by the
//! thresholds of the node that does. In which form it lies is a matter of its size alone.

mod effect;
mod entry;
mod indexed;
mod packed;
mod score;
#[cfg(test)]
mod sorted_set_tests;
mod told;

pub use effect::{Remove, RemoveLast, RemoveRange, Set, TYPE};
pub use entry::{Entry, Lex};
pub use told::WORDS;

use self::indexed::{Found, Indexed};
use self::packed::{COUNT_MAX, Packed};
use self::score::{key_of, score_of};
use super::effect::Reading;
use super::{InItem, Near, NewValue, Object};
use std::ops::Range;
use std::sync::Arc;

/// Of the type, for ever.
const NUMBER: u8 = 3;

/// The value: two pointers at the most, as small ones are many.
#[derive(Clone)]
pub struct SortedSet(Form);

#[derive(Clone)]
enum Form {
    Packed(Packed),
    Indexed(Box<Indexed>),
}

/// Where a member was seen, for who sets its score right after: it spares looking for it once more. Nothing depends on
/// it, since what stands there is looked at again.
#[derive(Clone, Copy, Debug)]
pub struct Seen(Found);

/// It says nothing about an effect.
impl PartialEq for Seen {
    fn eq(&self, _: &Seen) -> bool {
        true
    }
}

impl Default for SortedSet {
    fn default() -> SortedSet {
        SortedSet::new(false)
    }
}

/// From here on members are found by an index: some 60 of 16 bytes.
const PACKED_MAX: usize = 1280;

impl SortedSet {
    /// One without members that is large from the beginning, or not.
    pub fn new(is_large: bool) -> SortedSet {
        SortedSet(Form::Packed(Packed::new(is_large)))
    }

    /// How many members it has.
    #[inline]
    pub fn len(&self) -> u64 {
        match &self.0 {
            Form::Packed(packed) => packed.len() as u64,
            Form::Indexed(indexed) => indexed.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether Redis would have a skiplist.
    pub fn is_large(&self) -> bool {
        match &self.0 {
            Form::Packed(packed) => packed.is_large(),
            Form::Indexed(indexed) => indexed.is_large,
        }
    }

    /// The score of a member.
    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.0 {
            Form::Packed(packed) => packed.find(member).map(|spot| score_of(spot.key)),
            Form::Indexed(indexed) => indexed.score(member),
        }
    }

    /// The score of a member, and where it was found, for [`Set`].
    #[inline]
    pub fn look(&self, member: &[u8]) -> Option<(f64, Option<Seen>)> {
        match &self.0 {
            Form::Packed(packed) => packed.find(member).map(|spot| (score_of(spot.key), None)),
            Form::Indexed(indexed) => {
                indexed.find(member).map(|found| (score_of(found.key), Some(Seen(found))))
            }
        }
    }

    /// The number of a member from the start on, and its score.
    pub fn rank(&self, member: &[u8]) -> Option<(u64, f64)> {
        match &self.0 {
            Form::Packed(packed) => {
                packed.find(member).map(|spot| (spot.index as u64, score_of(spot.key)))
            }
            Form::Indexed(indexed) => {
                let found = indexed.find(member)?;
                Some((indexed.members.rank(&found.place), score_of(found.key)))
            }
        }
    }

    /// How many members have a lower score; where `is_after`, one that is not higher.
    pub fn rank_of_score(&self, score: f64, is_after: bool) -> u64 {
        match &self.0 {
            Form::Packed(packed) => {
                let is_before = |key: u64| key < key_of(score) || is_after && key == key_of(score);
                packed.iter().take_while(|spot| is_before(spot.key)).count() as u64
            }
            Form::Indexed(indexed) => indexed.rank_of_score(score, is_after),
        }
    }

    /// The numbers of the members between two, which means something where all scores are equal. Where they
    /// are not, those of a small one are what Redis finds: from the first on that is in, up to the first that
    /// is not, or backwards from the last.
    pub fn range_of_lex(&self, least: Lex<'_>, most: Lex<'_>, is_backwards: bool) -> Range<u64> {
        if Lex::is_reversed(least, most) {
            return 0..0;
        }
        match &self.0 {
            Form::Packed(packed) => packed.range_of_lex(least, most, is_backwards),
            Form::Indexed(indexed) => {
                let from = match least {
                    Lex::With(member) => indexed.rank_of_member(member, false),
                    Lex::Without(member) => indexed.rank_of_member(member, true),
                    _ => 0,
                };
                let to = match most {
                    Lex::With(member) => indexed.rank_of_member(member, true),
                    Lex::Without(member) => indexed.rank_of_member(member, false),
                    _ => indexed.len(),
                };
                from..to.max(from)
            }
        }
    }

    /// Shows the members with these numbers, in their order or backwards, until `see` has enough.
    #[inline]
    pub fn visit<'a>(
        &'a self,
        range: Range<u64>,
        is_backwards: bool,
        mut see: impl FnMut(Entry<'a>) -> bool,
    ) {
        let range = range.start..range.end.min(self.len());
        match &self.0 {
            Form::Packed(packed) => {
                let count = range.end.saturating_sub(range.start) as usize;
                let mut spots = packed.iter().skip(range.start as usize).take(count);
                if is_backwards {
                    let spots: Vec<Entry<'a>> = spots.map(|spot| spot.entry()).collect();
                    spots.into_iter().rev().all(see);
                } else {
                    spots.all(|spot| see(spot.entry()));
                }
            }
            Form::Indexed(indexed) => indexed.visit(range, is_backwards, see),
        }
    }

    /// Shows all members, in their order, until `see` has enough.
    pub fn visit_all<'a>(&'a self, see: impl FnMut(Entry<'a>) -> bool) {
        self.visit(0..self.len(), false, see);
    }

    /// The member with this number from the start on.
    pub fn at(&self, index: u64) -> Option<Entry<'_>> {
        let mut found = None;
        self.visit(index..index.saturating_add(1), false, |entry| {
            found = Some(entry);
            false
        });
        found
    }

    /// A step of a scan: at least `count` members, if there are as many, and the cursor that goes on behind
    /// them; 0 at the end. A member that is there all the time is seen, whatever becomes of its score.
    pub fn scan<'a>(&'a self, cursor: u64, count: usize, mut see: impl FnMut(Entry<'a>)) -> u64 {
        match &self.0 {
            // A later one may have fewer than the one that gave the cursor.
            Form::Packed(packed) => {
                packed.iter().for_each(|spot| see(spot.entry()));
                0
            }
            Form::Indexed(indexed) => indexed.scan(cursor, count, see),
        }
    }

    /// Sets a member's score, which is not NaN; whether the member is new.
    pub fn set(&mut self, score: f64, member: &[u8]) -> bool {
        self.set_seen(score, member, None)
    }

    /// The same, where it may have been seen.
    fn set_seen(&mut self, score: f64, member: &[u8], seen: Option<Seen>) -> bool {
        match &mut self.0 {
            Form::Packed(packed) => {
                let is_new = packed.set(key_of(score), member);
                if packed.bytes().len() > PACKED_MAX || packed.len() == COUNT_MAX {
                    self.0 = Form::Indexed(Box::new(Indexed::from(&*packed)));
                }
                is_new
            }
            Form::Indexed(indexed) => {
                indexed.set(key_of(score), member, seen.map(|Seen(found)| found))
            }
        }
    }

    /// Makes it large, if it is not yet.
    pub fn make_large(&mut self) {
        match &mut self.0 {
            Form::Packed(packed) => packed.make_large(),
            Form::Indexed(indexed) => indexed.is_large = true,
        }
    }

    fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.0 {
            Form::Packed(packed) => packed.remove(member),
            Form::Indexed(indexed) => indexed.remove(member),
        }
    }

    /// Removes the members with these numbers; how many there are.
    fn remove_range(&mut self, range: Range<u64>) -> u64 {
        let range = range.start..range.end.min(self.len());
        if range.start >= range.end {
            return 0;
        }
        if range.end - range.start == self.len() {
            *self = SortedSet::new(self.is_large());
            return range.end;
        }
        match &mut self.0 {
            Form::Packed(packed) => packed.remove_range(range.start as usize, range.end as usize),
            Form::Indexed(indexed) => indexed.remove_range(range.clone()),
        }
        range.end - range.start
    }
}

/// Marks that stand before a whole value.
const SMALL: u8 = 0;
const LARGE: u8 = 1;

impl SortedSet {
    fn mark(&self) -> u8 {
        if self.is_large() { LARGE } else { SMALL }
    }

    /// An empty one with this mark.
    fn marked(mark: u8) -> Option<SortedSet> {
        matches!(mark, SMALL | LARGE).then(|| SortedSet::new(mark == LARGE))
    }

    /// Adds a member of a whole value: behind all others, and so each is there once, but for one with two
    /// scores, which is looked for.
    fn push(&mut self, key: u64, member: &[u8]) -> Option<()> {
        let last = self.len().checked_sub(1).and_then(|last| self.at(last));
        let is_behind = last.is_none_or(|last| {
            let last_key = key_of(last.score);
            last_key < key || last_key == key && last.member.with_bytes(|last| last < member)
        });
        (is_behind && self.set(score_of(key), member)).then_some(())
    }
}

impl Object for SortedSet {
    fn type_number(&self) -> u8 {
        NUMBER
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn prefetch(&self) {
        match &self.0 {
            Form::Packed(packed) => packed.prefetch(),
            Form::Indexed(indexed) => indexed.members.prefetch(),
        }
    }

    fn near(&self, member: &[u8]) -> Option<Near<'_>> {
        match &self.0 {
            Form::Packed(_) => None,
            Form::Indexed(indexed) => indexed.near(member),
        }
    }

    fn behind(&self, near: &Near<'_>) -> Option<Near<'_, u64>> {
        match &self.0 {
            Form::Packed(_) => None,
            Form::Indexed(indexed) => indexed.behind(near),
        }
    }

    fn encoding(&self) -> &'static str {
        if self.is_large() { "skiplist" } else { "listpack" }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.mark());
        match &self.0 {
            Form::Packed(packed) => out.extend_from_slice(packed.bytes()),
            Form::Indexed(_) => self.visit_all(|Entry { score, member }| {
                packed::write_opening(key_of(score), member.len(), out);
                member.with_stretches(0..member.len(), |bytes| out.extend_from_slice(bytes));
                true
            }),
        }
    }

    fn encoded_len(&self) -> usize {
        1 + match &self.0 {
            Form::Packed(packed) => packed.bytes().len(),
            Form::Indexed(indexed) => {
                usize::try_from(indexed.members.encoded_len()).unwrap_or(usize::MAX)
            }
        }
    }

    fn in_slices(&self) -> bool {
        true
    }

    fn encode_range(&self, range: Range<usize>, out: &mut Vec<u8>) {
        if range.start == 0 && range.end > 0 {
            out.push(self.mark());
        }
        // What stands behind the mark.
        let range = range.start.saturating_sub(1)..range.end.saturating_sub(1);
        match &self.0 {
            Form::Packed(packed) => {
                out.extend_from_slice(packed.bytes().get(range).unwrap_or_default());
            }
            Form::Indexed(indexed) => {
                indexed.members.encode_range(range.start as u64..range.end as u64, out);
            }
        }
    }

    fn decode_slice(&mut self, at: u64, bytes: &[u8]) -> Option<usize> {
        let mut members = bytes;
        if at == 0 {
            let Some((mark, behind)) = bytes.split_first() else { return Some(0) };
            (*self, members) = (SortedSet::marked(*mark)?, behind);
        }
        let mut reading = Reading(members);
        while let Some((key, member)) = packed::read(&mut reading) {
            members = reading.0;
            self.push(key, member)?;
        }
        Some(bytes.len() - members.len())
    }

    fn kept_from(&self, at: u64) -> (u64, Option<u64>, usize) {
        match &self.0 {
            Form::Packed(packed) => (packed.heap_bytes() as u64, None, 1),
            Form::Indexed(indexed) => indexed.kept_from(at),
        }
    }

    fn shared_as(&self) -> Option<(usize, u64)> {
        let Form::Indexed(indexed) = &self.0 else { return None };
        let members = &indexed.members;
        // Pages are aligned: two that say different things of the same members are two.
        Some((members.address() | usize::from(self.mark()), members.holders()))
    }

    fn in_item(&self) -> Option<&'static InItem> {
        Some(const { &InItem::of::<SortedSet>(NUMBER) })
    }

    fn heap_bytes(&self) -> usize {
        let bytes = match &self.0 {
            Form::Packed(packed) => packed.heap_bytes(),
            Form::Indexed(indexed) => {
                let bytes = usize::try_from(indexed.heap_bytes()).unwrap_or(usize::MAX);
                bytes.saturating_add(size_of::<Indexed>())
            }
        };
        bytes.saturating_add(size_of::<SortedSet>())
    }

    fn digest(&self, part: &mut dyn FnMut(&[u8])) {
        let mut bytes = Vec::new();
        self.visit_all(|Entry { score, member }| {
            bytes.clear();
            packed::write_opening(key_of(score), member.len(), &mut bytes);
            member.with_stretches(0..member.len(), |more| bytes.extend_from_slice(more));
            part(&bytes);
            true
        });
    }

    fn copy(&self) -> Arc<dyn Object> {
        Arc::new(self.clone())
    }
}

impl std::fmt::Debug for SortedSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SortedSet({} members)", self.len())
    }
}

fn decode(bytes: &[u8]) -> Option<NewValue<'_>> {
    let mut set = SortedSet::default();
    let is_whole = !bytes.is_empty() && set.decode_slice(0, bytes)? == bytes.len();
    is_whole.then(|| NewValue::Object(Arc::new(set)))
}
