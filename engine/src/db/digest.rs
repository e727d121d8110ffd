//! A digest of data that does not depend on the order of keys, the number of shards or table seeds.
//!
//! Each (database, key, value, deadline) is hashed with fixed seeds to 160 bits; the digest of a set is
//! the sum of its members' words, so that shards' digests simply add up. Not cryptographic: it finds
//! differences, it does not withstand somebody who makes collisions.

use super::Keyspace;
use crate::types::{DbIndex, Millis};
use crate::value::Item;
use std::fmt;

/// 160 bits, added word by word.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Digest([u32; 5]);

impl Digest {
    /// The digest of one item.
    pub fn of(db: DbIndex, item: &Item) -> Digest {
        let mut bytes = Vec::with_capacity(item.key().len() + 64);
        bytes.extend_from_slice(&db.0.to_le_bytes());
        bytes.extend_from_slice(&(item.key().len() as u64).to_le_bytes());
        bytes.extend_from_slice(item.key());
        bytes.extend_from_slice(&item.deadline().unwrap_or(Millis(0)).0.to_le_bytes());
        if let Some(value) = item.string() {
            value.with_stretches(0..value.len(), |part| bytes.extend_from_slice(part));
            return Digest::of_bytes(&bytes);
        }
        bytes.push(item.kind().number);
        let (mut digest, place) = (Digest::of_bytes(&bytes), bytes.len());
        if let Some(object) = item.object() {
            object.digest(&mut |part| {
                bytes.truncate(place);
                bytes.extend_from_slice(part);
                digest.add(Digest::of_bytes(&bytes));
            });
        }
        digest
    }

    fn of_bytes(bytes: &[u8]) -> Digest {
        let word = |seed| crate::table::hash_with(seed, bytes);
        let (a, b, c) = (word(0x6461_6d73), word(0x656c_666c), word(0x7921_0a0a));
        Digest([a as u32, (a >> 32) as u32, b as u32, (b >> 32) as u32, c as u32])
    }

    /// Adds another set's digest.
    pub fn add(&mut self, other: Digest) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word = word.wrapping_add(more);
        }
    }

    /// As bytes, for carrying between shards.
    pub fn to_bytes(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        for (chunk, word) in bytes.chunks_exact_mut(4).zip(self.0) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Back from bytes.
    pub fn from_bytes(bytes: &[u8; 20]) -> Digest {
        let mut words = [0; 5];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        }
        Digest(words)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|word| write!(f, "{word:08x}"))
    }
}

impl Keyspace {
    /// The digest of all databases of this shard, expired but not yet deleted items included.
    pub fn digest(&self) -> Digest {
        let (mut digest, mut at) = (Digest::default(), Some((0, 0)));
        while let Some(from) = at {
            at = self.digest_piece(from, &mut digest);
        }
        digest
    }

    /// Adds the digest of some items to `digest`, from a database and a place in it on; answers with where
    /// to go on.
    pub fn digest_piece(
        &self,
        (index, at): (usize, u64),
        digest: &mut Digest,
    ) -> Option<(usize, u64)> {
        /// Buckets in a row: some 20 us where the values are small.
        const BUCKETS: usize = 16;
        let (db, mut at) = (DbIndex(index as u16), crate::table::Cursor(at));
        for _ in 0..BUCKETS {
            match self.table(db).walk(at, &mut |_, item| digest.add(Digest::of(db, item))) {
                Some(next) => at = next,
                None => return Some((index + 1, 0)).filter(|_| index + 1 < self.db_count()),
            }
        }
        Some((index, at.0))
    }

    /// The digest of one key: zero when it does not exist.
    pub fn digest_of(&mut self, db: DbIndex, key: &[u8]) -> Digest {
        self.peek(db, key).map_or(Digest::default(), |item| Digest::of(db, item))
    }
}
