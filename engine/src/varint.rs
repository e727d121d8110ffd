//! Numbers in as few bytes as they need: LEB128, and zigzag for those below zero.
//!
//! ```text
//!   byte = 7 bits of the number, the lowest first | 0x80 if another one follows
//! ```
//!
//! A number has exactly one encoding: one of more bytes than it needs, or of more than 64 bits, is none.

/// Why there is no number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unread {
    /// More bytes are needed than there are.
    More,
    /// It is none, whatever follows.
    Bad,
}

/// Gives `put` the bytes of a number, one after the other.
#[inline]
pub fn write(mut number: u64, mut put: impl FnMut(u8)) {
    while number >= 0x80 {
        put(number as u8 | 0x80);
        number >>= 7;
    }
    put(number as u8);
}

/// The number at the start of `bytes`, and how many of them it takes.
#[inline]
pub fn read(bytes: &[u8]) -> Result<(u64, usize), Unread> {
    // Nearly all are such.
    match bytes.first() {
        Some(byte) if *byte < 0x80 => Ok((u64::from(*byte), 1)),
        _ => read_long(bytes),
    }
}

fn read_long(bytes: &[u8]) -> Result<(u64, usize), Unread> {
    let mut number = 0u64;
    for (place, shift) in (0..64).step_by(7).enumerate() {
        let byte = *bytes.get(place).ok_or(Unread::More)?;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
            return Err(Unread::Bad);
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Ok((number, place + 1));
        }
    }
    Err(Unread::Bad)
}

/// How many bytes a number takes.
pub fn length(number: u64) -> usize {
    (64 - (number | 1).leading_zeros()).div_ceil(7) as usize
}

/// An integer as a number that is small if the integer is near 0.
pub fn zigzag(integer: i64) -> u64 {
    (integer << 1 ^ integer >> 63) as u64
}

/// The integer that [`zigzag`] was given.
pub fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_it_was_written_and_in_no_other_form() {
        let edges = (0..64).flat_map(|bits| [(1u64 << bits) - 1, 1 << bits, !0 << bits]);
        for number in edges.chain([u64::MAX]) {
            let mut bytes = Vec::new();
            write(number, |byte| bytes.push(byte));
            assert_eq!(read(&bytes), Ok((number, bytes.len())));
            assert_eq!(length(number), bytes.len(), "{number}");
            assert_eq!(unzigzag(zigzag(number as i64)), number as i64);
            for cut in 0..bytes.len() {
                assert_eq!(read(&bytes[..cut]), Err(Unread::More), "{number}");
            }
            *bytes.last_mut().expect("a byte at least") |= 0x80;
            let longer = [&bytes[..], &[0]].concat();
            assert_eq!(read(&longer), Err(Unread::Bad), "{number} with a zero at its end");
        }
        assert_eq!(read(&[0xff; 11]), Err(Unread::Bad));
    }
}
