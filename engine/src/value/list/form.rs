//! In which form Redis would keep a list: one listpack, or several in a quicklist.
//!
//! A listpack that would come over the limit by what is about to be put becomes a quicklist; a quicklist whose
//! rest has no more than half of it becomes a listpack. Redis does the latter only where the rest lies in one
//! of the quicklist's own packs, which depends on where these were split: here it does not.

use crate::resp::number::parse_i64;
use crate::value::Value;
use crate::value::listpack::{integer_entry, string_entry};

/// The form.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Form {
    /// One listpack.
    #[default]
    Pack = 0,
    /// A quicklist.
    Quick = 1,
}

impl Form {
    /// As effects tell it.
    pub(super) fn numbered(number: u64) -> Option<Form> {
        match number {
            0 => Some(Form::Pack),
            1 => Some(Form::Quick),
            _ => None,
        }
    }

    /// Of a listpack of so many bytes.
    pub(super) fn of_pack(bytes: u64, count: u64, limit: Limit) -> Form {
        if limit.holds(bytes, count) { Form::Pack } else { Form::Quick }
    }

    /// Of elements that take so many bytes.
    pub(super) fn of(packed: u64, count: u64, limit: Limit) -> Form {
        Form::of_pack(packed + FRAME, count, limit)
    }
}

/// What a listpack takes beside its elements: the length before and the mark at the end.
pub(super) const FRAME: u64 = 7;

/// `list-max-listpack-size`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    bytes: u64,
    count: u64,
    /// Where the count is what is limited: all the same no listpack is longer.
    safe_bytes: u64,
}

impl Limit {
    /// From the setting: a count, or one of five lengths where it is negative.
    pub fn of(setting: i32) -> Limit {
        if setting >= 0 {
            let count = setting.max(1) as u64;
            return Limit { bytes: u64::MAX, count, safe_bytes: 8192 };
        }
        let bytes = 4096 << (setting.unsigned_abs() - 1).min(4);
        Limit { bytes, count: u64::MAX, safe_bytes: bytes }
    }

    pub(super) fn half(self) -> Limit {
        let Limit { bytes, count, .. } = self;
        let half = |most: u64| if most == u64::MAX { most } else { most / 2 };
        Limit { bytes: half(bytes), count: half(count), safe_bytes: u64::MAX }
    }

    fn holds(self, bytes: u64, count: u64) -> bool {
        bytes <= self.bytes.min(self.safe_bytes) && count <= self.count
    }

    /// Of one that shrinks.
    pub(super) fn holds_all(self, bytes: u64, count: u64) -> bool {
        bytes <= self.bytes && count <= self.count
    }

    /// Whether so many elements might fit: each takes two bytes at least.
    pub(super) fn may_hold(self, count: u64) -> bool {
        count <= self.count && count.saturating_mul(2) <= self.bytes
    }
}

/// What an element takes in a listpack.
pub(super) fn packed(element: Value<'_>) -> u64 {
    let number = match element {
        Value::Bytes(bytes) if bytes.len() <= 20 => parse_i64(bytes),
        _ => None,
    };
    number.map_or_else(|| string_entry(element.len() as u64), integer_entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_the_setting() {
        for (setting, bytes, count, holds) in [
            (-2, 8192, 1000, true),
            (-2, 8193, 1, false),
            (-1, 4097, 1, false),
            (-5, 65_536, 1, true),
            (-9, 65_536, 1, true),
            (-9, 65_537, 1, false),
            (128, 8192, 128, true),
            (128, 100, 129, false),
            (128, 8193, 1, false),
            (0, 10, 1, true),
            (0, 10, 2, false),
        ] {
            assert_eq!(Limit::of(setting).holds(bytes, count), holds, "{setting} {bytes} {count}");
        }
        assert!(Limit::of(-2).half().holds_all(4096, 4000));
        assert!(!Limit::of(-2).half().holds_all(4097, 1));
        assert!(Limit::of(128).half().holds_all(100_000, 64));
        assert!(!Limit::of(128).half().holds_all(10, 65));
    }

    #[test]
    fn elements_take_what_they_take_in_a_listpack() {
        for (element, bytes) in [
            ("", 2),
            ("a", 3),
            ("0", 2),
            ("127", 2),
            ("128", 3),
            ("-1", 3),
            ("4096", 4),
            ("40000", 5),
            ("-9000000", 6),
            ("2147483648", 10),
            ("007", 5),
        ] {
            assert_eq!(packed(Value::Bytes(element.as_bytes())), bytes, "{element}");
        }
        assert_eq!(packed(Value::Bytes(&[b'a'; 64])), 64 + 2 + 1);
        assert_eq!(packed(Value::Bytes(&[b'a'; 126])), 126 + 2 + 2);
        assert_eq!(packed(Value::Bytes(&[b'a'; 5000])), 5000 + 5 + 2);
    }
}
