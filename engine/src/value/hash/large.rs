//! A large hash: its fields in the order of hashes, and beside them the deadlines of those that have one.

use super::field::{ByDeadline, ByHash, Field, with_element};
use crate::types::Millis;
use crate::value::tree::{Bound, Element, NewElement, Place, Tree, hash_of};

#[derive(Clone, Default)]
pub(super) struct Large {
    pub(super) fields: Tree<ByHash>,
    pub(super) deadlines: Tree<ByDeadline>,
}

/// Where a name was looked for: what its hash is, and the place where it was found or would be put.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    hash: u32,
    place: Place,
}

impl Large {
    #[inline]
    pub(super) fn get(&self, name: &[u8]) -> Option<Field<'_>> {
        self.look(name).1
    }

    /// A field, and where it is.
    #[inline]
    pub(super) fn look(&self, name: &[u8]) -> (Spot, Option<Field<'_>>) {
        let (spot, there) = self.find(name);
        (spot, there.and_then(Field::of))
    }

    #[inline]
    fn find(&self, name: &[u8]) -> (Spot, Option<Element<'_, u32>>) {
        let hash = hash_of(name);
        let (place, there) = self.fields.find(hash, name);
        (Spot { hash, place }, there)
    }

    /// The same, looked for first where it was found before.
    #[inline]
    fn find_again(&self, name: &[u8], seen: Option<Spot>) -> (Spot, Option<Element<'_, u32>>) {
        if let Some(spot) = seen
            && let Some(there) = self.fields.get(&spot.place)
            && there.key == spot.hash
            && Field::of(there).is_some_and(|field| field.is_named(name))
        {
            return (spot, Some(there));
        }
        self.find(name)
    }

    pub(super) fn due_count(&self, now: Millis) -> u64 {
        if self.deadlines.is_empty() {
            return 0;
        }
        self.deadlines.rank(&self.deadlines.seek(&Bound::AfterKey(now.0)))
    }

    pub(super) fn next_deadline(&self) -> Option<Millis> {
        if self.deadlines.is_empty() {
            // A walk is more than a look, and each change asks.
            return None;
        }
        self.deadlines.iter().next().map(|element| Millis(element.key))
    }

    pub(super) fn due(&self, now: Millis, most: usize) -> Vec<Vec<u8>> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        let mut seen = None;
        for element in self.deadlines.iter().take_while(|element| element.key <= now.0) {
            let Ok(hash) = element.head.try_into().map(u32::from_be_bytes) else { continue };
            // Those of one hash and deadline are found together.
            if seen.replace((element.key, hash)) == Some((element.key, hash)) {
                continue;
            }
            let same = self.fields.from(&Bound::Before(hash, b""));
            let same = same.take_while(|other| other.key == hash).filter_map(Field::of);
            let due = same.filter(|field| field.deadline() == Some(Millis(element.key)));
            names.extend(due.map(|field| field.name().to_bytes().into_owned()));
            if names.len() >= most {
                break;
            }
        }
        names
    }

    pub(super) fn set(&mut self, name: &[u8], value: &[u8], deadline: Option<Millis>) -> bool {
        self.set_seen(name, value, deadline, None)
    }

    /// The same, where the field may have been seen.
    pub(super) fn set_seen(
        &mut self,
        name: &[u8],
        value: &[u8],
        deadline: Option<Millis>,
        seen: Option<Spot>,
    ) -> bool {
        let (Spot { hash, place }, there) = self.find_again(name, seen);
        let (is_new, before) = (there.is_none(), there.and_then(Field::of));
        let before = before.and_then(Field::deadline);
        if before != deadline {
            self.note(hash, before, deadline);
        }
        with_element(hash, (name, value, deadline), |new| match is_new {
            true => self.fields.insert(&place, new),
            false => self.fields.replace(&place, new),
        });
        is_new
    }

    pub(super) fn date(&mut self, name: &[u8], deadline: Option<Millis>) -> bool {
        let Some(field) = self.get(name) else { return false };
        if deadline.is_none() && field.deadline().is_none() {
            return false;
        }
        let value = field.value().to_bytes().into_owned();
        self.set(name, &value, deadline);
        true
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> bool {
        let hash = hash_of(name);
        let (place, there) = self.fields.find(hash, name);
        let Some(there) = there else { return false };
        let before = Field::of(there).and_then(Field::deadline);
        self.fields.remove(&place);
        self.note(hash, before, None);
        true
    }

    /// A field with this hash has another deadline.
    fn note(&mut self, hash: u32, before: Option<Millis>, after: Option<Millis>) {
        let bytes = hash.to_be_bytes();
        if let Some(Millis(before)) = before {
            let (place, there) = self.deadlines.find(before, &bytes);
            if there.is_some() {
                self.deadlines.remove(&place);
            }
        }
        if let Some(Millis(after)) = after {
            let (place, _) = self.deadlines.find(after, &bytes);
            self.deadlines.insert(&place, NewElement { key: after, head: &[&bytes], tail: None });
        }
    }
}
