//! Going over the table without holding it: walks, sweeps for what is due, samples.
//!
//! Why a walk misses nothing is argued in the room's doc.

use super::bucket::SLOTS;
use super::hash::KeyHash;
use super::sizes::BUCKETS_LAST;
use super::{Table, TableEntry};

/// A boundary between hashes: all entries with a smaller hash have been visited, no other has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Cursor(pub u64);

impl Cursor {
    /// Nothing has been visited.
    pub const START: Self = Self(0);

    /// Whether a walk that stands here has passed the entries with this hash.
    pub fn has_passed(self, hash: u64) -> bool {
        hash < self.0
    }
}

/// How far [`Table::sweep_due`] came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sweep {
    /// Where to go on; `None` at the end of the table.
    pub next: Option<Cursor>,
    /// How many segments had to be looked into.
    pub searched: usize,
}

/// How many segments with nothing due one sweep passes at most. At a few ns each this is some 10 us.
const SKIPPED_MAX: usize = 2048;

impl<E: TableEntry, H: KeyHash> Table<E, H> {
    /// One step of a walk: visits the entries whose home is the bucket at `cursor`, wherever they are
    /// stored, and returns the boundary behind them; `None` at the end.
    pub fn walk(&self, cursor: Cursor, visit: &mut dyn FnMut(u64, &E)) -> Option<Cursor> {
        let segment = &self.segments[self.segment_of(cursor.0)];
        let home = segment.home(cursor.0);
        let end = segment.boundary(home + 1).map(Cursor);
        #[cfg(feature = "planted-bugs")]
        if super::planted::walk_goes_by_storage() {
            for entry in segment.stored_in(home) {
                visit(self.hash(entry.key()), entry);
            }
            return end;
        }
        segment.visit_home(home, &self.hasher, |hash, entry| {
            if !cursor.has_passed(hash) {
                visit(hash, entry);
            }
        });
        end
    }

    /// Looks for entries that are due at `now` (that is, `due() <= now`), from the segment at `from` on,
    /// and looks into at most `budget_segments` segments. Those whose lower bound says that nothing in
    /// them is due are passed for a few ns each; a search costs some 5 to 15 us.
    ///
    /// `on_due` is told the hash and the entry, and answers whether the caller will certainly remove it
    /// (with [`Table::remove`], afterwards). For `false` the segment stays one with something due.
    pub fn sweep_due(
        &mut self,
        from: Cursor,
        now: u64,
        budget_segments: usize,
        on_due: &mut dyn FnMut(u64, &E) -> bool,
    ) -> Sweep {
        let mut cursor = from;
        let (mut searched, mut skipped) = (0, 0);
        while searched < budget_segments && skipped < SKIPPED_MAX {
            let index = self.segment_of(cursor.0);
            let segment = &mut self.segments[index];
            if segment.due_floor() <= now {
                segment.sweep_due(now, &self.hasher, on_due);
                searched += 1;
            } else {
                skipped += 1;
            }
            match segment.end() {
                Some(next) => cursor = Cursor(next),
                None => return Sweep { next: None, searched },
            }
        }
        Sweep { next: Some(cursor), searched }
    }

    /// Visits `wanted` entries from random places (fewer only if the table is empty); one entry may be
    /// visited more than once. Each entry is equally likely, in small and in sparse tables too, as long as
    /// hashes are well spread: random slots are tried until a full one is found, with segments weighed by
    /// how many slots they have.
    pub fn sample(
        &self,
        random: &mut fastrand::Rng,
        wanted: usize,
        visit: &mut dyn FnMut(u64, &E),
    ) {
        if self.is_empty() {
            return;
        }
        for _ in 0..wanted {
            let entry = self.random_entry(random);
            visit(self.hash(entry.key()), entry);
        }
    }

    fn random_entry(&self, random: &mut fastrand::Rng) -> &E {
        for _ in 0..TRIES_MAX {
            let segment = &self.segments[self.segment_of(random.u64(..))];
            // A segment that k directory entries name is chosen k times as often as one with its own:
            // its slots are drawn from a range k times as wide. All slots are then equally likely. One
            // segment alone, which may have very few slots, is drawn from as it is.
            let slots = match self.segments.len() {
                1 => segment.slot_count(),
                _ => (BUCKETS_LAST * SLOTS) << (self.depth() - u32::from(segment.depth())),
            };
            if let Some(entry) = segment.stored_at(random.usize(..slots)) {
                return entry;
            }
        }
        // A table with very few entries for its size: they are counted.
        let mut ticket = random.usize(..self.len);
        for segment in &self.segments {
            if ticket < segment.len() {
                let mut entries = (0..segment.bucket_count()).flat_map(|at| segment.stored_in(at));
                return entries.nth(ticket).expect("a segment has as many entries as it says");
            }
            ticket -= segment.len();
        }
        unreachable!("the segments have as many entries as the table")
    }
}

/// Tries of which, in a table as full as tables are, all but one in a billion billion succeed.
const TRIES_MAX: usize = 256;
