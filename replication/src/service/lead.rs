//! Whom this node follows, a Damselfly or a Redis: which of both shows when they meet.
//!
//! ```text
//!   REPLICAOF ─► as a Damselfly ─► it answers as a Redis does ─► as a Redis ─► it answers as a Damselfly ...
//! ```
//!
//! What it was is remembered: a reconnect asks in the same way, and in the other one only when the answer has
//! changed. Whether an operator asked goes along, so that the guard is asked where it should be.

use super::roles::Leads;
use crate::here::{Here, Rests};
use crate::info::{LinkState, Upstream};
use crate::psync;
use crate::replica;
use crate::replica::reason::Reason;
use crate::standing::AtRest;
use crate::tls::TlsStore;
use crate::transport::Sockets;
use engine::rt;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// The link as it is made to whom it is.
#[derive(Clone)]
enum Kind {
    Damselfly(Rc<replica::link::Link>),
    Redis(Rc<psync::link::Link>),
}

/// A session of which nothing is on its way to shards. It goes on when this is dropped.
pub(super) enum Resting {
    Damselfly(Rc<replica::running::Running<Sockets>>),
    Redis(Rc<psync::session::Session>),
}

impl Rests for Resting {
    fn at_rest(&self) -> AtRest {
        match self {
            Resting::Damselfly(session) => session.at_rest(),
            Resting::Redis(session) => session.at_rest(),
        }
    }
}

impl Drop for Resting {
    fn drop(&mut self) {
        match self {
            Resting::Damselfly(session) => session.let_go(),
            Resting::Redis(session) => session.let_go(),
        }
    }
}

/// Calls a method that both have.
macro_rules! either {
    ($kind:expr, $link:ident => $call:expr) => {
        match &*$kind {
            Kind::Damselfly($link) => $call,
            Kind::Redis($link) => $call,
        }
    };
}

/// See the module's doc.
pub(super) struct Lead {
    /// As the operator gave it.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
    kind: RefCell<Kind>,
    here: Rc<Here>,
    tls: Arc<TlsStore>,
    is_ending: Cell<bool>,
    is_paused: Cell<bool>,
    ended: rt::Event,
}

impl Lead {
    /// A link that is not running yet.
    pub(super) fn new(host: String, port: u16, here: Rc<Here>, tls: Arc<TlsStore>) -> Rc<Lead> {
        let place = (host.clone(), port);
        let first = replica::link::Link::new(place, true, here.clone(), tls.clone());
        Rc::new(Lead {
            host,
            port,
            kind: RefCell::new(Kind::Damselfly(first)),
            here,
            tls,
            is_ending: Cell::new(false),
            is_paused: Cell::new(false),
            ended: rt::Event::new(),
        })
    }

    fn place(&self) -> (String, u16) {
        (self.host.clone(), self.port)
    }

    /// The other kind of link to the same master.
    fn other(&self, is_explicit: bool) -> Kind {
        let (place, here, tls) = (self.place(), self.here.clone(), self.tls.clone());
        match &*self.kind.borrow() {
            Kind::Damselfly(_) => {
                Kind::Redis(psync::link::Link::new(place, is_explicit, here, tls))
            }
            Kind::Redis(_) => {
                Kind::Damselfly(replica::link::Link::new(place, is_explicit, here, tls))
            }
        }
    }

    /// Whether the master can be reached and would have us, before anything is changed here: REPLICAOF
    /// answers with what this says.
    pub(super) async fn check(&self) -> Result<(), String> {
        // One that becomes another kind while it is asked is asked once more.
        for _ in 0..3 {
            let kind = self.kind.borrow().clone();
            let checked = match &kind {
                Kind::Damselfly(link) => link.check().await,
                Kind::Redis(link) => link.check().await,
            };
            match checked {
                Err(Reason::OtherKind) => {
                    let other = self.other(true);
                    *self.kind.borrow_mut() = other;
                }
                checked => return checked.map_err(|reason| reason.to_string()),
            }
        }
        Err(Reason::OtherKind.to_string())
    }

    /// Follows the master until [`stop`](Lead::stop).
    pub(super) async fn run(self: Rc<Lead>) {
        while !self.is_ending.get() {
            let kind = self.kind.borrow().clone();
            let met = match kind {
                Kind::Damselfly(link) => {
                    link.clone().run().await;
                    link.met_another_kind()
                }
                Kind::Redis(link) => {
                    link.clone().run().await;
                    link.met_another_kind()
                }
            };
            let Some(is_explicit) = met else { break };
            let other = self.other(is_explicit);
            either!(&other, link => link.set_paused(self.is_paused.get()));
            *self.kind.borrow_mut() = other;
        }
        self.ended.set();
    }

    /// Ends the link and waits until everything that was handed to shards is applied.
    pub(super) async fn stop(&self) {
        self.is_ending.set(true);
        let kind = self.kind.borrow().clone();
        either!(&kind, link => link.end());
        // There are never more waiters than allowed: one change of role at a time.
        let _ = self.ended.wait().await;
    }

    /// The session under way, if there is one, hands out nothing more until what this answers is dropped; and what
    /// it has is applied.
    pub(super) async fn hold(&self) -> Option<Resting> {
        let kind = self.kind.borrow().clone();
        match kind {
            Kind::Damselfly(link) => link.hold().await.map(Resting::Damselfly),
            Kind::Redis(link) => link.hold().await.map(Resting::Redis),
        }
    }

    /// Where a master that speaks in commands is reached.
    pub(super) fn redis_at(&self) -> Option<std::net::SocketAddr> {
        match &*self.kind.borrow() {
            Kind::Damselfly(_) => None,
            Kind::Redis(link) => link.peer_addr(),
        }
    }

    /// How far it is.
    pub(super) fn state(&self) -> LinkState {
        either!(self.kind.borrow(), link => link.state())
    }

    /// DEBUG REPLICA PAUSE and RESUME.
    pub(super) fn set_paused(&self, paused: bool) {
        self.is_paused.set(paused);
        either!(self.kind.borrow(), link => link.set_paused(paused));
    }

    /// Partial syncs asked for, and granted.
    pub(super) fn partial_counts(&self) -> (u64, u64) {
        either!(self.kind.borrow(), link => link.partial_counts())
    }

    /// CLIENT KILL: ends the session with the master, if there is one; the link is made anew.
    pub(super) fn kill(&self) -> bool {
        either!(self.kind.borrow(), link => link.kill())
    }

    /// What INFO shows.
    pub(super) fn describe(&self) -> Upstream {
        either!(self.kind.borrow(), link => link.describe())
    }

    /// Whether this link leads there, and does so by itself.
    pub(super) fn leads_to(&self, host: &str, port: u16) -> bool {
        let is_stuck = either!(self.kind.borrow(), link => link.is_stuck());
        self.host.eq_ignore_ascii_case(host) && self.port == port && !is_stuck
    }

    /// An operator asks for the same master once more.
    pub(super) fn is_meant(&self) {
        either!(self.kind.borrow(), link => link.is_meant());
    }
}

impl Leads for Lead {
    fn leads_where(&self, other: &Lead) -> bool {
        self.leads_to(&other.host, other.port)
    }

    fn anew(&self) -> Rc<Lead> {
        Lead::new(self.host.clone(), self.port, self.here.clone(), self.tls.clone())
    }

    fn is_stable(&self) -> bool {
        self.state() == LinkState::StableSync
    }
}
