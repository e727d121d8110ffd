//! Numbers as Redis spells them, read strictly and written shortly.

/// Longest text that [`write_double`] appends: sign, 17 digits, point, `e-308`.
pub const DOUBLE_TEXT_MAX: usize = 25;

/// Reads a decimal `i64` the way Redis does: an optional `-`, no `+`, no leading zero, no `-0`, no
/// space.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match digits {
        [b'0'] => return (!negative).then_some(0),
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    // Nineteen digits always fit an u64; the range of i64 is looked at afterwards.
    if digits.len() > 19 {
        return None;
    }
    let mut magnitude = 0u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        magnitude = magnitude * 10 + u64::from(digit);
    }
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Appends `value` in decimal.
#[inline]
pub fn write_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends `value` as Redis 7.2 spells a double: whole numbers up to 2^52 without a point, `inf`,
/// `-inf`, `nan`, else the fewest digits that read back as the same value.
pub fn write_double(out: &mut Vec<u8>, value: f64) {
    const WHOLE_MAX: f64 = (1u64 << 52) as f64;
    if value.is_nan() {
        out.extend_from_slice(b"nan");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
    } else if value == 0.0 {
        out.extend_from_slice(if value.is_sign_negative() { b"-0" } else { b"0" });
    } else if value.abs() < WHOLE_MAX && value.fract() == 0.0 {
        write_i64(out, value as i64);
    } else {
        write_shortest(out, value);
    }
}

/// Redis's layout of the shortest digits (value = 0.d1d2d3... with the point moved).
fn write_shortest(out: &mut Vec<u8>, value: f64) {
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value.abs()).as_bytes();
    let (digits, count, last_power) = significant_digits(text);
    let digits = &digits[..count];
    if value < 0.0 {
        out.push(b'-');
    }
    let leading_power = last_power + count as i32 - 1;
    let magnitude = leading_power.unsigned_abs() as usize;
    if last_power >= 0 && magnitude < count + 7 {
        out.extend_from_slice(digits);
        out.resize(out.len() + last_power as usize, b'0');
    } else if last_power < 0 && (last_power > -7 || magnitude < 4) {
        let fraction = last_power.unsigned_abs() as usize;
        if fraction >= count {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + fraction - count, b'0');
            out.extend_from_slice(digits);
        } else {
            out.extend_from_slice(&digits[..count - fraction]);
            out.push(b'.');
            out.extend_from_slice(&digits[count - fraction..]);
        }
    } else {
        out.push(digits[0]);
        if count > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.extend_from_slice(if leading_power < 0 { b"e-" } else { b"e+" });
        write_i64(out, magnitude as i64);
    }
}

/// Takes apart what ryu wrote (`12.5`, `1e21`, `1.5e-9`): the digits without zeros at either end,
/// how many, and the power of ten of the last one.
fn significant_digits(text: &[u8]) -> ([u8; 24], usize, i32) {
    let mut digits = [0u8; 24];
    let mut count = 0;
    let mut power = 0i32;
    let mut after_point = false;
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'0'..=b'9' => {
                power -= i32::from(after_point);
                if count > 0 || byte != b'0' {
                    digits[count] = byte;
                    count += 1;
                }
            }
            b'.' => after_point = true,
            _ => {
                // What is left is the exponent; ryu writes it with at most three digits.
                power += parse_i64(bytes.as_slice()).unwrap_or(0) as i32;
                break;
            }
        }
    }
    while count > 1 && digits[count - 1] == b'0' {
        count -= 1;
        power += 1;
    }
    (digits, count, power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_strictly_as_redis_reads_them() {
        let good: [(&[u8], i64); 7] = [
            (b"0", 0),
            (b"7", 7),
            (b"-1", -1),
            (b"10", 10),
            (b"9223372036854775807", i64::MAX),
            (b"-9223372036854775808", i64::MIN),
            (b"1234567890123456789", 1234567890123456789),
        ];
        for (text, value) in good {
            assert_eq!(parse_i64(text), Some(value));
        }
        let bad: [&[u8]; 12] = [
            b"",
            b"-",
            b"+1",
            b"-0",
            b"01",
            b"1 ",
            b" 1",
            b"1x",
            b"9223372036854775808",
            b"-9223372036854775809",
            b"99999999999999999999",
            b"0x1",
        ];
        for text in bad {
            assert_eq!(parse_i64(text), None, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn doubles_are_spelled_as_redis_7_2_spells_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-3.5, "-3.5"),
            (0.1, "0.1"),
            (3.0000000000000004, "3.0000000000000004"),
            (1e20, "1e+20"),
            (1.5e300, "1.5e+300"),
            (-1e-7, "-1e-7"),
            (0.000001, "0.000001"),
            (0.0000015, "1.5e-6"),
            (1.2345e-5, "1.2345e-5"),
            (123456.789, "123456.789"),
            (2251799813685248.5, "2251799813685248.5"),
            (9007199254740993.0, "9007199254740992"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
        ] {
            let mut out = Vec::new();
            write_double(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn every_double_reads_back_as_itself() {
        let seed = std::env::var("SEED")
            .ok()
            .and_then(|s| s.parse().ok())
            .unwrap_or_else(|| fastrand::u64(..));
        eprintln!("SEED={seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..20_000 {
            let value = f64::from_bits(random.u64(..));
            if value.is_nan() {
                continue;
            }
            let mut out = Vec::new();
            write_double(&mut out, value);
            assert!(out.len() <= DOUBLE_TEXT_MAX, "{value}");
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{text}");
        }
    }
}
