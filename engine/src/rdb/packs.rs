//! Small collections that older and newer versions keep, and write, as one string.
//!
//! ```text
//!   ziplist   bytes u32 | last entry at u32 | count u16 | entries | 255
//!               entry:    length of the one before (1 byte, or 254 and 4) | form | bytes
//!   listpack  bytes u32 | count u16 | entries | 255
//!               entry:    form | bytes | length of both, to be read backwards
//!   intset    width u32 | count u32 | integers, ascending
//!   zipmap    count u8 | key length | key | value length | spare u8 | value | spare bytes | 255
//! ```
//!
//! Every number in them is checked against what is there before anything is done by it.

use super::read::{Cursor, Malformed, Text};

/// Which of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// Until Redis 6.2.
    Ziplist,
    /// Since Redis 7.0; of streams since 5.0.
    Listpack,
    /// Sets of integers.
    Intset,
    /// Hashes of Redis before 2.6.
    Zipmap,
}

/// A way through one of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pack {
    form: Form,
    at: usize,
    /// Elements so far.
    seen: u64,
    /// How many there are, where it says so.
    told: Option<u64>,
    /// Of a ziplist: the length of the entry before, and where it began; of an intset: the width, and
    /// nothing.
    before: usize,
    began: usize,
    /// Of an intset.
    last: Option<i64>,
}

/// The count that says nothing.
const UNCOUNTED: u16 = u16::MAX;
const END: u8 = 255;
/// What a length of one byte cannot be.
const LONG: u8 = 254;

impl Pack {
    /// At the beginning.
    pub(super) fn begin(form: Form, bytes: &[u8]) -> Result<Pack, Malformed> {
        let mut cursor = Cursor::at(bytes, 0);
        let mut pack = Pack { form, at: 0, seen: 0, told: None, before: 0, began: 0, last: None };
        let is_counted = |count: u16| (count != UNCOUNTED).then_some(u64::from(count));
        match form {
            Form::Ziplist => {
                pack.check_size(&mut cursor, bytes.len())?;
                cursor.array::<4>()?;
                pack.told = is_counted(u16::from_le_bytes(cursor.array()?));
                pack.began = cursor.at;
            }
            Form::Listpack => {
                pack.check_size(&mut cursor, bytes.len())?;
                pack.told = is_counted(u16::from_le_bytes(cursor.array()?));
            }
            Form::Intset => {
                pack.before = u32::from_le_bytes(cursor.array()?) as usize;
                let count = u64::from(u32::from_le_bytes(cursor.array()?));
                let size = count.saturating_mul(pack.before as u64).saturating_add(8);
                if !matches!(pack.before, 2 | 4 | 8) || size != bytes.len() as u64 {
                    return cursor.malformed("an intset with a length that lies");
                }
                pack.told = Some(count);
            }
            Form::Zipmap => {
                let count = cursor.byte()?;
                // Of more it is not told how many.
                pack.told = (count != LONG).then_some(u64::from(count) * 2);
            }
        }
        pack.at = cursor.at;
        Ok(pack)
    }

    fn check_size(&self, cursor: &mut Cursor<'_>, size: usize) -> Result<(), Malformed> {
        if u32::from_le_bytes(cursor.array()?) as usize == size {
            return Ok(());
        }
        cursor.malformed("a list with a length that lies")
    }

    /// The next element, by its place in `bytes`. At the end all that was told of the whole is checked.
    pub(super) fn next(&mut self, bytes: &[u8]) -> Result<Option<Text>, Malformed> {
        let mut cursor = Cursor::at(bytes, self.at);
        let text = match self.form {
            Form::Intset => self.integer(&mut cursor)?,
            _ if bytes.get(self.at) == Some(&END)
                && (self.form != Form::Zipmap || self.seen % 2 == 0) =>
            {
                self.check_end(bytes)?;
                return Ok(None);
            }
            Form::Ziplist => Some(self.ziplist_entry(&mut cursor)?),
            Form::Listpack => Some(listpack_entry(&mut cursor)?),
            Form::Zipmap => Some(self.zipmap_string(&mut cursor)?),
        };
        self.seen += u64::from(text.is_some());
        self.at = cursor.at;
        Ok(text)
    }

    fn check_end(&self, bytes: &[u8]) -> Result<(), Malformed> {
        let cursor = Cursor::at(bytes, self.at);
        if self.at + 1 != bytes.len() {
            return cursor.malformed("a list that ends before its end");
        }
        if self.told.is_some_and(|told| told != self.seen) {
            return cursor.malformed("a list with a count that lies");
        }
        if self.form == Form::Ziplist {
            let tail = u32::from_le_bytes(Cursor::at(bytes, 4).array()?) as usize;
            if tail != self.began {
                return cursor.malformed("a ziplist whose last entry is elsewhere");
            }
        }
        Ok(())
    }

    fn integer(&mut self, cursor: &mut Cursor<'_>) -> Result<Option<Text>, Malformed> {
        if Some(self.seen) == self.told {
            return Ok(None);
        }
        let number = match self.before {
            2 => i64::from(i16::from_le_bytes(cursor.array()?)),
            4 => i64::from(i32::from_le_bytes(cursor.array()?)),
            _ => i64::from_le_bytes(cursor.array()?),
        };
        if self.last.is_some_and(|last| last >= number) {
            return cursor.malformed("an intset that is not in order");
        }
        self.last = Some(number);
        Ok(Some(Text::Int(number)))
    }

    fn ziplist_entry(&mut self, cursor: &mut Cursor<'_>) -> Result<Text, Malformed> {
        let began = cursor.at;
        let before = match cursor.byte()? {
            LONG => u32::from_le_bytes(cursor.array()?) as usize,
            short => usize::from(short),
        };
        if before != self.before {
            return cursor.malformed("a ziplist entry that misses the one before");
        }
        let form = cursor.byte()?;
        let text = match form {
            0..0x40 => raw(cursor, usize::from(form))?,
            0x40..0x80 => {
                let length = u16::from_be_bytes([form & 0x3f, cursor.byte()?]);
                raw(cursor, usize::from(length))?
            }
            0x80 => {
                let length = u32::from_be_bytes(cursor.array()?);
                raw(cursor, length as usize)?
            }
            0xc0 => Text::Int(i64::from(i16::from_le_bytes(cursor.array()?))),
            0xd0 => Text::Int(i64::from(i32::from_le_bytes(cursor.array()?))),
            0xe0 => Text::Int(i64::from_le_bytes(cursor.array()?)),
            0xf0 => Text::Int(i64::from(int24(cursor.array()?))),
            0xf1..=0xfd => Text::Int(i64::from(form) - 0xf1),
            0xfe => Text::Int(i64::from(i8::from_le_bytes(cursor.array()?))),
            _ => return cursor.malformed("no such entry of a ziplist"),
        };
        (self.before, self.began) = (cursor.at - began, began);
        Ok(text)
    }

    fn zipmap_string(&mut self, cursor: &mut Cursor<'_>) -> Result<Text, Malformed> {
        let length = match cursor.byte()? {
            LONG => u32::from_le_bytes(cursor.array()?) as usize,
            END => return cursor.malformed("a zipmap of an odd count"),
            short => usize::from(short),
        };
        if self.seen % 2 == 0 {
            return raw(cursor, length);
        }
        let spare = usize::from(cursor.byte()?);
        let text = raw(cursor, length)?;
        cursor.take(spare)?;
        Ok(text)
    }
}

fn raw(cursor: &mut Cursor<'_>, length: usize) -> Result<Text, Malformed> {
    cursor.take(length)?;
    Ok(Text::Raw(cursor.at - length..cursor.at))
}

/// Three bytes, the low one first.
fn int24([low, middle, high]: [u8; 3]) -> i32 {
    i32::from_le_bytes([0, low, middle, high]) >> 8
}

fn listpack_entry(cursor: &mut Cursor<'_>) -> Result<Text, Malformed> {
    let began = cursor.at;
    let form = cursor.byte()?;
    let text = match form {
        0..0x80 => Text::Int(i64::from(form)),
        0x80..0xc0 => raw(cursor, usize::from(form & 0x3f))?,
        0xc0..0xe0 => {
            // Thirteen bits with a sign.
            let bits = u16::from_be_bytes([form & 0x1f, cursor.byte()?]);
            Text::Int(i64::from((bits << 3) as i16 >> 3))
        }
        0xe0..0xf0 => {
            let length = u16::from_be_bytes([form & 0x0f, cursor.byte()?]);
            raw(cursor, usize::from(length))?
        }
        0xf0 => {
            let length = u32::from_le_bytes(cursor.array()?);
            raw(cursor, length as usize)?
        }
        0xf1 => Text::Int(i64::from(i16::from_le_bytes(cursor.array()?))),
        0xf2 => Text::Int(i64::from(int24(cursor.array()?))),
        0xf3 => Text::Int(i64::from(i32::from_le_bytes(cursor.array()?))),
        0xf4 => Text::Int(i64::from_le_bytes(cursor.array()?)),
        _ => return cursor.malformed("no such entry of a listpack"),
    };
    let length = cursor.at - began;
    let (expected, count) = backwards(length);
    if cursor.take(count)? != &expected[..count] {
        return cursor.malformed("a listpack entry whose length lies");
    }
    Ok(text)
}

/// An entry's length as it stands behind it, and in how many bytes: seven bits in each, the low ones last,
/// and a mark on all but the first.
pub(super) fn backwards(length: usize) -> ([u8; 5], usize) {
    let count = match length {
        0..128 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    };
    let mut bytes = [0; 5];
    for (place, byte) in bytes[..count].iter_mut().enumerate() {
        let bits = (length >> (7 * (count - 1 - place))) as u8 & 0x7f;
        *byte = if place == 0 { bits } else { bits | 0x80 };
    }
    (bytes, count)
}
