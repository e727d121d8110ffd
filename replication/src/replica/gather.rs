//! From flows to shards: in which order received frames may be applied, and what has been.
//!
//! ```text
//!   flow 0   a  b  [T: x]  c          a, b go to their shards at once
//!   flow 1   d  [T: y]  e             T goes as one once its parts stand at the head of both flows;
//!                                     c and e wait for that, nothing else does
//! ```
//!
//! A frame whose keys lie on one of our shards goes there in a batch with its neighbours. A frame that
//! needs several of our shards, or has parts on several flows, is handed out as one
//! ([`Dispatch::AsOne`]), so that readers see all of it or nothing, also where this node cuts its keys
//! differently than its master. Since frames stand in one global order in all the master's journals,
//! flows never wait for each other in a circle (J2).
//!
//! Positions mean *applied*: what was handed out is a unit, and a flow's position moves over its units
//! in order, when all shards have reported (J6). What a position has passed is appended to the relay,
//! as it came (J7).
//!
//! Values that come in pieces are put together where they belong: on the shard of their key.
//!
//! This is a pure decision-maker: it owns buffers and counts, no socket and no shard.

pub use super::inflow::FLOW_CREDIT;

use super::inflow::{Inflow, Segment, Step, decode};
use super::recut::{Merged, Run};
use crate::planted;
use crate::relay::Relay;
use engine::journal::{Frame, FrameEntry, Global, Record};
use engine::shard::{Passed, PutValue};
use engine::types::{Lsn, Millis, ShardId, TxId, shard_of};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

/// Bytes of frames that one unit takes: large enough to amortize a message to a shard, small enough
/// for a reader on that shard not to notice.
const UNIT_BYTES: usize = 32 * 1024;

/// An item, or a piece of one, as long as that ends a unit: its elements are found their places one by one.
const ITEM_ALONE: usize = 4 * 1024;

/// Handed out and not yet applied, over all flows: bounds the shards' inboxes.
const IN_FLIGHT_MAX: usize = 16 * 1024 * 1024;

/// Units handed out and not yet applied. Each waits in the queue of its shards, and a reader there waits
/// behind those that want its keys: small transactions alone would be hundreds of thousands in
/// [`IN_FLIGHT_MAX`]. Enough to keep every shard busy over a round of messages.
const UNITS_MAX: usize = 256;

/// What may be applied now.
#[derive(Debug)]
pub enum Dispatch {
    /// Frames for one shard.
    Batch(Batch),
    /// Frames for several shards that become visible together.
    AsOne(AsOne),
}

/// Frames for one of our shards.
#[derive(Debug)]
pub struct Batch {
    /// The unit to report.
    pub unit: u64,
    /// Our shard.
    pub shard: ShardId,
    /// Whole encoded frames.
    pub frames: Vec<u8>,
    /// They are items, not records of the journal.
    pub are_items: bool,
    /// Positions that the shard has reached with it, by flow.
    pub reached: Vec<(u16, Lsn)>,
    /// How far the items have come, during a full sync.
    pub passed: Option<Arc<Passed>>,
}

/// Frames for several of our shards.
#[derive(Debug)]
pub struct AsOne {
    /// The unit to report, once for each shard.
    pub unit: u64,
    /// Whole encoded frames by shard.
    pub parts: BTreeMap<ShardId, Vec<u8>>,
    /// It changes whole databases: it needs every shard alone.
    pub is_global: bool,
    /// Positions that are reached with it, by flow.
    pub reached: Vec<(u16, Lsn)>,
    /// How far the items have come, during a full sync.
    pub passed: Option<Arc<Passed>>,
}

/// A unit that was handed out.
struct Unit {
    /// Shards that have not reported.
    left: usize,
    bytes: usize,
    /// The flows that it moves.
    flows: Vec<u16>,
    /// A part of it was given up: its positions are never passed.
    is_lost: bool,
}

/// The receiving side of a session.
pub struct Gather {
    pub(super) flows: Vec<Inflow>,
    /// How many shards we have.
    shards: u16,
    /// The seed of the sender's hash.
    seed: u64,
    units: HashMap<u64, Unit>,
    next_unit: u64,
    in_flight: usize,
    /// What shards kept of the values that units put, until their positions are passed.
    values: HashMap<u64, Vec<PutValue>>,
    /// Items that were handed out.
    items_taken: u64,
    /// Where the search for something to hand out goes on, for fairness.
    turn: usize,
    ready: VecDeque<Dispatch>,
    /// What came cannot be gone on from: nothing more is handed out.
    has_failed: bool,
    /// The last unit that was handed out before the items of all flows had ended.
    last_before: Option<u64>,
}

impl Gather {
    /// A session over `positions.len()` flows that stand at `positions`, on a node of `shards` shards.
    /// `walks` is how many shards of the sender bring items (0: a partial sync).
    pub fn new(positions: &[Lsn], shards: u16, seed: u64, walks: usize, dbs: usize) -> Gather {
        let flow = |lsn: &Lsn| Inflow::new(*lsn, seed, walks, dbs);
        Gather {
            flows: positions.iter().map(flow).collect(),
            shards,
            seed,
            units: HashMap::new(),
            next_unit: 1,
            in_flight: 0,
            values: HashMap::new(),
            items_taken: 0,
            turn: 0,
            ready: VecDeque::new(),
            has_failed: false,
            last_before: (walks == 0).then_some(0),
        }
    }

    /// Whether a flow may be read from.
    pub fn wants_more(&self, flow: u16) -> bool {
        self.flows[usize::from(flow)].is_read_on()
    }

    /// Items that have come and were handed out.
    pub fn items_taken(&self) -> u64 {
        self.items_taken
    }

    /// Whether the items of all flows are complete, and all is applied that was handed out until they were: under load there
    /// is always something newer under way.
    pub fn is_complete(&self) -> bool {
        self.last_before.is_some_and(|last| self.units.keys().all(|unit| *unit > last))
    }

    /// Whether everything that was handed out is applied.
    pub fn is_settled(&self) -> bool {
        self.units.values().all(|unit| unit.left == 0)
    }

    /// Bytes received and not handed out, of the flow that holds most; and bytes handed out and not
    /// applied.
    pub fn held(&self) -> (usize, usize) {
        (self.flows.iter().map(|flow| flow.buffered).max().unwrap_or_default(), self.in_flight)
    }

    /// Per flow, the position up to which everything is applied.
    pub fn applied(&self) -> Vec<Lsn> {
        let position = |flow: &Inflow| match planted::counts_received() {
            true => flow.received(),
            false => flow.applied,
        };
        self.flows.iter().map(position).collect()
    }

    /// The position of one flow.
    pub fn applied_of(&self, flow: u16) -> Lsn {
        self.flows[usize::from(flow)].applied
    }

    /// What may be applied now; `None` until more arrives or is applied. After an error nothing more
    /// is, and what was never handed out is waited for by nobody.
    pub fn next(&mut self) -> Result<Option<Dispatch>, String> {
        if self.has_failed {
            return Ok(None);
        }
        self.find_next().inspect_err(|_| self.give_up())
    }

    /// What stands ready will not reach any shard: its units are lost, and no position passes them.
    fn give_up(&mut self) {
        self.has_failed = true;
        for dispatch in std::mem::take(&mut self.ready) {
            let (unit, parts) = match dispatch {
                Dispatch::Batch(batch) => (batch.unit, 1),
                Dispatch::AsOne(as_one) => (as_one.unit, as_one.parts.len()),
            };
            if let Some(unit) = self.units.get_mut(&unit) {
                unit.left -= parts;
                unit.is_lost = true;
            }
        }
    }

    fn find_next(&mut self) -> Result<Option<Dispatch>, String> {
        if !self.ready.is_empty() && planted::pauses_between_parts() {
            return Ok(None);
        }
        if let Some(dispatch) = self.ready.pop_front() {
            return Ok(Some(self.as_planted(dispatch)));
        }
        if self.in_flight >= IN_FLIGHT_MAX || self.units.len() >= UNITS_MAX {
            return Ok(None);
        }
        for _ in 0..self.flows.len() {
            let flow = self.turn;
            self.turn = (self.turn + 1) % self.flows.len();
            self.advance(flow)?;
            if let Some(dispatch) = self.ready.pop_front() {
                return Ok(Some(self.as_planted(dispatch)));
            }
        }
        Ok(None)
    }

    /// With the planted bug, every part of a frame for itself.
    fn as_planted(&mut self, dispatch: Dispatch) -> Dispatch {
        match dispatch {
            Dispatch::AsOne(AsOne { unit, parts, is_global: false, reached, passed })
                if planted::part_by_part() =>
            {
                let batch = |(shard, frames)| {
                    let (reached, passed) = (reached.clone(), passed.clone());
                    let are_items = false;
                    Dispatch::Batch(Batch { unit, shard, frames, are_items, reached, passed })
                };
                let mut batches = parts.into_iter().map(batch);
                let first = batches.next().expect("a unit has a part");
                batches.rev().for_each(|batch| self.ready.push_front(batch));
                first
            }
            other => other,
        }
    }

    /// A shard has put these values with its part of a unit, which is not completed yet.
    pub fn keep_values(&mut self, unit: u64, values: Vec<PutValue>) {
        if !values.is_empty() {
            self.values.entry(unit).or_default().extend(values);
        }
    }

    /// One shard could not apply its part of a unit: nothing passes it, and it is neither acknowledged nor handed
    /// on. What was handed out beside it is still waited for.
    pub fn failed(&mut self, unit: u64) {
        if let Some(state) = self.units.get_mut(&unit) {
            state.left -= 1;
            state.is_lost = true;
        }
    }

    /// One shard has applied its part of a unit. Answers whether a position has moved.
    pub fn completed(&mut self, unit: u64, relay: &mut Relay, now: Millis) -> bool {
        let Some(state) = self.units.get_mut(&unit) else { return false };
        state.left -= 1;
        if state.left > 0 || state.is_lost {
            return false;
        }
        let Some(state) = self.units.remove(&unit) else { return false };
        self.in_flight -= state.bytes;
        let moved = self.pass_steps(state.flows, relay);
        // All flows at once: nobody sees one part of a transaction in the relay without the others.
        relay.publish(now);
        moved
    }

    /// Moves the positions of these flows over what is applied. A transaction's parts pass all their
    /// flows at once, when nothing unfinished is before any of them: else positions and relays of one
    /// moment would hold it on one flow and not on another, and whoever began there would wait for its
    /// other part for ever (J6).
    fn pass_steps(&mut self, mut flows: Vec<u16>, relay: &mut Relay) -> bool {
        let mut moved = false;
        while let Some(index) = flows.pop() {
            while let Some(step) = self.flows[usize::from(index)].steps.front() {
                let unit = step.unit;
                let members = step.members.clone();
                let is_first = |member: &u16| {
                    let first = self.flows[usize::from(*member)].steps.front();
                    first.is_some_and(|step| step.unit == unit)
                };
                if self.units.contains_key(&unit) || !members.iter().all(is_first) {
                    break;
                }
                let mut values = self.values.remove(&unit).unwrap_or_default();
                for &member in members.iter() {
                    let flow = &mut self.flows[usize::from(member)];
                    let Some(step) = flow.steps.pop_front() else { continue };
                    moved |= step.end != flow.applied;
                    flow.applied = step.end;
                    relay.append(usize::from(member), &step.raw, &mut values);
                    if member != index {
                        flows.push(member);
                    }
                }
            }
        }
        moved
    }

    /// Hands out what stands at the head of one flow.
    fn advance(&mut self, index: usize) -> Result<(), String> {
        loop {
            let flow = &mut self.flows[index];
            match flow.segments.front_mut() {
                None => return Ok(()),
                Some(Segment::Passed { .. } | Segment::CutDone) => self.take_mark(index)?,
                Some(Segment::Items(bytes) | Segment::Log(bytes)) => {
                    if bytes.at < bytes.buffer.len() {
                        break;
                    }
                    flow.pop();
                }
            }
        }
        if self.flows[index].waiting.is_none() {
            self.take_run(index)?;
        }
        if let Some(tx) = self.flows[index].waiting {
            self.take_transaction(tx)?;
        }
        Ok(())
    }

    fn take_mark(&mut self, index: usize) -> Result<(), String> {
        let seed = self.seed;
        let flow = &mut self.flows[index];
        match flow.pop() {
            Some(Segment::Passed { walk, boundaries }) => {
                flow.boundaries[walk] = boundaries;
                let boundaries = flow.boundaries.clone();
                flow.passed = Some(Arc::new(Passed { seed, boundaries }));
            }
            Some(Segment::CutDone) if flow.open_items > 0 => {
                return Err("the items end while one of them is on its way".to_owned());
            }
            Some(Segment::CutDone) => {
                flow.cut_done = true;
                flow.passed = None;
                if self.flows.iter().all(|flow| flow.cut_done) {
                    self.last_before = Some(self.next_unit - 1);
                }
            }
            _ => unreachable!("only called at a mark"),
        }
        Ok(())
    }

    /// Takes frames off the head of a flow, up to one unit's worth, that need no other flow; stops at
    /// one that does.
    fn take_run(&mut self, index: usize) -> Result<(), String> {
        let (shards, flow_count) = (self.shards, self.flows.len());
        let flow = &mut self.flows[index];
        let same_cut = flow_count == usize::from(shards);
        let is_log = matches!(flow.segments.front(), Some(Segment::Log(_)));
        let Some(Segment::Log(bytes) | Segment::Items(bytes)) = flow.segments.front_mut() else {
            return Ok(());
        };
        let start = bytes.at;
        let mut run = Run::default();
        let (mut counted, mut items, mut open_items) = (0, 0, flow.open_items);
        let mut is_cut_off = false;
        while run.bytes < UNIT_BYTES {
            let Some((frame, used)) = decode(bytes)? else {
                is_cut_off = bytes.at < bytes.buffer.len();
                break;
            };
            check_owner(&frame, index, flow_count)?;
            match is_log {
                false => items += Inflow::count_items(&mut open_items, &frame)?,
                true if needs_others(&frame, index, flow_count)? => {
                    let id = frame.transaction().map_or(TxId(0), |transaction| transaction.id);
                    if flow_count > 1 && id <= flow.last_tx {
                        let last = flow.last_tx.0;
                        return Err(format!("transaction {} comes after {last}", id.0));
                    }
                    (flow.waiting, flow.last_tx) = (Some(id), id);
                    break;
                }
                true => {}
            }
            if !run.add(&frame, index, shards, same_cut, is_log)? {
                // Several of our shards: alone, as one.
                break;
            }
            counted += frame.lsn_count();
            bytes.at += used;
            if run.as_one.is_some() || (!is_log && used >= ITEM_ALONE) {
                break;
            }
        }
        let raw = if is_log { bytes.buffer[start..bytes.at].to_vec() } else { Vec::new() };
        let consumed = bytes.at - start;
        bytes.compact();
        if is_cut_off && flow.segments.len() > 1 {
            return Err("a frame ends where other messages begin".to_owned());
        }
        if consumed == 0 {
            return Ok(());
        }
        flow.buffered -= consumed;
        flow.open_items = open_items;
        self.items_taken += items;
        if is_log {
            flow.taken = Lsn(flow.taken.0 + counted);
        }
        self.hand_out(index, run, raw, (consumed, !is_log));
        Ok(())
    }

    /// A unit of one flow, for so many shards; answers with its name and what is reached with it.
    fn begin_unit(
        &mut self,
        index: usize,
        left: usize,
        raw: Vec<u8>,
        bytes: usize,
    ) -> (u64, Vec<(u16, Lsn)>) {
        let unit = self.next_unit;
        self.next_unit += 1;
        let flow = &mut self.flows[index];
        let end = flow.taken;
        let members = Rc::from([index as u16]);
        flow.steps.push_back(Step { unit, members, end, raw });
        let flows = vec![index as u16];
        self.units.insert(unit, Unit { left, bytes, flows, is_lost: false });
        self.in_flight += bytes;
        (unit, vec![(index as u16, end)])
    }

    fn hand_out(&mut self, index: usize, run: Run, raw: Vec<u8>, what: (usize, bool)) {
        let (bytes, are_items) = what;
        let left = run.as_one.as_ref().map_or(run.shards.len(), BTreeMap::len);
        let (unit, reached) = self.begin_unit(index, left, raw, bytes);
        let passed = self.flows[index].passed.clone();
        match run.as_one {
            Some(parts) => {
                let is_global = false;
                let as_one = AsOne { unit, parts, is_global, reached, passed };
                self.ready.push_back(Dispatch::AsOne(as_one));
            }
            None => {
                for (shard, frames) in run.shards {
                    let (reached, passed) = (reached.clone(), passed.clone());
                    let batch = Batch { unit, shard, frames, are_items, reached, passed };
                    self.ready.push_back(Dispatch::Batch(batch));
                }
            }
        }
    }

    /// The oldest transaction whose parts are not all there, and the bytes that have come on the flows
    /// that still owe one: while neither changes, it waits in vain.
    pub fn waits_for(&mut self) -> Option<(TxId, u64)> {
        let tx = self.flows.iter().filter_map(|flow| flow.waiting).min()?;
        let first = self.flows.iter_mut().find(|flow| flow.waiting == Some(tx))?;
        let (frame, _) = first.head().ok().flatten()?;
        let members: Vec<usize> = frame.transaction()?.shards.iter().map(ShardId::index).collect();
        let owing = members.into_iter().filter_map(|member| self.flows.get(member));
        let owing: Vec<&Inflow> = owing.filter(|flow| flow.waiting != Some(tx)).collect();
        if owing.iter().any(|flow| !flow.is_read_on()) {
            // What is there waits for our own shards: nobody can say what is behind it.
            return None;
        }
        let came = |flow: &&Inflow| flow.came_bytes + flow.coming_bytes;
        (!owing.is_empty()).then(|| (tx, owing.iter().map(came).sum()))
    }

    /// Hands out a transaction of several flows if all its parts stand at the heads of their flows.
    fn take_transaction(&mut self, tx: TxId) -> Result<(), String> {
        let Some(members) = self.members_if_all_there(tx)? else { return Ok(()) };
        // All parts are looked at before anything is changed: no half of it is counted as handed out.
        let (mut merged, mut parts, mut total) = (Merged::default(), Vec::new(), 0);
        for &index in &members {
            let flow = &mut self.flows[usize::from(index)];
            let (frame, used) = flow.head()?.ok_or("a part of a transaction is gone")?;
            merged.add(&frame, self.shards)?;
            parts.push((index, used, frame.lsn_count()));
            total += used;
        }
        let unit = self.next_unit;
        self.next_unit += 1;
        let shared: Rc<[u16]> = Rc::from(members.as_slice());
        let (mut reached, mut passed) = (Vec::new(), None);
        for (index, used, count) in parts {
            let flow = &mut self.flows[usize::from(index)];
            let raw = flow.take(used);
            flow.waiting = None;
            flow.taken = Lsn(flow.taken.0 + count);
            let end = flow.taken;
            flow.steps.push_back(Step { unit, members: shared.clone(), end, raw });
            reached.push((index, end));
            passed = passed.or_else(|| flow.passed.clone());
        }
        self.note_globals(&merged.globals);
        let is_global = !merged.globals.is_empty();
        let mut parts = merged.into_parts(tx, self.shards);
        if parts.is_empty() {
            // Only empty parts: nothing to apply, but the positions move.
            parts.insert(ShardId(0), Vec::new());
        }
        let left = parts.len();
        self.units.insert(unit, Unit { left, bytes: total, flows: members, is_lost: false });
        self.in_flight += total;
        self.ready.push_back(one_batch_or_as_one(AsOne {
            unit,
            parts,
            is_global,
            reached,
            passed,
        }));
        Ok(())
    }

    /// The flows of a transaction, if its parts are at the heads of all of them.
    fn members_if_all_there(&mut self, tx: TxId) -> Result<Option<Vec<u16>>, String> {
        let mut members: Option<Vec<u16>> = None;
        for flow in self.flows.iter_mut().filter(|flow| flow.waiting == Some(tx)) {
            let Some((frame, _)) = flow.head()? else { return Ok(None) };
            let Some(transaction) = frame.transaction() else { return Ok(None) };
            let said = transaction.shards.iter().map(|shard| shard.0).collect();
            if *members.get_or_insert_with(|| Vec::clone(&said)) != said {
                return Err(format!("the parts of transaction {} name different flows", tx.0));
            }
        }
        let Some(members) = members else { return Ok(None) };
        for &member in &members {
            let flow = &self.flows[usize::from(member)];
            match flow.waiting {
                Some(other) if other == tx => {}
                // In one global order a younger one is not before it: both would wait for ever.
                Some(other) if other > tx => {
                    return Err(format!("transactions {} and {} cross", tx.0, other.0));
                }
                // Its head, or what was taken of it, is younger.
                _ if flow.last_tx >= tx => {
                    return Err(format!("a part of transaction {} is left out", tx.0));
                }
                _ => return Ok(None),
            }
        }
        Ok(Some(members))
    }

    /// FLUSHALL and its kin in the middle of a full sync change how far it has come, for what follows.
    fn note_globals(&mut self, globals: &[Global]) {
        for flow in self.flows.iter_mut().filter(|flow| flow.passed.is_some()) {
            let mut passed = Passed { seed: self.seed, boundaries: flow.boundaries.clone() };
            globals.iter().for_each(|global| passed.note_global(*global));
            flow.boundaries.clone_from(&passed.boundaries);
            flow.passed = Some(Arc::new(passed));
        }
    }
}

/// Whether every key of a frame belongs to its flow: one that does not would stand where nobody looks
/// for it.
fn check_owner(frame: &Frame<'_>, flow: usize, flows: usize) -> Result<(), String> {
    let belongs = |entry| match entry {
        FrameEntry::Record(Record { key, .. }) => shard_of(key, flows as u16).index() == flow,
        FrameEntry::Global(_) => true,
    };
    match flows == 1 || frame.entries().all(belongs) {
        true => Ok(()),
        false => Err("a key that belongs to another flow".to_owned()),
    }
}

/// Whether a frame of flow `flow` waits for the other flows: it has parts on them, or changes whole
/// databases.
fn needs_others(frame: &Frame<'_>, flow: usize, flows: usize) -> Result<bool, String> {
    let Some(transaction) = frame.transaction() else { return Ok(false) };
    let (count, highest) = (transaction.shards.count(), transaction.shards.highest().index());
    if !transaction.shards.contains(ShardId(flow as u16)) || highest >= flows {
        return Err("a transaction that does not belong to its flow".to_owned());
    }
    let has_global = frame.entries().any(|entry| matches!(entry, FrameEntry::Global(_)));
    if has_global && count != flows {
        return Err("a change of whole databases that is not on all flows".to_owned());
    }
    Ok(count > 1 || has_global)
}

/// What needs only one shard, and not alone, is applied as one anyway when it is one batch.
fn one_batch_or_as_one(mut as_one: AsOne) -> Dispatch {
    if as_one.parts.len() == 1
        && !as_one.is_global
        && let Some((shard, frames)) = as_one.parts.pop_first()
    {
        let AsOne { unit, reached, passed, .. } = as_one;
        let are_items = false;
        return Dispatch::Batch(Batch { unit, shard, frames, are_items, reached, passed });
    }
    Dispatch::AsOne(as_one)
}
