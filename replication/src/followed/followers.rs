//! All who follow as a Redis does, the stream that they are sent, and the copy that is made for some of them.
//!
//! What takes no time; the tasks stand above: `feed` (one follower), `telling` (the stream), `full` (a copy).

use super::again::Again;
use super::copy::{FullCopy, Moment};
use super::follower::Follower;
use super::hello::{Asking, From};
use super::reason::Reason;
use super::stream::Stream;
use crate::bell::Bell;
use crate::here::Here;
use crate::info::{Counters, Replica, Stream as Shown};
use crate::standing::Outdated;
use engine::tell::Peers;
use engine::types::Lsn;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The most that follow at once: they are not counted among clients, and each has a task and a buffer.
const FOLLOWERS_MAX: usize = 256;

/// The stream while it is told.
pub(super) struct Told {
    pub(super) stream: RefCell<Stream>,
    /// Something may be read or said that is not announced by a journal.
    pub(super) bell: Bell,
    /// More is said than before: for whoever waits for a moment.
    pub(super) moved: Bell,
    /// It has ended.
    pub(super) is_over: Cell<bool>,
}

/// See the module's doc.
pub struct Followers {
    here: OnceCell<Rc<Here>>,
    all: RefCell<BTreeMap<u64, Rc<Follower>>>,
    told: RefCell<Option<Rc<Told>>>,
    copy: RefCell<Option<Rc<FullCopy>>>,
    pub(super) counters: Rc<RefCell<Counters>>,
    /// Rung whenever somebody acknowledges or leaves.
    pub(super) acks: Rc<Bell>,
    /// When somebody followed last.
    seen: Cell<Instant>,
    pinged: Cell<Instant>,
    /// How often this node's data has become something else.
    era: Cell<u64>,
    /// In whose words a stream is at least: one in those of older ones has ended, since it would have left something out.
    least: Cell<Peers>,
    /// The offset that the last stream had come to: the next one begins there at least, so that none goes back.
    reached: Cell<u64>,
    /// A copy is being made, or one that was given up gives back what shards hold for it.
    pub(super) is_making: Cell<bool>,
    /// When the next one may be made.
    pub(super) again: Cell<Again>,
}

impl Followers {
    /// Nobody yet.
    pub fn new(counters: Rc<RefCell<Counters>>, acks: Rc<Bell>) -> Followers {
        let now = Instant::now();
        Followers {
            here: OnceCell::new(),
            all: RefCell::default(),
            told: RefCell::default(),
            copy: RefCell::default(),
            counters,
            acks,
            seen: Cell::new(now),
            pinged: Cell::new(now),
            era: Cell::new(0),
            least: Cell::new(Peers::From62),
            reached: Cell::new(0),
            is_making: Cell::new(false),
            again: Cell::default(),
        }
    }

    /// The node whose data is told; said once, before anybody follows.
    pub fn belong_to(&self, here: &Rc<Here>) {
        let _ = self.here.set(here.clone());
    }

    pub(super) fn here(&self) -> &Rc<Here> {
        self.here.get().expect("it is said before anybody follows")
    }

    pub(super) fn era(&self) -> u64 {
        self.era.get()
    }

    /// Whether there is room for one more.
    pub(super) fn has_room(&self) -> Result<(), String> {
        match self.all.borrow().len() < FOLLOWERS_MAX {
            true => Ok(()),
            false => Err(format!("NOMASTERLINK {FOLLOWERS_MAX} replicas follow already")),
        }
    }

    /// One more.
    pub fn open(&self, follower: &Rc<Follower>) {
        self.all.borrow_mut().insert(follower.id, follower.clone());
        self.seen.set(Instant::now());
    }

    /// One has left, and nothing is to be done for it.
    pub fn forget(&self, follower: &Follower) {
        self.all.borrow_mut().remove(&follower.id);
        if let Some(copy) = follower.copy.borrow_mut().take() {
            copy.payload.leave(follower.id);
        }
        self.seen.set(Instant::now());
        self.acks.ring();
    }

    /// One has ended: a copy may have been made in vain, if it was not given up because the node stops, for instance.
    pub(super) fn note_copy(&self, follower: &Follower) {
        let is_given_up = |copy: &Rc<FullCopy>| copy.is_given_up();
        let now = Instant::now();
        if follower.machine.borrow().was_in_vain(now)
            && !follower.copy.borrow().as_ref().is_some_and(is_given_up)
        {
            let mut again = self.again.get();
            again.was_in_vain(now);
            self.again.set(again);
        }
    }

    /// Those that have not ended.
    pub fn live(&self) -> Vec<Rc<Follower>> {
        let all = self.all.borrow();
        all.values().filter(|follower| !follower.is_ended()).cloned().collect()
    }

    /// The one of this name, if it lives.
    pub fn get(&self, id: u64) -> Option<Rc<Follower>> {
        let follower = self.all.borrow().get(&id).cloned();
        follower.filter(|follower| !follower.is_ended())
    }

    /// The stream, if there is one.
    pub(super) fn told(&self) -> Option<Rc<Told>> {
        self.told.borrow().clone()
    }

    /// Whether the journals are read.
    pub fn reads(&self) -> bool {
        self.told.borrow().is_some()
    }

    /// In whose words the next stream is: as the operator says, and at least what the data needs.
    pub(super) fn words(&self) -> Peers {
        self.here().settings.borrow().followed.oldest.max(self.least.get())
    }

    /// From which offset on the next stream may begin.
    pub(super) fn reached(&self) -> u64 {
        self.reached.get()
    }

    /// A stream in the words of older ones than there are to be goes, unless somebody is in it.
    pub(super) fn renew(&self) {
        let is_older = |told: &Rc<Told>| told.stream.borrow().peers < self.words();
        let is_used = || self.live().iter().any(|it| it.machine.borrow().sent().is_some());
        if self.told().is_some_and(|told| is_older(&told)) && !is_used() {
            tracing::info!("replication: another stream for Redis replicas begins, in newer words");
            self.stop();
        }
    }

    /// A stream begins.
    pub(super) fn begin(&self, stream: Stream) -> Rc<Told> {
        let (bell, moved, is_over) = (Bell::default(), Bell::default(), Cell::new(false));
        let told = Rc::new(Told { stream: RefCell::new(stream), bell, moved, is_over });
        *self.told.borrow_mut() = Some(told.clone());
        told
    }

    /// The stream ends.
    fn stop(&self) {
        if let Some(told) = self.told.borrow_mut().take() {
            let stream = told.stream.borrow();
            self.reached.set(stream.shown_end().max(self.reached.get()));
            self.least.set(stream.wants().unwrap_or(Peers::From62).max(self.least.get()));
            drop(stream);
            told.is_over.set(true);
            told.bell.ring();
            told.moved.ring();
        }
    }

    /// The stream cannot go on: who follows it comes back for a copy.
    pub(super) fn broke(&self, told: &Rc<Told>, why: &str) {
        if told.is_over.get() {
            return;
        }
        tracing::warn!(
            "replication: the stream for Redis replicas ends, and another one begins: {why}"
        );
        self.stop();
        if let Some(copy) = self.copy.borrow_mut().take() {
            copy.give_up(why);
        }
        for follower in self.live() {
            follower.end(Reason::StreamEnded(why.to_owned()));
        }
    }

    /// What they are fed from is not this node's data any more.
    pub fn end_all(&self, why: Outdated) {
        self.era.set(self.era.get() + 1);
        self.stop();
        if let Some(copy) = self.copy.borrow_mut().take() {
            copy.give_up(&why.to_string());
        }
        for follower in self.live() {
            follower.end(Reason::Outdated(why));
        }
    }

    /// From where somebody goes on who has a part of the stream; `None`: it needs a copy.
    pub(super) fn continues(&self, asking: &Asking) -> Option<Moment> {
        let From::Offset { id, next } = &asking.from else { return None };
        let told = self.told()?;
        let stream = told.stream.borrow();
        let offset = next - 1;
        let is_here = stream.id == *id && stream.backlog.reaches(offset);
        is_here.then(|| Moment { stream: id.clone(), offset })
    }

    /// The copy that one more may take, from its beginning on.
    pub(super) fn copy_to_join(&self, valkey9: bool) -> Option<Rc<FullCopy>> {
        let copy = self.copy.borrow().clone()?;
        if copy.valkey9 != valkey9 || !copy.payload.is_all_here() {
            return None;
        }
        let is_reached = match &*copy.moment.borrow() {
            None => true,
            Some(Moment { stream, offset }) => self.told().is_some_and(|told| {
                let known = told.stream.borrow();
                known.id == *stream && known.backlog.reaches(*offset)
            }),
        };
        is_reached.then_some(copy)
    }

    /// A copy is made from now on.
    pub(super) fn copy_is_asked(&self, copy: &Rc<FullCopy>) {
        *self.copy.borrow_mut() = Some(copy.clone());
    }

    /// It is made, or given up: who asks now gets another one.
    pub(super) fn copy_is_made(&self, copy: &Rc<FullCopy>) {
        self.copy.borrow_mut().take_if(|now| Rc::ptr_eq(now, copy));
    }

    /// It is known of when a copy is: who waits for it keeps the stream from there on.
    pub(super) fn copy_begins(&self, copy: &Rc<FullCopy>, moment: Moment) {
        let now = Instant::now();
        for follower in self.live() {
            if follower.copy.borrow().as_ref().is_some_and(|its| Rc::ptr_eq(its, copy)) {
                follower.machine.borrow_mut().copies(moment.offset, now);
            }
        }
        *copy.moment.borrow_mut() = Some(moment);
        copy.payload.ring();
    }

    /// More of the stream is there: bounds are kept, and who waits is woken.
    pub(super) fn moved(&self, told: &Told) {
        self.keep_bounds(told, Instant::now());
        told.moved.ring();
        self.all.borrow().values().for_each(|follower| follower.bell.ring());
    }

    fn keep_bounds(&self, told: &Told, now: Instant) {
        let settings = self.here().settings.borrow();
        let (limits, timeout) = (&settings.followed.limits, settings.timeout);
        let end = told.stream.borrow().backlog.end();
        let mut needed = 0;
        for follower in self.live() {
            let over = follower.machine.borrow_mut().look(end, limits, timeout, now);
            match over {
                Some(reason) => follower.end(reason),
                None => {
                    let sent = follower.machine.borrow().sent();
                    needed = needed.max(sent.map_or(0, |sent| end.saturating_sub(sent)));
                }
            }
        }
        // Who has no limit may fall out of this one, and comes back for a copy.
        let kept = needed.min(settings.followed.waiting_max()).max(settings.followed.backlog_bytes);
        told.stream.borrow_mut().backlog.trim(kept);
    }

    /// What time alone changes.
    pub fn look(&self, now: Instant) {
        let has_any = !self.all.borrow().is_empty();
        if has_any {
            self.seen.set(now);
        }
        let Some(told) = self.told() else { return };
        self.keep_bounds(&told, now);
        let (period, ttl) = {
            let settings = self.here().settings.borrow();
            (settings.followed.ping, settings.journal_ttl)
        };
        if has_any && now.saturating_duration_since(self.pinged.get()) >= period {
            self.pinged.set(now);
            told.stream.borrow_mut().put(&[b"PING"]);
            self.moved(&told);
        }
        let libraries = self.here().front.node.libraries();
        if !libraries.all().is_empty() && told.stream.borrow().peers < Peers::From70 {
            return self.broke(&told, "there are functions now, which Redis 7.0 and later take");
        }
        let has_changed = has_any && told.stream.borrow_mut().say_libraries(libraries);
        if has_changed {
            self.moved(&told);
        }
        let unused = now.saturating_duration_since(self.seen.get());
        if !has_any && !ttl.is_zero() && unused >= ttl && self.copy.borrow().is_none() {
            tracing::info!(
                "replication: no Redis followed for {} s, its stream is let go",
                ttl.as_secs()
            );
            self.stop();
        }
    }

    /// Those who have acknowledged all that journals say up to these positions.
    pub fn caught_up(&self, positions: &[Lsn]) -> usize {
        let Some(told) = self.told() else { return 0 };
        let stream = told.stream.borrow();
        let acked = self.live().into_iter().filter_map(|follower| {
            let machine = follower.machine.borrow();
            machine.acked().filter(|_| machine.is_online())
        });
        acked.filter(|acked| stream.has_all(*acked, positions)).count()
    }

    /// They are asked to say how far they are.
    pub fn ask_acks(&self) {
        if let Some(told) = self.told()
            && self.live().iter().any(|follower| follower.machine.borrow().is_online())
        {
            told.stream.borrow_mut().want_acks(&told.bell);
        }
    }

    /// Those in the stream that were heard of within `lag`.
    pub fn good(&self, lag: Duration, now: Instant) -> usize {
        let is_good = |follower: &Rc<Follower>| {
            let machine = follower.machine.borrow();
            machine.is_online() && machine.silence(now) <= lag
        };
        self.live().iter().filter(|follower| is_good(follower)).count()
    }

    /// How many are waited for when the node stops.
    pub fn online(&self) -> usize {
        self.live().iter().filter(|follower| follower.machine.borrow().is_online()).count()
    }

    /// The node stops: copies that are not complete are given up, so that the last snapshot can be written.
    pub fn give_up_copies(&self) {
        let newest = self.copy.borrow_mut().take();
        // Who came later may have another one than those who were first.
        let taken = self.live().into_iter().filter_map(|follower| follower.copy.borrow().clone());
        for copy in newest.into_iter().chain(taken).filter(|copy| !copy.is_made()) {
            copy.give_up("this node stops");
        }
    }

    /// What INFO shows of each.
    pub fn describe(&self, now: Instant) -> Vec<Replica> {
        let told = self.told();
        let stream = told.as_ref().map(|told| told.stream.borrow());
        self.live().iter().map(|follower| follower.describe(stream.as_deref(), now)).collect()
    }

    /// How many bytes of the stream say all up to these positions, where there is a stream.
    pub fn offset_of(&self, lsns: &[Lsn]) -> Option<u64> {
        self.told().map(|told| told.stream.borrow().offset_of(lsns))
    }

    /// What INFO shows of the stream.
    pub fn shown(&self) -> Option<Shown> {
        let told = self.told()?;
        let stream = told.stream.borrow();
        let backlog = &stream.backlog;
        Some(Shown {
            id: stream.id.clone(),
            offset: stream.shown_end(),
            first: backlog.first(),
            bytes: backlog.len(),
        })
    }
}
