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
//! An entry of very many keys ([`Wants::Many`]) stands in no key's queue: its keys are one list that whoever
//! comes later looks into ([`ManyKeys`]), so that taking and giving back 200,000 keys costs next to nothing.
//!
//! A *barrier* ([`Wants::Everything`]) is granted when everything before it is gone, and everything
//! after it waits behind it:
//!
//! ```text
//!   admitted: T1{a} T2{a,b} | barrier T3 (waits for T1 and T2) | behind: T4{c} T5{a}
//! ```
//!
//! So that a barrier need not hold up everybody while somebody before it takes seconds, whoever wants one may first
//! *outwait* what is there ([`Locks::outwait`]): that is granted when everything before it is gone, and nobody waits
//! for it.

use super::wanted::{ManyKeys, Mode};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Names an entry of this shard's lock table; never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct EntryId(pub u64);

/// What an entry asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wants {
    /// These keys (hashes).
    Keys(Vec<(u64, Mode)>),
    /// The same for very many of them.
    Many(Arc<ManyKeys>),
    /// The whole shard, alone.
    Everything,
}

/// Keys from which on an entry's are kept as one list.
pub(crate) const MANY_FROM: usize = 1024;

impl Wants {
    /// Keys with duplicates merged: an entry must not wait for itself. A key that is wanted both ways is
    /// wanted alone.
    pub fn keys(keys: impl IntoIterator<Item = (u64, Mode)>) -> Wants {
        let mut list: Vec<(u64, Mode)> = keys.into_iter().collect();
        if list.len() >= MANY_FROM {
            return Wants::Many(Arc::new(ManyKeys::of(&list)));
        }
        list.sort_unstable_by_key(|&(hash, mode)| (hash, mode == Mode::Shared));
        list.dedup_by_key(|&mut (hash, _)| hash);
        Wants::Keys(list)
    }
}

/// By a key's hash, which nobody outside can choose, or by a number of ours: no need to hash it with care.
pub(super) type Map<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// The lock table of one shard.
#[derive(Default)]
pub struct Locks {
    keys: Map<u64, VecDeque<(EntryId, Mode)>>,
    /// Entries that wait for this many more keys.
    missing: Map<EntryId, usize>,
    /// Entries of many keys, in the order of their arrival.
    many: Vec<(EntryId, Arc<ManyKeys>)>,
    /// Who waits for an entry to end, beside the queues: one of many keys, or behind one.
    followers: Map<EntryId, Vec<EntryId>>,
    /// Entries admitted (granted or waiting for keys), barriers excluded.
    admitted: usize,
    /// A barrier that waits or holds.
    barrier: Option<EntryId>,
    /// What arrived after the barrier, in order.
    behind: VecDeque<(EntryId, Wants)>,
    /// Those who outwait, in the order of their arrival, and how many of those before them are still there.
    outwaiting: Vec<(EntryId, usize)>,
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
            || self.many.iter().any(|(_, keys)| keys.excludes(hash, mode))
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
        self.barrier.is_some()
            || self.keys.keys().any(|&hash| within(hash))
            || self.many.iter().any(|(_, keys)| keys.any_within(start, end))
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
            Wants::Many(keys) => self.admit_many(id, keys),
        }
    }

    /// Waits until all that is here is gone, and holds up nobody meanwhile; `true` when there is nothing. There is
    /// nothing to release. Ids are to be given in the order of arrival.
    pub fn outwait(&mut self, id: EntryId) -> bool {
        let before = self.len();
        if before > 0 {
            self.outwaiting.push((id, before));
        }
        before == 0
    }

    /// Tells those who outwait it that an entry is gone.
    fn note_gone(&mut self, id: EntryId, granted: &mut VecDeque<EntryId>) {
        self.outwaiting.retain_mut(|(waiting, before)| {
            *before -= usize::from(id < *waiting);
            if *before == 0 {
                granted.push_back(*waiting);
            }
            *before > 0
        });
    }

    fn admit_many(&mut self, id: EntryId, keys: &Arc<ManyKeys>) -> bool {
        self.admitted += 1;
        let mut before = Vec::new();
        for (&hash, queue) in &self.keys {
            let Some(mode) = keys.mode_of(hash) else { continue };
            let excluded = queue.iter().filter(|(_, theirs)| mode.excludes(*theirs));
            before.extend(excluded.map(|&(other, _)| other));
        }
        // Two of many keys each: whether they have one in common is not worth the search.
        let excluded = self.many.iter().filter(|(_, them)| keys.any_alone() || them.any_alone());
        before.extend(excluded.map(|&(other, _)| other));
        before.sort_unstable();
        before.dedup();
        self.many.push((id, keys.clone()));
        self.follow(id, &before, 0)
    }

    /// Lets an entry wait for these others, and for so many keys; `true` when there is nothing to wait for.
    fn follow(&mut self, id: EntryId, before: &[EntryId], keys: usize) -> bool {
        for &other in before {
            self.followers.entry(other).or_default().push(id);
        }
        let missing = keys + before.len();
        if missing > 0 {
            self.missing.insert(id, missing);
        }
        missing == 0
    }

    /// An entry that others follow has ended.
    fn let_follow(&mut self, id: EntryId, granted: &mut VecDeque<EntryId>) {
        for next in self.followers.remove(&id).unwrap_or_default() {
            self.note_one_less(next, granted);
        }
    }

    fn note_one_less(&mut self, id: EntryId, granted: &mut VecDeque<EntryId>) {
        let missing = self.missing.get_mut(&id).expect("a waiting entry is counted");
        *missing -= 1;
        if *missing == 0 {
            self.missing.remove(&id);
            granted.push_back(id);
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
        let is_behind =
            |many: &ManyKeys| keys.iter().any(|&(hash, mode)| many.excludes(hash, mode));
        let before: Vec<EntryId> =
            self.many.iter().filter(|(_, many)| is_behind(many)).map(|&(id, _)| id).collect();
        self.follow(id, &before, missing)
    }

    /// Gives back what a granted entry held; `granted` receives the entries that may go on now.
    pub fn release(&mut self, id: EntryId, wants: &Wants, granted: &mut VecDeque<EntryId>) {
        self.note_gone(id, granted);
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
                for &(hash, _) in keys {
                    self.leave(id, hash, granted);
                }
                self.one_less(id, granted);
            }
            Wants::Many(_) => {
                self.many.retain(|&(other, _)| other != id);
                self.one_less(id, granted);
            }
        }
    }

    fn one_less(&mut self, id: EntryId, granted: &mut VecDeque<EntryId>) {
        self.let_follow(id, granted);
        self.admitted -= 1;
        if self.admitted == 0
            && let Some(barrier) = self.barrier
        {
            granted.push_back(barrier);
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
        let next: Vec<EntryId> =
            queue.iter().take(held_now).skip(held_before - 1).map(|&(next, _)| next).collect();
        if queue.is_empty() {
            self.keys.remove(&hash);
        }
        for next in next {
            self.note_one_less(next, granted);
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
    fn whoever_outwaits_waits_for_all_before_it_and_holds_up_nobody() {
        let mut table = Table::new();
        assert!(table.locks.outwait(EntryId(1)), "nothing is there");
        assert!(table.ask(2, keys(&[(1, Shared)])));
        assert!(!table.ask(3, keys(&[(1, Exclusive)])));
        assert!(!table.locks.outwait(EntryId(4)));
        assert!(table.ask(5, keys(&[(2, Exclusive)])), "others go on");
        assert!(!table.locks.must_wait(9, Exclusive) && table.locks.len() == 3);
        assert!(!table.ask(6, Wants::Everything));
        assert!(!table.locks.outwait(EntryId(7)));
        assert_eq!(table.done(5), [], "it came later");
        assert_eq!(table.done(2), [3]);
        assert_eq!(table.done(3), [4, 6]);
        assert_eq!(table.done(6), [7], "the barrier was before it");
        assert!(table.locks.is_quiet() && table.locks.outwait(EntryId(8)));
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
        let mut outwaiting: Vec<u64> = Vec::new();
        for step in 0..20_000 {
            if step < 19_000 && random.bool() {
                next += 1;
                let wants = if random.u8(..) < 8 {
                    Wants::Everything
                } else {
                    let wants = Wants::keys((0..random.usize(1..4)).map(|_| {
                        (random.u64(0..6), if random.bool() { Shared } else { Exclusive })
                    }));
                    // Some as if they had very many.
                    match wants {
                        Wants::Keys(keys) if random.u8(..) < 64 => {
                            Wants::Many(Arc::new(ManyKeys::of(&keys)))
                        }
                        wants => wants,
                    }
                };
                if table.ask(next, wants) {
                    holding.push(next)
                } else {
                    waiting.push(next)
                }
                if random.u8(..) < 8 {
                    next += 1;
                    let is_over = table.locks.outwait(EntryId(next));
                    assert!(!is_over, "at least the last is there");
                    outwaiting.push(next);
                }
            } else if !holding.is_empty() {
                let id = holding.swap_remove(random.usize(..holding.len()));
                take_granted(table.done(id), &mut holding, &mut waiting, &mut outwaiting);
            }
            check_compatible(&table, &holding);
        }
        while let Some(id) = holding.pop() {
            take_granted(table.done(id), &mut holding, &mut waiting, &mut outwaiting);
        }
        assert!(outwaiting.is_empty(), "SEED={seed}");
        assert!(waiting.is_empty() && table.locks.is_quiet(), "SEED={seed}");
    }

    /// Whoever outwaits has its turn when all that came before it, and nobody else, is gone.
    fn take_granted(
        granted: Vec<u64>,
        holding: &mut Vec<u64>,
        waiting: &mut Vec<u64>,
        outwaiting: &mut Vec<u64>,
    ) {
        for granted in granted {
            if let Some(place) = waiting.iter().position(|&id| id == granted) {
                waiting.swap_remove(place);
                holding.push(granted);
                continue;
            }
            let place = outwaiting.iter().position(|&id| id == granted).expect("was waiting");
            outwaiting.remove(place);
            assert!(holding.iter().chain(&*waiting).all(|&id| id > granted));
        }
        let oldest = holding.iter().chain(&*waiting).min();
        assert!(outwaiting.iter().all(|id| oldest.is_some_and(|oldest| oldest < id)));
    }

    fn list(wants: &Wants) -> Vec<(u64, Mode)> {
        match wants {
            Wants::Keys(keys) => keys.clone(),
            Wants::Many(keys) => {
                (0..200).filter_map(|hash| Some((hash, keys.mode_of(hash)?))).collect()
            }
            Wants::Everything => Vec::new(),
        }
    }

    #[test]
    fn many_keys_are_one_list_that_whoever_comes_later_looks_into() {
        let mut table = Table::new();
        // One key stands for its neighbour too (`ManyKeys`).
        let many = |from: u64, mode| {
            let keys: Vec<_> = (from..from + 10).map(|key| (key, mode)).collect();
            Wants::Many(Arc::new(ManyKeys::of(&keys)))
        };
        assert!(table.ask(1, keys(&[(3, Shared), (99, Exclusive)])));
        assert!(!table.ask(2, many(0, Exclusive)), "it waits for the reader of 3");
        assert!(!table.ask(3, keys(&[(7, Shared)])), "nobody overtakes it");
        assert!(table.ask(4, keys(&[(10, Exclusive)])), "other keys go on");
        assert!(table.locks.must_wait(9, Shared) && !table.locks.must_wait(11, Exclusive));
        assert!(table.locks.any_open(9, Some(10)) && !table.locks.any_open(50, Some(60)));
        assert!(!table.ask(5, many(100, Exclusive)));
        assert_eq!(table.done(1), [2]);
        assert_eq!(table.done(2), [3, 5]);
        assert_eq!(table.done(3), []);
        assert_eq!(table.done(5), []);
        assert!(table.ask(6, many(200, Shared)) && table.ask(7, many(200, Shared)));
        table.done(6);
        table.done(7);
        table.done(4);
        assert!(table.locks.is_quiet() && table.locks.is_empty());
    }

    fn check_compatible(table: &Table, holding: &[u64]) {
        let mut held: HashMap<u64, Mode> = HashMap::new();
        for id in holding {
            match &table.wants[&EntryId(*id)] {
                Wants::Everything => assert_eq!(holding.len(), 1),
                Wants::Keys(_) | Wants::Many(_) => {
                    for (hash, mode) in list(&table.wants[&EntryId(*id)]) {
                        if let Some(other) = held.insert(hash, mode) {
                            assert!(mode == Shared && other == Shared);
                        }
                    }
                }
            }
        }
    }
}
