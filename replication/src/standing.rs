//! Where a node stands: which history and positions its data is, and what it holds of their journals.
//!
//! ```text
//!   empty start ──► master of an unrelated history
//!   become_replica   the own journals' heads are the position
//!   begin_following  full: nobody's position; partial: the master's history from where we stand; the relay of the one
//!                    before is kept for those who follow this node, where the history branches off at its end
//!   end_following    what is applied everywhere
//!   full_sync_done   the copy is whole: only now may it be promoted
//!   become_master    a new history branches off there; the relays are kept for siblings
//!
//!   restore          a start from a snapshot: a new history branches off where its data is; whoever becomes a
//!                    replica then, before anything was written, stands there, in the history before
//!   origin           what the data of a moment is, for a snapshot
//!   begin_anew       a master's data is read from a file: an unrelated history begins
//!   end_anew         all of it is read, or what there is is torn and no snapshot
//!
//!   begin_telling    a full sync from a master that speaks in commands: an unrelated history of our own begins
//!   go_on_telling    a partial one begins
//!   end_telling      where its stream is applied
//! ```
//!
//! Who follows such a master (a Redis) performs its commands and tells its own journals, as a master does: nobody
//! else writes in that history, so a promotion goes on with it.
//!
//! Between a full sync's begin and its end the data is part of a copy: items of one moment and items of
//! another, and of some transactions one key without the other. Nobody reads it, nobody is fed from it,
//! and it is no master's data either: [`may_become_master`](Standing::may_become_master).
//!
//! It changes shards through their front, and knows no sockets, no sessions and no clock, so the model
//! drives the very same code. Whoever changes the standing ends the sessions that the change outdates:
//! it is told when, by the `end_sessions` that it hands in.

use crate::guard;
use crate::handshake::Terms;
use crate::origin::Origin;
use crate::planted;
use crate::relay::Relay;
use engine::db::Role;
use engine::exec::Front;
use engine::journal::{
    Bounds, Global, HeldLogs, HistoryId, Lineage, LogHandle, LogRange, Position, Reason, Verdict,
};
use engine::shard::Shard;
use engine::types::{Lsn, Millis, ShardId};
use std::cell::{Cell, RefCell};
use std::fmt::{self, Display, Formatter};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Which shards bring items.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Walks {
    /// None: a partial sync.
    None,
    /// Each of our shards its own flow's.
    Own,
    /// Every shard items of every flow: we are a replica ourselves.
    Relay,
}

impl Walks {
    /// Whether the walker of `shard` brings items of `flow`.
    pub fn feeds(self, shard: ShardId, flow: u16) -> bool {
        match self {
            Walks::None => false,
            Walks::Own => shard.0 == flow,
            Walks::Relay => true,
        }
    }
}

/// A relay of the history before.
struct Older {
    history: HistoryId,
    relay: Rc<RefCell<Relay>>,
    /// When it was read last, or seen first.
    used: Option<Instant>,
}

/// Why those who are fed from what a node was are not any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outdated {
    /// It begins to follow another node.
    Follows,
    /// It was promoted.
    Promoted,
    /// Another chain of masters is above it.
    ChainChanged,
    /// It full-syncs with its own master.
    FullSyncs,
    /// It follows another history.
    RelaysAnother,
    /// Its data is read from a file again.
    Reloads,
}

impl Display for Outdated {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outdated::Follows => "this node follows another one now",
            Outdated::Promoted => "this node was promoted",
            Outdated::ChainChanged => "the chain of masters above this node has changed",
            Outdated::FullSyncs => "this node full-syncs with its own master",
            Outdated::Reloads => "this node reads its data from a file again",
            Outdated::RelaysAnother => "this node relays another history now",
        })
    }
}

pub use crate::origin::StreamPosition;

/// How often the standing had changed at a moment: see [`Standing::mark`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark(u64);

/// What a session says of its data while nothing of it is on its way to shards.
#[derive(Clone, Debug)]
pub struct AtRest {
    /// The data is the master's, as of one moment.
    pub is_exact: bool,
    /// Where a Redis's stream is applied.
    pub stream: Option<StreamPosition>,
}

/// A change of the standing under way.
struct Changing<'a>(&'a Standing);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.changing.set(self.0.changing.get() - 1);
    }
}

/// See the module's doc.
pub struct Standing {
    front: Rc<Front>,
    lineage: RefCell<Lineage>,
    /// The journals of the current history: our shards', or the relay's.
    logs: RefCell<Vec<LogHandle>>,
    /// As a replica: the upstream's journals as far as they are applied.
    relay: RefCell<Option<Rc<RefCell<Relay>>>>,
    /// Relays of the history before, for those who followed the same master.
    older: RefCell<Option<Older>>,
    /// As a replica: which history and positions our data is; none while it is half of something.
    position: RefCell<Option<Position>>,
    /// A full sync began here, and none has been completed since.
    is_partial_copy: Cell<bool>,
    /// The data is being read from a file; and of such a file only a part was read.
    is_reading: Cell<bool>,
    is_torn: Cell<bool>,
    /// What is here came as commands, and our own journals tell it.
    tells: Cell<bool>,
    /// How many changes have begun, and how many of them are under way.
    changes: Cell<u64>,
    changing: Cell<u32>,
    /// The history that a start from a snapshot began: nothing is written in it before its first record.
    restored: Cell<Option<HistoryId>>,
    /// ... up to here; none while it is half of something.
    stream: RefCell<Option<StreamPosition>>,
    /// Whose stream that was, also where it is half of something: the guard knows that master.
    streams_of: RefCell<Option<String>>,
}

impl Standing {
    /// A node that begins empty, with `history` of its own; its journals are only counted until
    /// somebody reads them.
    pub async fn empty(front: &Rc<Front>, history: HistoryId) -> Standing {
        let logs = front
            .call_all(|shard| {
                shard.set_keeping(false);
                shard.log.handle()
            })
            .await;
        Standing {
            front: front.clone(),
            lineage: RefCell::new(Lineage::unrelated(history, front.node.shards())),
            logs: RefCell::new(logs),
            relay: RefCell::new(None),
            older: RefCell::new(None),
            position: RefCell::new(None),
            is_partial_copy: Cell::new(false),
            is_reading: Cell::new(false),
            is_torn: Cell::new(false),
            tells: Cell::new(false),
            changes: Cell::new(0),
            changing: Cell::new(0),
            restored: Cell::new(None),
            stream: RefCell::new(None),
            streams_of: RefCell::new(None),
        }
    }

    fn change(&self) -> Changing<'_> {
        self.changes.set(self.changes.get() + 1);
        self.changing.set(self.changing.get() + 1);
        Changing(self)
    }

    /// Names what the data is the continuation of, for whoever asks later whether that is still so: none while it
    /// changes.
    pub fn mark(&self) -> Option<Mark> {
        (self.changing.get() == 0).then(|| Mark(self.changes.get()))
    }

    /// Whether the data is one data set: not a part of a copy, or of a file that it would replace.
    pub fn may_be_saved(&self) -> Result<(), String> {
        let why = match () {
            () if self.is_partial_copy.get() => {
                "a full sync is under way: there is nothing whole to be written"
            }
            () if self.is_reading.get() => {
                "the data is being read from its file: there is nothing whole to be written"
            }
            () if self.is_torn.get() => {
                "the data was read in part from a file that could not be read on, and is not written over it: mend \
                 the file and DEBUG RELOAD NOSAVE, follow a master, or end with SHUTDOWN NOSAVE"
            }
            () => return Ok(()),
        };
        Err(why.to_owned())
    }

    /// Whether it is worth more than nothing: all of what once was one data set.
    fn is_whole(&self) -> bool {
        !self.is_partial_copy.get() && !self.is_torn.get()
    }

    /// What the data of a moment is, at which our own journals stood at `own`. While there is a session nothing may
    /// have been handed out that is not applied: it is told what that session says.
    pub fn origin(&self, own: Vec<Lsn>, session: Option<&AtRest>) -> Origin {
        let stream = match session {
            Some(session) => session.stream.clone().filter(|_| session.is_exact),
            None => self.stream(),
        };
        let lineage = self.lineage();
        let Some(relay) = &*self.relay.borrow() else {
            return Origin { lineage: Some(lineage), lsns: own, stream };
        };
        let is_exact = match session {
            Some(session) => session.is_exact,
            None => self.position.borrow().is_some(),
        };
        if !is_exact {
            return Origin::unknown();
        }
        // What has come of a value changes nothing before it is whole, and is not in the data.
        let logs = relay.borrow().handles();
        let lsns = logs.iter().map(LogHandle::head_outside_values).collect();
        Origin { lineage: Some(lineage), lsns, stream: None }
    }

    /// A start from a snapshot: `history` begins, and branches off where the data is. `tail` is what is held of the
    /// journals before. Whoever is about to follow a Redis goes on in its stream (`follows`).
    pub async fn restore(&self, history: HistoryId, origin: Origin, tail: Relay, follows: bool) {
        let _changing = self.change();
        // Whoever stands at the branch needs all that comes.
        self.front.everywhere(false, |shard| shard.set_keeping(true)).await;
        if let Some(lineage) = origin.lineage {
            let before = lineage.current();
            let shards = self.front.node.shards();
            *self.lineage.borrow_mut() = lineage.branch_off(history, shards, origin.lsns);
            let relay = Rc::new(RefCell::new(tail));
            *self.older.borrow_mut() = Some(Older { history: before, relay, used: None });
            self.restored.set(Some(history));
        }
        // Of a file of another node, or of a start with more databases, the stream may be about one that is not here.
        let dbs = self.front.node.dbs();
        let stream = origin.stream.filter(|stream| usize::from(stream.db.0) < dbs);
        if follows && stream.is_some() {
            *self.streams_of.borrow_mut() = stream.as_ref().map(|stream| stream.id.clone());
            *self.stream.borrow_mut() = stream;
            self.tells.set(true);
        }
    }

    /// The current history and its ancestors.
    pub fn lineage(&self) -> Lineage {
        self.lineage.borrow().clone()
    }

    /// The journals of the current history.
    pub fn logs(&self) -> Vec<LogHandle> {
        self.logs.borrow().clone()
    }

    /// As a replica: which position the data is.
    pub fn position(&self) -> Option<Position> {
        self.position.borrow().clone()
    }

    /// The journals of `history`; none if they are not held.
    pub fn logs_of(&self, history: HistoryId) -> Vec<LogHandle> {
        if self.lineage.borrow().current() == history {
            return self.logs();
        }
        match &*self.older.borrow() {
            Some(older) if older.history == history => older.relay.borrow().handles(),
            _ => Vec::new(),
        }
    }

    /// Whether somebody at `asked` may continue.
    pub fn judge(&self, asked: &Position) -> Verdict {
        let ranges =
            |logs: &[LogHandle]| -> Vec<LogRange> { logs.iter().map(LogHandle::range).collect() };
        let mut held = vec![(self.lineage.borrow().current(), ranges(&self.logs.borrow()))];
        if let Some(Older { history, relay, .. }) = &*self.older.borrow() {
            held.push((*history, ranges(&relay.borrow().handles())));
        }
        let held: Vec<HeldLogs<'_>> =
            held.iter().map(|(history, logs)| HeldLogs { history: *history, logs }).collect();
        self.lineage.borrow().judge(asked, &held)
    }

    /// What somebody at `asked` is granted; the session is still to be named.
    pub fn terms(&self, asked: Option<&Position>, chain: Vec<String>, keys: u64) -> Terms {
        let verdict = asked.map(|asked| self.judge(asked));
        let trimmed = matches!(verdict, Some(Verdict::Full(Reason::Trimmed { .. })));
        planted::note_asked(asked.filter(|_| trimmed).map_or(&[], |asked| &asked.lsns));
        let lineage = self.lineage();
        let (full, reason, leg) = match verdict {
            None => (true, "nothing to continue from".to_owned(), None),
            Some(Verdict::Full(reason)) => (true, reason.to_string(), None),
            Some(Verdict::Continue(legs)) => {
                (false, "continues".to_owned(), legs.into_iter().next())
            }
        };
        let (history, from, to) = match leg {
            Some(leg) => (leg.history, leg.from, leg.to),
            None => {
                let zeros = vec![Lsn(0); usize::from(lineage.shards())];
                (lineage.current(), zeros, None)
            }
        };
        let node = &self.front.node;
        let (seed, walks, dbs) = (node.seed(), usize::from(node.shards()), node.dbs());
        let session = 0;
        Terms { full, reason, session, chain, lineage, history, from, to, seed, walks, dbs, keys }
    }

    /// Which shards bring items in a session on `terms`.
    pub fn walks(&self, terms: &Terms, is_replica: bool) -> Walks {
        match (terms.full, is_replica) {
            (false, _) => Walks::None,
            (true, false) => Walks::Own,
            (true, true) => Walks::Relay,
        }
    }

    /// A master with data of its own stops writing. Its data and position stay: perhaps the new
    /// master can continue from there.
    pub async fn become_replica(&self) {
        let _changing = self.change();
        let positions = self
            .front
            .everywhere(false, |shard| {
                shard.set_role(Role::Replica);
                shard.log.lsn()
            })
            .await;
        if self.restored.take() == Some(self.lineage.borrow().current())
            && !self.tells.get()
            && (positions.iter().all(|lsn| *lsn == Lsn(0))
                || planted::writes_since_a_start_are_forgotten())
        {
            return self.go_on_as_before();
        }
        let lineage = self.lineage.borrow();
        // Who never wrote and never followed anybody has nothing that a master could continue.
        let began =
            lineage.branches().next().is_some() || positions.iter().any(|lsn| *lsn > Lsn(0));
        let position = Position { history: lineage.current(), lsns: positions };
        *self.position.borrow_mut() = began.then_some(position);
    }

    /// Nothing was written since the start from a snapshot: the data is what it was, in the history of that.
    fn go_on_as_before(&self) {
        let Some((lineage, at)) = self.lineage().before() else { return };
        let history = lineage.current();
        let tail = self
            .older
            .borrow_mut()
            .take()
            .filter(|older| older.history == history && older.relay.borrow().positions() == at);
        let relay = tail.map(|older| older.relay);
        let relay = relay.unwrap_or_else(|| Rc::new(RefCell::new(Relay::starting_at(&at))));
        *self.logs.borrow_mut() = relay.borrow().handles();
        *self.relay.borrow_mut() = Some(relay);
        *self.lineage.borrow_mut() = lineage;
        *self.position.borrow_mut() = Some(Position { history, lsns: at });
    }

    /// Whether `terms`, which no operator asked for, would replace a copy that is worth more.
    pub async fn guard(&self, rules: guard::Rules, terms: &Terms) -> Option<guard::Held> {
        let keys = self.front.call_all(|shard| shard.keys.total_len() as u64).await;
        let (lineage, is_whole) = (self.lineage(), self.is_whole());
        let ours = guard::Ours { lineage: &lineage, is_whole, keys: keys.into_iter().sum() };
        guard::judge(rules, &ours, terms)
    }

    /// The same of a master that speaks in commands and names its history and the one before.
    pub async fn guard_stream(
        &self,
        rules: guard::Rules,
        ids: &[String],
        master_keys: u64,
    ) -> Option<guard::Held> {
        let keys = self.front.call_all(|shard| shard.keys.total_len() as u64).await;
        let known = self.streams_of.borrow().clone();
        let is_known = |id: &String| known.as_ref() == Some(id);
        let theirs = guard::Theirs {
            is_same: ids.first().is_some_and(is_known),
            is_related: ids.iter().any(is_known),
            keys: master_keys,
        };
        guard::judge_keys(rules, (self.is_whole(), keys.into_iter().sum()), theirs)
    }

    /// Whether what is here came as commands of a master, and our own journals tell it.
    pub fn tells(&self) -> bool {
        self.tells.get()
    }

    /// Where the stream of such a master is applied.
    pub fn stream(&self) -> Option<StreamPosition> {
        self.stream.borrow().clone()
    }

    /// A full sync from a master that speaks in commands begins: what is here goes, and `history` begins, of our
    /// own.
    pub async fn begin_telling(&self, history: HistoryId, end_sessions: &dyn Fn(Outdated)) {
        let _changing = self.change();
        end_sessions(Outdated::FullSyncs);
        *self.position.borrow_mut() = None;
        *self.stream.borrow_mut() = None;
        *self.streams_of.borrow_mut() = None;
        self.is_partial_copy.set(true);
        self.is_torn.set(false);
        let logs = self
            .front
            .everywhere(false, |shard| {
                shard.set_role(Role::Replica);
                shard.begin_journal();
                shard.set_keeping(false);
                shard.forget_reached(Vec::new(), false);
                if shard.keys.apply_global(Global::FlushAll).is_err() {
                    unreachable!("FLUSHALL fits every node");
                }
                shard.log.handle()
            })
            .await;
        *self.logs.borrow_mut() = logs;
        *self.relay.borrow_mut() = None;
        *self.older.borrow_mut() = None;
        *self.lineage.borrow_mut() = Lineage::unrelated(history, self.front.node.shards());
        self.tells.set(true);
    }

    /// A file is going to be read: who has passed the gate before, and what goes on in many steps, is refused by the
    /// shards until [`end_anew`](Standing::end_anew). What is on several shards is done on all of them before, or
    /// refused by all.
    pub async fn refuse_writes(&self) {
        self.front.everywhere(false, |shard| shard.set_reading(true)).await;
    }

    /// What a file holds comes here, and what is here goes if it `flushes`: `history` begins.
    pub async fn begin_anew(
        &self,
        history: HistoryId,
        flushes: bool,
        end_sessions: &dyn Fn(Outdated),
    ) {
        let _changing = self.change();
        self.is_reading.set(true);
        if flushes {
            self.is_torn.set(true);
        }
        end_sessions(Outdated::Reloads);
        let begin = move |shard: &mut Shard| {
            shard.begin_journal();
            shard.set_keeping(false);
            if flushes && shard.keys.apply_global(Global::FlushAll).is_err() {
                unreachable!("FLUSHALL fits every node");
            }
            shard.log.handle()
        };
        *self.logs.borrow_mut() = self.front.everywhere(false, begin).await;
        *self.older.borrow_mut() = None;
        *self.lineage.borrow_mut() = Lineage::unrelated(history, self.front.node.shards());
    }

    /// Reading has ended; whether all of the file is here. Where it is not, and what was here had gone for it, what there
    /// is must not take the file's place.
    pub async fn end_anew(&self, is_read: bool) {
        self.front.call_all(|shard: &mut Shard| shard.set_reading(false)).await;
        self.is_reading.set(false);
        if is_read {
            self.is_torn.set(false);
        }
    }

    /// A session with such a master goes on where its stream is applied: that place is the session's from here on.
    pub fn go_on_telling(&self) {
        let _changing = self.change();
        *self.stream.borrow_mut() = None;
    }

    /// A session with such a master has ended, and everything that came is applied: up to `stream`, or, unless it `is_exact`,
    /// the data is nobody's.
    pub fn end_telling(&self, stream: Option<StreamPosition>, is_exact: bool) {
        let (history, logs) = (self.lineage.borrow().current(), self.logs());
        let lsns = logs.iter().map(LogHandle::head).collect();
        let is_whole = !self.is_partial_copy.get();
        *self.position.borrow_mut() = is_whole.then_some(Position { history, lsns });
        *self.streams_of.borrow_mut() = stream.as_ref().map(|stream| stream.id.clone());
        *self.stream.borrow_mut() = stream.filter(|_| is_exact);
    }

    /// Whether the data may be served as a master's; the reason if not. What a full sync that is not
    /// complete has brought so far is torn, and whoever followed it would lose what it has.
    pub fn may_become_master(&self) -> Result<(), String> {
        if self.is_partial_copy.get() && !planted::promotes_partial_copies() {
            return Err("LOADING this node has only a part of its master's data: wait until the \
                        full sync is complete, follow another master, or restart it: it begins with its last \
                        snapshot, or empty"
                .to_owned());
        }
        Ok(())
    }

    /// A master was told to follow, and no session has begun: its own journals end where its data is.
    fn has_stood_still(&self) -> bool {
        let heads: Vec<Lsn> = self.logs.borrow().iter().map(LogHandle::head).collect();
        let history = self.lineage.borrow().current();
        let is_own = self.relay.borrow().is_none() && !self.is_partial_copy.get();
        is_own && *self.position.borrow() == Some(Position { history, lsns: heads })
    }

    /// The data stays, `history` begins, unless that of now can go on: it branches off at the position that is held. To be asked
    /// for only if [`may_become_master`](Standing::may_become_master) agrees.
    pub async fn become_master(&self, history: HistoryId) {
        let _changing = self.change();
        let shards = self.front.node.shards();
        *self.stream.borrow_mut() = None;
        *self.streams_of.borrow_mut() = None;
        if self.tells.take() || self.has_stood_still() {
            // Nobody else has written in this history: it goes on.
            self.front.everywhere(false, |shard| shard.set_role(Role::Master)).await;
            *self.position.borrow_mut() = None;
            return;
        }
        let logs = self
            .front
            .everywhere(false, |shard| {
                shard.begin_journal();
                shard.set_role(Role::Master);
                shard.forget_reached(Vec::new(), false);
                shard.log.handle()
            })
            .await;
        *self.logs.borrow_mut() = logs;
        let position = self.position.borrow_mut().take();
        let relay = self.relay.borrow_mut().take();
        let lineage = match position {
            Some(position) => {
                let before = self.lineage();
                let before = if before.current() == position.history {
                    before
                } else {
                    // Stopped while catching up on an older history: what came after it was not seen.
                    Lineage::unrelated(position.history, position.lsns.len() as u16)
                };
                *self.older.borrow_mut() =
                    relay.map(|relay| Older { history: position.history, relay, used: None });
                before.branch_off(history, shards, position.lsns)
            }
            None => {
                // Nothing was received yet, or a record did not fit: nobody's history.
                *self.older.borrow_mut() = None;
                Lineage::unrelated(history, shards)
            }
        };
        *self.lineage.borrow_mut() = lineage;
        self.is_partial_copy.set(false);
    }

    /// A session with the master begins: a full sync drops what is here.
    pub async fn begin_following(
        &self,
        terms: &Terms,
        starts: &[Lsn],
        end_sessions: &dyn Fn(Outdated),
    ) -> Rc<RefCell<Relay>> {
        let _changing = self.change();
        let same = self.position.borrow().as_ref().is_some_and(|position| {
            !terms.full && position.history == terms.history && position.lsns == starts
        });
        let kept = self
            .relay
            .borrow()
            .clone()
            .filter(|relay| same && relay.borrow().positions() == starts);
        let feeds_on = terms.full && planted::feeds_while_syncing();
        if terms.full && !feeds_on {
            end_sessions(Outdated::FullSyncs);
        }
        if terms.full {
            *self.position.borrow_mut() = None;
            self.is_partial_copy.set(true);
            self.is_torn.set(false);
        }
        self.tells.set(false);
        *self.stream.borrow_mut() = None;
        *self.streams_of.borrow_mut() = None;
        let (full, reached) = (terms.full, starts.to_vec());
        self.front
            .everywhere(false, move |shard| {
                shard.set_role(Role::Replica);
                shard.set_keeping(false);
                shard.forget_reached(reached.clone(), same);
                if full && shard.keys.apply_global(Global::FlushAll).is_err() {
                    unreachable!("FLUSHALL fits every node");
                }
            })
            .await;
        let relay = kept.unwrap_or_else(|| {
            // Whoever reads the old relay could not tell that it ends here.
            if !feeds_on {
                end_sessions(Outdated::RelaysAnother);
            }
            let former = self.relay_before(terms);
            *self.older.borrow_mut() = former;
            Rc::new(RefCell::new(Relay::starting_at(starts)))
        });
        *self.logs.borrow_mut() = relay.borrow().handles();
        *self.relay.borrow_mut() = Some(relay.clone());
        *self.lineage.borrow_mut() = if terms.lineage.current() == terms.history {
            terms.lineage.clone()
        } else {
            Lineage::unrelated(terms.history, starts.len() as u16)
        };
        if !terms.full {
            let (history, lsns) = (terms.history, starts.to_vec());
            *self.position.borrow_mut() = Some(Position { history, lsns });
        }
        relay
    }

    /// What is relayed, where the history of `terms` branches off at its end: whoever follows this node and is not that
    /// far goes on in it, and in the next history then.
    fn relay_before(&self, terms: &Terms) -> Option<Older> {
        let (before, at) = terms.lineage.before()?;
        let (history, relay) = (self.lineage.borrow().current(), self.relay.borrow().clone()?);
        let goes_on = !terms.full
            && terms.history == terms.lineage.current()
            && history == before.current()
            && relay.borrow().positions() == at;
        goes_on.then_some(Older { history, relay, used: None })
    }

    /// All items of a full sync are applied: the data is the master's.
    pub fn full_sync_done(&self) {
        self.is_partial_copy.set(false);
    }

    /// A session with the master has ended and everything handed out is applied, up to `applied`;
    /// unless it was `stable` the data is nobody's.
    pub fn end_following(&self, stable: bool, applied: &[Lsn]) {
        let history = self.lineage.borrow().current();
        let position = stable.then(|| Position { history, lsns: applied.to_vec() });
        *self.position.borrow_mut() = position;
    }

    /// Keeps what is relayed within what our own journals leave of `bounds`, which are of all journals
    /// of the node together: what siblings may still ask for gives way to what is written now.
    pub fn trim_relays(&self, bounds: &Bounds, now: Millis) {
        let mut left = *bounds;
        if let Some(relay) = &*self.relay.borrow() {
            // Our own journals hold nothing while we relay.
            relay.borrow_mut().trim(&left, now);
            left.bytes = left.bytes.saturating_sub(relay.borrow().held_bytes());
        } else {
            let own: u64 = self.logs.borrow().iter().map(LogHandle::bytes).sum();
            left.bytes = left.bytes.saturating_sub(own);
        }
        if let Some(older) = &*self.older.borrow() {
            older.relay.borrow_mut().trim(&left, now);
        }
    }

    /// Whether the current journals are those of a master.
    pub fn relays(&self) -> bool {
        self.relay.borrow().is_some()
    }

    /// All journals that are held: our own, and those that are relayed.
    pub fn all_logs(&self) -> Vec<LogHandle> {
        let mut logs = self.logs();
        logs.extend(self.older.borrow().iter().flat_map(|older| older.relay.borrow().handles()));
        logs
    }

    /// Lets the relay of the history before go when nobody has read it for `ttl` (zero is for ever);
    /// `is_read` says that somebody does. Answers whether it was let go.
    pub fn age_relay(&self, ttl: Duration, is_read: bool, now: Instant) -> bool {
        let mut older = self.older.borrow_mut();
        let Some(known) = &mut *older else { return false };
        if is_read {
            known.used = Some(now);
        }
        let used = *known.used.get_or_insert(now);
        let is_over = !ttl.is_zero() && now.saturating_duration_since(used) >= ttl;
        if is_over {
            *older = None;
        }
        is_over
    }
}
