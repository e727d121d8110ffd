//! The checksum at the end of payloads and files: CRC-64 of Jones's polynomial, bits reflected, begun with 0.
//!
//! Eight bytes at a time, by tables that are made at compile time.

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
        let mut crc = self.0;
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            let mixed = (crc ^ u64::from_le_bytes(*word)).to_le_bytes();
            crc = 0;
            for (place, byte) in mixed.into_iter().enumerate() {
                crc ^= TABLES[7 - place][usize::from(byte)];
            }
        }
        for byte in rest {
            crc = TABLES[0][usize::from(crc as u8 ^ byte)] ^ (crc >> 8);
        }
        self.0 = crc;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
