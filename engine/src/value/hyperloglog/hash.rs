//! MurmurHash64A with Redis's seed, fed piece by piece.

const SEED: u64 = 0xadc8_3b19;
const FACTOR: u64 = 0xc6a4_a793_5bd1_e995;
const SHIFT: u32 = 47;

/// A hash under way.
#[derive(Clone, Copy, Debug)]
pub struct Hashing(u64);

impl Hashing {
    /// The hash of an element that lies together.
    pub fn of(element: &[u8]) -> u64 {
        Hashing::begin(element.len()).end(element)
    }

    /// Begins with an element of this length.
    pub fn begin(length: usize) -> Hashing {
        Hashing(SEED ^ (length as u64).wrapping_mul(FACTOR))
    }

    /// The next bytes: whole words of eight, but for the last ones.
    #[must_use]
    pub fn and(self, bytes: &[u8]) -> Hashing {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut hash = words.iter().fold(self.0, |hash, word| {
            let mut word = u64::from_le_bytes(*word).wrapping_mul(FACTOR);
            word ^= word >> SHIFT;
            (hash ^ word.wrapping_mul(FACTOR)).wrapping_mul(FACTOR)
        });
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            hash = (hash ^ u64::from_le_bytes(last)).wrapping_mul(FACTOR);
        }
        Hashing(hash)
    }

    /// The last bytes, and the hash.
    pub fn end(self, bytes: &[u8]) -> u64 {
        let Hashing(mut hash) = self.and(bytes);
        hash ^= hash >> SHIFT;
        hash = hash.wrapping_mul(FACTOR);
        hash ^ hash >> SHIFT
    }
}
