//! Many members: a tree in their order, and an index that says which score a member has.
//!
//! ```text
//!   members  in the order of (score, member): member                        the score as a number is the key
//!   scores   in the order of the member's hash: score without the zeros at its end
//!                                               score, 8 bytes | member      of one among many of its score
//! ```
//!
//! The index has no copy of the member: whoever looks one up takes the scores that there are for its hash, and
//! looks for it there. A member that came among many of the same score has one: [`Indexed::scan`], which
//! goes along hashes, would have to look at all of these to find it.

use super::entry::Entry;
use super::packed::{Packed, length_of, write_opening};
use super::score::{key_of, score_of, trimmed, untrimmed};
use crate::value::Value;
use crate::value::tree::{Bound, Element, Identity, Near, NewElement, Order, Place, Tree};
use std::ops::Range;

/// The members.
#[derive(Clone, Default)]
pub(super) struct Indexed {
    pub(super) members: Tree<ByScore>,
    scores: Tree<ByHash>,
    /// See [`super::SortedSet::is_large`].
    pub(super) is_large: bool,
}

pub(super) struct ByScore;

impl Order for ByScore {
    type Key = u64;

    #[inline]
    fn identity(element: Element<'_, u64>) -> Identity<'_> {
        let rope = |tail| Identity::Rope(tail, 0, element.length());
        element.tail.map_or(Identity::Bytes(element.head), rope)
    }

    #[inline]
    fn encoded(element: Element<'_, u64>) -> u64 {
        length_of(element.key, element.length()) as u64
    }

    fn encode_opening(element: Element<'_, u64>, out: &mut Vec<u8>) {
        write_opening(element.key, element.length(), out);
    }
}

struct ByHash;

impl Order for ByHash {
    type Key = u32;

    #[inline]
    fn identity(_: Element<'_, u32>) -> Identity<'_> {
        Identity::Bytes(b"")
    }
}

#[cfg(not(test))]
use crate::value::tree::hash_of;

/// In tests many members have one hash.
#[cfg(test)]
fn hash_of(member: &[u8]) -> u32 {
    crate::value::tree::hash_of(member) & 0xff00
}

/// So many neighbours of the same score are many.
const MANY: usize = 16;

/// A longer member is not written into the index: the copy would lie outside of its leaf.
const COPIED_MAX: usize = 200;

fn entry_of(element: Element<'_, u64>) -> Entry<'_> {
    Entry { score: score_of(element.key), member: element.value() }
}

/// What the index says of a member.
#[derive(Clone, Copy)]
struct Indication<'a> {
    key: u64,
    member: Option<&'a [u8]>,
}

impl<'a> Indication<'a> {
    #[inline]
    fn is_of(self, member: &[u8]) -> bool {
        self.member == Some(member)
    }

    #[inline]
    fn of(element: Element<'a, u32>) -> Indication<'a> {
        match element.head.split_first_chunk::<8>() {
            Some((key, member)) if !member.is_empty() => {
                Indication { key: u64::from_be_bytes(*key), member: Some(member) }
            }
            _ => Indication { key: untrimmed(element.head), member: None },
        }
    }
}

/// Where a member stands: in the tree and in the index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) key: u64,
    pub(super) place: Place,
    indication: Place,
}

impl From<&Packed> for Indexed {
    fn from(packed: &Packed) -> Indexed {
        let mut indexed = Indexed { is_large: packed.is_large(), ..Indexed::default() };
        packed.iter().for_each(|spot| indexed.push(spot.key, spot.member));
        indexed
    }
}

impl Indexed {
    /// Asks for where the score of a member is found.
    pub(super) fn near(&self, member: &[u8]) -> Option<Near<'_>> {
        self.scores.near(hash_of(member)).map(Near::and_goes_on)
    }

    /// Asks for the member itself, by the score that stands near.
    pub(super) fn behind(&self, near: &Near<'_>) -> Option<Near<'_, u64>> {
        self.members.near(Indication::of(near.element()?).key)
    }

    pub(super) fn len(&self) -> u64 {
        self.members.len()
    }

    pub(super) fn heap_bytes(&self) -> u64 {
        self.members.heap_bytes() + self.scores.heap_bytes()
    }

    /// See [`crate::value::Object::kept_from`]: the members' tree, then the index.
    pub(super) fn kept_from(&self, at: u64) -> (u64, Option<u64>, usize) {
        let (members, all) = (self.members.len(), self.members.len() + self.scores.len());
        let (kept, next, pages) = match at.checked_sub(members) {
            None => self.members.kept_from(at),
            Some(at) => {
                let (kept, next, pages) = self.scores.kept_from(at);
                (kept, next + members, pages)
            }
        };
        (kept, Some(next).filter(|next| *next < all), pages)
    }

    /// Where a member stands, if it is there.
    #[inline]
    pub(super) fn find(&self, member: &[u8]) -> Option<Found> {
        self.find_hashed(hash_of(member), member)
    }

    #[inline]
    fn find_hashed(&self, hash: u32, member: &[u8]) -> Option<Found> {
        self.find_or_place(hash, member).1
    }

    /// The same, and where the index speaks of it, or would.
    #[inline]
    fn find_or_place(&self, hash: u32, member: &[u8]) -> (Place, Option<Found>) {
        let (first, said) = self.scores.first_of(hash);
        let said = said.map(Indication::of);
        let found = said.and_then(|said| self.find_said(hash, member, first, said));
        (found.map_or(first, |found| found.indication), found)
    }

    /// The same, where the first that the index says of the hash is this.
    #[inline]
    fn find_said(
        &self,
        hash: u32,
        member: &[u8],
        indication: Place,
        said: Indication<'_>,
    ) -> Option<Found> {
        if said.is_of(member) || self.scores.is_only(&indication) {
            let (key, place) = self.judge(said, member)?;
            return Some(Found { key, place, indication });
        }
        let is_it = |said: Indication<'_>| self.judge(said, member);
        let (indication, (key, place)) = self.find_among_equals(hash, member, is_it)?;
        Some(Found { key, place, indication })
    }

    /// Whether it is this member that the index speaks of.
    #[inline]
    fn judge(&self, said: Indication<'_>, member: &[u8]) -> Option<(u64, Place)> {
        if said.member.is_some_and(|other| other != member) {
            return None;
        }
        let (place, found) = self.members.find(said.key, member);
        found.map(|_| (said.key, place))
    }

    /// The same where several members have one hash. What has the member's bytes is asked first: of one that
    /// has no bytes nobody knows which of those of its score it is, if not that one.
    #[cold]
    fn find_among_equals<R>(
        &self,
        hash: u32,
        member: &[u8],
        is_it: impl Fn(Indication<'_>) -> Option<R>,
    ) -> Option<(Place, R)> {
        for is_copy in [true, false] {
            let mut walk = self.scores.from(&Bound::Before(hash, b""));
            while let Some(element) = walk.next().filter(|element| element.key == hash) {
                let said = Indication::of(element);
                if said.is_of(member) == is_copy
                    && let Some(found) = is_it(said)
                {
                    return Some((walk.place_of_last(), found));
                }
            }
        }
        None
    }

    /// The score of a member, if it is there.
    #[inline]
    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        let hash = hash_of(member);
        let (indication, found) = self.scores.first_of(hash);
        let said = Indication::of(found?);
        if said.is_of(member) {
            return Some(score_of(said.key));
        }
        self.find_said(hash, member, indication, said).map(|found| score_of(found.key))
    }

    /// Whether a member still stands where it was found.
    #[inline]
    fn is_at(&self, found: &Found, hash: u32, member: &[u8]) -> bool {
        let there = self.members.get(&found.place);
        let indicated = self.scores.get(&found.indication).filter(|it| it.key == hash);
        there.is_some_and(|it| it.key == found.key && it.tail.is_none() && it.head == member)
            && indicated.map(Indication::of).is_some_and(|said| {
                said.key == found.key && said.member.is_none_or(|other| other == member)
            })
    }

    /// Sets a member's score; whether it is new. Where it was found is looked at first.
    pub(super) fn set(&mut self, key: u64, member: &[u8], seen: Option<Found>) -> bool {
        let hash = hash_of(member);
        let seen = seen.filter(|seen| self.is_at(seen, hash, member));
        let (indication, found) = match seen {
            Some(seen) => (seen.indication, Some(seen)),
            None => self.find_or_place(hash, member),
        };
        if let Some(Found { key: before, place, .. }) = found {
            if before == key {
                return false;
            }
            self.members.remove(&place);
        }
        let (place, _) = self.members.find(key, member);
        let is_among_many = self.is_among_many(&place, key);
        self.members.insert(&place, NewElement { key, head: &[member], tail: None });
        self.indicate(&indication, found.is_none(), hash, key, member, is_among_many);
        found.is_none()
    }

    /// Puts a member that is not there behind all others.
    pub(super) fn push(&mut self, key: u64, member: &[u8]) {
        let place = self.members.end();
        let is_among_many = self.is_among_many(&place, key);
        self.members.insert(&place, NewElement { key, head: &[member], tail: None });
        let hash = hash_of(member);
        let (indication, _) = self.scores.first_of(hash);
        self.indicate(&indication, true, hash, key, member, is_among_many);
    }

    fn indicate(
        &mut self,
        place: &Place,
        is_new: bool,
        hash: u32,
        key: u64,
        member: &[u8],
        is_among_many: bool,
    ) {
        let bytes = key.to_be_bytes();
        let (long, short) = ([&bytes[..], member], [trimmed(&bytes)]);
        let is_long = is_among_many && member.len() <= COPIED_MAX;
        let head: &[&[u8]] = if is_long { &long } else { &short };
        let new = NewElement { key: hash, head, tail: None };
        if is_new {
            self.scores.insert(place, new);
        } else {
            self.scores.replace(place, new);
        }
    }

    /// Whether what comes to a place has many neighbours of this score: so many on one side.
    #[inline]
    fn is_among_many(&self, place: &Place, key: u64) -> bool {
        self.members.is_among(place, key, MANY)
    }

    /// Removes a member; whether it was there.
    pub(super) fn remove(&mut self, member: &[u8]) -> bool {
        let Some(found) = self.find(member) else { return false };
        self.members.remove(&found.place);
        self.scores.remove(&found.indication);
        true
    }

    /// Removes the members with these numbers from the start on.
    pub(super) fn remove_range(&mut self, range: Range<u64>) {
        let mut walk = self.members.walk(&self.members.at(range.start));
        let mut long;
        for _ in range.clone() {
            let Some(element) = walk.next() else { break };
            let member = match element.tail {
                None => element.head,
                Some(tail) => {
                    long = tail.to_vec();
                    &long
                }
            };
            if let Some(indication) = self.indication_of(element.key, member) {
                self.scores.remove(&indication);
            }
        }
        self.members.remove_range(range);
    }

    /// Where the index speaks of a member that has this score, or of another one of both its hash and score,
    /// which is as good.
    fn indication_of(&self, key: u64, member: &[u8]) -> Option<Place> {
        let hash = hash_of(member);
        let (place, found) = self.scores.first_of(hash);
        if Indication::of(found?).is_of(member) || self.scores.is_only(&place) {
            return Some(place);
        }
        let is_it = |said: Indication<'_>| {
            let is_it = said.key == key && said.member.is_none_or(|other| other == member);
            is_it.then_some(())
        };
        self.find_among_equals(hash, member, is_it).map(|(place, ())| place)
    }

    /// A step of a scan in the order of hashes: see [`Tree::scan`]. A member of which the index does not have
    /// the bytes is looked for among those of its score.
    pub(super) fn scan<'a>(
        &'a self,
        cursor: u64,
        count: usize,
        mut see: impl FnMut(Entry<'a>),
    ) -> u64 {
        let mut seen: Vec<(u64, u32)> = Vec::new();
        let next = self.scores.scan(cursor, count, |element| {
            let said = Indication::of(element);
            match said.member {
                Some(member) => {
                    see(Entry { score: score_of(said.key), member: Value::Bytes(member) });
                }
                None => seen.push((said.key, element.key)),
            }
        });
        seen.sort_unstable();
        // Those of one score are found in one go.
        for same in seen.chunk_by(|one, other| one.0 == other.0) {
            let key = same[0].0;
            let mut left = same.len();
            for element in self.members.from(&Bound::Before(key, b"")) {
                if element.key != key || left == 0 {
                    break;
                }
                let hash = element.value().with_bytes(hash_of);
                if same.binary_search(&(key, hash)).is_ok() && !self.has_copy(hash, element) {
                    see(entry_of(element));
                    left -= 1;
                }
            }
        }
        next
    }

    /// Whether the index has the bytes of this member.
    fn has_copy(&self, hash: u32, element: Element<'_, u64>) -> bool {
        let same = self.scores.from(&Bound::Before(hash, b""));
        same.take_while(|other| other.key == hash)
            .any(|other| Indication::of(other).member == Some(element.head))
    }

    /// How many scores are below this one, or not above it.
    pub(super) fn rank_of_score(&self, score: f64, is_after: bool) -> u64 {
        let key = key_of(score);
        let bound = if is_after { Bound::AfterKey(key) } else { Bound::Before(key, b"") };
        self.members.rank(&self.members.seek(&bound))
    }

    /// How many members are before this one, or not behind it. This means something where all scores are
    /// equal.
    pub(super) fn rank_of_member(&self, member: &[u8], is_after: bool) -> u64 {
        let first = self.members.iter().next().map(|element| element.key);
        let last = self.members.back_from(self.len()).next().map(|element| element.key);
        if let Some(key) = first.filter(|_| first == last) {
            let bound = match is_after {
                true => Bound::After(key, member),
                false => Bound::Before(key, member),
            };
            return self.members.rank(&self.members.seek(&bound));
        }
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = from.midpoint(to);
            let there = self.members.get(&self.members.at(middle));
            let is_behind = there.is_some_and(|element| {
                element.value().with_bytes(|there| match is_after {
                    true => there <= member,
                    false => there < member,
                })
            });
            if is_behind {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        from
    }

    /// Shows the members with these numbers, until `see` has enough.
    #[inline]
    pub(super) fn visit<'a>(
        &'a self,
        range: Range<u64>,
        is_backwards: bool,
        mut see: impl FnMut(Entry<'a>) -> bool,
    ) {
        let count = range.end.saturating_sub(range.start);
        if is_backwards {
            let mut walk = self.members.walk(&self.members.at(range.end));
            for _ in 0..count {
                let Some(element) = walk.back() else { return };
                if !see(entry_of(element)) {
                    return;
                }
            }
            return;
        }
        for element in self.members.range(range) {
            if !see(entry_of(element)) {
                return;
            }
        }
    }
}
