//! Where a command's keys stand among its arguments, and what it does with them.

use super::Args;

use bitflags::bitflags;

bitflags! {
    /// What a command does with a key; Redis's own words, in the order in which Redis says them.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Uses: u16 {
        /// Changes it, after a look at what is there.
        const RW = 1;
        /// Looks only.
        const RO = 1 << 1;
        /// Overwrites it, whatever is there.
        const OW = 1 << 2;
        /// Removes it.
        const RM = 1 << 3;
        /// Returns, copies or uses what the value says.
        const ACCESS = 1 << 4;
        /// Changes the value.
        const UPDATE = 1 << 5;
        /// Adds to the value, and changes nothing that is there.
        const INSERT = 1 << 6;
        /// Takes out of the value, or all of it away.
        const DELETE = 1 << 7;
        /// The request itself decides: what is declared is the most that may happen.
        const VARIABLE = 1 << 8;
    }
}

impl Uses {
    /// Looks at the value.
    pub const READ: Uses = Uses::RO.union(Uses::ACCESS);
    /// Changes the value, whatever it says.
    pub const CHANGE: Uses = Uses::RW.union(Uses::UPDATE);
    /// Changes the value and looks at it.
    pub const READ_CHANGE: Uses = Uses::RW.union(Uses::ACCESS).union(Uses::UPDATE);
    /// Puts another value there.
    pub const REPLACE: Uses = Uses::OW.union(Uses::UPDATE);
    /// Puts a value where none is.
    pub const CREATE: Uses = Uses::OW.union(Uses::INSERT);
    /// Adds to the value.
    pub const ADD: Uses = Uses::RW.union(Uses::INSERT);
    /// Deletes the key.
    pub const REMOVE: Uses = Uses::RM.union(Uses::DELETE);
    /// Takes the value away and uses it.
    pub const TAKE: Uses = Uses::RW.union(Uses::ACCESS).union(Uses::DELETE);
}

/// The positions of keys: `first` to `last` (negative counts from the end) by `step`; none when
/// `first` is 0. And what is done with them.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// Index of the first key.
    pub first: usize,
    /// Index of the last key; negative counts from the end.
    pub last: i32,
    /// Distance between keys.
    pub step: usize,
    /// What is done with the keys (with the first one, if the others are another matter).
    pub uses: Uses,
    /// What is done with those after the first, where that is something else.
    pub others: Option<Uses>,
    /// Where the request itself decides what is done ([`Uses::VARIABLE`]).
    pub by_request: Option<fn(&Args<'_>) -> Uses>,
}

impl Keys {
    /// No keys at all.
    pub const NONE: Keys = Keys::range(0, 0, 0);
    /// One key, the first argument.
    pub const ONE: Keys = Keys::range(1, 1, 1);
    /// Two keys, the first two arguments.
    pub const TWO: Keys = Keys::range(1, 2, 1);
    /// Every argument is a key.
    pub const ALL: Keys = Keys::range(1, -1, 1);
    /// Key, value, key, value...
    pub const PAIRS: Keys = Keys::range(1, -1, 2);
    /// Everything from the second argument on.
    pub const FROM_SECOND: Keys = Keys::range(2, -1, 1);
    /// One key, the second argument (OBJECT ENCODING key).
    pub const SECOND: Keys = Keys::range(2, 2, 1);

    const fn range(first: usize, last: i32, step: usize) -> Keys {
        Keys { first, last, step, uses: Uses::READ, others: None, by_request: None }
    }

    /// These keys, used so.
    pub const fn used(self, uses: Uses) -> Keys {
        Keys { uses, ..self }
    }

    /// The first of these keys used so, and all others in another way.
    pub const fn used_first(self, uses: Uses, others: Uses) -> Keys {
        Keys { uses, others: Some(others), ..self }
    }

    /// These keys, used at most so; by one request as the function says.
    pub const fn used_as_asked(self, most: Uses, asked: fn(&Args<'_>) -> Uses) -> Keys {
        Keys { uses: most.union(Uses::VARIABLE), by_request: Some(asked), ..self }
    }

    /// What this request does with the key that is `index`th among its keys.
    pub fn uses_of(&self, args: &Args<'_>, index: usize) -> Uses {
        match (self.others, self.by_request) {
            (Some(others), _) if index > 0 => others,
            (_, Some(asked)) => asked(args),
            _ => self.uses,
        }
    }

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
