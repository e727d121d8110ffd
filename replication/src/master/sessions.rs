//! All who are fed by this node: who is counted on, who ends because of another, whom all hear of.

use super::machine::Event;
use super::reason::Reason;
use super::session::Session;
use crate::roads::Roads;
use crate::standing::Outdated;
use engine::types::Lsn;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// See the module's doc.
pub struct Sessions<R: Roads> {
    all: RefCell<BTreeMap<u64, Rc<Session<R>>>>,
    next: Cell<u64>,
}

impl<R: Roads> Sessions<R> {
    /// None yet; the first one is named `first`.
    pub fn new(first: u64) -> Sessions<R> {
        Sessions { all: RefCell::default(), next: Cell::new(first) }
    }

    /// The name of the next one.
    pub fn next_id(&self) -> u64 {
        self.next.replace(self.next.get() + 1)
    }

    /// The terms of one are told.
    pub fn open(&self, session: &Rc<Session<R>>) {
        self.all.borrow_mut().insert(session.id, session.clone());
        self.tell_others(session);
    }

    /// The others hear of one that takes over: a node is fed once.
    pub fn tell_others(&self, session: &Session<R>) {
        if !session.machine().takes_over() {
            return;
        }
        let node = session.machine().node().to_owned();
        for other in self.live() {
            other.step(Event::Another { id: session.id, node: node.clone() });
        }
    }

    /// The one of this name, if it lives.
    pub fn get(&self, id: u64) -> Option<Rc<Session<R>>> {
        let session = self.all.borrow().get(&id).cloned();
        session.filter(|session| !session.is_ended())
    }

    /// Those that have not ended.
    pub fn live(&self) -> Vec<Rc<Session<R>>> {
        let all = self.all.borrow();
        all.values().filter(|session| !session.is_ended()).cloned().collect()
    }

    /// Those that have not been forgotten.
    pub fn known(&self) -> Vec<Rc<Session<R>>> {
        self.all.borrow().values().cloned().collect()
    }

    /// One that has ended, and of which nothing remains to be done.
    pub fn forget(&self, id: u64) {
        self.all.borrow_mut().remove(&id);
    }

    /// The run is over.
    pub fn clear(&self) {
        self.all.borrow_mut().clear();
    }

    /// What they are fed from is not what this node is any more.
    pub fn end_all(&self, why: Outdated) {
        for session in self.live() {
            session.end(Reason::Outdated(why));
        }
    }

    /// Replicas whose every flow has acknowledged these positions.
    pub fn caught_up(&self, positions: &[Lsn]) -> usize {
        let has_all =
            |acked: &Vec<Lsn>| positions.iter().zip(acked).all(|(wanted, acked)| acked >= wanted);
        let acked = self.live().into_iter().filter_map(|session| session.machine().acked());
        acked.filter(has_all).count()
    }

    /// Replicas in stable sync that were heard of within `lag`.
    pub fn good(&self, lag: Duration, now: Instant) -> usize {
        let is_good = |session: &Rc<Session<R>>| {
            let machine = session.machine();
            machine.acked().is_some() && machine.last_ack_age(now) <= lag
        };
        self.live().iter().filter(|session| is_good(session)).count()
    }

    /// How far the one at the top is known to be: see [`Session::sees`].
    pub fn see(&self, above: Option<&[Lsn]>) {
        self.live().iter().for_each(|session| session.sees(above));
    }

    /// How many have come with all their connections: who only asks, time and again, does not count.
    pub fn begun(&self) -> usize {
        self.live().iter().filter(|session| session.machine().is_in_session()).count()
    }

    /// How many have come to the end of their leg just now: nobody has taken note of it yet.
    pub fn legs_over(&self) -> usize {
        let is_over = |session: &&Rc<Session<R>>| {
            session.machine().ended().is_some_and(|reason| *reason == Reason::LegIsOver)
        };
        self.all.borrow().values().filter(is_over).count()
    }

    /// Whether this node is fed, or is to be as soon as it has connected.
    pub fn feeds(&self, node: &str) -> bool {
        self.live().iter().any(|session| session.machine().node() == node)
    }

    /// Whether somebody reads journals that end where the history of now begins.
    pub fn read_older_history(&self) -> bool {
        self.live().iter().any(|session| session.machine().is_of_older_history())
    }
}
