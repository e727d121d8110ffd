//! Changes of role: following, promotion, and what begins and ends with a session.

use super::{Service, new_history};
use crate::handshake::Terms;
use crate::replica::gather::Relay;
use crate::replica::link::Link;
use engine::db::Role;
use engine::journal::{Global, Lineage, Position};
use engine::rt;
use engine::types::Lsn;
use std::cell::RefCell;
use std::rc::Rc;

impl Service {
    /// REPLICAOF host port. Unless `at_once`, the master is tried first, and everything stays as it
    /// was if it cannot be followed.
    pub(super) async fn follow(
        self: &Rc<Service>,
        host: String,
        port: u16,
        at_once: bool,
    ) -> Result<(), String> {
        let link = Link::new(host, port);
        if !at_once {
            link.check(self).await.map_err(as_error)?;
        }
        self.begin_change().await;
        let before = self.link.borrow().clone();
        match before {
            Some(before) => {
                before.stop().await;
                self.link.borrow_mut().take();
            }
            None => self.become_replica().await,
        }
        tracing::info!("replication: following {}:{}", link.host, link.port);
        *self.link.borrow_mut() = Some(link.clone());
        self.upstream_chain.borrow_mut().clear();
        rt::spawn_local(link.run(self.clone())).detach();
        self.end_change();
        Ok(())
    }

    /// A master with data of its own stops writing. Its data and position stay: perhaps the new
    /// master can continue from there.
    async fn become_replica(&self) {
        self.status.set_replica(true);
        self.end_sessions("this node follows another one now");
        let positions = self
            .front
            .everywhere(false, |shard| {
                shard.keys.set_role(Role::Replica);
                shard.log.lsn()
            })
            .await;
        let history = self.lineage.borrow().current();
        *self.position.borrow_mut() = Some(Position { history, lsns: positions });
    }

    /// REPLICAOF NO ONE: the data stays, a new history begins.
    pub(super) async fn promote(self: &Rc<Service>) -> Result<(), String> {
        self.begin_change().await;
        let link = self.link.borrow().clone();
        if let Some(link) = link {
            link.stop().await;
            self.link.borrow_mut().take();
            self.become_master().await;
            tracing::info!("replication: promoted, this node is a master");
        }
        self.end_change();
        Ok(())
    }

    async fn become_master(&self) {
        self.end_sessions("this node was promoted");
        let shards = self.front.node.shards();
        let logs = self
            .front
            .everywhere(false, |shard| {
                shard.begin_journal();
                shard.keys.set_role(Role::Master);
                shard.forget_reached(Vec::new());
                shard.log.handle()
            })
            .await;
        *self.logs.borrow_mut() = logs;
        let history = new_history();
        let position = self.position.borrow_mut().take();
        let relay = self.relay.borrow_mut().take();
        let lineage = match position {
            Some(position) => {
                let before = self.lineage.borrow().clone();
                let before = if before.current() == position.history {
                    before
                } else {
                    // Stopped while catching up on an older history: what came after it was not seen.
                    Lineage::unrelated(position.history, position.lsns.len() as u16)
                };
                *self.older.borrow_mut() = relay.map(|relay| (position.history, relay));
                before.branch_off(history, shards, position.lsns)
            }
            None => {
                // Half of a full sync is nobody's history.
                *self.older.borrow_mut() = None;
                Lineage::unrelated(history, shards)
            }
        };
        *self.lineage.borrow_mut() = lineage;
        self.upstream_chain.borrow_mut().clear();
        self.keeping.set(true);
        self.last_follower.set(std::time::Instant::now());
        self.status.set_loading(false);
        self.status.set_replica(false);
    }

    /// The master's chain, so that whoever asks to follow us can be told from those above.
    pub fn adopt_chain(&self, chain: &[String]) {
        *self.upstream_chain.borrow_mut() = chain.to_vec();
    }

    /// A session with the master begins: a full sync drops what is here.
    pub async fn begin_following(&self, terms: &Terms, starts: &[Lsn]) -> Rc<RefCell<Relay>> {
        let same = self.position.borrow().as_ref().is_some_and(|position| {
            !terms.full && position.history == terms.history && position.lsns == starts
        });
        let kept = self
            .relay
            .borrow()
            .clone()
            .filter(|relay| same && relay.borrow().positions() == starts);
        if terms.full {
            self.end_sessions("this node full-syncs with its own master");
            self.status.set_loading(true);
            *self.position.borrow_mut() = None;
        }
        let (full, reached) = (terms.full, starts.to_vec());
        self.front
            .everywhere(false, move |shard| {
                shard.keys.set_role(Role::Replica);
                shard.set_keeping(false);
                shard.forget_reached(reached.clone());
                if full && shard.keys.apply_global(Global::FlushAll).is_err() {
                    unreachable!("FLUSHALL fits every node");
                }
            })
            .await;
        let relay = kept.unwrap_or_else(|| {
            // Whoever reads the old relay could not tell that it ends here.
            self.end_sessions("this node relays another history now");
            Rc::new(RefCell::new(Relay::starting_at(starts)))
        });
        *self.logs.borrow_mut() = relay.borrow().handles();
        *self.relay.borrow_mut() = Some(relay.clone());
        *self.older.borrow_mut() = None;
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

    /// A full sync is complete: readers are let in.
    pub fn full_sync_done(&self) {
        self.status.set_loading(false);
    }

    /// A session with the master has ended and everything is applied. `to` is where its history ends
    /// and the next one begins.
    pub fn end_following(&self, stable: bool, applied: &[Lsn], to: Option<&[Lsn]>) {
        if !stable {
            *self.position.borrow_mut() = None;
            return;
        }
        let history = self.lineage.borrow().current();
        // At the end of a leg the master takes this position for the beginning of the next history.
        debug_assert!(to.is_none_or(|to| to.len() == applied.len()));
        *self.position.borrow_mut() = Some(Position { history, lsns: applied.to_vec() });
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
