//! Registers, and which of them an element belongs to.

/// How many registers there are.
pub const REGISTERS: usize = 1 << INDEX_BITS;
const INDEX_BITS: u32 = 14;
/// Bits of a hash that say how high a register is.
pub(super) const HEIGHT_BITS: u32 = 64 - INDEX_BITS;

/// What is wrong with the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// They are another string.
    NoHyperLogLog,
    /// They begin as one and go on otherwise.
    Corrupted,
}

/// Where an element belongs, and the height that it asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The register.
    pub index: u16,
    /// 1 to 51.
    pub height: u8,
}

impl Mark {
    /// Of an element that hashes to this.
    pub fn of(hash: u64) -> Mark {
        let (index, rest) = (hash % REGISTERS as u64, hash >> INDEX_BITS);
        let zeros = (rest | 1 << HEIGHT_BITS).trailing_zeros();
        Mark { index: index as u16, height: zeros as u8 + 1 }
    }
}
