//! Files of every version and encoding, made after the format's description and by none of the engine's code.
#![allow(dead_code, reason = "more of it is used than each test needs")]

pub(crate) mod cases;

/// A file under way.
pub(crate) struct Made {
    pub(crate) bytes: Vec<u8>,
    version: u16,
}

/// A string as it can be written.
#[derive(Clone, Copy)]
pub(crate) enum As {
    /// Its length, in as few bytes as can be.
    Plain,
    /// Its length, in 14 bits.
    Two,
    /// Its length, in 32 bits.
    Four,
    /// Its length, in 64 bits.
    Eight,
    /// As an integer, of which it is the decimal form.
    Integer,
    /// Packed.
    Lzf,
}

pub(crate) const EVERY: [As; 6] = [As::Plain, As::Two, As::Four, As::Eight, As::Integer, As::Lzf];

pub(crate) fn length(length: u64, how: As) -> Vec<u8> {
    match how {
        As::Two => (length as u16 | 0x4000).to_be_bytes().to_vec(),
        As::Four => [&[0x80][..], &(length as u32).to_be_bytes()].concat(),
        As::Eight => [&[0x81][..], &length.to_be_bytes()].concat(),
        _ if length < 64 => vec![length as u8],
        _ if length < 1 << 14 => self::length(length, As::Two),
        _ if length < 1 << 32 => self::length(length, As::Four),
        _ => self::length(length, As::Eight),
    }
}

/// A length, or a number that is written as one.
pub(crate) fn number(number: u64) -> Vec<u8> {
    length(number, As::Plain)
}

pub(crate) fn text(bytes: &[u8]) -> Vec<u8> {
    text_as(bytes, As::Plain)
}

pub(crate) fn text_as(bytes: &[u8], how: As) -> Vec<u8> {
    match how {
        As::Integer => {
            let text = std::str::from_utf8(bytes).expect("an integer");
            let number: i32 = text.parse().expect("an integer");
            match (i8::try_from(number), i16::try_from(number)) {
                (Ok(number), _) => vec![0xc0, number as u8],
                (_, Ok(number)) => [&[0xc1][..], &number.to_le_bytes()].concat(),
                _ => [&[0xc2][..], &number.to_le_bytes()].concat(),
            }
        }
        As::Lzf => {
            let packed = lzf(bytes);
            let (packed_length, plain) = (number(packed.len() as u64), number(bytes.len() as u64));
            [vec![0xc3], packed_length, plain, packed].concat()
        }
        how => [length(bytes.len() as u64, how), bytes.to_vec()].concat(),
    }
}

/// Runs of one byte are said to be repeated.
fn lzf(bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let run = bytes[at..].iter().take_while(|byte| **byte == bytes[at]).count();
        out.extend_from_slice(&[0, bytes[at]]);
        let mut left = run - 1;
        while left >= 3 {
            let now = left.min(264);
            if now < 9 {
                out.extend_from_slice(&[((now - 2) << 5) as u8, 0]);
            } else {
                out.extend_from_slice(&[7 << 5, (now - 9) as u8, 0]);
            }
            left -= now;
        }
        for _ in 0..left {
            out.extend_from_slice(&[0, bytes[at]]);
        }
        at += run;
    }
    out
}

/// Of a collection: as an integer if it is one, of each width.
pub(crate) fn ziplist(elements: &[&[u8]]) -> Vec<u8> {
    let (mut body, mut before, mut last) = (Vec::new(), 0_usize, 10);
    for element in elements {
        let mut entry = Vec::new();
        if before < 254 {
            entry.push(before as u8);
        } else {
            entry.push(254);
            entry.extend_from_slice(&(before as u32).to_le_bytes());
        }
        match integer(element) {
            Some(small @ 0..=12) => entry.push(0xf1 + small as u8),
            Some(number) if i8::try_from(number).is_ok() => {
                entry.extend_from_slice(&[0xfe, number as u8]);
            }
            Some(number) if i16::try_from(number).is_ok() => {
                entry.push(0xc0);
                entry.extend_from_slice(&number.to_le_bytes()[..2]);
            }
            Some(number) if (-(1 << 23)..1 << 23).contains(&number) => {
                entry.push(0xf0);
                entry.extend_from_slice(&number.to_le_bytes()[..3]);
            }
            Some(number) if i32::try_from(number).is_ok() => {
                entry.push(0xd0);
                entry.extend_from_slice(&number.to_le_bytes()[..4]);
            }
            Some(number) => {
                entry.push(0xe0);
                entry.extend_from_slice(&number.to_le_bytes());
            }
            None => {
                match element.len() {
                    short @ 0..64 => entry.push(short as u8),
                    middle @ 64..16_384 => {
                        entry.extend_from_slice(&(middle as u16 | 0x4000).to_be_bytes());
                    }
                    long => {
                        entry.push(0x80);
                        entry.extend_from_slice(&(long as u32).to_be_bytes());
                    }
                }
                entry.extend_from_slice(element);
            }
        }
        last = 10 + body.len();
        before = entry.len();
        body.extend_from_slice(&entry);
    }
    let whole = (10 + body.len() + 1) as u32;
    let head = [whole.to_le_bytes(), (last as u32).to_le_bytes()].concat();
    [head, (elements.len() as u16).to_le_bytes().to_vec(), body, vec![255]].concat()
}

pub(crate) fn listpack(elements: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for element in elements {
        let mut entry = Vec::new();
        match integer(element) {
            Some(small @ 0..128) => entry.push(small as u8),
            Some(number @ -4096..4096) => {
                entry.extend_from_slice(&(0xc000 | (number as u16 & 0x1fff)).to_be_bytes());
            }
            Some(number) => {
                let (form, width) = match number {
                    _ if i16::try_from(number).is_ok() => (0xf1, 2),
                    -8_388_608..8_388_608 => (0xf2, 3),
                    _ if i32::try_from(number).is_ok() => (0xf3, 4),
                    _ => (0xf4, 8),
                };
                entry.push(form);
                entry.extend_from_slice(&number.to_le_bytes()[..width]);
            }
            None => {
                match element.len() {
                    short @ 0..64 => entry.push(0x80 | short as u8),
                    middle @ 64..4096 => {
                        entry.extend_from_slice(&(0xe000 | middle as u16).to_be_bytes());
                    }
                    long => {
                        entry.push(0xf0);
                        entry.extend_from_slice(&(long as u32).to_le_bytes());
                    }
                }
                entry.extend_from_slice(element);
            }
        }
        body.extend_from_slice(&entry);
        body.extend_from_slice(&back(entry.len()));
    }
    let whole = ((6 + body.len() + 1) as u32).to_le_bytes().to_vec();
    [whole, (elements.len() as u16).to_le_bytes().to_vec(), body, vec![255]].concat()
}

/// The length of an entry, to be read from its end.
fn back(length: usize) -> Vec<u8> {
    let groups = match length {
        0..128 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        _ => 4,
    };
    let seven = |group: usize| (length >> (7 * (groups - 1 - group))) as u8 & 127;
    (0..groups).map(|group| seven(group) | if group > 0 { 128 } else { 0 }).collect()
}

pub(crate) fn intset(integers: &[i64], width: usize) -> Vec<u8> {
    let mut bytes = (width as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(&(integers.len() as u32).to_le_bytes());
    integers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()[..width]));
    bytes
}

/// Names and values by turns; each value has some bytes to spare.
pub(crate) fn zipmap(strings: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![(strings.len() / 2).min(254) as u8];
    for (index, string) in strings.iter().enumerate() {
        if string.len() < 254 {
            bytes.push(string.len() as u8);
        } else {
            bytes.push(254);
            bytes.extend_from_slice(&(string.len() as u32).to_le_bytes());
        }
        let spare = if index % 2 == 1 { index % 4 } else { 0 };
        if index % 2 == 1 {
            bytes.push(spare as u8);
        }
        bytes.extend_from_slice(string);
        bytes.extend(std::iter::repeat_n(b'?', spare));
    }
    bytes.push(255);
    bytes
}

fn integer(element: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(element).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == element).then_some(number)
}

impl Made {
    /// A file of a version.
    pub(crate) fn new(version: u16) -> Made {
        let head = match version {
            80.. => format!("VALKEY{version:03}"),
            _ => format!("REDIS{version:04}"),
        };
        Made { bytes: head.into_bytes(), version }
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) -> &mut Made {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub(crate) fn aux(&mut self, name: &str, value: &[u8]) -> &mut Made {
        let (name, value) = (text(name.as_bytes()), text(value));
        self.add(&[250]).add(&name).add(&value)
    }

    pub(crate) fn database(&mut self, db: u64) -> &mut Made {
        self.add(&[254]).add(&number(db))
    }

    /// A key whose value was written so.
    pub(crate) fn key(&mut self, kind: u8, key: &str, value: &[u8]) -> &mut Made {
        self.add(&[kind]).add(&text(key.as_bytes())).add(value)
    }

    /// The end, and the checksum where the version has one.
    pub(crate) fn end(&mut self) -> Vec<u8> {
        self.bytes.push(255);
        if self.version >= 5 {
            let sum = checksum(&self.bytes);
            self.bytes.extend_from_slice(&sum.to_le_bytes());
        }
        std::mem::take(&mut self.bytes)
    }

    /// The same where the checksum was turned off.
    pub(crate) fn end_unsummed(&mut self) -> Vec<u8> {
        self.bytes.push(255);
        self.bytes.extend_from_slice(&[0; 8]);
        std::mem::take(&mut self.bytes)
    }
}

/// Bit by bit.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0_u64, |crc, byte| {
        (0..8).fold(crc ^ u64::from(*byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0x95ac_9329_ac4b_c9b5 } else { 0 }
        })
    })
}
