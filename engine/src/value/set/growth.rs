//! Which form a set has: what Redis 7.2 decides by its settings, and when.
//!
//! ```text
//!   integers  ── one more than `integers` of them ──────────────────► hashed
//!        └─────── a member that is none, and few are there ─► listed ── one more, or a long one ─► hashed
//! ```
//!
//! Nothing goes back, but for what SPOP leaves of a large set. The one who changes a set decides, and tells the form
//! with the change: a copy of the set never asks for settings.

use super::Set;
use super::member::integer;

/// The form of a set, which OBJECT ENCODING and the order of replies tell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Form {
    /// Few integers, ascending.
    Integers,
    /// Few short members, as they came.
    Listed,
    /// Any members, in the order of hashes.
    Hashed,
}

impl Form {
    /// As a number, for ever.
    pub(super) fn number(self) -> u8 {
        self as u8
    }

    pub(super) fn numbered(number: u8) -> Option<Form> {
        [Form::Integers, Form::Listed, Form::Hashed].get(usize::from(number)).copied()
    }
}

/// Up to when sets are kept in their small forms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// `set-max-intset-entries`.
    pub integers: usize,
    /// `set-max-listpack-entries`.
    pub listed: usize,
    /// `set-max-listpack-value`.
    pub listed_bytes: usize,
}

/// Redis's own.
impl Default for Limits {
    fn default() -> Limits {
        Limits { integers: 512, listed: 128, listed_bytes: 64 }
    }
}

impl Limits {
    /// The form of a set that begins with a member, where so many are to come.
    pub fn first(&self, member: &[u8], coming: usize) -> Form {
        if coming <= self.integers && integer(member).is_some() {
            return Form::Integers;
        }
        if coming <= self.listed { Form::Listed } else { Form::Hashed }
    }

    /// The form of a set that is there, where so many are to come.
    pub fn before(&self, form: Form, coming: usize) -> Form {
        let most = match form {
            Form::Integers => self.integers,
            Form::Listed => self.listed,
            Form::Hashed => return form,
        };
        if coming > most { Form::Hashed } else { form }
    }

    /// The form of a set of `count` members, the longest of which has so many bytes (asked of integers only), when
    /// one more is put.
    pub fn with(
        &self,
        form: Form,
        count: usize,
        longest: impl FnOnce() -> usize,
        member: &[u8],
    ) -> Form {
        let fits_list = || count < self.listed && member.len() <= self.listed_bytes;
        match form {
            Form::Integers if integer(member).is_some() => {
                if count < self.integers {
                    Form::Integers
                } else {
                    Form::Hashed
                }
            }
            Form::Integers if fits_list() && longest() <= self.listed_bytes => Form::Listed,
            Form::Listed if fits_list() => Form::Listed,
            _ => Form::Hashed,
        }
    }

    /// The form of what SPOP leaves of a set, where it leaves little of much: Redis then makes a new set of it.
    pub fn left_over(&self, set: &Set, left: u64) -> Form {
        if set.form() != Form::Hashed {
            return set.form();
        }
        if left <= self.listed as u64 { Form::Listed } else { Form::Hashed }
    }
}

/// How a set takes new members: so many of them as integers, and the rest in this form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Growth {
    /// Those at the beginning that come into a set of integers which becomes another one then.
    pub integers: usize,
    /// The form afterwards.
    pub form: Form,
}

impl Growth {
    /// Of a set, or of none, for members that it has not, each of them once; `coming` is how many were asked for.
    pub fn of(there: Option<&Set>, new: &[&[u8]], coming: usize, limits: &Limits) -> Growth {
        let Some(first) = new.first() else {
            let form = there.map_or(Form::Integers, Set::form);
            return Growth { integers: 0, form };
        };
        let mut form = match there {
            Some(set) => limits.before(set.form(), coming),
            None => limits.first(first, coming),
        };
        let mut longest = there.map_or(0, Set::longest_integer);
        let (mut count, mut integers) = (there.map_or(0, Set::len) as usize, 0);
        for member in new {
            if form == Form::Hashed {
                break;
            }
            let next = limits.with(form, count, || longest, member);
            if next == Form::Integers {
                integers += 1;
                longest = longest.max(member.len());
            }
            (form, count) = (next, count + 1);
        }
        let integers = if form == Form::Listed { integers } else { 0 };
        Growth { integers, form }
    }
}
