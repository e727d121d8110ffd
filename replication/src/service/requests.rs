//! What the rest of the program asks of the replication service.

use super::Service;
use super::admission::{self, Agreed};
use super::roles::Leads;
use crate::bell::Bell;
use crate::followed::hello::Asking;
use crate::followed::{self, feed};
use crate::handshake::{Asker, Introduction, Terms};
use crate::info::Info;
use crate::master::reason::Reason;
use crate::master::run::run;
use crate::master::session::Session;
use crate::settings::Settings;
use crate::transport::{Parked, Sockets, Transport};
use engine::command::Refusal;
use engine::exec::{Front, Node};
use engine::journal::Position;
use engine::rt;
use engine::shard::{Answer, ExecutorId, Message, ReplyTo};
use engine::types::Lsn;
use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A connection that the replication executor takes over, and what for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Takeover {
    /// The control connection of a session.
    Control(u64),
    /// One flow of a session.
    Flow(u64, usize),
    /// Who follows as a Redis does.
    Follower(Box<Asking>),
}

/// One of the links of replication.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Linked {
    /// To the replica that is fed in this session.
    Replica(u64),
    /// To our master.
    Master,
}

/// A request to the replication service.
pub enum Request {
    /// A connection is handed over.
    TakeOver(Takeover, Parked),
    /// REPLICAOF host port; answered with `Result<u64, String>`, its place among all changes of role.
    /// With `at_once` it is answered before anything is tried, and tried for ever (inside MULTI, and at
    /// the start).
    Follow {
        /// Whom.
        host: String,
        /// Its port.
        port: u16,
        /// Answer before trying.
        at_once: bool,
    },
    /// REPLICAOF NO ONE; answered with `Result<u64, String>`, its place among all changes of role.
    Promote,
    /// REPLICAOF, asked first: whether this node follows that master and nothing else is on its way;
    /// answered with `Option<u64>`, then its place among all changes of role.
    Already((String, u16)),
    /// Whether somebody may follow as a Redis does; answered with `Result<(), String>`.
    MayFollow,
    /// DFLY CHECK; answered with `Result<(), String>`.
    Check(Asker),
    /// DFLY FOLLOW; answered with `Result<Terms, String>`.
    Agree {
        /// Who wants it.
        asker: Asker,
        /// Where it wants to continue.
        position: Option<Position>,
        /// What it said about itself.
        introduction: Introduction,
        /// The address it connected from.
        peer_ip: String,
    },
    /// INFO, ROLE, metrics; answered with [`Info`].
    Info,
    /// WAIT: until so many replicas have these positions, or it is given up; answered with
    /// `Option<usize>`: their number, or nothing if this node has become a replica meanwhile.
    Wait {
        /// The positions, by shard.
        positions: Vec<Lsn>,
        /// How many.
        replicas: usize,
        /// At most so long; none is for ever.
        limit: Option<Duration>,
        /// Raised when it is not to be waited for any more; it is seen at once with a `WakeWaits`.
        given_up: Arc<AtomicBool>,
    },
    /// Who waits looks whether it was given up.
    WakeWaits,
    /// The configuration changed; answered with `()`.
    Configure(Box<Settings>),
    /// DEBUG REPLICA PAUSE (true) or RESUME; answered with whether this node is a replica.
    Pause(bool),
    /// The node stops (true), or goes on after all: whether what a master says in commands is still to become ours, and
    /// go on to those who follow. What came behind the last snapshot would be theirs, and not ours at the next start.
    /// Answered with `()` once that is so.
    StandStill(bool),
    /// The node stops: waits until replicas have everything, at most so long; answered with `usize`,
    /// how many do.
    Drain(Duration),
    /// CLIENT KILL: ends the session of this number, or the session with our master. The link is made anew
    /// and continues where it was. Answered with whether there was one.
    End(Linked),
    /// Zeroes the counters; answered with `()`.
    ResetCounters,
    /// DEBUG RELOAD, step by step; answered with `Result<(), String>`.
    Reload(Reading),
}

/// A master's data is read from its file again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// It is going to be: the node is loading, and whoever is told to follow somebody does so afterwards. Refused where
    /// this node follows somebody, or is about to; else [`Reading::End`] is to be said.
    Hold,
    /// From here on it is, and what is here goes first if this is `true`.
    Begin(bool),
    /// It is over; whether all of the file was read.
    End(bool),
}

struct Posted {
    request: Request,
    reply_to: Option<ReplyTo>,
}

/// The way to the replication service, from any executor.
#[derive(Clone)]
pub struct Replication {
    node: Arc<Node>,
    executor: ExecutorId,
}

impl Replication {
    /// The service that runs on `executor`.
    pub fn new(node: Arc<Node>, executor: ExecutorId) -> Replication {
        Replication { node, executor }
    }

    /// Hands a connection over.
    pub fn take_over(&self, what: Takeover, parked: Parked) {
        self.post(Request::TakeOver(what, parked), None);
    }

    /// A WAIT was given up.
    pub fn wake_waits(&self) {
        self.post(Request::WakeWaits, None);
    }

    /// Asks and waits for the answer, whose type follows from the request.
    pub async fn ask<T: 'static>(&self, front: &Rc<Front>, request: Request) -> T {
        let waiter = front.waiter();
        self.post(request, Some(waiter.reply_to()));
        waiter.value().await
    }

    /// INFO's answer.
    pub async fn info(&self, front: &Rc<Front>) -> Info {
        self.ask(front, Request::Info).await
    }

    fn post(&self, request: Request, reply_to: Option<ReplyTo>) {
        let message = Message::Service(Box::new(Posted { request, reply_to }));
        self.node.send(self.executor, message);
    }
}

impl Service {
    /// Takes a message of the executor's mailbox.
    pub fn receive(self: &Rc<Service>, message: Box<dyn Any + Send>) {
        let Ok(posted) = message.downcast::<Posted>() else {
            unreachable!("only requests are posted to the replication executor")
        };
        let Posted { request, reply_to } = *posted;
        let service = self.clone();
        match request {
            Request::TakeOver(what, parked) => self.take_over(what, parked),
            Request::Info => self.answer(reply_to, self.info()),
            Request::MayFollow => self.answer(reply_to, self.may_tell()),
            Request::Check(asker) => self.answer(reply_to, self.check(&asker)),
            Request::Agree { asker, position, introduction, peer_ip } => {
                let terms = rt::spawn_local(async move {
                    let terms = service.agree(asker, position, (introduction, peer_ip)).await;
                    service.answer(reply_to, terms);
                });
                terms.detach();
            }
            Request::Follow { host, port, at_once } => {
                self.follow(host, port, at_once, reply_to);
            }
            Request::Promote => self.promote(reply_to),
            Request::Wait { positions, replicas, limit, given_up } => {
                let wait = async move {
                    let count = service.wait(&positions, replicas, limit, &given_up).await;
                    service.answer(reply_to, count);
                };
                rt::spawn_local(wait).detach();
            }
            Request::WakeWaits => self.acks.ring(),
            Request::Drain(limit) => {
                let drain = async move {
                    service.answer(reply_to, service.drain(limit).await);
                };
                rt::spawn_local(drain).detach();
            }
            Request::Configure(settings) => {
                *self.here.settings.borrow_mut() = *settings;
                self.answer(reply_to, ());
            }
            Request::StandStill(stands) => {
                // At once: what is asked last counts, whoever still waits for the one before.
                self.stands_still.set(stands);
                let stand = async move {
                    service.stand_still(stands).await;
                    service.answer(reply_to, ());
                };
                rt::spawn_local(stand).detach();
            }
            Request::Pause(paused) => {
                let link = self.link();
                link.iter().for_each(|link| link.set_paused(paused));
                self.answer(reply_to, link.is_some());
            }
            Request::End(link) => self.answer(reply_to, self.end_link(link)),
            Request::Already(asked) => self.answer(reply_to, self.already_follows(asked)),
            Request::Reload(step) => {
                let read = async move {
                    service.answer(reply_to, service.read_again(step).await);
                };
                rt::spawn_local(read).detach();
            }
            Request::ResetCounters => {
                self.counters.take();
                self.answer(reply_to, ());
            }
        }
    }

    pub(super) fn answer<T: Send + 'static>(&self, to: Option<ReplyTo>, value: T) {
        if let Some(to) = to {
            let answer = Message::Answer(to.ticket, Answer::Value(Box::new(value)));
            self.here.front.node.send(to.executor, answer);
        }
    }

    fn end_link(&self, link: Linked) -> bool {
        match link {
            Linked::Master => {
                let link = self.link();
                link.is_some_and(|link| link.kill())
            }
            Linked::Replica(id) => {
                if let Some(follower) = self.followers.get(id) {
                    follower.end(followed::reason::Reason::Killed);
                    return true;
                }
                let session = self.sessions.get(id);
                session.iter().for_each(|session| session.end(Reason::Killed));
                session.is_some()
            }
        }
    }

    fn take_over(self: &Rc<Service>, what: Takeover, parked: Parked) {
        let (transport, unread) = Transport::unpark(parked);
        let _ = transport.stream().set_nodelay(true);
        // A session that ended meanwhile: dropping the transport closes the connection.
        match what {
            Takeover::Control(id) => {
                let Some(session) = self.sessions.get(id) else { return };
                session.attach_control(transport, unread);
            }
            Takeover::Flow(id, index) => {
                let Some(session) = self.sessions.get(id) else { return };
                session.attach_flow(index, transport, unread);
            }
            Takeover::Follower(asking) => {
                let (service, followers) = (self.clone(), self.followers.clone());
                let id = self.sessions.next_id();
                let (ip, port) = (asking.ip.clone(), asking.port);
                let may_feed = move || service.may_tell_to(&ip, port);
                let serve = feed::serve(followers, (id, *asking), (transport, unread), may_feed);
                rt::spawn_local(serve).detach();
            }
        }
    }

    /// Whether this node may feed those who follow as a Redis does: its own journals have to tell its data. Why not is
    /// said as `NOMASTERLINK`: a Redis that is told `ERR` tries SYNC at once, and has no place in the stream then.
    fn may_tell(&self) -> Result<(), String> {
        if self.here.status.is_loading() {
            return Err(Refusal::LOADING.text().into_owned());
        }
        if self.roles.borrow().is_changing() {
            return Err(
                "NOMASTERLINK Can't SYNC while whom this node follows is changed".to_owned()
            );
        }
        let Some(upstream) = self.upstream() else { return Ok(()) };
        match (self.here.standing.tells(), upstream.is_stable()) {
            (false, _) => Err(format!(
                "NOMASTERLINK this node is a replica, whose master is {}:{}: only a master, or a node that follows a Redis, \
                 can be followed by a Redis",
                upstream.host, upstream.port
            )),
            (true, false) => {
                Err("NOMASTERLINK Can't SYNC while not connected with my master".to_owned())
            }
            (true, true) => Ok(()),
        }
    }

    /// The same for one that is reached there: not the master itself, in a circle in which each would copy the other for ever.
    fn may_tell_to(&self, ip: &str, port: u16) -> Result<(), String> {
        self.may_tell()?;
        let master = self.upstream().and_then(|upstream| upstream.redis_at());
        if !master.is_some_and(|master| is_reached_at(master, ip, port)) {
            return Ok(());
        }
        let now = Instant::now();
        let warned = self.warned_of_circle.get();
        if warned.is_none_or(|warned| now.saturating_duration_since(warned) >= WARNED_EVERY) {
            self.warned_of_circle.set(Some(now));
            tracing::warn!(
                "replication: {ip}:{port} asks to follow this node, which follows it: refused; end the circle with \
                 REPLICAOF NO ONE on the one whose data counts"
            );
        }
        Err("NOMASTERLINK this node follows you: end the circle with REPLICAOF NO ONE on the one whose data counts"
            .to_owned())
    }

    fn check(&self, asker: &Asker) -> Result<(), String> {
        admission::check(&self.here, &self.roles.borrow(), asker)
    }

    /// The terms are told. Whether the replica takes them shows when it comes with its connections: one
    /// whose guard holds only asks, again and again.
    async fn agree(
        self: &Rc<Service>,
        asker: Asker,
        position: Option<Position>,
        whom: (Introduction, String),
    ) -> Result<Terms, String> {
        let id = || self.sessions.next_id();
        let agreed = admission::agree(&self.here, &self.roles, asker, position.as_ref(), id);
        let Agreed { terms, node, logs, beginning, walks } = agreed.await?;
        let settings = self.here.settings.clone();
        let to = terms.to.clone();
        let session = Session::new(terms.session, node, whom, &logs, to, settings, Sockets);
        session.sees(self.heads_above().as_deref());
        self.sessions.open(&session);
        if !terms.full {
            // What it continues from must be there when it comes.
            self.last_follower.set(Instant::now());
        }
        let service = self.clone();
        let (begun, asked_partial) = (terms.clone(), position.is_some());
        let runs = async move {
            let acks = service.acks.clone();
            let attached =
                |session: &Session<Sockets>| service.session_begins(session, &begun, asked_partial);
            run(&session, &service.here.front, (beginning, walks), acks, attached).await;
            service.note_end(&session);
            service.sessions.forget(session.id);
            service.acks.ring();
        };
        rt::spawn_local(runs).detach();
        Ok(terms)
    }

    /// The replica has come with all its connections: now it is a sync.
    fn session_begins(&self, session: &Session<Sockets>, terms: &Terms, asked_partial: bool) {
        let (full, why) = (terms.full, &terms.reason);
        self.sessions.tell_others(session);
        self.returning.borrow_mut().is_back(session.machine().node());
        self.counters.borrow_mut().note_sync(full, why, asked_partial);
        self.last_follower.set(Instant::now());
        self.keeping.set(true);
        let (kind, address) = (if full { "full" } else { "partial" }, session.address());
        if terms.takes_back() {
            tracing::warn!(
                "replication: full sync for replica {address}: {why}: what it has beyond that is dropped, as this node \
                 is its master"
            );
        } else {
            tracing::info!("replication: {kind} sync for replica {address}: {why}");
        }
    }

    fn note_end(&self, session: &Session<Sockets>) {
        let (machine, address) = (session.machine(), session.address());
        let Some(reason) = machine.ended() else { return };
        if *reason == Reason::LegIsOver {
            self.returning.borrow_mut().left(machine.node(), Instant::now());
        }
        if let Some(kind) = reason.drop_kind() {
            self.counters.borrow_mut().dropped[kind as usize] += 1;
            tracing::warn!("replication: replica {address} left: {reason}{}", kind.advice());
        } else if reason.has_left() && !machine.is_attached() {
            tracing::debug!("replication: replica {address} did not take the terms");
        } else {
            tracing::info!("replication: replica {address} left: {reason}");
        }
    }

    /// Waits until every replica that is connected has everything, whatever still comes from commands
    /// that were let in before the node began to stop; answers how many have.
    async fn drain(&self, limit: Duration) -> usize {
        /// Between two looks at the journals. What was let in before the node began to stop needs no
        /// network any more: it stands in a queue of ours.
        const LOOK_EVERY: Duration = Duration::from_millis(10);
        let deadline = Instant::now() + limit;
        let mut known = Vec::new();
        self.followers.give_up_copies();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // Behind everything that waits for a shard or for keys.
            let settled = self.here.front.everywhere(false, |shard| shard.log.lsn());
            let _ = rt::timeout(left, settled).await;
            let heads: Vec<Lsn> = self.here.standing.logs().iter().map(|log| log.head()).collect();
            let is_settled = std::mem::replace(&mut known, heads.clone()) == heads;
            let count = self.wait_for_all(&heads, deadline).await;
            if is_settled || Instant::now() >= deadline {
                return count;
            }
            rt::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until every session that has begun has acknowledged `heads` or has ended, and nobody is to come back.
    async fn wait_for_all(&self, heads: &[Lsn], deadline: Instant) -> usize {
        /// So soon it is seen that a session has ended.
        const LOOK_EVERY: Duration = Duration::from_millis(100);
        let bell = Rc::new(Bell::default());
        self.waits.borrow_mut().push(bell.clone());
        let mut has_asked = false;
        let count = loop {
            let count = self.sessions.caught_up(heads) + self.followers.caught_up(heads);
            let now = Instant::now();
            let left = deadline.saturating_duration_since(now);
            let begun = self.sessions.begun() + self.followers.online();
            let is_on_its_way = |node: &str| self.sessions.feeds(node);
            let returning = self.returning.borrow_mut().count(is_on_its_way, now);
            let wanted = begun + returning + self.sessions.legs_over();
            if count >= wanted || left.is_zero() {
                break count;
            }
            if !std::mem::replace(&mut has_asked, true) {
                self.followers.ask_acks();
            }
            bell.wait_for(left.min(LOOK_EVERY)).await;
        };
        self.waits.borrow_mut().retain(|known| !Rc::ptr_eq(known, &bell));
        count
    }

    /// Waits until so many replicas have these positions, the time is up or it is given up; `None` if
    /// there is nothing to wait for any more on a replica.
    async fn wait(
        &self,
        positions: &[Lsn],
        replicas: usize,
        limit: Option<Duration>,
        given_up: &AtomicBool,
    ) -> Option<usize> {
        /// So soon a wait that was given up ends; what it waits for rings the bell.
        const LOOK_EVERY: Duration = Duration::from_secs(1);
        let bell = Rc::new(Bell::default());
        self.waits.borrow_mut().push(bell.clone());
        let deadline = limit.map(|limit| Instant::now() + limit);
        let mut has_asked = false;
        let count = loop {
            if self.is_replica() {
                break None;
            }
            let count = self.sessions.caught_up(positions) + self.followers.caught_up(positions);
            if given_up.load(Ordering::Acquire) {
                break Some(count);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if count >= replicas || left.is_some_and(|left| left.is_zero()) {
                break Some(count);
            }
            // Once: it stands in the stream behind all that is waited for, and who comes later says by itself how far
            // it is.
            if !std::mem::replace(&mut has_asked, true) {
                self.followers.ask_acks();
            }
            bell.wait_for(left.unwrap_or(LOOK_EVERY).min(LOOK_EVERY)).await;
        };
        self.waits.borrow_mut().retain(|known| !Rc::ptr_eq(known, &bell));
        count
    }
}

/// How often the log hears of one who asks once a second.
const WARNED_EVERY: Duration = Duration::from_secs(60);

/// Whether who is at `master` says of itself that it is reached by this name. All loopback addresses are one machine's.
fn is_reached_at(master: SocketAddr, ip: &str, port: u16) -> bool {
    let Ok(ip) = ip.parse::<IpAddr>() else { return false };
    let (ip, of_master) = (ip.to_canonical(), master.ip().to_canonical());
    master.port() == port && (ip == of_master || ip.is_loopback() && of_master.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_is_known_by_where_it_says_that_it_is_reached() {
        for (master, ip, port, expected) in [
            ("10.0.0.1:6379", "10.0.0.1", 6379, true),
            ("10.0.0.1:6379", "10.0.0.1", 6380, false),
            ("10.0.0.1:6379", "10.0.0.2", 6379, false),
            ("127.0.0.1:6379", "::1", 6379, true),
            ("[::ffff:10.0.0.1]:6379", "10.0.0.1", 6379, true),
            ("127.0.0.1:6379", "10.0.0.2", 6379, false),
            ("10.0.0.1:6379", "a.name", 6379, false),
        ] {
            let master = master.parse().expect("an address");
            assert_eq!(is_reached_at(master, ip, port), expected, "{master} {ip}:{port}");
        }
    }
}
