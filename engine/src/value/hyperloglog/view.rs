//! The bytes of a HyperLogLog, and what they say.

use super::mark::{Fault, Mark, REGISTERS};
use super::{dense, estimate, sparse};

pub(super) const MAGIC: &[u8] = b"HYLL";
pub(super) const ENCODING_AT: usize = 4;
const CARD_AT: usize = 8;
/// The byte that says that the count is out of date, by its top bit.
pub(super) const STALE_AT: usize = 15;
pub(super) const STALE: u8 = 0x80;
pub(super) const HEADER: usize = 16;
pub(super) const DENSE: u8 = 0;
pub(super) const SPARSE: u8 = 1;

/// The bytes of a HyperLogLog.
#[derive(Clone, Copy, Debug)]
pub struct HyperLogLog<'a>(&'a [u8]);

impl<'a> HyperLogLog<'a> {
    /// More bytes are corrupted ones: each register in an opcode of its own, of two bytes.
    pub const LENGTH_MAX: usize = HEADER + 2 * REGISTERS;

    /// Looks at the header.
    pub fn of(bytes: &'a [u8]) -> Result<HyperLogLog<'a>, Fault> {
        let is_one = bytes.len() >= HEADER
            && bytes.starts_with(MAGIC)
            && match bytes[ENCODING_AT] {
                DENSE => bytes.len() == HEADER + dense::BYTES,
                encoding => encoding == SPARSE,
            };
        if is_one { Ok(HyperLogLog(bytes)) } else { Err(Fault::NoHyperLogLog) }
    }

    /// Whether it has all registers.
    pub fn is_dense(self) -> bool {
        self.0[ENCODING_AT] == DENSE
    }

    /// The count that was noted, unless something has changed since.
    pub fn noted(self) -> Option<u64> {
        let count = self.0[CARD_AT..HEADER].try_into().map_or(0, u64::from_le_bytes);
        (self.0[STALE_AT] & STALE == 0).then_some(count)
    }

    /// About how many different elements there were.
    pub fn count(self) -> Result<u64, Fault> {
        let heights = match self.is_dense() {
            true => dense::heights(self.body()),
            false => sparse::heights(self.body())?,
        };
        Ok(estimate::count(&heights))
    }

    /// Whether adding an element with this mark is known to change nothing: where a look at one register tells.
    pub fn has(self, mark: Mark) -> bool {
        self.is_dense() && dense::get(self.body(), usize::from(mark.index)) >= mark.height
    }

    /// The header's bytes for a count, to be written at [`NOTE_AT`].
    pub fn note(count: u64) -> [u8; 8] {
        count.to_le_bytes()
    }

    /// The opcodes as text, if it is sparse.
    pub fn opcodes(self) -> Option<String> {
        (!self.is_dense()).then(|| sparse::text(self.body()))
    }

    pub(super) fn header(self) -> &'a [u8] {
        &self.0[..HEADER]
    }

    pub(super) fn body(self) -> &'a [u8] {
        &self.0[HEADER..]
    }
}

/// Where a noted count stands.
pub const NOTE_AT: u64 = CARD_AT as u64;

/// The registers of several together.
pub struct Union {
    pub(super) heights: Box<[u8; REGISTERS]>,
}

impl Default for Union {
    fn default() -> Union {
        Union { heights: Box::new([0; REGISTERS]) }
    }
}

impl Union {
    /// Adds one more.
    pub fn add(&mut self, other: HyperLogLog<'_>) -> Result<(), Fault> {
        if other.is_dense() {
            dense::raise(&mut self.heights, other.body());
            return Ok(());
        }
        sparse::raise(&mut self.heights, other.body())
    }

    /// About how many different elements there were in all of them.
    pub fn count(&self) -> u64 {
        let mut heights = [0; 64];
        self.heights.iter().for_each(|height| heights[usize::from(*height & 63)] += 1);
        estimate::count(&heights)
    }

    /// All registers, in order.
    pub fn heights(&self) -> &[u8; REGISTERS] {
        &self.heights
    }
}
