//! The `long double` of x86-64, in which Redis adds for INCRBYFLOAT and HINCRBYFLOAT.

use std::ops::Add;

use super::big::Big;
use super::text::{self, EXTENDED, Magnitude};

/// A floating-point number with a mantissa of 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extended {
    negative: bool,
    magnitude: Magnitude,
}

/// How many digits Redis writes behind the point (`%.17Lf`) before it cuts zeros.
const PLACES: u32 = 17;

impl Extended {
    /// The number that `text` spells: what `strtold` takes as a whole, without NaN and without finite
    /// numbers that are too large or too small.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (negative, magnitude) = text::parse(text, EXTENDED)?;
        Some(Self { negative, magnitude })
    }

    /// Whether the number is neither infinite nor the sum of two opposite infinities.
    pub fn is_finite(&self) -> bool {
        self.magnitude != Magnitude::Infinite
    }

    /// Writes the number in decimal with at most 17 places, without trailing zeros.
    pub fn format(&self, out: &mut Vec<u8>) {
        let Magnitude::Finite { mantissa, exponent } = self.magnitude else {
            return out.extend_from_slice(if self.negative { b"-inf" } else { b"inf" });
        };
        let start = out.len();
        if self.negative {
            out.push(b'-');
        }
        if exponent >= 0 {
            let mut whole = Big::from(mantissa);
            whole.shift_up(exponent as u64);
            write_big(whole, out);
        } else {
            // 64 bits times 57 bits: exact in 128.
            let scaled = u128::from(mantissa) * 10u128.pow(PLACES);
            write_places(text::shift_down(scaled, exponent.unsigned_abs(), false), out);
        }
        if &out[start..] == b"-0" {
            out.remove(start);
        }
    }
}

impl Add for Extended {
    type Output = Self;

    /// The sum, rounded as the processor rounds it. Opposite infinities give an infinity here; nobody
    /// uses a sum that is not finite.
    fn add(self, other: Self) -> Self {
        let (Magnitude::Finite { mantissa: a, exponent: a_exponent }, Magnitude::Finite { .. }) =
            (self.magnitude, other.magnitude)
        else {
            return if self.is_finite() { other } else { self };
        };
        let Magnitude::Finite { mantissa: b, exponent: b_exponent } = other.magnitude else {
            return other;
        };
        if a == 0 || (b != 0 && top(a, a_exponent) < top(b, b_exponent)) {
            return if a == 0 && b != 0 {
                other
            } else if a == 0 {
                self.zero_sum(other)
            } else {
                other + self
            };
        }
        if b == 0 {
            return self;
        }
        // `a` reaches at least as high as `b`. It is moved up to leave one bit for a carry, and `b` to
        // the same exponent; bits of `b` that fall off the end are only remembered as `more`.
        let up = a.leading_zeros() as i32 + 63;
        let larger = u128::from(a) << up;
        let exponent = a_exponent - up;
        let distance = b_exponent - exponent;
        let (smaller, more) = match distance {
            0.. => (u128::from(b) << distance, false),
            -63..0 => (u128::from(b) >> -distance, b << (64 + distance) != 0),
            _ => (0, true),
        };
        let value = if self.negative == other.negative {
            larger + smaller
        } else {
            larger - smaller - u128::from(more)
        };
        if value == 0 {
            return Self { negative: false, magnitude: Magnitude::ZERO };
        }
        let magnitude = text::round(value, exponent, more, EXTENDED);
        Self { negative: self.negative, magnitude }
    }
}

impl Extended {
    /// The sum of two zeros: negative only if both are.
    fn zero_sum(self, other: Self) -> Self {
        Self { negative: self.negative && other.negative, ..self }
    }
}

/// The exponent of the power of two that is the first one above the number.
fn top(mantissa: u64, exponent: i32) -> i32 {
    64 - mantissa.leading_zeros() as i32 + exponent
}

fn write_big(mut whole: Big, out: &mut Vec<u8>) {
    let mut groups = Vec::new();
    while !whole.is_zero() {
        groups.push(whole.divide_by_billion());
    }
    let mut buffer = itoa::Buffer::new();
    out.extend_from_slice(buffer.format(groups.pop().unwrap_or(0)).as_bytes());
    for group in groups.into_iter().rev() {
        let digits = buffer.format(group).as_bytes();
        out.resize(out.len() + 9 - digits.len(), b'0');
        out.extend_from_slice(digits);
    }
}

/// Writes `scaled / 10^17`.
fn write_places(scaled: u128, out: &mut Vec<u8>) {
    let one = 10u128.pow(PLACES);
    let mut buffer = itoa::Buffer::new();
    out.extend_from_slice(buffer.format(scaled / one).as_bytes());
    let places = scaled % one;
    if places == 0 {
        return;
    }
    out.push(b'.');
    let digits = buffer.format(places).as_bytes();
    out.resize(out.len() + PLACES as usize - digits.len(), b'0');
    out.extend_from_slice(digits);
    while out.last() == Some(&b'0') {
        out.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> String {
        let parse = |text: &str| Extended::parse(text.as_bytes()).unwrap();
        let mut out = Vec::new();
        (parse(a) + parse(b)).format(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn sums_are_those_of_redis() {
        // Answers of INCRBYFLOAT on a redis-server 7.0 on x86-64.
        for (a, b, answer) in [
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("3.0", "1.1", "4.1"),
            ("0.1", "0.2", "0.3"),
            ("10.6", "-5", "5.6"),
            ("0", "-0", "0"),
            ("1", "-1", "0"),
        ] {
            assert_eq!(sum(a, b), answer, "{a} + {b}");
        }
    }

    #[test]
    fn sums_that_are_not_finite_are_recognized() {
        let parse = |text: &str| Extended::parse(text.as_bytes()).unwrap();
        assert!(!(parse("inf") + parse("1")).is_finite());
        assert!(!(parse("1") + parse("-inf")).is_finite());
        assert!(!(parse("1.1e4932") + parse("1.1e4932")).is_finite());
        assert!(parse("1e4932").is_finite());
        for text in ["1e4933", "1e-5000", "nan", "", "1e", " 1", "1 "] {
            assert_eq!(Extended::parse(text.as_bytes()), None, "{text}");
        }
    }
}
