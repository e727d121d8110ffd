//! A stream that is put together from parts, as they stand in a payload of Redis.

use super::Stream;
use super::entries::NodeLimits;
use super::group::{Group, Pending};
use super::id::Id;
use super::pack::Fields;
use super::text::Text;
use crate::value::{NewValue, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// See the module's front page.
pub struct Builder {
    stream: Stream,
    limits: NodeLimits,
    /// The entry whose fields come: its number, how many are to come, how many there are, and how long its
    /// names and values are.
    entry: Option<(Id, u64, u64, u64)>,
    /// Its names and values.
    texts: Vec<u8>,
    group: Option<(Vec<u8>, Group)>,
    /// Pending in the group and with no consumer yet: when, how often.
    pending: HashMap<Id, (u64, u64)>,
    consumer: u32,
}

impl Builder {
    /// Of a stream whose packs begin so.
    pub fn of(limits: NodeLimits) -> Builder {
        Builder {
            stream: Stream::default(),
            limits,
            entry: None,
            texts: Vec::new(),
            group: None,
            pending: HashMap::new(),
            consumer: 0,
        }
    }

    /// An entry comes, of which so many fields follow.
    pub fn entry(&mut self, id: Id, fields: u64) {
        self.entry = Some((id, fields, fields, 0));
        self.texts.clear();
        self.end_entry();
    }

    /// A field of the entry.
    pub fn field(&mut self, name: Value<'_>, value: Value<'_>) {
        for text in [name, value] {
            text.with_bytes(|bytes| Text::of(bytes).write(&mut self.texts));
        }
        if let Some((_, left, _, length)) = &mut self.entry {
            *left = left.saturating_sub(1);
            *length += (name.len() + value.len()) as u64;
        }
        self.end_entry();
    }

    fn end_entry(&mut self) {
        let Some((id, 0, count, length)) = self.entry else { return };
        self.entry = None;
        let begins = self.stream.begins_pack(length, self.limits);
        // What is there once more or out of order was refused already.
        let _ = self.stream.add(id, begins, Fields::told(count, &self.texts));
    }

    /// What the stream knows of itself.
    pub fn facts(&mut self, last: Id, added: u64, max_deleted: Id) {
        self.stream.last = last.max(self.stream.last);
        (self.stream.added, self.stream.max_deleted) = (added, max_deleted);
    }

    /// A group comes.
    pub fn group(&mut self, name: Vec<u8>, last: Id, read: i64) {
        self.end_group();
        let mut group = Group::default();
        (group.last, group.read) = (last, read);
        self.group = Some((name, group));
    }

    fn end_group(&mut self) {
        self.pending.clear();
        if let Some((name, group)) = self.group.take() {
            self.stream.groups.put(&name, group);
        }
    }

    /// An entry is pending in the group, with a consumer that is to come.
    pub fn pending(&mut self, id: Id, at: u64, times: u64) {
        self.pending.insert(id, (at, times));
    }

    /// A consumer of the group comes.
    pub fn consumer(&mut self, name: &[u8], seen: i64, active: i64) {
        if let Some((_, group)) = &mut self.group {
            self.consumer = group.meet(name, seen, active);
        }
    }

    /// An entry is pending with the consumer.
    pub fn claimed(&mut self, id: Id) {
        let (Some((_, group)), Some((at, times))) = (&mut self.group, self.pending.remove(&id))
        else {
            return;
        };
        group.own(Pending { id, consumer: self.consumer, at, times });
    }

    /// The stream.
    pub fn end(&mut self) -> NewValue<'static> {
        self.end_group();
        NewValue::Object(Arc::new(std::mem::take(&mut self.stream)))
    }
}
