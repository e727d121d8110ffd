//! From text to a binary floating-point number, correctly rounded: what `strtod` and `strtold` take.
//!
//! `[+-] ( inf | infinity | 0x hex digits [p exponent] | digits [e exponent] )`, one point among the
//! digits, nothing before and nothing behind.

use super::big::Big;

/// A binary floating-point format.
#[derive(Clone, Copy)]
pub(super) struct Format {
    /// How many bits a mantissa has.
    bits: u32,
    /// The exponent of the lowest bit of the smallest number.
    lowest: i32,
    /// Numbers are smaller than 2 to this.
    top: i32,
}

/// IEEE 754 binary64.
pub(super) const DOUBLE: Format = Format { bits: 53, lowest: -1074, top: 1024 };

/// The 80-bit format of x86-64's `long double`.
pub(super) const EXTENDED: Format = Format { bits: 64, lowest: -16445, top: 16384 };

/// A number without its sign.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Magnitude {
    /// `mantissa * 2^exponent`; 0 has the mantissa 0.
    Finite {
        /// At most as many bits as the format has.
        mantissa: u64,
        /// The weight of the mantissa's lowest bit.
        exponent: i32,
    },
    /// Too large, or spelt `inf`.
    Infinite,
}

impl Magnitude {
    pub(super) const ZERO: Self = Self::Finite { mantissa: 0, exponent: 0 };
}

/// Longer texts are refused, as Redis refuses them (its buffer has this length).
const TEXT_MAX: usize = 5 * 1024 - 1;

/// Reads `text` as a number of `format`: whether it is negative, and its magnitude. `None` for what is no
/// number, and for finite numbers that the format cannot hold (too large, or rounded to 0).
pub(super) fn parse(text: &[u8], format: Format) -> Option<(bool, Magnitude)> {
    if text.len() > TEXT_MAX {
        return None;
    }
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"infinity") {
        return Some((negative, Magnitude::Infinite));
    }
    let magnitude = match rest {
        [b'0', b'x' | b'X', digits @ ..] => hexadecimal(digits, format)?,
        digits => decimal(digits, format)?,
    };
    (magnitude != Magnitude::Infinite).then_some((negative, magnitude))
}

/// The digits of a number, and the power of its base that its last digit has.
struct Digits {
    digits: Vec<u8>,
    /// How many of them stand behind the point.
    behind: i64,
    exponent: i64,
}

/// Splits text into digits of `base` and an exponent introduced by `mark`.
fn split(text: &[u8], base: u32, mark: u8) -> Option<Digits> {
    let end = text.iter().position(|byte| byte.to_ascii_lowercase() == mark).unwrap_or(text.len());
    let exponent = if end < text.len() { parse_exponent(&text[end + 1..])? } else { 0 };
    let mut digits = Vec::with_capacity(end);
    let mut point = None;
    for byte in &text[..end] {
        if *byte == b'.' && point.is_none() {
            point = Some(digits.len());
        } else {
            digits.push(char::from(*byte).to_digit(base)? as u8);
        }
    }
    if digits.is_empty() {
        return None;
    }
    let behind = point.map_or(0, |point| digits.len() - point) as i64;
    Some(Digits { digits, behind, exponent })
}

/// An exponent, cut to what is beyond every format anyway.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits
        .iter()
        .fold(0i64, |size, digit| (size * 10 + i64::from(digit - b'0')).min(1_000_000));
    Some(if negative { -size } else { size })
}

fn decimal(text: &[u8], format: Format) -> Option<Magnitude> {
    let number = split(text, 10, b'e')?;
    let mut numerator = Big::default();
    let first = number.digits.iter().position(|digit| *digit != 0);
    let Some(first) = first else { return Some(Magnitude::ZERO) };
    for digit in &number.digits[first..] {
        numerator.multiply_add(10, u32::from(*digit));
    }
    let power = number.exponent - number.behind;
    // The number is below 10^reach and at least a tenth of that.
    let reach = power + (number.digits.len() - first) as i64;
    if reach > 5000 {
        return Some(Magnitude::Infinite);
    }
    if reach < -5000 {
        return None;
    }
    let mut denominator = Big::from(1);
    if power >= 0 {
        numerator.multiply_power_of_ten(power as u32);
    } else {
        denominator.multiply_power_of_ten(power.unsigned_abs() as u32);
    }
    divide(numerator, denominator, format)
}

fn hexadecimal(text: &[u8], format: Format) -> Option<Magnitude> {
    let number = split(text, 16, b'p')?;
    let mut numerator = Big::default();
    for digit in &number.digits {
        numerator.multiply_add(16, u32::from(*digit));
    }
    if numerator.is_zero() {
        return Some(Magnitude::ZERO);
    }
    let power = number.exponent - number.behind * 4;
    let reach = power + numerator.bits();
    if reach > 20_000 {
        return Some(Magnitude::Infinite);
    }
    if reach < -20_000 {
        return None;
    }
    let mut denominator = Big::from(1);
    if power >= 0 {
        numerator.shift_up(power as u64);
    } else {
        denominator.shift_up(power.unsigned_abs());
    }
    divide(numerator, denominator, format)
}

/// The quotient of two numbers, neither of them 0, rounded to `format`. `None` if it is rounded to 0.
fn divide(mut numerator: Big, mut denominator: Big, format: Format) -> Option<Magnitude> {
    let shift = numerator.bits() - denominator.bits();
    if shift >= 0 {
        denominator.shift_up(shift as u64);
    } else {
        numerator.shift_up(shift.unsigned_abs());
    }
    // The quotient is now between 1/2 and 2; this yields its bits from the one of weight 1 downwards.
    let steps = format.bits + 3;
    let mut quotient = 0u128;
    for _ in 0..steps {
        quotient <<= 1;
        if numerator >= denominator {
            numerator.subtract(&denominator);
            quotient |= 1;
        }
        numerator.shift_up(1);
    }
    let exponent = shift as i32 - (steps as i32 - 1);
    match round(quotient, exponent, !numerator.is_zero(), format) {
        Magnitude::Finite { mantissa: 0, .. } => None,
        magnitude => Some(magnitude),
    }
}

/// `value * 2^exponent`, plus something smaller than its lowest bit if `more`, rounded to `format`: to the
/// nearest, and to the even one of two that are equally near. `value` has bits enough to tell.
pub(super) fn round(value: u128, exponent: i32, more: bool, format: Format) -> Magnitude {
    let bits = 128 - value.leading_zeros() as i32;
    let surplus = (bits - format.bits as i32).max(format.lowest - exponent).max(0);
    let rounded = shift_down(value, surplus as u32, more);
    let mut exponent = exponent + surplus;
    if rounded == 0 {
        return Magnitude::ZERO;
    }
    // Rounding up may carry into one bit more, which is then a power of two: its lower bits are 0.
    let carried = rounded >> format.bits != 0;
    let mantissa = (if carried { rounded >> 1 } else { rounded }) as u64;
    exponent += i32::from(carried);
    if 64 - mantissa.leading_zeros() as i32 + exponent > format.top {
        return Magnitude::Infinite;
    }
    Magnitude::Finite { mantissa, exponent }
}

/// `value / 2^by`, where `more` says that value was a little larger, to the nearest, ties to even.
pub(super) fn shift_down(value: u128, by: u32, more: bool) -> u128 {
    if by == 0 {
        return value;
    }
    if by > 128 {
        return 0;
    }
    let kept = if by == 128 { 0 } else { value >> by };
    let half = 1u128 << (by - 1);
    let lost = value & (half | (half - 1));
    let up = lost > half || (lost == half && (more || kept & 1 == 1));
    kept + u128::from(up)
}
