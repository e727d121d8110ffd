//! Changes of a HyperLogLog: the bytes as they will be, and what of them is other than before.

use super::mark::{Fault, Mark, REGISTERS};
use super::sparse::{Place, Raised};
use super::view::{DENSE, ENCODING_AT, HEADER, HyperLogLog, MAGIC, SPARSE, STALE, STALE_AT, Union};
use super::{dense, sparse};
use crate::value::string::Patches;

/// A HyperLogLog that is being changed, aside: the one that it began as stays as it is.
#[derive(Clone, Debug)]
pub struct Edit {
    header: [u8; HEADER],
    /// Opcodes or registers.
    body: Vec<u8>,
    /// From where on to look for a register above the last one.
    place: Place,
}

impl Default for Edit {
    /// A new one, sparse and empty.
    fn default() -> Edit {
        let mut header = [0; HEADER];
        header[..MAGIC.len()].copy_from_slice(MAGIC);
        header[ENCODING_AT] = SPARSE;
        Edit { header, body: sparse::empty(), place: Place::default() }
    }
}

impl Edit {
    /// A copy.
    pub fn of(old: HyperLogLog<'_>) -> Edit {
        let mut header = [0; HEADER];
        header.copy_from_slice(old.header());
        Edit { header, body: old.body().to_vec(), place: Place::default() }
    }

    /// Whether it has all registers.
    pub fn is_dense(&self) -> bool {
        self.header[ENCODING_AT] == DENSE
    }

    /// Puts an element's mark; whether that changed anything. A sparse one that would become longer than
    /// `sparse_max` becomes dense.
    pub fn add(&mut self, mark: Mark, sparse_max: usize) -> Result<bool, Fault> {
        self.place = Place::default();
        self.raise(usize::from(mark.index), mark.height, sparse_max)
    }

    /// Raises some registers to those of a union, in order; where `from` says, and how many.
    pub fn raise_to(
        &mut self,
        union: &Union,
        from: usize,
        count: usize,
        sparse_max: usize,
    ) -> Result<(), Fault> {
        for index in from..REGISTERS.min(from + count) {
            let height = union.heights()[index];
            if height > 0 {
                self.raise(index, height, sparse_max)?;
            }
        }
        Ok(())
    }

    fn raise(&mut self, index: usize, height: u8, sparse_max: usize) -> Result<bool, Fault> {
        if !self.is_dense() {
            let most = sparse_max.saturating_sub(HEADER);
            let place = &mut self.place;
            match sparse::raise_one(&mut self.body, index, height, most, place)? {
                Raised::No => return Ok(false),
                Raised::Yes => return Ok(true),
                Raised::TooLarge => self.make_dense()?,
            }
        }
        let is_higher = dense::get(&self.body, index) < height;
        if is_higher {
            dense::set(&mut self.body, index, height);
        }
        Ok(is_higher)
    }

    /// Gives it all registers, if it has not.
    pub fn make_dense(&mut self) -> Result<(), Fault> {
        if self.is_dense() {
            return Ok(());
        }
        let mut heights = Union::default();
        sparse::raise(&mut heights.heights, &self.body)?;
        self.body = vec![0; dense::BYTES];
        let heights = heights.heights().iter().enumerate();
        heights.for_each(|(index, height)| dense::set(&mut self.body, index, *height));
        self.header[ENCODING_AT] = DENSE;
        Ok(())
    }

    /// Notes that the count is out of date.
    pub fn is_stale(&mut self) {
        self.header[STALE_AT] |= STALE;
    }

    /// The height of each register.
    pub fn heights(&self) -> Result<Union, Fault> {
        let mut heights = Union::default();
        match self.is_dense() {
            true => dense::raise(&mut heights.heights, &self.body),
            false => sparse::raise(&mut heights.heights, &self.body)?,
        }
        Ok(heights)
    }

    /// All bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.header.as_slice(), &self.body].concat()
    }

    /// What is other than in `old`, which is nothing for a new one.
    pub fn patches(&self, old: &[u8]) -> Patches {
        let mut patches = Patches::default();
        if let Some((header, body)) = old.split_at_checked(HEADER) {
            patches.difference(header, &self.header);
            patches.difference(body, &self.body);
        } else {
            patches.replace(old.len(), &self.to_bytes());
        }
        patches
    }
}
