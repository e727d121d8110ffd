//! Those who sleep on keys of this shard: who falls asleep, who is woken, in which order.
//!
//! ```text
//!   try ─┬─ something ─────────────────────────────────────────► reply
//!        └─ nothing ─► asleep ── a key is touched, logged ─► look ─┬─ nothing: sleeps on
//!                                                                  └─ claim ─► take, log ─► reply
//!                                                                        └─ claimed elsewhere: gone
//! ```
//!
//! One who sleeps on several shards has one claim for all of them; the shard that takes it serves. One who needs
//! other keys than those that are free here (BLMOVE to another shard) is told to look, and what is there is
//! promised to it until it has: a newcomer may be faster all the same, and then it goes on sleeping at its place.
//!
//! Serving comes right behind the task that has touched the key, before anybody else may run. The key is free
//! then, or held by just that task.

use super::body::{Shard, Waiting};
use super::locks::{EntryId, Wants};
use super::message::Answer;
use super::sleepers::{Bedding, Tried, Woken};
use super::wanted::Mode;
use crate::command::shape::{Pick, Take, Wait};
use crate::command::{Call, Cx, OwnedArgs, Refusal, Run};
use crate::db::{Role, WatchKey};
use crate::resp::Output;
use crate::types::Lsn;

/// How a command waits. Only who is of that shape sleeps.
fn shape(call: &Call<'_>) -> &'static Wait {
    match &call.entry.command.run {
        Run::Wait(wait) => wait,
        _ => unreachable!("{} does not wait", call.entry.name()),
    }
}

impl Shard {
    /// Tries a request at once, if none of its keys is open; else it is to be tried in a transaction.
    pub(crate) fn try_here(&mut self, bedding: Bedding) -> Result<Tried, Bedding> {
        if !self.locks.is_quiet() && self.must_wait(&bedding.call.view()) {
            return Err(bedding);
        }
        let tried = self.try_or_sleep(bedding);
        self.log_frame();
        self.serve_sleepers();
        Ok(tried)
    }

    /// Tries a request whose keys are all here, free or held for it; where there is nothing it falls asleep.
    pub(crate) fn try_or_sleep(&mut self, bedding: Bedding) -> Tried {
        let mut out = Output::default();
        match self.attempt(&bedding, &bedding.keys, &|| true, &mut out) {
            Ok(true) => Tried::Done(out),
            Ok(false) => Tried::Asleep(self.fall_asleep(bedding)),
            Err(refusal) => Tried::Refused(refusal),
        }
    }

    fn attempt(
        &mut self,
        bedding: &Bedding,
        keys: &[Pick],
        claim: &dyn Fn() -> bool,
        out: &mut Output,
    ) -> Result<bool, Refusal> {
        let call = bedding.call.view();
        if let Some(refusal) = self.closed_to(&call) {
            // Another shard may have served it.
            return if claim() { Err(refusal) } else { Ok(false) };
        }
        let wait = shape(&call);
        self.within(&call, out, |cx| wait.attempt(cx, call.args, keys, Some(claim)))
    }

    /// Lets a request sleep on its keys here, of which it was made sure that they have nothing for it.
    pub(crate) fn fall_asleep(&mut self, mut bedding: Bedding) -> u64 {
        self.sleepers.last += 1;
        let number = self.sleepers.last;
        self.settle_arguments(&mut bedding);
        let call = bedding.call.view();
        let wait = shape(&call);
        for pick in bedding.keys.iter().filter(|pick| wait.is_slept_on(**pick)) {
            let key = call.args.get(pick.position as usize);
            self.keys.wait_for(call.db, key, number, wait.awaits);
        }
        self.sleepers.all.insert(number, bedding);
        number
    }

    /// Arguments that mean something else from now on.
    fn settle_arguments(&mut self, bedding: &mut Bedding) {
        let call = bedding.call.view();
        let (wait, args) = (shape(&call), call.args);
        let mut settled = Vec::new();
        for pick in &bedding.keys {
            let (key, index) = (args.get(pick.position as usize), pick.index as usize);
            let settle = |cx: &mut Cx<'_>| (wait.settle)(cx, key, index, args);
            settled.extend(self.within(&call, &mut Output::default(), settle));
        }
        if settled.is_empty() {
            return;
        }
        let other = |index| settled.iter().find(|(at, _)| *at == index);
        let mut new = OwnedArgs::default();
        for index in 0..args.len() {
            match other(index) {
                Some((_, bytes)) => new.push(bytes),
                None => new.push_of(args, index),
            }
        }
        let call = call.with_args(new);
        bedding.call = call;
    }

    /// One that has this number sleeps no more, whatever the reason.
    pub(crate) fn wake_up(&mut self, number: u64) {
        self.forget_sleeper(number);
    }

    fn forget_sleeper(&mut self, number: u64) {
        let Some(bedding) = self.sleepers.all.remove(&number) else { return };
        let call = bedding.call.view();
        let wait = shape(&call);
        for pick in bedding.keys.iter().filter(|pick| wait.is_slept_on(**pick)) {
            let key = call.args.get(pick.position as usize);
            if self.keys.wait_no_more(call.db, key, number) {
                self.look_again((call.db, Box::from(key)));
            }
        }
    }

    /// Those who sleep on a key are to look, though nothing has touched it just now: when nobody holds it.
    fn look_again(&mut self, key: WatchKey) {
        let hash = self.keys.hash(&key.1);
        if self.locks.is_quiet() || !self.locks.must_wait(hash, Mode::Exclusive) {
            self.keys.look_at(key);
            return self.serve_sleepers();
        }
        let (entry, wants) = (self.new_entry(), Wants::keys([(hash, Mode::Exclusive)]));
        let granted = self.locks.request(entry, &wants);
        self.entries.insert(entry, Waiting::Sleepers { key, wants });
        if granted {
            self.granted.push_back(entry);
        }
    }

    /// The key that they are to look at is held for that now.
    pub(super) fn look_granted(&mut self, entry: EntryId, key: WatchKey, wants: &Wants) {
        self.keys.look_at(key);
        self.serve_sleepers();
        self.locks.release(entry, wants, &mut self.granted);
    }

    /// One that was told to look has looked, in vain: it goes on sleeping, and the others may look.
    pub(crate) fn sleep_on(&mut self, number: u64) {
        let Some(bedding) = self.sleepers.all.get(&number) else { return };
        let call = bedding.call.view();
        let keys = bedding.keys.iter().filter(|pick| shape(&call).is_slept_on(**pick));
        let keys = keys.map(|pick| (call.db, Box::from(call.args.get(pick.position as usize))));
        let keys: Vec<WatchKey> = keys.collect();
        for key in keys {
            if self.keys.end_promise(&key, number) {
                self.look_again(key);
            }
        }
    }

    /// Serves those who sleep on keys that were touched, in their order.
    #[inline]
    pub(super) fn serve_sleepers(&mut self) {
        if self.keys.has_awaited() {
            self.serve_awaited();
        }
    }

    #[cold]
    fn serve_awaited(&mut self) {
        if std::mem::replace(&mut self.sleepers.is_serving, true) {
            return;
        }
        // What is served may touch further keys.
        while let Some(key) = self.keys.next_awaited() {
            self.serve_key(&key);
        }
        self.sleepers.is_serving = false;
    }

    /// Serves those at one key.
    fn serve_key(&mut self, key: &WatchKey) {
        let mut after = 0;
        while let Some(number) = self.keys.next_waiting(key, after) {
            after = number;
            let Some(bedding) = self.sleepers.all.remove(&number) else { continue };
            if bedding.claim.is_taken() {
                self.sleepers.all.insert(number, bedding);
                self.forget_sleeper(number);
                continue;
            }
            match self.serve_one(key, &bedding) {
                Some(woken) => {
                    let to = bedding.reply_to;
                    let is_over = !matches!(woken, Woken::Look);
                    self.sleepers.all.insert(number, bedding);
                    if is_over {
                        self.forget_sleeper(number);
                    } else {
                        self.keys.promise(key, number);
                    }
                    self.answer(to, Answer::Value(Box::new(woken)));
                }
                None => drop(self.sleepers.all.insert(number, bedding)),
            }
        }
    }

    /// Looks whether there is something for one who sleeps, and does it.
    fn serve_one(&mut self, key: &WatchKey, bedding: &Bedding) -> Option<Woken> {
        let call = bedding.call.view();
        let free = self.keys_free(key, bedding);
        let is_carried = matches!(shape(&call).take, Take::Carry(_));
        if is_carried && (bedding.needs_others || free.len() < bedding.keys.len()) {
            return Some(Woken::Look);
        }
        let mut out = Output::default();
        let before = self.log.lsn();
        let claim = || bedding.claim.take();
        let outcome = self.attempt(bedding, &free, &claim, &mut out);
        // What was taken, or what a look has deleted.
        self.log_frame();
        match outcome {
            Ok(true) => {
                let written = if self.log.lsn() == before { Lsn(0) } else { self.log.lsn() };
                Some(Woken::Served(out, self.id, written))
            }
            Ok(false) => None,
            Err(refusal) => Some(Woken::Refused(refusal)),
        }
    }

    /// Its keys that may be looked at now: the one that was touched, and those that nobody holds.
    fn keys_free(&self, (_, touched): &WatchKey, bedding: &Bedding) -> Vec<Pick> {
        let call = bedding.call.view();
        let is_free = |pick: &&Pick| {
            let key = call.args.get(pick.position as usize);
            *key == **touched || !self.locks.must_wait(self.keys.hash(key), Mode::Exclusive)
        };
        bedding.keys.iter().filter(is_free).copied().collect()
    }

    /// The role of the node is another one. Who sleeps on a node that becomes a replica is told so.
    pub fn set_role(&mut self, role: Role) {
        let before = self.keys.role();
        self.keys.set_role(role);
        if before == role || role == Role::Master {
            return;
        }
        let numbers: Vec<u64> = self.sleepers.all.keys().copied().collect();
        for number in numbers {
            let Some(bedding) = self.sleepers.all.get(&number) else { continue };
            if bedding.claim.take() {
                let to = bedding.reply_to;
                self.answer(to, Answer::Value(Box::new(Woken::RoleChanged)));
            }
            self.forget_sleeper(number);
        }
    }
}
