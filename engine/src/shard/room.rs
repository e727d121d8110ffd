//! Memory: asked for before a task begins, never while one is under way.
//!
//! A command of one shard asks when it is about to run; whatever is wider (several shards, a MULTI) asks
//! for all its parts before the first key is taken ([`Front::make_room`]). So nothing is refused half
//! way, and what is evicted stands in the log before what it was evicted for.
//!
//! ```text
//!   enough ──────────────────────────────────────────────► runs
//!   short, and what was flushed is not given back yet ─► give back for a while ─► runs
//!   short, and something may go ─► evict for a while ─► runs (the rest goes in the heartbeats)
//!        └─ nothing here ─► others have something: they are asked ─► runs
//!   short, and nothing may go or is there ───────────────► OOM
//! ```
//!
//! As in Redis a command does not wait for the whole of a clean-up: it is refused only where nothing is
//! left to evict.
//!
//! [`Front::make_room`]: crate::exec::Front::make_room

use super::address::ExecutorId;
use super::body::{Message, Shard};
use super::turn::Turn;
use crate::db::Pressure;
use crate::limits::EVICTION_MICROS;
use crate::types::ShardId;
use std::time::Duration;

/// Entries of a flushed table freed between two looks at the clock.
pub(super) const FREED_PER_LOOK: usize = 64;

/// Keys evicted between two looks at the clock.
const EVICTED_PER_LOOK: usize = 8;

impl Shard {
    /// What memory means for a command that may need some. What the journal has taken a moment ago is
    /// no data: eviction must not make room for it.
    pub fn pressure(&self) -> Pressure {
        self.gate.pressure.as_ref().map_or(Pressure::None, |pressure| pressure())
    }

    /// Makes room for a command that may need memory; `false` when there is none to be had. Must not be
    /// called while a frame is under way: the victims' deletions are frames of their own.
    pub fn make_room(&mut self) -> bool {
        if self.pressure() == Pressure::None || self.give_back_flushed() {
            return true;
        }
        // Asked again: what was flushed may have been all that was too much.
        match self.pressure() {
            Pressure::None => true,
            Pressure::Refuse => false,
            // Nothing is evicted during a pause; what writes all the same is somebody who may.
            Pressure::Evict if self.keys.is_paused() => true,
            Pressure::Evict => self.evict_for_a_while() || self.ask_others_to_evict(),
        }
    }

    /// Gives back what was flushed: whoever writes meanwhile gives back more than it takes. Other shards are
    /// asked for theirs. `false` when memory is short of itself.
    fn give_back_flushed(&mut self) -> bool {
        self.frozen_gives_way();
        if !self.keys.going().any() {
            return false;
        }
        if self.free_for_a_while() {
            return true;
        }
        let me = self.id;
        for shard in (0..self.shards).map(ShardId).filter(|shard| *shard != me) {
            let free = |shard: &mut Shard| {
                shard.frozen_gives_way();
                shard.free_for_a_while();
            };
            self.send(ExecutorId::from(shard), Message::Call(Box::new(free)));
        }
        self.keys.going().any()
    }

    /// Whether making room has taken long enough, where time matters.
    fn was_at_it_for_long(&self, turn: &mut Turn) -> bool {
        self.is_timed && turn.is_longer(Duration::from_micros(EVICTION_MICROS))
    }

    /// Frees flushed tables until memory is no longer short or it has taken long enough; `false` when that
    /// came to the end of them.
    fn free_for_a_while(&mut self) -> bool {
        let mut turn = Turn::begin();
        while self.keys.free_flushed(FREED_PER_LOOK) {
            if self.pressure() == Pressure::None || self.was_at_it_for_long(&mut turn) {
                return true;
            }
        }
        false
    }

    /// Deletes keys until memory is no longer short or it has taken long enough; `false` when nothing
    /// was found and memory is short.
    fn evict_for_a_while(&mut self) -> bool {
        let mut turn = Turn::begin();
        let mut found = false;
        loop {
            for _ in 0..EVICTED_PER_LOOK {
                let locks = &self.locks;
                if !self.keys.evict_one(&mut |hash| locks.is_held(hash)) {
                    return found;
                }
                found = true;
                self.log_frame();
                if self.keys.is_paused() || self.pressure() != Pressure::Evict {
                    return true;
                }
            }
            if self.was_at_it_for_long(&mut turn) {
                return true;
            }
        }
    }

    /// This shard has found nothing. Those that have something evict it; answers whether any has.
    fn ask_others_to_evict(&mut self) -> bool {
        self.tell_victims();
        let victims = self.gate.victims.clone();
        for shard in victims.to_ask(self.id) {
            let evict = |shard: &mut Shard| {
                shard.gate.victims.begun(shard.id);
                shard.evict_slice();
            };
            self.send(ExecutorId::from(shard), Message::Call(Box::new(evict)));
        }
        victims.any()
    }

    /// Evicts for a while if memory is short; whether there is more to do.
    pub(super) fn evict_slice(&mut self) -> bool {
        if self.pressure() != Pressure::Evict || self.keys.is_paused() {
            return false;
        }
        if self.give_back_flushed() {
            return true;
        }
        let evicts = self.pressure() == Pressure::Evict;
        evicts && self.evict_for_a_while() && self.pressure() == Pressure::Evict
    }

    /// Tells the other shards what there is to evict here.
    pub(super) fn tell_victims(&self) {
        if self.gate.pressure.is_some() {
            self.gate.victims.tell(self.id, self.keys.victims());
        }
    }
}
