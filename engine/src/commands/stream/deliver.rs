//! What XREADGROUP answers with, and what is noted of it.

use super::walk::{Range, Walk};
use super::words::{begin_stream, begin_streams, write_entry, write_id};
use crate::command::{Cx, Decided, Decision, Refusal, Write};
use crate::resp::ReplyWriter;
use crate::types::DbIndex;
use crate::value::stream::{Consumer, Deliver, Group, Id, PutGroup, Stream};
use crate::value::{SentEffect, SharedValue};
use std::collections::HashSet;

/// The key of a stream.
pub(super) struct Told {
    pub(super) db: DbIndex,
    pub(super) key: Vec<u8>,
}

/// Who reads, and how far the group has come.
pub(super) struct Reader {
    pub(super) group: Vec<u8>,
    pub(super) consumer: Vec<u8>,
    pub(super) noack: bool,
    pub(super) at: (Id, i64),
}

/// What one stream has for a consumer.
pub(super) struct Delivery {
    told: Told,
    stream: SharedValue,
    reader: Reader,
    /// What was delivered already is asked for, behind this.
    history: Option<Id>,
    count: u64,
    /// When, in milliseconds.
    now: u64,
    stage: Stage,
    /// Entries that are noted: which, when, how often.
    entries: Vec<(Id, u64, u64)>,
    effects: Vec<Write>,
}

enum Stage {
    /// Nothing is decided.
    New,
    Entries(Box<Walk>),
    /// Of what is pending: from here on, so many.
    History(Id, u64),
    Done,
}

/// Entries that are noted with one effect: more of them are written in several pieces.
const NOTED: usize = 16;
/// Pending entries that are looked up at a time.
const PIECE: usize = 64;
/// Up to so many entries are delivered at once.
const FEW: u64 = 256;

impl Delivery {
    pub(super) fn of(
        told: Told,
        stream: SharedValue,
        reader: Reader,
        history: Option<Id>,
        count: u64,
    ) -> Delivery {
        let (entries, effects) = (Vec::new(), Vec::new());
        let (stage, now) = (Stage::New, 0);
        Delivery { told, stream, reader, history, count, now, stage, entries, effects }
    }

    fn group(&self) -> Option<(&Stream, &Group)> {
        let stream = self.stream.object::<Stream>()?;
        Some((stream, stream.group(&self.reader.group)?))
    }

    fn consumer(&self) -> Option<Consumer<'_>> {
        let (_, group) = self.group()?;
        group.consumer_named(&self.reader.consumer)
    }

    /// Whether the reply names the stream.
    pub(super) fn is_served(&self) -> bool {
        let Some((stream, _)) = self.group() else { return false };
        self.history.is_some() || !stream.is_empty() && stream.top() > self.reader.at.0
    }

    fn range(&self) -> Range {
        let from = self.reader.at.0.after().unwrap_or(Id::MAX);
        Range { from, to: Id::MAX, most: self.count, is_back: false }
    }

    fn is_short(&self) -> bool {
        let Some((stream, _)) = self.group() else { return true };
        match self.history {
            None => self.range().is_short(stream) && self.most() <= FEW,
            Some(_) => self.most() <= FEW && stream.bytes_of(self.most()) <= 256 * 1024,
        }
    }

    /// The most entries that it can be.
    fn most(&self) -> u64 {
        let there = match self.history {
            None => self.group().map_or(0, |(stream, _)| stream.len()),
            Some(_) => self.consumer().map_or(0, |consumer| consumer.pending_count()),
        };
        if self.count == 0 { there } else { there.min(self.count) }
    }

    /// Does a piece; whether that was the last one. What is answered is noted as it is answered.
    fn more(&mut self, reply: &mut ReplyWriter<'_>) -> bool {
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::New => {
                self.begin(reply);
                matches!(self.stage, Stage::Done)
            }
            Stage::Entries(mut walk) => {
                let Some(stream) = self.stream.object::<Stream>() else { return true };
                let Reader { at, noack, .. } = &mut self.reader;
                let (entries, now) = (&mut self.entries, self.now);
                let is_done = walk.more(reply, |id| {
                    *at = stream.deliver(*at, id);
                    if !*noack {
                        entries.push((id, now, 1));
                    }
                });
                if !is_done {
                    self.stage = Stage::Entries(walk);
                }
                self.note(is_done);
                is_done
            }
            Stage::History(from, left) => {
                if let Some(from) = self.history_piece(from, left.min(PIECE as u64), reply)
                    && left > PIECE as u64
                {
                    self.stage = Stage::History(from, left - PIECE as u64);
                    self.note(false);
                    return false;
                }
                self.note(true);
                true
            }
            Stage::Done => true,
        }
    }

    fn begin(&mut self, reply: &mut ReplyWriter<'_>) {
        if !self.is_served() {
            self.note(true);
            return;
        }
        begin_stream(reply, &self.told.key);
        if let Some(after) = self.history {
            let from = after.after().unwrap_or(Id::MAX);
            let consumer = self.consumer();
            let most = if self.count == 0 { u64::MAX } else { self.count };
            let count = consumer.map_or(0, |consumer| consumer.pending_count_from(from).min(most));
            reply.array(count as usize);
            if count > 0 {
                self.stage = Stage::History(from, count);
            } else {
                self.note(true);
            }
            return;
        }
        self.stage = Stage::Entries(Box::new(Walk::of(self.stream.clone(), self.range())));
    }

    /// Answers at once, and notes what it answers.
    pub(super) fn have(mut self, cx: &mut Cx<'_>) {
        self.now = cx.now().0;
        self.whole(&mut cx.reply);
        let Delivery { told: Told { db, key }, stream, effects, .. } = self;
        // Nobody holds what is changed now.
        drop(stream);
        for write in effects {
            if let Write::Change { effect, .. } = write {
                cx.keys.change_as_sent(db, &key, &effect);
            }
        }
    }

    /// All of a short one.
    fn whole(&mut self, reply: &mut ReplyWriter<'_>) {
        if self.history.is_none() && self.is_served() {
            begin_stream(reply, &self.told.key);
            let range = self.range();
            let Some(stream) = self.stream.object::<Stream>() else { return };
            let Reader { at, noack, .. } = &mut self.reader;
            let (entries, now) = (&mut self.entries, self.now);
            range.write(stream, reply, |id| {
                *at = stream.deliver(*at, id);
                if !*noack {
                    entries.push((id, now, 1));
                }
            });
            self.note(true);
            return;
        }
        while !self.more(reply) {}
    }

    /// Answers with some of what is pending with the consumer; where that goes on.
    fn history_piece(&mut self, from: Id, count: u64, reply: &mut ReplyWriter<'_>) -> Option<Id> {
        let (stream, group) = self.group()?;
        let consumer = self.consumer()?;
        let (mut noted, mut last) = (Vec::new(), None);
        for id in consumer.pending_from(from).take(count as usize) {
            last = Some(id);
            let mut is_there = false;
            stream.visit(id, id, |id, fields| {
                is_there = true;
                write_entry(reply, id, fields);
                false
            });
            match group.pending(id) {
                Some(pending) if is_there => {
                    noted.push((id, self.now, pending.times.wrapping_add(1)));
                }
                _ => {
                    reply.array(2);
                    write_id(reply, id);
                    reply.nil_array();
                }
            }
        }
        self.entries.extend(noted);
        last?.after()
    }

    /// Makes effects of what was answered, the last one in any case: the consumer asked.
    fn note(&mut self, is_end: bool) {
        let (seen, is_history) = (self.now as i64, self.history.is_some());
        let mut is_active = !self.entries.is_empty() && !is_history;
        let before = self.consumer().map_or(-1, |consumer| consumer.active);
        is_active |= !self.effects.is_empty() && !is_history;
        let active = if is_active { seen } else { before };
        while self.entries.len() >= NOTED || is_end {
            let all = is_end && self.entries.len() <= FEW as usize;
            let some = if all { self.entries.len() } else { NOTED };
            let rest = self.entries.split_off(some.min(self.entries.len()));
            let entries = std::mem::replace(&mut self.entries, rest);
            let (last, read) = self.reader.at;
            let group = PutGroup { name: &self.reader.group, last, read, is_new: false };
            let consumer = &self.reader.consumer;
            let is_new = self.effects.is_empty() && self.consumer().is_none();
            let effect = Deliver { group, consumer, is_new, seen, active, entries };
            self.effects.push(Write::Change {
                db: self.told.db,
                key: self.told.key.clone(),
                effect: SentEffect::of(&effect),
            });
            if self.entries.is_empty() {
                break;
            }
        }
    }

    /// Another request of the same command was for the same key before this one.
    fn follow(&mut self, other: &Delivery) {
        let Some(stream) = other.stream.object::<Stream>() else { return };
        self.stream = stream.with(&other.effects_of());
        if let Some((_, group)) = self.group() {
            self.reader.at = (group.last, group.read);
        }
    }

    fn effects_of(&self) -> Vec<SentEffect> {
        let effect = |write: &Write| match write {
            Write::Change { effect, .. } => Some(effect.clone()),
            _ => None,
        };
        self.effects.iter().filter_map(effect).collect()
    }
}

/// Answers with what all streams have.
pub(super) fn all(
    decision: &mut Decision<'_>,
    mut deliveries: Vec<Delivery>,
) -> Result<Decided, Refusal> {
    let now = decision.now.0;
    deliveries.iter_mut().for_each(|delivery| delivery.now = now);
    let mut served = deliveries.iter().filter(|delivery| delivery.is_served()).count();
    let is_short = deliveries.iter().all(Delivery::is_short) && deliveries.len() <= 8;
    let mut keys = HashSet::new();
    let repeats = deliveries.len() > 1 && deliveries.iter().any(|one| !keys.insert(&one.told.key));
    if is_short || repeats {
        let mut body = Vec::new();
        let mut reply = ReplyWriter::new(&mut body, decision.reply.protocol);
        served = 0;
        for at in 0..deliveries.len() {
            let (before, rest) = deliveries.split_at_mut(at);
            let Some(delivery) = rest.first_mut() else { break };
            let same = |other: &&Delivery| repeats && other.told.key == delivery.told.key;
            if let Some(other) = before.iter().rev().find(same) {
                delivery.follow(other);
            }
            served += usize::from(delivery.is_served());
            delivery.whole(&mut reply);
        }
        begin_streams(&mut decision.reply, served);
        decision.reply.raw(&body);
        return Ok(deliveries.into_iter().flat_map(|one| one.effects).collect::<Vec<_>>().into());
    }
    let (mut deliveries, mut effects, mut is_begun) = (deliveries.into_iter(), Vec::new(), false);
    Ok(Decided::Later(Box::new(move |decision| {
        if !std::mem::replace(&mut is_begun, true) {
            begin_streams(&mut decision.reply, served);
        }
        if let Some(delivery) = deliveries.as_mut_slice().first_mut()
            && delivery.more(&mut decision.reply)
        {
            effects.append(&mut delivery.effects);
            deliveries.next();
        }
        Ok((deliveries.len() == 0).then(|| std::mem::take(&mut effects)))
    })))
}
