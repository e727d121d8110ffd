//! Which keys are open, and who waits for them.
//!
//! A transaction's keys are *open* from the moment it arrives at the shard until its frame is in the
//! log. Requests stand in one queue per key, in the order of arrival; a request is granted when all
//! requests before it are compatible (readers share, a writer is alone). Since all transactions of
//! many shards arrive everywhere in one global order, and everything else waits at one shard only, no
//! circle of waiting can form.
//!
//! Keys are known by their 64-bit hash, the database left out: two keys that collide merely wait for
//! each other.
//!
//! A *barrier* ([`Wants::Everything`]) is granted when everything before it is gone, and everything
//! after it waits behind it:
//!
//! ```text
//!   admitted: T1{a} T2{a,b} | barrier T3 (waits for T1 and T2) | behind: T4{c} T5{a}
//! ```

use std::collections::{HashMap, VecDeque};

/// Names an entry of this shard's lock table; never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct EntryId(pub u64);

/// How a key is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// With other readers.
    Shared,
    /// Alone.
    Exclusive,
}

/// What an entry asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wants {
    /// These keys (hashes).
    Keys(Vec<(u64, Mode)>),
    /// The whole shard, alone.
    Everything,
}

impl Wants {
    /// Keys with duplicates merged: an entry must not wait for itself.
    pub fn keys(keys: impl IntoIterator<Item = (u64, Mode)>) -> Wants {
        let mut list: Vec<(u64, Mode)> = keys.into_iter().collect();
        list.sort_unstable_by_key(|&(hash, mode)| (hash, mode == Mode::Shared));
        list.dedup_by_key(|&mut (hash, _)| hash);
        Wants::Keys(list)
    }
}

/// The lock table of one shard.
#[derive(Default)]
pub struct Locks {
    keys: HashMap<u64, VecDeque<(EntryId, Mode)>>,
    /// Entries that wait for this many more keys.
    missing: HashMap<EntryId, usize>,
    /// Entries admitted (granted or waiting for keys), barriers excluded.
    admitted: usize,
    /// A barrier that waits or holds.
    barrier: Option<EntryId>,
    /// What arrived after the barrier, in order.
    behind: VecDeque<(EntryId, Wants)>,
}

impl Locks {
    /// Whether nothing at all is open: the fast path of every command.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.admitted == 0 && self.barrier.is_none()
    }

    /// Whether a newcomer that wants `hash` would have to wait.
    pub fn must_wait(&self, hash: u64, mode: Mode) -> bool {
        self.barrier.is_some()
            || self.keys.get(&hash).is_some_and(|queue| match mode {
                Mode::Exclusive => true,
                Mode::Shared => queue.iter().any(|&(_, other)| other == Mode::Exclusive),
            })
    }

    /// Whether somebody has `hash` in hand, if only to read it: eviction keeps away from it, so that
    /// a transaction does not see a key vanish.
    pub fn is_held(&self, hash: u64) -> bool {
        !self.is_quiet() && self.must_wait(hash, Mode::Exclusive)
    }

    /// Whether somebody may be changing `hash`: cuts and expiry keep away from it.
    pub fn is_open(&self, hash: u64) -> bool {
        !self.is_quiet() && self.must_wait(hash, Mode::Shared)
    }

    /// Whether somebody has, or waits for, the whole shard.
    pub fn has_barrier(&self) -> bool {
        self.barrier.is_some()
    }

    /// Whether a transaction has a key with a hash from `start` on and before `end` (if there is one)
    /// in hand, whether the key exists or not. Readers count: they delete what has expired.
    pub fn any_open(&self, start: u64, end: Option<u64>) -> bool {
        let within = |hash: u64| hash >= start && end.is_none_or(|end| hash < end);
        self.barrier.is_some() || self.keys.keys().any(|&hash| within(hash))
    }

    /// How many entries there are, waiting ones included.
    pub fn len(&self) -> usize {
        self.admitted + usize::from(self.barrier.is_some()) + self.behind.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Asks for keys; `true` when all are granted at once.
    pub fn request(&mut self, id: EntryId, wants: &Wants) -> bool {
        if self.barrier.is_some() {
            self.behind.push_back((id, wants.clone()));
            return false;
        }
        match wants {
            Wants::Everything => {
                self.barrier = Some(id);
                self.admitted == 0
            }
            Wants::Keys(keys) => self.admit(id, keys),
        }
    }

    fn admit(&mut self, id: EntryId, keys: &[(u64, Mode)]) -> bool {
        self.admitted += 1;
        let mut missing = 0;
        for &(hash, mode) in keys {
            let queue = self.keys.entry(hash).or_default();
            let waits = match mode {
                Mode::Exclusive => !queue.is_empty(),
                Mode::Shared => queue.iter().any(|&(_, other)| other == Mode::Exclusive),
            };
            missing += usize::from(waits);
            queue.push_back((id, mode));
        }
        if missing > 0 {
            self.missing.insert(id, missing);
        }
        missing == 0
    }

    /// Gives back what a granted entry held; `granted` receives the entries that may go on now.
    pub fn release(&mut self, id: EntryId, wants: &Wants, granted: &mut VecDeque<EntryId>) {
        match wants {
            Wants::Everything => {
                assert_eq!(self.barrier, Some(id), "a barrier releases what it holds");
                self.barrier = None;
                while self.barrier.is_none()
                    && let Some((next, wants)) = self.behind.pop_front()
                {
                    if self.request(next, &wants) {
                        granted.push_back(next);
                    }
                }
            }
            Wants::Keys(keys) => {
                self.admitted -= 1;
                for &(hash, _) in keys {
                    self.leave(id, hash, granted);
                }
                if self.admitted == 0
                    && let Some(barrier) = self.barrier
                {
                    granted.push_back(barrier);
                }
            }
        }
    }

    /// Takes `id` out of one key's queue and grants what stood behind it.
    fn leave(&mut self, id: EntryId, hash: u64, granted: &mut VecDeque<EntryId>) {
        let queue = self.keys.get_mut(&hash).expect("a held key has a queue");
        let held_before = granted_prefix(queue);
        let place = queue.iter().position(|&(other, _)| other == id).expect("the holder is queued");
        assert!(place < held_before, "only a granted entry releases");
        queue.remove(place);
        let held_now = granted_prefix(queue);
        for &(next, _) in queue.iter().take(held_now).skip(held_before - 1) {
            let missing = self.missing.get_mut(&next).expect("a waiting entry is counted");
            *missing -= 1;
            if *missing == 0 {
                self.missing.remove(&next);
                granted.push_back(next);
            }
        }
        if queue.is_empty() {
            self.keys.remove(&hash);
        }
    }
}

/// How many requests at the head of a key's queue are granted: one writer, or all readers before the
/// first writer.
fn granted_prefix(queue: &VecDeque<(EntryId, Mode)>) -> usize {
    match queue.front() {
        None => 0,
        Some((_, Mode::Exclusive)) => 1,
        Some((_, Mode::Shared)) => {
            queue.iter().take_while(|&&(_, mode)| mode == Mode::Shared).count()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Mode::{Exclusive, Shared};

    struct Table {
        locks: Locks,
        wants: HashMap<EntryId, Wants>,
    }

    impl Table {
        fn new() -> Table {
            Table { locks: Locks::default(), wants: HashMap::new() }
        }
        fn ask(&mut self, id: u64, wants: Wants) -> bool {
            self.wants.insert(EntryId(id), wants.clone());
            self.locks.request(EntryId(id), &wants)
        }
        fn done(&mut self, id: u64) -> Vec<u64> {
            let mut granted = VecDeque::new();
            let wants = self.wants.remove(&EntryId(id)).unwrap();
            self.locks.release(EntryId(id), &wants, &mut granted);
            granted.into_iter().map(|id| id.0).collect()
        }
    }

    fn keys(list: &[(u64, Mode)]) -> Wants {
        Wants::keys(list.iter().copied())
    }

    #[test]
    fn readers_share_and_a_writer_waits_for_all_of_them() {
        let mut table = Table::new();
        assert!(table.ask(1, keys(&[(7, Shared)])));
        assert!(table.ask(2, keys(&[(7, Shared)])));
        assert!(!table.ask(3, keys(&[(7, Exclusive)])));
        assert!(!table.ask(4, keys(&[(7, Shared)])), "nobody overtakes a waiting writer");
        assert_eq!(table.done(2), []);
        assert_eq!(table.done(1), [3]);
        assert_eq!(table.done(3), [4]);
        assert_eq!(table.done(4), []);
        assert!(table.locks.is_quiet());
    }

    #[test]
    fn an_entry_is_granted_when_its_last_key_is_free() {
        let mut table = Table::new();
        assert!(table.ask(1, keys(&[(1, Exclusive)])));
        assert!(table.ask(2, keys(&[(2, Exclusive)])));
        assert!(!table.ask(3, keys(&[(1, Exclusive), (2, Shared), (1, Shared)])));
        assert_eq!(table.done(1), []);
        assert_eq!(table.done(2), [3]);
    }

    #[test]
    fn a_barrier_waits_for_everything_before_it_and_holds_up_everything_after_it() {
        let mut table = Table::new();
        assert!(table.ask(1, keys(&[(1, Shared)])));
        assert!(!table.ask(2, Wants::Everything));
        assert!(table.locks.must_wait(99, Shared));
        assert!(!table.ask(3, keys(&[(9, Shared)])));
        assert!(!table.ask(4, Wants::Everything));
        assert!(!table.ask(5, keys(&[(9, Shared)])));
        assert_eq!(table.done(1), [2]);
        assert_eq!(table.done(2), [3], "the next barrier waits for what stood before it");
        assert_eq!(table.done(3), [4]);
        assert_eq!(table.done(4), [5]);
    }

    #[test]
    fn random_entries_all_get_their_turn_and_never_hold_a_key_together() {
        let seed = std::env::var("SEED")
            .ok()
            .and_then(|s| s.parse().ok())
            .unwrap_or_else(|| fastrand::u64(..));
        println!("SEED={seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut table = Table::new();
        let (mut holding, mut waiting, mut next) = (Vec::new(), Vec::new(), 0);
        for step in 0..20_000 {
            if step < 19_000 && random.bool() {
                next += 1;
                let wants = if random.u8(..) < 8 {
                    Wants::Everything
                } else {
                    Wants::keys((0..random.usize(1..4)).map(|_| {
                        (random.u64(0..6), if random.bool() { Shared } else { Exclusive })
                    }))
                };
                if table.ask(next, wants) { holding.push(next) } else { waiting.push(next) }
            } else if !holding.is_empty() {
                let id = holding.swap_remove(random.usize(..holding.len()));
                for granted in table.done(id) {
                    let place = waiting.iter().position(|&w| w == granted).expect("was waiting");
                    waiting.swap_remove(place);
                    holding.push(granted);
                }
            }
            check_compatible(&table, &holding);
        }
        while let Some(id) = holding.pop() {
            for granted in table.done(id) {
                waiting.retain(|&w| w != granted);
                holding.push(granted);
            }
        }
        assert!(waiting.is_empty() && table.locks.is_quiet(), "SEED={seed}");
    }

    fn check_compatible(table: &Table, holding: &[u64]) {
        let mut held: HashMap<u64, Mode> = HashMap::new();
        for id in holding {
            match &table.wants[&EntryId(*id)] {
                Wants::Everything => assert_eq!(holding.len(), 1),
                Wants::Keys(keys) => {
                    for &(hash, mode) in keys {
                        if let Some(other) = held.insert(hash, mode) {
                            assert!(mode == Shared && other == Shared);
                        }
                    }
                }
            }
        }
    }
}
