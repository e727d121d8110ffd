//! Changes of role: following, promotion, and what begins and ends with a session.

use super::{Service, new_history};
use crate::handshake::Terms;
use crate::relay::Relay;
use crate::replica::link::Link;
use crate::standing::Outdated;
use engine::rt;
use engine::types::Lsn;
use std::cell::RefCell;
use std::rc::Rc;

impl Service {
    /// The place of a REPLICAOF among all that come: trying a master takes time, and what was asked for
    /// later and is done already stands.
    pub(super) fn next_order(&self) -> u64 {
        self.last_order.set(self.last_order.get() + 1);
        self.last_order.get()
    }

    /// From now on this node is a replica to everybody who asks: nobody writes any more.
    pub(super) fn announce(&self, order: u64, link: &Rc<Link>) {
        let mut announced = self.announced.borrow_mut();
        if !announced.iter().any(|(known, _)| *known == order) {
            announced.push((order, link.clone()));
            announced.sort_by_key(|(order, _)| *order);
        }
        self.status.set_replica(true);
    }

    /// REPLICAOF host port. Unless `at_once`, the master is tried first, and everything stays as it
    /// was if it cannot be followed.
    pub(super) async fn follow(
        self: &Rc<Service>,
        order: u64,
        link: Rc<Link>,
        at_once: bool,
    ) -> Result<(), String> {
        if !at_once && let Err(error) = link.check(self).await {
            // Whoever was overtaken meanwhile is told that, however the trial came out.
            self.is_turn_of(order)?;
            return Err(as_error(error));
        }
        self.begin_change().await;
        let outcome = self.follow_now(order, &link).await;
        self.announced.borrow_mut().retain(|(known, _)| *known != order);
        self.status.set_replica(self.is_replica());
        self.end_change();
        outcome
    }

    async fn follow_now(self: &Rc<Service>, order: u64, link: &Rc<Link>) -> Result<(), String> {
        let before = self.link.borrow().clone();
        if before.as_ref().is_some_and(|before| before.leads_to(&link.host, link.port)) {
            // Another one asked for the same, while the master was tried.
            self.obeyed.set(order.max(self.obeyed.get()));
            return Ok(());
        }
        self.is_turn_of(order)?;
        self.obeyed.set(order);
        self.announce(order, link);
        match before {
            Some(before) => {
                before.stop().await;
                self.link.borrow_mut().take();
            }
            None => self.become_replica().await,
        }
        tracing::info!("replication: following {}:{}", link.host, link.port);
        self.begin_link(link.clone());
        Ok(())
    }

    /// REPLICAOF to whom this node follows: nothing changes, but what was asked for before and is not done
    /// yet will not be.
    pub(super) fn already_follows(&self, (host, port): (String, u16)) -> Option<u64> {
        let link = self.link.borrow().clone().filter(|link| link.leads_to(&host, port))?;
        if self.changing.get() || !self.announced.borrow().is_empty() {
            return None;
        }
        let order = self.next_order();
        self.obeyed.set(order);
        link.is_meant();
        Some(order)
    }

    /// An order is not carried out any more when one that came later has been.
    fn is_turn_of(&self, order: u64) -> Result<(), String> {
        if order < self.obeyed.get() {
            return Err("ERR overtaken by a REPLICAOF that came later and is done".to_owned());
        }
        Ok(())
    }

    fn begin_link(self: &Rc<Service>, link: Rc<Link>) {
        *self.link.borrow_mut() = Some(link.clone());
        self.chain.leave();
        rt::spawn_local(link.run(self.clone())).detach();
    }

    async fn become_replica(&self) {
        self.status.set_replica(true);
        self.end_sessions(Outdated::Follows);
        self.standing.become_replica().await;
        // Who waits for replicas of this node waits in vain: see `Service::wait`.
        self.acks.ring();
    }

    /// REPLICAOF NO ONE: the data stays, a new history begins. Refused in the middle of a full sync,
    /// which goes on.
    pub(super) async fn promote(self: &Rc<Service>, order: u64) -> Result<(), String> {
        self.begin_change().await;
        let link = self.link.borrow().clone();
        let outcome = match link {
            Some(link) => self.leave(order, link).await,
            None => self.is_turn_of(order).map(|()| self.obeyed.set(order)),
        };
        self.end_change();
        outcome
    }

    async fn leave(self: &Rc<Service>, order: u64, link: Rc<Link>) -> Result<(), String> {
        // Before the link is ended: a refusal must not make a full sync begin anew.
        self.standing.may_become_master().inspect_err(|why| log_refusal(why))?;
        self.is_turn_of(order)?;
        link.stop().await;
        self.link.borrow_mut().take();
        if let Err(why) = self.standing.may_become_master() {
            // A full sync has begun while the link was ending.
            log_refusal(&why);
            self.begin_link(Link::new(link.host.clone(), link.port, self.settings_shared()));
            return Err(why);
        }
        self.obeyed.set(order);
        self.become_master().await;
        tracing::info!("replication: promoted, this node is a master");
        Ok(())
    }

    async fn become_master(&self) {
        self.end_sessions(Outdated::Promoted);
        self.standing.become_master(new_history()).await;
        self.chain.leave();
        self.keeping.set(true);
        self.last_follower.set(std::time::Instant::now());
        self.status.set_loading(false);
        // Not if a later REPLICAOF was told OK meanwhile, and waits for this to be done.
        self.status.set_replica(self.is_replica());
    }

    /// Our master waits for these, itself the first of them; for nobody if there are none.
    pub fn note_waiting(&self, named: Vec<String>) {
        self.chain.wait_for(named);
    }

    /// The master's chain, so that whoever asks to follow us can be told from those above.
    pub fn adopt_chain(&self, chain: &[String]) {
        if self.chain.adopt(chain) {
            self.end_sessions(Outdated::ChainChanged);
        }
    }

    /// A session with the master begins: a full sync drops what is here.
    pub async fn begin_following(&self, terms: &Terms, starts: &[Lsn]) -> Rc<RefCell<Relay>> {
        if terms.full {
            self.status.set_loading(true);
        }
        let end_sessions = |why: Outdated| self.end_sessions(why);
        self.standing.begin_following(terms, starts, &end_sessions).await
    }

    /// A full sync is complete: readers are let in.
    pub fn full_sync_done(&self) {
        self.standing.full_sync_done();
        self.status.set_loading(false);
    }

    /// A session with the master has ended and everything handed out is applied.
    pub fn end_following(&self, stable: bool, applied: &[Lsn]) {
        self.standing.end_following(stable, applied);
    }

    async fn begin_change(&self) {
        while self.changing.replace(true) {
            self.changed.wait().await;
        }
    }

    fn end_change(&self) {
        self.changing.set(false);
        self.changed.ring();
    }
}

fn log_refusal(why: &str) {
    tracing::warn!("replication: not promoted: {why}");
}

/// Errors reach clients with a code.
fn as_error(text: String) -> String {
    if text
        .split(' ')
        .next()
        .is_some_and(|code| code.len() > 2 && code.bytes().all(|byte| byte.is_ascii_uppercase()))
    {
        text
    } else {
        format!("ERR {text}")
    }
}
