//! The checksum at the end of payloads and files: CRC-64 of Jones's polynomial, bits reflected, begun with 0.
//!
//! Eight bytes at a time, by tables that are made at compile time; of long stretches 64 bytes at a time, where the
//! processor multiplies without carries:
//!
//! ```text
//!   64 bytes as four lanes ─► each times x^512 ─► added to the lane of the next 64 ... ─► one lane ─► tables
//! ```
//!
//! A lane is 16 bytes; times x^n modulo the polynomial, what it adds to the checksum stays the same n bits further on.

/// The polynomial 0xad93d23594c935a9 with its bits in the order in which they are read.
const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;

static TABLES: [[u64; 256]; 8] = tables();

const fn tables() -> [[u64; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u64, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut place = 1;
    while place < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[place - 1][byte];
            tables[place][byte] = tables[0][(before & 0xff) as usize] ^ (before >> 8);
            byte += 1;
        }
        place += 1;
    }
    tables
}

/// x^n modulo the polynomial, its bits in the order of all here: the highest power is the lowest bit.
const fn power(n: usize) -> u64 {
    let (mut power, mut left) = (1 << 63, n);
    while left > 0 {
        power = if power & 1 == 1 { (power >> 1) ^ POLYNOMIAL } else { power >> 1 };
        left -= 1;
    }
    power
}

/// Stretches from here on are folded; of shorter ones the end would take longer than the rest.
const LONG: usize = 256;

/// Bytes of four lanes.
const LANES: usize = 64;

/// A checksum under way.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Crc(pub u64);

impl Crc {
    /// The checksum of these bytes.
    pub fn of(bytes: &[u8]) -> Crc {
        let mut crc = Crc::default();
        crc.add(bytes);
        crc
    }

    /// Goes on with more bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if bytes.len() >= LONG && can_fold() {
            let (blocks, behind) = bytes.as_chunks::<LANES>();
            let lane = fold(self.0, blocks);
            self.0 = lane.into_iter().fold(0, word);
            rest = behind;
        }
        let (words, rest) = rest.as_chunks::<8>();
        let crc = words.iter().fold(self.0, |crc, bytes| word(crc, u64::from_le_bytes(*bytes)));
        let byte = |crc: u64, byte: &u8| TABLES[0][usize::from(crc as u8 ^ byte)] ^ (crc >> 8);
        self.0 = rest.iter().fold(crc, byte);
    }
}

/// Eight more bytes, by the tables.
#[inline]
fn word(crc: u64, bytes: u64) -> u64 {
    let mixed = (crc ^ bytes).to_le_bytes();
    (0..8).fold(0, |crc, place| crc ^ TABLES[7 - place][usize::from(mixed[place])])
}

/// Whether the processor multiplies without carries.
#[cfg(all(target_arch = "x86_64", not(miri)))]
fn can_fold() -> bool {
    std::arch::is_x86_feature_detected!("pclmulqdq")
}

/// As no other does, as far as this knows.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
fn can_fold() -> bool {
    false
}

/// Two words whose checksum, begun with 0, is that of all blocks, begun with `crc`.
#[cfg(all(target_arch = "x86_64", not(miri)))]
fn fold(crc: u64, blocks: &[[u8; LANES]]) -> [u64; 2] {
    // SAFETY: whoever calls has asked `can_fold`, so the processor has the instructions; SSE2 belongs to every x86_64.
    unsafe { lanes::fold(crc, blocks) }
}

/// The same for processors that cannot: nobody calls it.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
fn fold(crc: u64, _: &[[u8; LANES]]) -> [u64; 2] {
    [crc, 0]
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod lanes {
    use super::{LANES, power};
    use std::arch::x86_64::{
        __m128i, _mm_clmulepi64_si128, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_setzero_si128,
        _mm_unpackhi_epi64, _mm_xor_si128,
    };

    /// What a lane's two halves are multiplied with to come `bits` further. One less than that: of numbers whose bits
    /// stand the other way round the product is once more times x.
    const fn by(bits: usize) -> [u64; 2] {
        [power(bits + 63), power(bits - 1)]
    }

    const FAR: [u64; 2] = by(512);
    const NEAR: [u64; 2] = by(128);

    #[target_feature(enable = "pclmulqdq")]
    pub(super) fn fold(crc: u64, blocks: &[[u8; LANES]]) -> [u64; 2] {
        let Some((first, others)) = blocks.split_first() else { return [crc, 0] };
        let mut lanes = of(first);
        lanes[0] = _mm_xor_si128(lanes[0], pair([crc, 0]));
        let far = pair(FAR);
        for block in others {
            for (lane, next) in lanes.iter_mut().zip(of(block)) {
                *lane = _mm_xor_si128(times(*lane, far), next);
            }
        }
        let [first, others @ ..] = lanes;
        let near = pair(NEAR);
        let mut one = first;
        for lane in others {
            one = _mm_xor_si128(times(one, near), lane);
        }
        [_mm_cvtsi128_si64(one) as u64, _mm_cvtsi128_si64(_mm_unpackhi_epi64(one, one)) as u64]
    }

    #[target_feature(enable = "pclmulqdq")]
    fn times(lane: __m128i, by: __m128i) -> __m128i {
        let low = _mm_clmulepi64_si128::<0x00>(lane, by);
        _mm_xor_si128(low, _mm_clmulepi64_si128::<0x11>(lane, by))
    }

    #[target_feature(enable = "pclmulqdq")]
    fn pair([low, high]: [u64; 2]) -> __m128i {
        _mm_set_epi64x(high as i64, low as i64)
    }

    #[target_feature(enable = "pclmulqdq")]
    fn of(block: &[u8; LANES]) -> [__m128i; 4] {
        let (words, _) = block.as_chunks::<8>();
        let mut lanes = [_mm_setzero_si128(); 4];
        for (lane, words) in lanes.iter_mut().zip(words.chunks_exact(2)) {
            *lane = pair([u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1])]);
        }
        lanes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_stretches_have_the_checksum_of_their_bytes_one_by_one() {
        let bytes: Vec<u8> =
            (0..3 * LONG as u64).map(|at| (power(at as usize) >> 7) as u8).collect();
        for length in 0..=bytes.len() {
            let mut one_by_one = Crc(7);
            bytes[..length].iter().for_each(|byte| one_by_one.add(std::slice::from_ref(byte)));
            let mut at_once = Crc(7);
            at_once.add(&bytes[..length]);
            assert_eq!(at_once, one_by_one, "{length} bytes");
        }
    }

    #[test]
    fn the_checksum_is_that_of_the_catalogue_however_the_bytes_are_cut() {
        assert_eq!(Crc::of(b"123456789").0, 0xe9c6_d914_c4b8_d9ca);
        let text = b"This is a test of the emergency broadcast system.";
        for cut in 0..text.len() {
            let mut crc = Crc::of(&text[..cut]);
            crc.add(&text[cut..]);
            assert_eq!(crc, Crc::of(text));
        }
    }
}
