//! From a key to 64 bits: seeded, so that a stranger cannot aim at a bucket, and reproducible, so that
//! another node that knows the seed computes the same order.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;

/// A function from keys to hashes. All 64 bits count: the top ones choose segment and bucket, the low
/// ones the tag.
pub trait KeyHash {
    /// The hash of `key`; the same for the same key, always.
    fn hash(&self, key: &[u8]) -> u64;
}

/// The hash of the product: foldhash ("quality") under a seed.
#[derive(Clone, Debug)]
pub struct SeededHash(FixedState);

impl SeededHash {
    /// The function that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Self(FixedState::with_seed(seed))
    }
}

impl KeyHash for SeededHash {
    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(key);
        hasher.finish()
    }
}

/// The hash that a table made by [`Table::new`](super::Table::new) with `seed` gives to `key`.
pub fn hash_with(seed: u64, key: &[u8]) -> u64 {
    SeededHash::new(seed).hash(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_and_seed_are_part_of_the_hash() {
        let zeros = [0u8; 40];
        let mut seen: Vec<u64> = (0..=40).map(|length| hash_with(7, &zeros[..length])).collect();
        seen.extend((0..=40).map(|length| hash_with(8, &zeros[..length])));
        seen.sort_unstable();
        let before = seen.len();
        seen.dedup();
        assert_eq!(seen.len(), before);
        assert_eq!(hash_with(7, b"key"), SeededHash::new(7).hash(b"key"));
    }
}
