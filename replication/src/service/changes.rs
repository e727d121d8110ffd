//! Changes of role: what [`Roles`](super::roles::Roles) says is performed here, and what begins and ends with
//! a session.

use super::roles::{Action, Event, Leads, Refusal};
use super::{Service, new_history};
use crate::handshake::Terms;
use crate::relay::Relay;
use crate::replica::link::Link;
use crate::standing::Outdated;
use engine::rt;
use engine::shard::ReplyTo;
use engine::types::Lsn;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

impl Leads for Link {
    fn leads_where(&self, other: &Link) -> bool {
        self.leads_to(&other.host, other.port)
    }

    fn anew(&self) -> Rc<Link> {
        Link::new(self.host.clone(), self.port, self.settings_shared())
    }
}

impl Service {
    /// REPLICAOF host port. Unless `at_once`, the master is tried first, and everything stays as it
    /// was if it cannot be followed.
    pub(super) fn follow(
        self: &Rc<Service>,
        host: String,
        port: u16,
        at_once: bool,
        asker: Option<ReplyTo>,
    ) {
        let order = self.next_order(asker);
        let link = Link::new(host, port, self.settings_shared());
        self.change(Event::Follow { order, link, at_once });
    }

    /// REPLICAOF NO ONE: the data stays, a new history begins. Refused in the middle of a full sync,
    /// which goes on.
    pub(super) fn promote(self: &Rc<Service>, asker: Option<ReplyTo>) {
        let order = self.next_order(asker);
        self.change(Event::Promote { order });
    }

    fn next_order(&self, asker: Option<ReplyTo>) -> u64 {
        let order = self.roles.borrow_mut().next_order();
        if let Some(asker) = asker {
            self.orders.borrow_mut().insert(order, asker);
        }
        order
    }

    fn change(self: &Rc<Service>, event: Event<Link>) {
        let whole = self.standing.may_become_master();
        let actions = self.roles.borrow_mut().step(event, &whole);
        self.status.set_replica(self.roles.borrow().refuses_writes());
        for action in actions {
            self.perform(action);
        }
    }

    fn perform(self: &Rc<Service>, action: Action<Link>) {
        let service = self.clone();
        match action {
            Action::Try(order, link) => {
                let tried = async move {
                    let outcome = link.check(&service).await.map_err(as_error);
                    service.change(Event::Tried { order, link, outcome });
                };
                rt::spawn_local(tried).detach();
            }
            Action::End(link) => self.take_time(async move { link.stop().await }),
            Action::Turn => self.take_time(async move { service.become_replica().await }),
            Action::Branch => self.take_time(async move { service.become_master().await }),
            Action::Run { order, link } => {
                if order.is_some() {
                    tracing::info!("replication: following {}:{}", link.host, link.port);
                }
                self.chain.leave();
                rt::spawn_local(link.run(service)).detach();
            }
            Action::Answer(order, outcome) => {
                if let Err(Refusal::Partial(why)) = &outcome {
                    tracing::warn!("replication: not promoted: {why}");
                }
                let asker = self.orders.borrow_mut().remove(&order);
                let outcome = outcome.map(|()| order).map_err(|refusal| refusal.to_string());
                self.answer(asker, outcome);
            }
        }
    }

    fn take_time(self: &Rc<Service>, work: impl Future<Output = ()> + 'static) {
        let service = self.clone();
        let done = async move {
            work.await;
            service.change(Event::Done);
        };
        rt::spawn_local(done).detach();
    }

    /// REPLICAOF to whom this node follows: nothing changes, but what was asked for before and is not done
    /// yet will not be.
    pub(super) fn already_follows(&self, (host, port): (String, u16)) -> Option<u64> {
        let again = self.roles.borrow_mut().again(|link| link.leads_to(&host, port));
        let (order, link) = again?;
        link.is_meant();
        Some(order)
    }

    async fn become_replica(&self) {
        self.end_sessions(Outdated::Follows);
        self.standing.become_replica().await;
        // Who waits for replicas of this node waits in vain: see `Service::wait`.
        self.acks.ring();
    }

    async fn become_master(&self) {
        self.end_sessions(Outdated::Promoted);
        self.standing.become_master(new_history()).await;
        self.chain.leave();
        self.keeping.set(true);
        self.last_follower.set(Instant::now());
        self.status.set_loading(false);
        tracing::info!("replication: promoted, this node is a master");
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
