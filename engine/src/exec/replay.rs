//! A master's commands, run again here in its order: one that tells what it ran, and not what came of it.
//!
//! ```text
//!   add ─► lane of shard 0: [away] [waits: db 0] [db 1]     one batch of a lane is away at a time: a batch may
//!          lane of shard 1: [away] [waits: db 0]            have to wait for keys, and none may overtake it
//!   MULTI, and what spans shards ─► [away] [group] [group]  each a transaction; all that comes while one waits
//!                                                           joins the last of them (`group`)
//! ```
//!
//! A group is begun when none is away and the lanes of its shards have nothing away; what waits in those it takes along
//! if that is little, so that it is one hop and not two. A lane sends nothing to a shard of the group that is away. So
//! on one shard commands keep their order; those of different shards may become visible in either order, as in
//! [`Pipeline`](super::Pipeline). Whoever adds a command says where it begins in the master's stream: what stands
//! before the first that is not done is applied.

use super::group::{Group, Queued};
use super::misfit::Misfit;
use super::{Front, Route, Waiter, route_of};
use crate::command::shape::MANY_KEYS;
use crate::command::{Args, Call, Entry, Who};
use crate::limits::BATCH_BYTES_MAX;
use crate::resp::Protocol;
use crate::shard::{Answer, Batch, ExecutorId, Message, Patience};
use crate::types::{DbIndex, ShardId};
use futures_lite::future;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

/// Used batches kept, and how large such a one may be: all of them together a few megabytes.
const SPARES_MAX: usize = 16;
const SPARE_BYTES_MAX: usize = 2 * BATCH_BYTES_MAX;

/// See the module's doc.
pub struct Replay {
    front: Rc<Front>,
    waiter: Waiter,
    who: Who,
    lanes: Vec<Lane>,
    groups: VecDeque<Group>,
    away: Option<Away>,
    spare: Vec<Box<Batch>>,
    /// Bytes of what is not done.
    held: usize,
    misfit: Option<Misfit>,
    patience: Arc<Patience>,
}

/// Commands of a MULTI that may still join a group of others; more of them are put together as they come, so that
/// nothing is left to do for a million of them when the end comes.
const FEW_MAX: usize = 64;

/// A MULTI that is coming.
pub struct AsOne {
    /// Where it begins in the stream.
    at: u64,
    few: Vec<Queued>,
    group: Option<Group>,
}

impl AsOne {
    /// Nothing yet, of what begins `at`.
    pub fn new(at: u64) -> AsOne {
        AsOne { at, few: Vec::new(), group: None }
    }

    /// Where it begins in the stream.
    pub fn at(&self) -> u64 {
        self.at
    }
}

/// What one shard has to do.
#[derive(Default)]
struct Lane {
    /// Where the batch that is away begins in the stream, and its bytes.
    away: Option<(u64, usize)>,
    waits: VecDeque<(u64, Box<Batch>)>,
}

/// A group that is under way.
struct Away {
    at: u64,
    bytes: usize,
    shards: Vec<bool>,
    run: Pin<Box<dyn Future<Output = Option<Misfit>>>>,
}

/// See [`Replay::patience`].
pub struct BePatient {
    front: Rc<Front>,
    patience: Arc<Patience>,
}

impl BePatient {
    /// Nobody is woken by what shards have done until what this gives is dropped.
    pub fn begin(&self) -> Patient<'_> {
        self.patience.set(true);
        Patient(self)
    }
}

/// See [`BePatient::begin`].
pub struct Patient<'a>(&'a BePatient);

impl Drop for Patient<'_> {
    fn drop(&mut self) {
        let BePatient { front, patience } = self.0;
        patience.set(false);
        front.node.ring(front.me);
    }
}

impl Lane {
    /// Where the first command that is not done begins.
    fn first(&self) -> Option<u64> {
        let waits = self.waits.front().map(|(at, _)| *at);
        self.away.map(|(at, _)| at).or(waits)
    }

    fn is_empty(&self) -> bool {
        self.away.is_none() && self.waits.is_empty()
    }
}

impl Replay {
    /// Nothing has been added yet.
    pub fn new(front: Rc<Front>) -> Replay {
        let lanes = front.node.all_shards().map(|_| Lane::default()).collect();
        let who = Who { is_master: true, ..Who::default() };
        let (waiter, groups, spare) = (front.waiter(), VecDeque::new(), Vec::new());
        let (away, held, misfit, patience) = (None, 0, None, Arc::default());
        Replay { front, waiter, who, lanes, groups, away, spare, held, misfit, patience }
    }

    /// For who will look soon what shards have done: until then it need wake nobody. None where something waits for it.
    pub fn patience(&self) -> Option<BePatient> {
        let nothing_waits =
            self.groups.is_empty() && self.lanes.iter().all(|lane| lane.waits.is_empty());
        let patient = || BePatient { front: self.front.clone(), patience: self.patience.clone() };
        nothing_waits.then(patient)
    }

    /// Adds a command that begins `at`.
    pub fn add(&mut self, db: DbIndex, entry: &'static Entry, args: Args<'_>, at: u64) {
        let route = route_of(entry, &args, self.front.node.shards());
        if let Route::One(shard) = route
            && self.groups.is_empty()
        {
            return self.add_to(shard, db, entry, args, at);
        }
        let who = self.who.clone();
        let call = Call { entry, db, protocol: Protocol::Resp2, who: &who, args };
        match route {
            Route::Many if args.len() > MANY_KEYS => self.push_group(Group::vast(at, &call)),
            _ => self.join(&[call], at),
        }
    }

    /// Keeps another command of a MULTI whose end has not come.
    pub fn keep(&self, one: &mut AsOne, db: DbIndex, entry: &'static Entry, args: Args<'_>) {
        let call = Call { entry, db, protocol: Protocol::Resp2, who: &self.who, args };
        match &mut one.group {
            Some(group) => group.push(&self.front, &call),
            None => {
                one.few.push(Queued::of(&call));
                if one.few.len() > FEW_MAX {
                    let mut group = Group::new(one.at);
                    one.few.drain(..).for_each(|it| group.push(&self.front, &it.call(&self.who)));
                    one.group = Some(group);
                }
            }
        }
    }

    /// Adds a MULTI whose end has come: its commands are run as one.
    pub fn add_as_one(&mut self, one: AsOne) {
        let AsOne { at, few, group } = one;
        if let Some(group) = group {
            self.push_group(group);
            return self.begin_group();
        }
        let who = self.who.clone();
        let calls: Vec<Call<'_>> = few.iter().map(|it| it.call(&who)).collect();
        match calls.as_slice() {
            [] => {}
            [one] => self.add(one.db, one.entry, one.args, at),
            _ => self.join(&calls, at),
        }
    }

    /// All of them join one group.
    fn join(&mut self, calls: &[Call<'_>], at: u64) {
        let last = self.groups.back();
        if !last.is_some_and(|group| group.has_room_for(&self.front, calls)) {
            self.push_group(Group::new(at));
        }
        let Some(group) = self.groups.back_mut() else { return };
        let before = group.bytes();
        calls.iter().for_each(|call| group.push(&self.front, call));
        self.held += group.bytes() - before;
        if group.is_full() {
            // What comes behind it is for the lanes, if it can begin.
            self.begin_group();
        }
    }

    fn push_group(&mut self, group: Group) {
        self.held += group.bytes();
        self.groups.push_back(group);
    }

    fn add_to(
        &mut self,
        shard: ShardId,
        db: DbIndex,
        entry: &'static Entry,
        args: Args<'_>,
        at: u64,
    ) {
        let lane = &mut self.lanes[shard.index()];
        if !lane.waits.back().is_some_and(|(_, batch)| batch.db == db && !batch.is_full()) {
            let nobody = self.front.nobody();
            let batch = match self.spare.pop() {
                Some(mut batch) => {
                    batch.reset(nobody, db, Protocol::Resp2);
                    batch
                }
                None => {
                    let mut batch = Batch::new(nobody, db, Protocol::Resp2, self.who.clone());
                    batch.patience = Some(self.patience.clone());
                    Box::new(batch)
                }
            };
            lane.waits.push_back((at, batch));
        }
        let Some((_, batch)) = lane.waits.back_mut() else { return };
        let before = batch.bytes.len();
        batch.push(entry, args);
        self.held += batch.bytes.len() - before;
    }

    /// Sends what waits to shards that have nothing of ours.
    pub fn send(&mut self) {
        let next = self.groups.front().filter(|_| self.away.is_none());
        let is_kept: Vec<bool> = match next.filter(|group| self.takes_along(group)) {
            Some(group) => self.front.node.all_shards().map(|it| group.is_on(it)).collect(),
            None => vec![false; self.lanes.len()],
        };
        (0..self.lanes.len()).filter(|&it| !is_kept[it]).for_each(|it| self.send_to(it));
        self.begin_group();
    }

    /// Whether what waits in the lanes of a group's shards is little enough to go along with it.
    fn takes_along(&self, group: &Group) -> bool {
        let lanes = self.lanes.iter().zip(self.front.node.all_shards());
        let waits = lanes.filter(|(_, shard)| group.is_on(*shard)).flat_map(|(it, _)| &it.waits);
        let (mut commands, mut bytes) = (0, 0);
        for (_, batch) in waits {
            (commands, bytes) = (commands + batch.commands.len(), bytes + batch.bytes.len());
        }
        group.takes_along(commands, bytes)
    }

    fn send_to(&mut self, shard: usize) {
        let is_taken = self.away.as_ref().is_some_and(|group| group.shards[shard]);
        let lane = &mut self.lanes[shard];
        if is_taken || lane.away.is_some() {
            return;
        }
        let Some((at, mut batch)) = lane.waits.pop_front() else { return };
        lane.away = Some((at, batch.bytes.len()));
        batch.reply_to = self.waiter.reply_to();
        self.front.node.send(ExecutorId(shard as u16), Message::Batch(batch));
    }

    /// Begins the next group, if it is its turn. It goes on in [`progress`](Replay::progress).
    fn begin_group(&mut self) {
        let Some(next) = self.groups.front().filter(|_| self.away.is_none()) else { return };
        let shards: Vec<bool> = self.front.node.all_shards().map(|it| next.is_on(it)).collect();
        let takes_along = self.takes_along(next);
        let is_ready = |lane: &Lane| lane.away.is_none() && (takes_along || lane.waits.is_empty());
        if self.lanes.iter().zip(&shards).any(|(lane, is_on)| *is_on && !is_ready(lane)) {
            return;
        }
        let Some(mut group) = self.groups.pop_front() else { return };
        let (mut at, mut bytes) = (group.at, group.bytes());
        for (lane, shard) in self.lanes.iter_mut().zip(self.front.node.all_shards()) {
            let waits = if shards[shard.index()] { lane.waits.drain(..) } else { continue };
            let batches = waits.map(|(from, batch)| {
                (at, bytes) = (at.min(from), bytes + batch.bytes.len());
                batch
            });
            group.take_along(&self.front, shard, batches.collect());
        }
        let run = Box::pin(group.run(self.front.clone(), self.who.clone()));
        self.away = Some(Away { at, bytes, shards, run });
    }

    /// Bytes of commands that are not done.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether everything that was added is done.
    pub fn is_settled(&self) -> bool {
        self.away.is_none() && self.groups.is_empty() && self.lanes.iter().all(Lane::is_empty)
    }

    /// Up to where the stream is applied, all before `end` having been added.
    pub fn applied(&self, end: u64) -> u64 {
        let of_groups = self.away.iter().map(|it| it.at).chain(self.groups.front().map(|it| it.at));
        self.lanes.iter().filter_map(Lane::first).chain(of_groups).min().unwrap_or(end)
    }

    /// The first command that did not fit, since this was asked last.
    pub fn take_misfit(&mut self) -> Option<Misfit> {
        self.misfit.take()
    }

    /// Waits until a shard has done something. Nothing is lost when it is dropped.
    pub async fn progress(&mut self) {
        enum Came {
            Batch(Answer),
            Group(Option<Misfit>),
        }
        let batch = async { Came::Batch(self.waiter.next().await) };
        let came = match &mut self.away {
            None => batch.await,
            Some(group) => {
                let group = async { Came::Group(group.run.as_mut().await) };
                future::or(group, batch).await
            }
        };
        match came {
            Came::Batch(answer) => self.take(answer),
            Came::Group(misfit) => self.end_group(misfit),
        }
        while let Some(answer) = self.waiter.try_next() {
            self.take(answer);
        }
        self.send();
    }

    fn end_group(&mut self, misfit: Option<Misfit>) {
        self.misfit = self.misfit.take().or(misfit);
        if let Some(group) = self.away.take() {
            self.held -= group.bytes;
        }
    }

    /// Waits until everything that was added is done.
    pub async fn settle(&mut self) {
        self.send();
        while !self.is_settled() {
            self.progress().await;
        }
    }

    fn take(&mut self, answer: Answer) {
        let Answer::Batch(mut batch) = answer else { unreachable!("a batch answers with itself") };
        let shard = batch.ran_on.index();
        self.misfit = self.misfit.take().or_else(|| Misfit::in_batch(&batch));
        if batch.is_unfinished() {
            batch.forget_replies();
            batch.reply_to = self.waiter.reply_to();
            self.front.node.send(ExecutorId(shard as u16), Message::Batch(batch));
            return;
        }
        if let Some((_, bytes)) = self.lanes[shard].away.take() {
            self.held -= bytes;
        }
        if batch.heap_bytes() <= SPARE_BYTES_MAX && self.spare.len() < SPARES_MAX {
            self.spare.push(batch);
        }
    }
}
