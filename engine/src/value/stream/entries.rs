//! The entries of a stream: closed packs in a tree, by the number of their first slot, and the pack that grows.

use super::id::Id;
use super::pack::{Counts, Fields, Open, Pack};
use super::part::{pack_opening_bytes, write_pack_opening};
use crate::value::RopeRef;
use crate::value::tree::{Bound, Element, Identity, NewElement, Order, Place, Tree};
use std::borrow::Cow;

/// Packs in the order of the numbers of their first slots. Their bytes are mostly a rope of one chunk.
pub(super) struct ById;

impl Order for ById {
    type Key = u128;

    fn identity(_: Element<'_, u128>) -> Identity<'_> {
        Identity::Bytes(b"")
    }

    /// With what stands before the bytes.
    fn encoded(element: Element<'_, u128>) -> u64 {
        let length = element.length() as u64;
        length + pack_opening_bytes(length) as u64
    }

    fn encode_opening(element: Element<'_, u128>, out: &mut Vec<u8>) {
        write_pack_opening(Id(element.key), element.length(), out);
    }
}

/// See the module's front page.
#[derive(Clone, Default)]
pub(super) struct Entries {
    pub(super) packs: Tree<ById>,
    pub(super) open: Open,
    pub(super) length: u64,
    /// The first and the last entry there is; `0-0` of none.
    pub(super) first: Id,
    pub(super) top: Id,
}

/// The longest pack that is held open, since whoever writes to a stream that somebody else holds copies it.
pub(super) const OPEN_MAX: usize = 64 * 1024;

/// The bytes of a pack in the tree, together.
pub(super) fn bytes_of<'a>(element: &Element<'a, u128>) -> Cow<'a, [u8]> {
    match element.tail {
        None => Cow::Borrowed(element.head),
        Some(tail) => tail.together().map_or_else(|| Cow::Owned(tail.to_vec()), Cow::Borrowed),
    }
}

/// The entries of a pack with these bytes.
fn visit(bytes: &[u8], first: Id, mut see: impl FnMut(Id, Fields<'_>)) {
    let slots = Pack::of(bytes).map(|pack| pack.slots(first));
    for slot in slots.into_iter().flatten().filter(|slot| !slot.is_dead) {
        see(slot.id, slot.fields);
    }
}

fn counts_of(element: &Element<'_, u128>) -> Counts {
    let beginning = element.tail.map_or(element.head, |tail| tail.stretch(0));
    Counts::of(beginning).unwrap_or_default()
}

/// When the next pack begins: `stream-node-max-bytes` and `stream-node-max-entries`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeLimits {
    /// Bytes of Redis's listpack; 0 is the most that there may be.
    pub bytes: u64,
    /// Entries, deleted ones with them; 0 is any number.
    pub entries: u64,
}

/// What a trim is to leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leave {
    /// Up to so many entries.
    Count(u64),
    /// Those from this number on.
    From(Id),
}

/// What a trim takes from the front: whole packs, and entries of the one behind them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Front {
    /// Packs.
    pub packs: u64,
    /// Entries of the pack behind them.
    pub entries: u64,
    /// All entries that go.
    pub total: u64,
}

impl Entries {
    /// How many packs.
    pub(super) fn pack_count(&self) -> u64 {
        self.packs.len() + u64::from(self.open.is_some())
    }

    /// How many entries are in the pack with this number.
    pub(super) fn pack_len(&self, number: u64) -> u64 {
        let element = self.packs.get(&self.packs.at(number)).filter(|_| number < self.packs.len());
        let counts = element.map_or_else(|| self.open.counts(), |element| counts_of(&element));
        u64::from(counts.live)
    }

    /// The bytes of that pack, where they are a rope.
    pub(super) fn long_pack(&self, number: u64) -> Option<RopeRef<'_>> {
        let place = self.packs.at(number);
        self.packs.get(&place).filter(|_| number < self.packs.len())?.tail
    }

    /// The entries of that pack.
    pub(super) fn visit_pack(&self, number: u64, see: impl FnMut(Id, Fields<'_>)) {
        let element = self.packs.get(&self.packs.at(number)).filter(|_| number < self.packs.len());
        match &element {
            Some(element) => visit(&bytes_of(element), Id(element.key), see),
            None => visit(&self.open.bytes, self.open.first, see),
        }
    }

    /// The same of a long one, whose bytes are these.
    pub(super) fn visit_pack_of(&self, number: u64, bytes: &[u8], see: impl FnMut(Id, Fields<'_>)) {
        if let Some(element) = self.packs.get(&self.packs.at(number)) {
            visit(bytes, Id(element.key), see);
        }
    }

    fn last_counts(&self) -> Option<Counts> {
        if self.open.is_some() {
            return Some(self.open.counts());
        }
        self.packs.back_from(self.packs.len()).next().map(|element| counts_of(&element))
    }

    /// Whether an entry whose names and values have so many bytes begins a pack.
    pub(super) fn begins_pack(&self, bytes: u64, limits: NodeLimits) -> bool {
        /// Redis's bound is a gigabyte, of which each deletion would write all anew.
        const BYTES_MAX: u64 = OPEN_MAX as u64;
        let Some(counts) = self.last_counts() else { return true };
        let most = if limits.bytes == 0 { BYTES_MAX } else { limits.bytes.min(BYTES_MAX) };
        let slots = u64::from(counts.live) + u64::from(counts.dead);
        counts.listpack_bytes() + bytes >= most || limits.entries > 0 && slots >= limits.entries
    }

    /// Adds an entry behind all others; `None` where something there is not what a stream has.
    pub(super) fn add(&mut self, id: Id, begins_pack: bool, fields: Fields<'_>) -> Option<()> {
        self.drop_dead_from(id)?;
        if begins_pack {
            self.close();
        } else {
            self.open_last()?;
        }
        self.open.add(id, fields);
        if self.open.bytes.len() > OPEN_MAX {
            self.close();
        }
        self.length += 1;
        if self.length == 1 {
            self.first = id;
        }
        self.top = id;
        Some(())
    }

    /// Puts the pack that grows to the others.
    pub(super) fn close(&mut self) {
        if !self.open.is_some() {
            return;
        }
        let Open { first, bytes, .. } = std::mem::take(&mut self.open);
        self.packs.push(NewElement { key: first.0, head: &[&bytes], tail: None });
    }

    /// Lets the last pack grow.
    fn open_last(&mut self) -> Option<()> {
        let Some(last) = self.packs.len().checked_sub(1).filter(|_| !self.open.is_some()) else {
            return Some(());
        };
        let place = self.packs.at(last);
        let element = self.packs.get(&place)?;
        self.open = Open::again(Id(element.key), bytes_of(&element))?;
        self.packs.remove(&place);
        Some(())
    }

    /// After XSETID went back behind what was deleted, dead slots may stand in the way of new entries.
    fn drop_dead_from(&mut self, id: Id) -> Option<()> {
        loop {
            if !self.open.is_some() {
                let last = self.packs.back_from(self.packs.len()).next();
                // All that is not dead is behind the new entry anyway.
                let Some(element) = last.filter(|element| counts_of(element).dead > 0) else {
                    return Some(());
                };
                if Pack::of(&bytes_of(&element))?.last(Id(element.key)) < id {
                    return Some(());
                }
                self.open_last()?;
            }
            if self.open.last < id {
                return Some(());
            }
            let live = {
                let slots = self.open.pack()?.slots(self.open.first);
                slots.take_while(|slot| slot.id < id).filter(|slot| !slot.is_dead).count()
            };
            if live != self.open.counts().live as usize {
                return None;
            }
            match self.open.cut_from(id)? {
                true => return Some(()),
                false => self.open.clear(),
            }
        }
    }

    /// The place of the closed pack that an entry is in, if it is in one.
    fn pack_with(&self, id: Id) -> Option<Place> {
        let mut walk = self.packs.from(&Bound::AfterKey(id.0));
        walk.back()?;
        Some(walk.place())
    }

    /// Whether there is such an entry.
    pub(super) fn has(&self, id: Id) -> bool {
        let mut has = false;
        self.visit(id, id, |_, _| {
            has = true;
            false
        });
        has
    }

    /// Deletes an entry; whether it was there.
    pub(super) fn delete(&mut self, id: Id) -> bool {
        if self.open.is_some() && id >= self.open.first {
            let first = self.open.first;
            let without = self.open.pack().and_then(|pack| pack.without(first, |it| it == id));
            let Some(bytes) = without else { return false };
            if Counts::of(&bytes).is_some_and(|counts| counts.live == 0) {
                self.open.clear();
            } else {
                self.open.bytes = bytes;
            }
        } else {
            let Some(place) = self.pack_with(id) else { return false };
            let Some(element) = self.packs.get(&place) else { return false };
            let key = element.key;
            let without = {
                let bytes = bytes_of(&element);
                Pack::of(&bytes).and_then(|pack| pack.without(Id(key), |it| it == id))
            };
            let Some(bytes) = without else { return false };
            if Counts::of(&bytes).is_some_and(|counts| counts.live == 0) {
                self.packs.remove(&place);
            } else {
                self.packs.replace(&place, NewElement { key, head: &[&bytes], tail: None });
            }
        }
        self.length = self.length.saturating_sub(1);
        self.look_at_edges(id == self.first, id == self.top);
        true
    }

    fn look_at_edges(&mut self, first_went: bool, top_went: bool) {
        if self.length == 0 {
            (self.first, self.top) = (Id::ZERO, Id::ZERO);
            return;
        }
        if first_went {
            let mut first = Id::ZERO;
            self.visit(Id::ZERO, Id::MAX, |id, _| {
                first = id;
                false
            });
            self.first = first;
        }
        if top_went {
            let mut top = Id::ZERO;
            self.visit_back(Id::ZERO, Id::MAX, |id, _| {
                top = id;
                false
            });
            self.top = top;
        }
    }

    /// What a trim would take, looking at so many packs at the most; and whether it would take more.
    /// `whole` lets it take whole packs only, and no more than `limit` entries where that is not 0.
    pub(super) fn front(&self, leave: Leave, whole: bool, limit: u64, packs: u64) -> (Front, bool) {
        let mut front = Front::default();
        let mut walk = self.packs.iter();
        loop {
            let left = self.length.saturating_sub(front.total);
            if matches!(leave, Leave::Count(count) if left <= count) {
                return (front, false);
            }
            if front.packs >= packs {
                return (front, true);
            }
            let element = walk.next();
            let (counts, first) = match &element {
                Some(element) => (counts_of(element), Id(element.key)),
                None if self.open.is_some() && front.packs == self.packs.len() => {
                    (self.open.counts(), self.open.first)
                }
                None => return (front, false),
            };
            let live = u64::from(counts.live);
            if whole && limit > 0 && front.total + live > limit {
                return (front, false);
            }
            let bytes = || element.as_ref().map_or(Cow::Borrowed(&self.open.bytes[..]), bytes_of);
            let goes = match leave {
                Leave::Count(count) => left - live.min(left) >= count,
                Leave::From(id) => {
                    let next = walk.clone().next().map(|next| Id(next.key));
                    let ends_before = next.is_some_and(|next| next <= id);
                    first < id
                        && (ends_before
                            || Pack::of(&bytes()).is_some_and(|pack| pack.last(first) < id))
                }
            };
            if goes {
                front.packs += 1;
                front.total += live;
                continue;
            }
            if !whole {
                front.entries = match leave {
                    Leave::Count(count) => left - count,
                    Leave::From(id) => {
                        let bytes = bytes();
                        let slots = Pack::of(&bytes).map(|pack| pack.slots(first));
                        let before = slots.into_iter().flatten().take_while(|slot| slot.id < id);
                        before.filter(|slot| !slot.is_dead).count() as u64
                    }
                };
                front.total += front.entries;
            }
            return (front, false);
        }
    }

    /// Takes what [`Entries::front`] said, so that so many entries are left. Packs may be others than those that were looked
    /// at: who has read the stream from a file has no deleted entries in them. `None`, having done nothing, where there are
    /// fewer entries.
    pub(super) fn take(&mut self, packs: u64, entries: u64, left: u64) -> Option<u64> {
        let goes = self.length.checked_sub(left)?;
        let (packs, entries) = if self.is_front(packs, entries, goes) {
            (packs, entries)
        } else {
            let (front, _) = self.front(Leave::Count(left), false, 0, u64::MAX);
            (front.packs, front.entries)
        };
        let closed = packs.min(self.packs.len());
        let live = |counts: Counts| u64::from(counts.live);
        let gone = self.packs.range(0..closed).map(|element| live(counts_of(&element)));
        let mut gone: u64 = gone.sum();
        self.packs.remove_range(0..closed);
        if packs > closed {
            gone += live(self.open.counts());
            self.open.clear();
        }
        if entries > 0 {
            gone += self.take_entries(entries).unwrap_or(0);
        }
        self.length = self.length.saturating_sub(gone);
        self.look_at_edges(gone > 0, false);
        Some(gone)
    }

    /// Whether so many packs, and so many entries of the one behind them, are so many entries.
    fn is_front(&self, packs: u64, entries: u64, goes: u64) -> bool {
        let has_them = packs < self.pack_count() || entries == 0 && packs == self.pack_count();
        has_them && entries <= self.pack_len(packs) && {
            let closed = self.packs.range(0..packs.min(self.packs.len()));
            let live: u64 = closed.map(|element| u64::from(counts_of(&element).live)).sum();
            let open = if packs > self.packs.len() { self.open.counts().live } else { 0 };
            live + u64::from(open) + entries == goes
        }
    }

    /// Takes so many entries of the first pack, which may be left without any.
    fn take_entries(&mut self, entries: u64) -> Option<u64> {
        let mut gone = 0;
        let take = |_: Id| {
            let is_taken = gone < entries;
            gone += u64::from(is_taken);
            is_taken
        };
        let place = self.packs.start();
        match self.packs.get(&place) {
            Some(element) => {
                let key = element.key;
                let without = {
                    let bytes = bytes_of(&element);
                    Pack::of(&bytes)?.without(Id(key), take)?
                };
                self.packs.replace(&place, NewElement { key, head: &[&without], tail: None });
            }
            None => {
                let first = self.open.first;
                let without = self.open.pack()?.without(first, take)?;
                self.open.bytes = without;
            }
        }
        Some(gone)
    }

    /// The entries from one number to another, one after the other, until `see` says `false`.
    #[inline]
    pub(super) fn visit(&self, from: Id, to: Id, mut see: impl FnMut(Id, Fields<'_>) -> bool) {
        let mut visit_pack = |bytes: &[u8], first: Id| {
            let Some(pack) = Pack::of(bytes) else { return true };
            for slot in pack.slots(first) {
                if slot.id < from || slot.is_dead {
                    continue;
                }
                if slot.id > to || !see(slot.id, slot.fields) {
                    return false;
                }
            }
            true
        };
        if !self.open.is_some() || from < self.open.first {
            let mut walk = self.packs.from(&Bound::AfterKey(from.0));
            // What is behind the number may begin in the pack before.
            walk.back();
            for element in walk {
                if Id(element.key) > to || !visit_pack(&bytes_of(&element), Id(element.key)) {
                    return;
                }
            }
        }
        if self.open.is_some() && self.open.first <= to {
            visit_pack(&self.open.bytes, self.open.first);
        }
    }

    /// The same from the last to the first.
    pub(super) fn visit_back(&self, from: Id, to: Id, mut see: impl FnMut(Id, Fields<'_>) -> bool) {
        let mut visit_pack = |bytes: &[u8], first: Id| {
            let Some(pack) = Pack::of(bytes) else { return true };
            let slots = pack.slots(first).take_while(|slot| slot.id <= to);
            let slots: Vec<_> = slots.filter(|slot| !slot.is_dead && slot.id >= from).collect();
            slots.iter().rev().all(|slot| see(slot.id, slot.fields)) && first > from
        };
        if self.open.is_some()
            && self.open.first <= to
            && !visit_pack(&self.open.bytes, self.open.first)
        {
            return;
        }
        let mut walk = self.packs.from(&Bound::AfterKey(to.0));
        while let Some(element) = walk.back() {
            if !visit_pack(&bytes_of(&element), Id(element.key)) {
                return;
            }
        }
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.open.bytes.capacity() + usize::try_from(self.packs.heap_bytes()).unwrap_or(usize::MAX)
    }
}
