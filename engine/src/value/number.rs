//! Redis's rules for what is a number and how it is written.
//!
//! - integers: strictly the canonical decimal form (`resp::number`);
//! - doubles: what `strtod` takes without leading or trailing characters, no NaN, no overflow;
//! - [`Extended`]: the 80-bit `long double` of x86-64, in which INCRBYFLOAT counts, so that 0.1 + 0.2 is
//!   0.3. Computed with integers, hence the same on every processor.
//!
//! It does not word errors and allocates nothing but what it returns and big integers for long decimals.

mod big;
mod extended;
mod text;

pub use self::extended::Extended;

use self::text::{DOUBLE, Magnitude};

/// The double that `text` spells, as a score or an increment in seconds: decimal, hexadecimal or `inf`;
/// not NaN, no number too large or (unless it is 0) too small for a double.
pub fn parse_f64_redis(text: &[u8]) -> Option<f64> {
    if let Some(value) = parse_plain(text) {
        return Some(value);
    }
    let (negative, magnitude) = text::parse(text, DOUBLE)?;
    let value = match magnitude {
        Magnitude::Infinite => f64::INFINITY,
        // The mantissa has at most 53 bits and the result is in range: two exact factors, one exact product.
        Magnitude::Finite { mantissa, exponent } => scale(mantissa as f64, exponent),
    };
    Some(if negative { -value } else { value })
}

/// The same of what nearly all are: a few digits, perhaps with a point among them. No such number is too large
/// or too small, and to read it takes no memory.
#[inline]
fn parse_plain(text: &[u8]) -> Option<f64> {
    const FEW: usize = 24;
    let (is_negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let is_plain = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    if digits.len() > FEW || !digits.iter().all(is_plain) {
        return None;
    }
    let value: f64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(if is_negative { -value } else { value })
}

/// `value * 2^exponent`, where that is exact.
fn scale(mut value: f64, mut exponent: i32) -> f64 {
    while exponent < -1022 {
        // Done in steps, because a factor itself must be a normal double. Only the last step can leave
        // the normal range, and there the bits that it would lose are 0.
        let step = exponent.max(-1022 - 52) - -1022;
        value *= f64::from_bits(((1023 + step) as u64) << 52);
        exponent -= step;
    }
    while exponent > 1023 {
        value *= f64::from_bits((1023 + 1023) << 52);
        exponent -= 1023;
    }
    value * f64::from_bits(((1023 + exponent) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_read_as_strtod_reads_them() {
        for (text, number) in [
            ("1", Some(1.0)),
            ("+1.5", Some(1.5)),
            ("-.5", Some(-0.5)),
            ("5.", Some(5.0)),
            ("1e3", Some(1000.0)),
            ("0x10", Some(16.0)),
            ("0x1.8p-1", Some(0.75)),
            ("inf", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("1.7976931348623157e308", Some(f64::MAX)),
            ("1.8e308", None),
            ("5e-324", Some(5e-324)),
            ("2.2250738585072011e-308", Some(2.225_073_858_507_201e-308)),
            ("1e-400", None),
            ("0e-400", Some(0.0)),
            ("0e99999999999999999999", Some(0.0)),
            ("nan", None),
            ("", None),
            (".", None),
            ("1e", None),
            ("0x", None),
            (" 1", None),
            ("1 ", None),
            ("1_0", None),
            ("infx", None),
        ] {
            assert_eq!(parse_f64_redis(text.as_bytes()), number, "{text:?}");
        }
    }

    #[test]
    fn random_doubles_survive_writing_and_reading() {
        let seed = crate::value::test_seed();
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..20_000 {
            let value = f64::from_bits(random.u64(..));
            let mut text = Vec::new();
            crate::resp::number::write_double(&mut text, value);
            if value.is_nan() {
                assert_eq!(text, b"nan");
                continue;
            }
            let shown = String::from_utf8_lossy(&text).into_owned();
            let read = parse_f64_redis(&text).map(f64::to_bits);
            assert_eq!(read, Some(value.to_bits()), "SEED={seed} {shown}");
            assert_eq!(shown.parse::<f64>().ok(), Some(value), "SEED={seed} {shown}");
        }
    }
}
