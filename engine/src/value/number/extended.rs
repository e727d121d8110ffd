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

    /// Whether it is below 0, or the negative zero.
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// Whether it is less than 1, whatever its sign.
    pub fn is_tiny(&self) -> bool {
        match self.magnitude {
            Magnitude::Infinite => false,
            Magnitude::Finite { mantissa, exponent } => {
                i64::from(exponent) + i64::from(u64::BITS - mantissa.leading_zeros()) <= 0
            }
        }
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
        match (a, b) {
            (0, 0) => return Self { negative: self.negative && other.negative, ..self },
            (0, _) => return other,
            (_, 0) => return self,
            _ if top(a, a_exponent) < top(b, b_exponent) => return other + self,
            _ => {}
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
        let (negative, value) = if self.negative == other.negative {
            (self.negative, larger + smaller)
        } else if smaller > larger {
            // Both have the same highest bit, so that nothing of `b` fell off.
            (other.negative, smaller - larger)
        } else {
            (self.negative, larger - smaller - u128::from(more))
        };
        if value == 0 {
            return Self { negative: false, magnitude: Magnitude::ZERO };
        }
        Self { negative, magnitude: text::round(value, exponent, more, EXTENDED) }
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
            ("1", "-2", "-1"),
            ("-66.946123", "73.493081624e17", "7349308162399999933"),
            ("67.73744599e-16", "0.00003225256692871", "0.00003225256693548"),
            ("31.07445858535132154350", "0e99999", "31.07445858535132154"),
            ("0.090041789872297", "9.024080650322018e-18", "0.09004178987229701"),
            ("-486.7330127", "0x1.8p4", "-462.73301269999999999"),
            ("0x1p-3", "-110169452316899686", "-110169452316899685.875"),
            ("-56.918771226e23", "0x1.8p4", "-5691877122599999999836160"),
            ("0.08", "1e-4940", "0.08"),
            ("6.392990890323802e+16", "3.6e-4951", "63929908903238020"),
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
