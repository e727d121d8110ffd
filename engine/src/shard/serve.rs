//! What happens next on a shard: a message, an entry whose keys are its own now, a slice of what goes on.

use super::address::ReplyTo;
use super::body::{Message, Running, Shard, Waiting};
use super::locks::EntryId;
use super::message::Answer;
use super::pieces::Piece;
use crate::types::TxId;
use std::time::Instant;

impl Shard {
    /// Does what a message asks.
    pub fn receive(&mut self, message: Message) {
        match message {
            Message::Batch(batch) => self.run_batch(batch),
            Message::Begin(begin) => self.begin(*begin),
            Message::Armed(tx) => self.armed(tx),
            Message::Hop(hop) => self.hop(*hop),
            Message::Apply(batch) => self.apply_arrives(batch),
            Message::Call(call) => {
                call(self);
                // What a look has deleted stands in the log before anything that comes after it.
                self.log_frame();
            }
            Message::Answer(..) | Message::Service(_) => {
                unreachable!("answers go to the executor's front, not to its shard")
            }
        }
        self.settle();
    }

    /// Serves entries that were granted meanwhile, until there are none.
    pub(crate) fn settle(&mut self) {
        while let Some(entry) = self.granted.pop_front() {
            self.serve(entry);
        }
    }

    /// An entry holds all it asked for.
    fn serve(&mut self, entry: EntryId) {
        match self.entries.remove(&entry).expect("a granted entry waits for something") {
            Waiting::Batch { batch, wants } => self.resume_batch(entry, batch, wants),
            Waiting::Apply(place) => self.apply_granted(place),
            Waiting::Sleepers { key, wants } => self.look_granted(entry, key, &wants),
            Waiting::Tx(id) => {
                if self.granted_here(id) {
                    self.armed(id);
                }
            }
            Waiting::Outwaits(to) => self.answer(to, Answer::Value(Box::new(true))),
        }
    }

    /// Has `to` told (whether it had to wait: a `bool`) when all that has keys here now or waits for some is done.
    /// Nobody waits for it meanwhile.
    pub(crate) fn outwait(&mut self, to: ReplyTo) {
        let entry = self.new_entry();
        if self.locks.outwait(entry) {
            self.answer(to, Answer::Value(Box::new(false)));
        } else {
            self.entries.insert(entry, Waiting::Outwaits(to));
        }
    }

    /// All shards have granted their keys: the transaction that brought its work does it now.
    fn armed(&mut self, id: TxId) {
        if let Some(place) = self.transactions[&id].applies {
            return self.apply_armed(place);
        }
        self.run_armed(id);
    }

    /// One slice of what goes on; whether there is more.
    pub fn run_slice(&mut self) -> bool {
        let began = Instant::now();
        match self.running.pop_front() {
            None => return false,
            Some(Running::Rest(batch)) => self.run_batch(batch),
            Some(Running::Hop(id, work, conclude)) => self.run_hop(id, work, conclude),
            Some(Running::Command { entry, wants, batch, made }) => {
                self.slice_of_command(entry, wants, batch, made);
            }
        }
        self.settle();
        self.pieces.note(Piece::Slice, began.elapsed());
        self.is_running()
    }

    /// Makes what the tasks since the last call wrote visible to readers of the journal.
    pub fn publish(&mut self) {
        // Commands log their own frames. Left here is only what a call has deleted by looking, and what a
        // master's records have touched.
        self.log_frame();
        self.serve_sleepers();
        self.tell_victims();
        self.log.publish(self.keys.now());
    }
}
