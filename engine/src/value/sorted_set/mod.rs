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

pub use effect::{Remove, RemoveLast, RemoveRange, Set, TYPE};
pub use entry::Entry;

use self::indexed::Indexed;
use self::packed::Packed;
use self::score::{key_of, score_of};
use super::effect::Reading;
use super::{NewValue, Object};
use std::ops::Range;
use std::sync::Arc;

/// Of the type, for ever.
const NUMBER: u8 = 3;

/// The value.
#[derive(Clone, Default)]
pub struct SortedSet {
    form: Form,
    /// Redis would have a skiplist.
    is_large: bool,
}

#[derive(Clone)]
enum Form {
    Packed(Packed),
    /// Boxed: of small ones there are many.
    Indexed(Box<Indexed>),
}

impl Default for Form {
    fn default() -> Form {
        Form::Packed(Packed::default())
    }
}

/// From here on members are found by an index: some 60 of 16 bytes.
const PACKED_MAX: usize = 1280;

/// An end of a range of members, by their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lex<'a> {
    /// Before all of them.
    Least,
    /// Behind all of them.
    Most,
    /// At this one, with it.
    With(&'a [u8]),
    /// At this one, without it.
    Without(&'a [u8]),
}

impl SortedSet {
    /// One without members that is large from the beginning, or not.
    pub fn new(is_large: bool) -> SortedSet {
        SortedSet { form: Form::default(), is_large }
    }

    /// How many members it has.
    #[inline]
    pub fn len(&self) -> u64 {
        match &self.form {
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
        self.is_large
    }

    /// The score of a member.
    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.form {
            Form::Packed(packed) => packed.find(member).map(|spot| score_of(spot.key)),
            Form::Indexed(indexed) => indexed.score(member),
        }
    }

    /// The number of a member from the start on, and its score.
    pub fn rank(&self, member: &[u8]) -> Option<(u64, f64)> {
        match &self.form {
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
        match &self.form {
            Form::Packed(packed) => {
                let is_before = |key: u64| key < key_of(score) || is_after && key == key_of(score);
                packed.iter().take_while(|spot| is_before(spot.key)).count() as u64
            }
            Form::Indexed(indexed) => indexed.rank_of_score(score, is_after),
        }
    }

    /// The numbers of the members between two, which means something where all scores are equal. Where they
    /// are not, those of a small one are what Redis finds: from the first on that is in, up to the first that
    /// is not.
    pub fn range_of_lex(&self, least: Lex<'_>, most: Lex<'_>) -> Range<u64> {
        let is_reversed = match (least, most) {
            (Lex::Most, _) | (_, Lex::Least) => true,
            (Lex::With(least), Lex::With(most)) => least > most,
            (Lex::With(least) | Lex::Without(least), Lex::With(most) | Lex::Without(most)) => {
                least >= most
            }
            (Lex::Least, _) | (_, Lex::Most) => false,
        };
        if is_reversed {
            return 0..0;
        }
        match &self.form {
            Form::Packed(packed) => {
                let is_above = |member: &[u8]| match least {
                    Lex::With(least) => member >= least,
                    Lex::Without(least) => member > least,
                    _ => true,
                };
                let is_below = |member: &[u8]| match most {
                    Lex::With(most) => member <= most,
                    Lex::Without(most) => member < most,
                    _ => true,
                };
                let from = packed.iter().take_while(|spot| !is_above(spot.member)).count();
                let within = packed.iter().skip(from).take_while(|spot| is_below(spot.member));
                from as u64..(from + within.count()) as u64
            }
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
        match &self.form {
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
        match &self.form {
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
        match &mut self.form {
            Form::Packed(packed) => {
                let is_new = packed.set(key_of(score), member);
                if packed.bytes().len() > PACKED_MAX {
                    self.form = Form::Indexed(Box::new(Indexed::from(&*packed)));
                }
                is_new
            }
            Form::Indexed(indexed) => indexed.set(key_of(score), member),
        }
    }

    /// Makes it large, if it is not yet.
    pub fn make_large(&mut self) {
        self.is_large = true;
    }

    fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.form {
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
            self.form = Form::default();
            return range.end;
        }
        match &mut self.form {
            Form::Packed(packed) => packed.remove_range(range.start as usize, range.end as usize),
            Form::Indexed(indexed) => indexed.remove_range(range.clone()),
        }
        range.end - range.start
    }
}

/// Marks that stand before a whole value.
const SMALL: u8 = 0;
const LARGE: u8 = 1;

impl Object for SortedSet {
    fn type_number(&self) -> u8 {
        NUMBER
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn encoding(&self) -> &'static str {
        if self.is_large { "skiplist" } else { "listpack" }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(if self.is_large { LARGE } else { SMALL });
        match &self.form {
            Form::Packed(packed) => out.extend_from_slice(packed.bytes()),
            Form::Indexed(_) => self.visit_all(|Entry { score, member }| {
                packed::write_opening(key_of(score), member.len(), out);
                member.with_stretches(0..member.len(), |bytes| out.extend_from_slice(bytes));
                true
            }),
        }
    }

    fn encoded_len(&self) -> usize {
        1 + match &self.form {
            Form::Packed(packed) => packed.bytes().len(),
            Form::Indexed(indexed) => {
                usize::try_from(indexed.members.encoded_len()).unwrap_or(usize::MAX)
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        let bytes = match &self.form {
            Form::Packed(packed) => packed.heap_bytes(),
            Form::Indexed(indexed) => {
                let bytes = usize::try_from(indexed.heap_bytes()).unwrap_or(usize::MAX);
                bytes.saturating_add(size_of::<Indexed>())
            }
        };
        bytes.saturating_add(2 * size_of::<usize>() + size_of::<SortedSet>())
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
    let (mark, rest) = bytes.split_first()?;
    let is_large = match *mark {
        SMALL => false,
        LARGE => true,
        _ => return None,
    };
    let mut set = SortedSet::new(is_large);
    let (mut reading, mut last) = (Reading(rest), None);
    while !reading.is_done() {
        let (key, member) = packed::read(&mut reading)?;
        // In their order, and so each once but for those with two scores.
        if last.replace((key, member)).is_some_and(|last| last >= (key, member)) {
            return None;
        }
        set.set(score_of(key), member).then_some(())?;
    }
    Some(NewValue::Object(Arc::new(set)))
}
