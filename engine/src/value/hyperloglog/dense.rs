//! All registers, of 6 bits, the lowest bits of a byte first.
//!
//! ```text
//!   byte 0    byte 1    byte 2
//!   11000000  22221111  33333322
//! ```

use super::estimate::Heights;
use super::mark::REGISTERS;

/// Bytes of all registers.
pub(super) const BYTES: usize = REGISTERS * 6 / 8;

/// Where a register begins: the byte, and the bit in it.
fn place(index: usize) -> (usize, u32) {
    (index * 6 / 8, (index * 6 % 8) as u32)
}

/// A register's height.
pub(super) fn get(registers: &[u8], index: usize) -> u8 {
    let (at, bit) = place(index);
    let above = registers.get(at + 1).copied().unwrap_or(0);
    (u16::from_le_bytes([registers[at], above]) >> bit) as u8 & 63
}

/// Sets a register's height.
pub(super) fn set(registers: &mut [u8], index: usize, height: u8) {
    let (at, bit) = place(index);
    let above = registers.get(at + 1).copied().unwrap_or(0);
    let both = u16::from_le_bytes([registers[at], above]) & !(63 << bit) | u16::from(height) << bit;
    let [low, high] = both.to_le_bytes();
    registers[at] = low;
    // The last register ends with the last byte.
    if let Some(above) = registers.get_mut(at + 1) {
        *above = high;
    }
}

/// The four registers of three bytes.
fn four([low, middle, high]: &[u8; 3]) -> [u8; 4] {
    let bits = u32::from_le_bytes([*low, *middle, *high, 0]);
    [0, 6, 12, 18].map(|bit| (bits >> bit) as u8 & 63)
}

pub(super) fn heights(registers: &[u8]) -> Heights {
    // Apart, so that one need not wait for the other where they are of one height.
    let mut apart = [[0u32; 64]; 4];
    for three in registers.as_chunks::<3>().0 {
        for (heights, height) in apart.iter_mut().zip(four(three)) {
            heights[usize::from(height)] += 1;
        }
    }
    std::array::from_fn(|height| apart.iter().map(|heights| heights[height]).sum())
}

/// Raises `heights` to those of these registers.
pub(super) fn raise(heights: &mut [u8; REGISTERS], registers: &[u8]) {
    let all = heights.as_chunks_mut::<4>().0.iter_mut().zip(registers.as_chunks::<3>().0);
    for (heights, three) in all {
        for (there, height) in heights.iter_mut().zip(four(three)) {
            *there = height.max(*there);
        }
    }
}
