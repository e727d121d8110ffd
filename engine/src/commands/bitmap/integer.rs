//! Integers of 1 to 64 bits, anywhere in a string.
//!
//! Types, their limits, what happens beyond these limits, and how such an integer is read from and
//! written to the up to nine bytes that it touches. Nothing here knows keys or requests.

use crate::resp::number::parse_i64;

/// Bytes that an integer of 64 bits can touch.
pub(super) const WINDOW: usize = 9;

/// The largest number that Redis computes with.
const MOST: i128 = i64::MAX as i128;

/// `i5`, `u63`: a signed or unsigned integer of so many bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct IntegerType {
    signed: bool,
    pub(super) bits: u32,
}

/// What becomes of a result beyond the limits of its type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Overflow {
    /// Only the lowest bits count.
    Wrap,
    /// The limit is taken instead.
    Saturate,
    /// Nothing happens.
    Fail,
}

impl IntegerType {
    /// The type that `text` names: up to 64 bits signed, up to 63 unsigned, since replies are signed.
    pub(super) fn parse(text: &[u8]) -> Option<IntegerType> {
        let (signed, bits) = match text {
            [b'i', bits @ ..] => (true, bits),
            [b'u', bits @ ..] => (false, bits),
            _ => return None,
        };
        let bits = u32::try_from(parse_i64(bits)?).ok()?;
        let most = if signed { 64 } else { 63 };
        (1..=most).contains(&bits).then_some(IntegerType { signed, bits })
    }

    /// `number` as an argument of SET: an unsigned type takes a negative one as a huge one.
    ///
    /// Redis computes in 64 bits how far the number is from the upper limit. Where that overflows, the
    /// number being close to the lowest of all, it takes it for too large instead of too small: SAT
    /// then sets the upper limit. Clients cannot mean either, so here it is the same.
    pub(super) fn of_argument(self, number: i64, overflow: Overflow) -> i128 {
        let (low, high) = self.limits();
        match i128::from(number) {
            _ if !self.signed => i128::from(number as u64),
            far if overflow == Overflow::Saturate && far < low && high - far > MOST => MOST,
            number => number,
        }
    }

    fn limits(self) -> (i128, i128) {
        match self.signed {
            true => (-(1i128 << (self.bits - 1)), (1i128 << (self.bits - 1)) - 1),
            false => (0, (1i128 << self.bits) - 1),
        }
    }

    /// `number` brought within the type's limits, or `None` where that fails.
    pub(super) fn fit(self, number: i128, overflow: Overflow) -> Option<i64> {
        let (low, high) = self.limits();
        if (low..=high).contains(&number) {
            return Some(number as i64);
        }
        match overflow {
            Overflow::Wrap => Some(self.of_bits(number as u64)),
            Overflow::Saturate => Some(number.clamp(low, high) as i64),
            Overflow::Fail => None,
        }
    }

    /// The integer whose lowest bits these are.
    fn of_bits(self, bits: u64) -> i64 {
        let unused = 64 - self.bits;
        if self.signed {
            (bits << unused) as i64 >> unused
        } else {
            (bits << unused >> unused) as i64
        }
    }

    /// Reads the integer that begins at bit `shift` (below 8) of the window's first byte.
    pub(super) fn read(self, window: [u8; WINDOW], shift: u32) -> i64 {
        self.of_bits((to_number(window) >> (WINDOW as u32 * 8 - shift - self.bits)) as u64)
    }

    /// Writes `number` there.
    pub(super) fn write(self, window: &mut [u8; WINDOW], shift: u32, number: i64) {
        let up = WINDOW as u32 * 8 - shift - self.bits;
        let mask = ((1u128 << self.bits) - 1) << up;
        let bits = (u128::from(number as u64) << up) & mask;
        let changed = (to_number(*window) & !mask) | bits;
        window.copy_from_slice(&changed.to_be_bytes()[16 - WINDOW..]);
    }

    /// How many bytes the integer touches that begins at bit `shift` of the first one.
    pub(super) fn touches(self, shift: u32) -> usize {
        (shift + self.bits).div_ceil(8) as usize
    }
}

fn to_number(window: [u8; WINDOW]) -> u128 {
    let mut bytes = [0; 16];
    bytes[16 - WINDOW..].copy_from_slice(&window);
    u128::from_be_bytes(bytes)
}
