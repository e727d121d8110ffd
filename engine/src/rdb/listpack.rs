//! Writing one of Redis's listpacks. See `packs` for the form.

use super::packs::backwards;
use std::ops::Range;

/// A listpack that grows.
pub(super) struct Listpack {
    bytes: Vec<u8>,
    count: u32,
    /// Long strings, which lie elsewhere: before which of the bytes they come.
    apart: Vec<(usize, Range<usize>)>,
}

impl Listpack {
    pub(super) fn new() -> Listpack {
        Listpack { bytes: vec![0; 6], count: 0, apart: Vec::new() }
    }

    pub(super) fn integer(&mut self, number: i64) {
        const I24: i64 = 1 << 23;
        let at = self.bytes.len();
        let le = number.to_le_bytes();
        if (0..128).contains(&number) {
            self.bytes.push(le[0]);
        } else if (-4096..4096).contains(&number) {
            self.bytes.extend_from_slice(&[0xc0 | le[1] & 0x1f, le[0]]);
        } else {
            let (form, length) = match () {
                () if i16::try_from(number).is_ok() => (0xf1, 2),
                () if (-I24..I24).contains(&number) => (0xf2, 3),
                () if i32::try_from(number).is_ok() => (0xf3, 4),
                () => (0xf4, 8),
            };
            self.bytes.push(form);
            self.bytes.extend_from_slice(&le[..length]);
        }
        self.end(at);
    }

    /// A string that is no integer.
    pub(super) fn string(&mut self, bytes: &[u8]) {
        let at = self.bytes.len();
        self.string_head(bytes.len());
        self.bytes.extend_from_slice(bytes);
        self.end(at);
    }

    /// The same of one that is put in later, from where it lies.
    pub(super) fn string_apart(&mut self, range: Range<usize>) {
        let at = self.bytes.len();
        self.string_head(range.len());
        self.apart.push((self.bytes.len(), range.clone()));
        self.end_of(self.bytes.len() - at + range.len());
    }

    fn string_head(&mut self, length: usize) {
        let length = length as u32;
        match length {
            0..64 => self.bytes.push(0x80 | length as u8),
            64..4096 => self.bytes.extend_from_slice(&(length as u16 | 0xe000).to_be_bytes()),
            _ => {
                self.bytes.push(0xf0);
                self.bytes.extend_from_slice(&length.to_le_bytes());
            }
        }
    }

    fn end(&mut self, at: usize) {
        self.end_of(self.bytes.len() - at);
    }

    fn end_of(&mut self, length: usize) {
        let (length, count) = backwards(length);
        self.bytes.extend_from_slice(&length[..count]);
        self.count += 1;
    }

    /// All of it, nothing of which lies elsewhere.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.into_parts().1
    }

    /// How long it is, its bytes, and what lies elsewhere, with the place before which it comes.
    pub(super) fn into_parts(mut self) -> (usize, Vec<u8>, Vec<(usize, Range<usize>)>) {
        self.bytes.push(0xff);
        let length =
            self.bytes.len() + self.apart.iter().map(|(_, range)| range.len()).sum::<usize>();
        self.bytes[..4].copy_from_slice(&(length as u32).to_le_bytes());
        // More are not counted.
        let count = u16::try_from(self.count).unwrap_or(u16::MAX);
        self.bytes[4..6].copy_from_slice(&count.to_le_bytes());
        (length, self.bytes, self.apart)
    }
}
