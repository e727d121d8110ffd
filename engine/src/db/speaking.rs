//! What is said of changes, and in channels: noted while a task runs, said when its frame stands in the log.

use super::door::At;
use super::events::{Called, Change, Events, Speaker};
use super::touched::{Said, Touched, What};
use super::{Keyspace, Role};
use crate::journal::Deadline;
use crate::pubsub::{Hub, Scope};
use crate::types::DbIndex;
use crate::value::Type;
use std::sync::Arc;

impl Keyspace {
    /// Whom messages and events are told.
    pub fn set_hub(&mut self, hub: Arc<Hub>) {
        self.speaker.hub = Some(hub);
    }

    /// Which events are said from now on.
    pub fn set_events(&mut self, events: Events) {
        self.speaker.wanted = if events.is_on() { events } else { Events::empty() };
        self.door.hear_all(events.is_on());
        for db in self.dbs() {
            let bits = self.listened_to(db);
            self.door.set_heard(db, bits);
        }
    }

    /// A command begins whose changes are called so.
    #[inline]
    pub fn begin_command(&mut self, called: &Called) {
        if !self.speaker.wanted.is_empty() {
            self.made.begins = self.made.said.len();
            self.called(*called);
        }
    }

    /// The next slice of a command, in which it goes on as one: what it says again it has said.
    #[inline]
    pub fn go_on_with_command(&mut self, called: &Called) {
        if !self.speaker.wanted.is_empty() {
            self.called(*called);
        }
    }

    #[cold]
    fn called(&mut self, called: Called) {
        let Speaker { hub, wanted, .. } = std::mem::take(&mut self.speaker);
        self.speaker = Speaker { hub, wanted, called, called_now: None };
    }

    /// A master's record is about to be applied.
    pub(super) fn begin_record(&mut self) {
        self.begin_command(&Called::APPLIED);
    }

    /// What the running command does from here on is called so, not as its line in [`Called::of`] says.
    #[inline]
    pub fn call_it(&mut self, name: &'static str) {
        self.speaker.called_now = Some(name);
    }

    /// What is done here is no event: where Redis changes nothing that a client could see, or says nothing of it.
    pub fn unsaid<R>(&mut self, act: impl FnOnce(&mut Keyspace) -> R) -> R {
        let before = self.speaker.hush();
        let done = act(self);
        (self.speaker.called, self.speaker.called_now) = before;
        done
    }

    /// What a command says of a key beside what its changes say, as Redis does.
    pub fn say_also(&mut self, db: DbIndex, key: &[u8], class: Events, name: &'static str) {
        if self.speaker.is_on() {
            let at = At { db, hash: 0, key };
            let Keyspace { speaker, made, .. } = self;
            let own = made.said.get(made.begins..).unwrap_or_default();
            if !Speaker::has_just_said(at, name, own) {
                speaker.note(at, class, name, &mut made.said);
            }
        }
    }

    /// Says something in a channel once the frame stands in the log, also on replicas; answers how many will hear it
    /// here. On a replica it goes no further, unless a command of its master says it: the log is its master's.
    pub fn publish(&mut self, scope: Scope, channel: &[u8], payload: &[u8]) -> usize {
        if self.role == Role::Master || self.commanded {
            self.tell_message(scope, channel, payload);
        }
        self.hear(scope, channel, payload)
    }

    /// A message is said here, once its frame stands in the log.
    pub(super) fn hear(&mut self, scope: Scope, channel: &[u8], payload: &[u8]) -> usize {
        let hub = self.speaker.hub.as_ref().filter(|hub| !hub.is_silent(scope));
        let listeners = hub.map_or(0, |hub| hub.listeners(scope, channel));
        if listeners > 0 {
            let (channel, payload) = (Box::from(channel), Box::from(payload));
            self.made.said.push(Said::Message { scope, channel, payload });
        }
        listeners
    }

    /// Says what a task had to say.
    #[cold]
    pub(super) fn speak(&self, said: &mut Vec<Said>) {
        said.drain(..).for_each(|said| self.speaker.serve(said));
    }

    /// How many changes of this task listeners have been noted for: events are made of those behind it.
    #[inline]
    pub(super) fn event_mark(&self) -> Option<usize> {
        self.speaker.is_on().then_some(self.made.touched.len())
    }

    /// A value was put.
    #[cold]
    pub(super) fn note_put(
        &mut self,
        at: At<'_>,
        kind: &'static Type,
        deadline: Deadline,
        mark: usize,
    ) {
        self.note_value(at, kind, None, mark);
        if self.speaker.called.is_dated && matches!(deadline, Deadline::At(_)) {
            self.speaker.note(at, Events::GENERIC, "expire", &mut self.made.said);
        }
    }

    /// Something happened inside a value: the type's effect of this number, whose bytes begin so.
    #[cold]
    pub(super) fn note_change(
        &mut self,
        at: At<'_>,
        kind: &'static Type,
        (op, bytes): (u8, &[u8]),
        mark: usize,
    ) {
        self.note_value(at, kind, Some((op, bytes)), mark);
    }

    fn note_value(&mut self, at: At<'_>, kind: &'static Type, change: Change<'_>, mark: usize) {
        let Keyspace { speaker, made, .. } = self;
        let happened = made.touched.get(mark..).unwrap_or_default();
        let has = |what| happened.iter().any(|touched: &Touched| touched.what == what);
        let (said, begins) = (&mut made.said, made.begins);
        let is_new = has(What::Created) || (speaker.called.is_new && has(What::Changed));
        if is_new && speaker.wanted.contains(Events::NEW) {
            // As in Redis, it is there before the other one is said to have gone.
            let moved = speaker.called.removed;
            let is_move = |last: &Said| matches!(last, Said::Event { name, .. } if *name == moved);
            let behind = said.get(begins..).and_then(<[Said]>::last).is_some_and(is_move);
            let place = said.len() - usize::from(behind && moved != "del");
            said.insert(place, Said::Event { db: at.db, key: Box::from(at.key), name: "new" });
        }
        if !happened.is_empty()
            && let Some(name) = speaker.value_name(kind, change)
        {
            let class = speaker.called.class.unwrap_or_else(|| Events::of_type(kind));
            // Several changes inside are one event; a value that is put twice is two.
            let own = said.get(begins..).unwrap_or_default();
            let is_known = change.is_some() && Speaker::has_just_said(at, name, own);
            if !is_known {
                speaker.note(at, class, name, said);
            }
        }
    }

    /// A key was removed, for the reason `why`.
    #[cold]
    pub(super) fn note_removed(&mut self, at: At<'_>, why: What) {
        let Keyspace { speaker, made, .. } = self;
        let (class, name) = match why {
            What::Expired => (Events::EXPIRED, "expired"),
            What::Evicted => (Events::EVICTED, "evicted"),
            _ => (Events::GENERIC, speaker.called.removed),
        };
        speaker.note(at, class, name, &mut made.said);
    }

    /// A key's deadline was set or dropped.
    #[cold]
    pub(super) fn note_deadline(&mut self, at: At<'_>, is_set: bool) {
        let Keyspace { speaker, made, .. } = self;
        let name = if is_set { "expire" } else { "persist" };
        speaker.note(at, Events::GENERIC, name, &mut made.said);
    }
}
