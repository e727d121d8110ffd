//! Numbers with types: an index is not a count is not a size.
//!
//! Everything here is a plain value without behaviour of its own; the rooms above give it meaning.

use std::fmt;

/// Which shard of this node (or, in a flow, of the upstream node), counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ShardId(pub u16);

impl ShardId {
    /// As an index into a per-shard vector.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Which logical database (`SELECT n`), counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct DbIndex(pub u16);

impl DbIndex {
    /// As an index into the vector of databases.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A position in one shard's journal: how many records stand before and at it.
///
/// `Lsn(0)` is the beginning of a history: nothing has been written. The first record is `Lsn(1)`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A transaction of many shards, in the node's one global order. Never 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TxId(pub u64);

/// One of the 16384 slots of the key space, as in Redis Cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Slot(pub u16);

/// How many slots the key space has.
pub const SLOTS: u16 = 16384;

/// Milliseconds since the Unix epoch (a wall-clock instant, not a duration).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Millis(pub u64);

/// The slot of `key`: CRC16 (XMODEM) of the key, or of its first non-empty `{tag}`, modulo 16384.
///
/// Source: Redis Cluster specification, "Key distribution model" and "Hash tags".
pub fn slot_of(key: &[u8]) -> Slot {
    Slot(crc16(hash_tag(key)) % SLOTS)
}

/// The part of `key` that decides its slot: what stands between the first `{` and the next `}`,
/// unless that is empty or there is none; then the whole key.
pub fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = memchr::memchr(b'{', key) else { return key };
    let rest = &key[open + 1..];
    match memchr::memchr(b'}', rest) {
        Some(close) if close > 0 => &rest[..close],
        _ => key,
    }
}

/// The shard that owns `slot` when the key space is cut into `shards` contiguous ranges.
pub fn shard_of_slot(slot: Slot, shards: u16) -> ShardId {
    // floor(slot * shards / 16384): ranges differ in length by at most one slot.
    ShardId((u32::from(slot.0) * u32::from(shards) / u32::from(SLOTS)) as u16)
}

/// The shard that owns `key` among `shards`.
pub fn shard_of(key: &[u8], shards: u16) -> ShardId {
    if shards == 1 {
        return ShardId(0);
    }
    shard_of_slot(slot_of(key), shards)
}

/// CRC16/XMODEM: polynomial 0x1021, initial value 0, not reflected.
///
/// Eight bytes at a time: of one byte after the other each would wait for the look-up of the one before.
pub fn crc16(bytes: &[u8]) -> u16 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let crc = eights.iter().fold(0u16, |crc, &[b0, b1, b2, b3, b4, b5, b6, b7]| {
        let [high, low] = crc.to_be_bytes();
        let far = [b0 ^ high, b1 ^ low, b2, b3, b4, b5, b6, b7];
        (0..8).fold(0, |crc, at| crc ^ CRC16_TABLES[7 - at][usize::from(far[at])])
    });
    rest.iter()
        .fold(crc, |crc, byte| (crc << 8) ^ CRC16_TABLES[0][usize::from((crc >> 8) as u8 ^ byte)])
}

/// `[n][b]`: the remainder of the byte b with n bytes of zeros behind it.
static CRC16_TABLES: [[u16; 256]; 8] = crc16_tables();

const fn crc16_tables() -> [[u16; 256]; 8] {
    let mut tables = [[0u16; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut zeros = 0;
        while zeros < 8 {
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
                bit += 1;
            }
            tables[zeros][byte] = crc;
            zeros += 1;
        }
        byte += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis_cluster() {
        // Answers of CLUSTER KEYSLOT on a redis-server.
        for (key, slot) in
            [("", 0), ("123456789", 12739), ("foo", 12182), ("{user1000}.following", 3443)]
        {
            assert_eq!(slot_of(key.as_bytes()), Slot(slot), "{key}");
        }
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"user1000"));
        assert_eq!(slot_of(b"foo{}{bar}"), Slot(crc16(b"foo{}{bar}") % SLOTS));
    }

    #[test]
    fn the_remainder_is_that_of_one_byte_after_the_other() {
        let bytes: Vec<u8> = (0..100u32).map(|at| (at * 167 + 13) as u8).collect();
        for length in 0..bytes.len() {
            let one_by_one = bytes[..length].iter().fold(0u16, |crc, byte| {
                (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
                    if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 }
                })
            });
            assert_eq!(crc16(&bytes[..length]), one_by_one, "{length}");
        }
    }

    #[test]
    fn every_shard_owns_a_contiguous_range_and_all_slots_are_owned() {
        for shards in [1u16, 2, 3, 8, 1000] {
            let owners: Vec<u16> = (0..SLOTS).map(|s| shard_of_slot(Slot(s), shards).0).collect();
            assert!(owners.is_sorted());
            assert_eq!(owners[0], 0);
            assert_eq!(*owners.last().unwrap(), shards - 1);
        }
    }
}
