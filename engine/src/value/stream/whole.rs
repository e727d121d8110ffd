//! Putting a stream together from its parts.

use super::Stream;
use super::entries::{Entries, OPEN_MAX};
use super::group::Group;
use super::id::Id;
use super::pack::{Open, Pack};
use super::part::{FACTS, Part, pack_opening_bytes, write_pack_opening};
use crate::value::Reading;

impl Stream {
    pub(super) fn write_facts(&self, out: &mut Vec<u8>) {
        out.push(FACTS);
        out.extend_from_slice(&self.last.0.to_le_bytes());
        out.extend_from_slice(&self.added.to_le_bytes());
        out.extend_from_slice(&self.max_deleted.0.to_le_bytes());
    }

    /// The pack that grows, if there is one.
    pub(super) fn write_open(&self, out: &mut Vec<u8>) {
        let Open { first, bytes, .. } = &self.entries.open;
        if !bytes.is_empty() {
            write_pack_opening(*first, bytes.len(), out);
            out.extend_from_slice(bytes);
        }
    }

    /// How long that is.
    pub(super) fn open_bytes(&self) -> usize {
        match self.entries.open.bytes.len() {
            0 => 0,
            length => pack_opening_bytes(length as u64) + length,
        }
    }

    /// Adds the parts that the bytes begin with, `at` bytes being known already; how many bytes that were. The
    /// bytes come from another node: each entry is looked at. `None` where they say nothing.
    pub(super) fn add_parts(&mut self, at: u64, bytes: &[u8]) -> Option<usize> {
        let mut taken = 0;
        loop {
            let mut reading = Reading(&bytes[taken..]);
            let Some(part) = Part::read(&mut reading) else { return Some(taken) };
            let is_first = at == 0 && taken == 0;
            taken = bytes.len() - reading.0.len();
            match part.ok()? {
                Part::Facts(last, added, max_deleted) if is_first => {
                    (self.last, self.added, self.max_deleted) = (last, added, max_deleted);
                }
                Part::Facts(..) => return None,
                _ if is_first => return None,
                Part::Pack(first, bytes) => {
                    self.entries.add_pack(first, bytes)?;
                    (self.entries.top <= self.last).then_some(())?;
                }
                Part::Group(name, last, read) => {
                    let is_behind = self.groups.last_name().is_none_or(|before| *before < *name);
                    is_behind.then_some(())?;
                    let mut group = Group::default();
                    (group.last, group.read) = (last, read);
                    self.groups.put(name, group);
                }
                Part::Consumer(name, number, seen, active) => {
                    let add = |group: &mut Group| group.add_consumer(number, name, seen, active);
                    self.edit_last_group(add)?;
                }
                Part::Pending(id, consumer, at, times) => {
                    let add = |group: &mut Group| group.add_pending(id, consumer, at, times);
                    self.edit_last_group(add)?;
                }
            }
        }
    }

    fn edit_last_group(&mut self, edit: impl FnOnce(&mut Group) -> Option<()>) -> Option<()> {
        let name = self.groups.last_name()?;
        self.groups.edit(&name, edit)?
    }
}

impl Entries {
    /// Adds a pack behind the others: the last one may grow on.
    fn add_pack(&mut self, first: Id, bytes: &[u8]) -> Option<()> {
        let pack = Pack::of(bytes)?;
        let last_key = self.packs.back_from(self.packs.len()).next().map(|last| Id(last.key));
        let before = if self.open.is_some() { Some(self.open.last) } else { last_key };
        if before.is_some_and(|before| before >= first) {
            return None;
        }
        let mut live = 0;
        for slot in pack.slots(first).filter(|slot| !slot.is_dead) {
            live += 1;
            if self.length == 0 && live == 1 {
                self.first = slot.id;
            }
            (slot.id > self.top).then_some(())?;
            self.top = slot.id;
        }
        if live != pack.counts.live {
            return None;
        }
        self.length += u64::from(live);
        self.close();
        self.open = Open::again(first, bytes.into())?;
        if bytes.len() > OPEN_MAX {
            self.close();
        }
        Some(())
    }
}
