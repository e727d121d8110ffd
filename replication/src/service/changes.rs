//! Changes of role: what [`Roles`](super::roles::Roles) says is performed here, and what begins and ends with
//! a session.

use super::lead::Lead;
use super::roles::{Action, Event, Refusal};
use super::{Reading, Service, new_history};
use engine::rt;
use engine::shard::ReplyTo;
use std::rc::Rc;
use std::time::Instant;

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
        let link = Lead::new(host, port, self.here.clone(), self.tls.clone());
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

    fn change(self: &Rc<Service>, event: Event<Lead>) {
        let whole = self.here.standing.may_become_master();
        let actions = self.roles.borrow_mut().step(event, &whole);
        self.here.status.set_replica(self.roles.borrow().refuses_writes());
        for action in actions {
            self.perform(action);
        }
    }

    fn perform(self: &Rc<Service>, action: Action<Lead>) {
        let service = self.clone();
        match action {
            Action::Try(order, link) => {
                let tried = async move {
                    let outcome = link.check().await.map_err(as_error);
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
                self.here.chain.leave();
                rt::spawn_local(link.run()).detach();
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

    /// The data of a master is read from its file again, step by step.
    pub(super) async fn read_again(self: &Rc<Service>, step: Reading) -> Result<(), String> {
        match step {
            Reading::Hold => {
                if !self.roles.borrow_mut().read() {
                    return Err(
                        "this node is a replica, or about to be one: its data is its master's"
                            .to_owned(),
                    );
                }
                self.here.hold_anew().await;
            }
            Reading::Begin(flushes) => self.here.begin_anew(new_history(), flushes).await,
            Reading::End(is_read) => {
                self.here.end_anew(is_read).await;
                self.change(Event::Done);
            }
        }
        Ok(())
    }

    async fn become_replica(&self) {
        self.here.become_replica().await;
        // Who waits for replicas of this node waits in vain: see `Service::wait`.
        self.acks.ring();
    }

    async fn become_master(&self) {
        self.here.become_master(new_history()).await;
        self.keeping.set(true);
        self.last_follower.set(Instant::now());
        tracing::info!("replication: promoted, this node is a master");
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
