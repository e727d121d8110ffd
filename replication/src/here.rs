//! This node as both ends of its links know it: what it holds, who is above it, what others may see of it, and
//! how those are ended who are fed from what it was.
//!
//! It lies below `master`, `replica` and `service`: a link asks and tells it, and not the service that made the
//! link. It knows no sockets and no clocks; the model's nodes are made of it too.

use crate::chain::Chain;
use crate::guard;
use crate::handshake::Terms;
use crate::origin::Origin;
use crate::relay::Relay;
use crate::settings::Settings;
use crate::standing::{AtRest, Outdated, Standing};
use crate::status::Status;
use engine::exec::Front;
use engine::journal::{HistoryId, Position};
use engine::types::{Lsn, Millis};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// A session of which nothing is on its way to shards.
pub trait Rests {
    /// What it says of the data.
    fn at_rest(&self) -> AtRest;
}

/// See the module's doc.
pub struct Here {
    /// The replication executor's way to the shards.
    pub front: Rc<Front>,
    /// What others may know without asking.
    pub status: Arc<Status>,
    /// The configuration.
    pub settings: Rc<RefCell<Settings>>,
    /// Histories, positions, relays.
    pub standing: Standing,
    /// Who is above.
    pub chain: Chain,
    /// Ends all who are fed.
    end_sessions: Box<dyn Fn(Outdated)>,
}

impl Here {
    /// A node that begins empty and is named `id`, with `history` of its own.
    pub async fn empty(
        front: Rc<Front>,
        (id, history): (String, HistoryId),
        status: Arc<Status>,
        settings: Settings,
        end_sessions: Box<dyn Fn(Outdated)>,
    ) -> Here {
        Here {
            standing: Standing::empty(&front, history).await,
            front,
            status,
            settings: Rc::new(RefCell::new(settings)),
            chain: Chain::new(id),
            end_sessions,
        }
    }

    /// From where a master is asked to go on.
    pub fn asks_from(&self) -> Option<Position> {
        self.standing.position().filter(|_| self.settings.borrow().partial_sync)
    }

    /// Whether `terms`, which no operator asked for, would replace a copy that is worth more.
    pub async fn guard(&self, terms: &Terms) -> Option<guard::Held> {
        let rules = self.settings.borrow().guard;
        self.standing.guard(rules, terms).await
    }

    /// The master's chain, so that whoever asks to follow us can be told from those above.
    pub fn adopt_chain(&self, chain: &[String]) {
        if self.chain.adopt(chain) {
            (self.end_sessions)(Outdated::ChainChanged);
        }
    }

    /// A session with the master begins: a full sync drops what is here.
    pub async fn begin_following(&self, terms: &Terms, starts: &[Lsn]) -> Rc<RefCell<Relay>> {
        if terms.full {
            self.status.set_loading(true);
        }
        self.standing.begin_following(terms, starts, &self.end_sessions).await
    }

    /// A full sync is complete: readers are let in.
    pub fn full_sync_done(&self) {
        self.standing.full_sync_done();
        self.status.set_loading(false);
    }

    /// Has `cut` fix a moment on all shards, which answers where our own journals stood at it, and answers what the
    /// data of that moment is; nothing where the standing changes meanwhile. `hold` has the session with the master
    /// rest, if there is one; it goes on when what it answered is dropped. Refused while the data is a part of a copy.
    pub async fn moment<S: Rests>(
        &self,
        hold: impl AsyncFnOnce() -> Option<S>,
        cut: impl AsyncFnOnce() -> Result<Vec<Lsn>, String>,
    ) -> Result<Option<Origin>, String> {
        self.standing.may_be_saved()?;
        let Some(mark) = self.standing.mark() else { return Ok(None) };
        let resting = hold().await;
        let own = cut().await?;
        // Before it goes on, and as of now: nothing has changed since the cut if nothing has begun to change.
        let session = resting.as_ref().map(Rests::at_rest);
        let origin = self.standing.origin(own, session.as_ref());
        self.standing.may_be_saved()?;
        Ok((self.standing.mark() == Some(mark)).then_some(origin))
    }

    /// A master with data of its own is made a replica.
    pub async fn become_replica(&self) {
        (self.end_sessions)(Outdated::Follows);
        self.standing.become_replica().await;
    }

    /// The same of a master that speaks in commands and says of itself how its history is called, now and before.
    pub async fn guard_stream(&self, ids: &[String], master_keys: u64) -> Option<guard::Held> {
        let rules = self.settings.borrow().guard;
        self.standing.guard_stream(rules, ids, master_keys).await
    }

    /// A full sync from such a master begins and drops what is here; `history` begins.
    pub async fn begin_telling(&self, history: HistoryId) {
        self.status.set_loading(true);
        self.standing.begin_telling(history, &self.end_sessions).await;
    }

    /// A master's data is going to be read from a file: it is loading, and clients do not write, until
    /// [`end_anew`](Here::end_anew).
    pub async fn hold_anew(&self) {
        self.status.set_loading(true);
        self.standing.refuse_writes().await;
    }

    /// It is read from here on: nobody is fed or saves it. What is here goes if it `flushes`; `history` begins.
    pub async fn begin_anew(&self, history: HistoryId, flushes: bool) {
        self.standing.begin_anew(history, flushes, &self.end_sessions).await;
    }

    /// Reading has ended; whether all of the file was read.
    pub async fn end_anew(&self, is_read: bool) {
        self.standing.end_anew(is_read).await;
        self.status.set_loading(false);
    }

    /// A session with a master that speaks in commands goes on where its stream is applied.
    pub fn go_on_telling(&self) {
        self.standing.go_on_telling();
    }

    /// A replica is made a master: of a new history, unless its own journals have told all along, or nothing has come.
    pub async fn become_master(&self, history: HistoryId) {
        if !self.standing.tells() {
            (self.end_sessions)(Outdated::Promoted);
        }
        self.standing.become_master(history).await;
        self.chain.leave();
        self.status.set_loading(false);
    }

    /// Keeps what is relayed within its bounds; `is_read` says that somebody reads the former master's
    /// journals. Answers whether they were let go because nobody does.
    pub fn trim_relays(&self, is_read: bool, (now, clock): (Millis, Instant)) -> bool {
        let settings = self.settings.borrow();
        self.standing.trim_relays(&settings.journals_bounds, now);
        self.standing.age_relay(settings.journal_ttl, is_read, clock)
    }
}
