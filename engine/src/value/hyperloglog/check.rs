//! PFSELFTEST: whether this machine counts as it should.

use super::dense;
use super::edit::Edit;
use super::hash::Hashing;
use super::mark::{Fault, Mark, REGISTERS};
use super::view::HyperLogLog;

/// Elements whose counts are looked at.
const ELEMENTS: u64 = 100_000;
/// Elements added, or rounds of registers set, in a row: some 30 us.
const PIECE: u64 = 500;
/// Six times the standard error of 1.04 / sqrt(16384).
const ERROR_MAX: f64 = 6.0 * 0.008_125;

/// A test in pieces: each call does one, and answers with the outcome after the last.
pub fn self_test() -> impl FnMut() -> Option<Result<(), String>> + Send {
    let (mut sparse, mut big, mut added) = (Edit::default(), Edit::default(), 0);
    let mut registers = vec![0; dense::BYTES];
    move || {
        let piece = add(&mut sparse, &mut big, added..added + PIECE)
            .map_err(|fault| format!("{fault:?} after {added} elements"))
            .and_then(|()| set(&mut registers, (added / PIECE) as u8 & 63));
        added += PIECE;
        match piece {
            Ok(()) if added < ELEMENTS => None,
            outcome => Some(outcome),
        }
    }
}

/// A sparse one and a dense one count alike, and about right.
fn add(sparse: &mut Edit, big: &mut Edit, elements: std::ops::Range<u64>) -> Result<(), Fault> {
    big.make_dense()?;
    let end = elements.end;
    for element in elements {
        let mark = Mark::of(Hashing::of(&element.to_le_bytes()));
        sparse.add(mark, 3000)?;
        big.add(mark, 3000)?;
    }
    let count = |edit: &Edit| HyperLogLog::of(&edit.to_bytes()).and_then(HyperLogLog::count);
    let (one, other) = (count(sparse)?, count(big)?);
    let is_right = (one as f64 - end as f64).abs() <= 6.0 + ERROR_MAX * end as f64;
    if one == other && is_right { Ok(()) } else { Err(Fault::Corrupted) }
}

/// Each register holds what it was given and leaves its neighbours alone.
fn set(registers: &mut [u8], seed: u8) -> Result<(), String> {
    let height = |index: usize| (index as u8).wrapping_mul(37).wrapping_add(seed) & 63;
    (0..REGISTERS).for_each(|index| dense::set(registers, index, height(index)));
    let wrong = (0..REGISTERS).find(|index| dense::get(registers, *index) != height(*index));
    wrong.map_or(Ok(()), |index| Err(format!("register {index} is not {}", height(index))))
}
