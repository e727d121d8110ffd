//! Where a command's keys stand among its arguments.

use super::Args;

/// What a command does with its keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Looks only.
    Read,
    /// May change or create.
    Write,
}

/// The positions of keys: `first` to `last` (negative counts from the end) by `step`; none when
/// `first` is 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keys {
    /// Index of the first key.
    pub first: usize,
    /// Index of the last key; negative counts from the end.
    pub last: i32,
    /// Distance between keys.
    pub step: usize,
}

impl Keys {
    /// No keys at all.
    pub const NONE: Keys = Keys { first: 0, last: 0, step: 0 };
    /// One key, the first argument.
    pub const ONE: Keys = Keys { first: 1, last: 1, step: 1 };
    /// Two keys, the first two arguments.
    pub const TWO: Keys = Keys { first: 1, last: 2, step: 1 };
    /// Every argument is a key.
    pub const ALL: Keys = Keys { first: 1, last: -1, step: 1 };
    /// Key, value, key, value...
    pub const PAIRS: Keys = Keys { first: 1, last: -1, step: 2 };
    /// Everything from the second argument on.
    pub const FROM_SECOND: Keys = Keys { first: 2, last: -1, step: 1 };
    /// One key, the second argument (OBJECT ENCODING key).
    pub const SECOND: Keys = Keys { first: 2, last: 2, step: 1 };

    /// Whether there are keys to look for.
    pub fn any(&self) -> bool {
        self.first != 0
    }

    /// The argument indexes of the keys of this request.
    pub fn positions(&self, args: &Args<'_>) -> impl Iterator<Item = usize> + use<> {
        let count = args.len();
        let last = match self.last {
            last if last < 0 => (count as i64 + i64::from(last)).max(0) as usize,
            last => last as usize,
        };
        let last = last.min(count.saturating_sub(1));
        let (first, step) = (self.first, self.step.max(1));
        let end = if first == 0 || first > last { first } else { last + 1 };
        (first..end).step_by(step)
    }
}
