//! Where a command's keys stand among its arguments, and what it does with them.
//!
//! ```text
//!   Keys   up to three specs, one after the other
//!   Spec   begins at an argument, or after a word        and then
//!            ├─ a range: to an argument, to the end, to some of what is left
//!            ├─ a count, and so many keys behind it
//!            └─ nobody can tell: it depends on values
//! ```
//!
//! These are Redis's key specifications; first, last and step of COMMAND follow from them. The same specs
//! say which shards a request needs and how each key is locked. So they find what the command itself will
//! take, also where Redis's own search stops short (a word that is an option's argument, an option that is
//! given twice).

use super::Args;
use crate::resp::number;

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
        /// It only looks like a key: a channel.
        const NOT_KEY = 1 << 8;
        /// Not all keys are found so.
        const INCOMPLETE = 1 << 9;
        /// The request itself decides: what is declared is the most that may happen.
        const VARIABLE = 1 << 10;
        /// Changes it, though Redis calls it a look. Not said by COMMAND.
        const ALONE = 1 << 11;
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

    /// Whether a key that is used so is to be held alone.
    #[inline]
    pub fn is_change(self) -> bool {
        self.contains(Uses::ALONE) || !self.contains(Uses::RO)
    }
}

/// A word after which keys stand, and how it is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// The word, in upper case.
    pub word: &'static str,
    /// The first argument that may be it.
    pub from: usize,
    /// Where Redis says that it looks first; negative counts from the end.
    pub told_from: i32,
    /// Options whose arguments are skipped, and how many they have: such an argument may be the very word.
    pub options: &'static [(&'static str, usize)],
    /// An option that may be given again, and the last one counts. Its argument is skipped.
    pub is_option: bool,
}

impl Word {
    /// The argument behind the word, if it is there.
    fn find(&self, args: &Args<'_>) -> Option<usize> {
        let (mut at, mut found) = (self.from, None);
        while at + 1 < args.len() {
            let arg = args.get(at);
            at += 1;
            if arg.eq_ignore_ascii_case(self.word.as_bytes()) {
                found = Some(at);
                if !self.is_option {
                    break;
                }
                at += 1;
            } else {
                let is_it = |(name, _): &&(&str, usize)| arg.eq_ignore_ascii_case(name.as_bytes());
                at += self.options.iter().find(is_it).map_or(0, |(_, skipped)| *skipped);
            }
        }
        found
    }
}

/// Where a search for keys begins.
#[derive(Clone, Copy, Debug)]
pub enum Begin {
    /// At this argument.
    At(usize),
    /// Behind this word.
    After(Word),
    /// Nobody can tell.
    Unknown,
}

/// Which keys stand where a search begins.
#[derive(Clone, Copy, Debug)]
pub enum Extent {
    /// From there to `last`: counted from there, or from the end where it is negative.
    Range {
        /// The last key.
        last: i32,
        /// From one key to the next.
        step: usize,
        /// With 2 or more, keys are only the first part of what is left, which has so many parts of one length.
        parts: usize,
    },
    /// A number, and so many keys behind it.
    Count,
    /// Nobody can tell.
    Unknown,
}

/// The request cannot be one of this command: keys that it must have are not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Invalid;

/// Some keys: how they are found, and what is done with them.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Where they begin.
    pub begin: Begin,
    /// How many they are.
    pub extent: Extent,
    /// What is done with them.
    pub uses: Uses,
    /// A remark for COMMAND INFO.
    pub notes: &'static str,
    /// Whether COMMAND INFO says how they are found.
    pub is_told: bool,
    /// Where the request itself decides what is done ([`Uses::VARIABLE`]).
    by_request: Option<fn(&Args<'_>) -> Uses>,
    /// Where they are found, the keys of the spec before are none, and an empty argument stands there.
    is_instead: bool,
}

impl Spec {
    /// None.
    const NONE: Spec = Spec::new(Begin::Unknown, Extent::Unknown);

    const fn new(begin: Begin, extent: Extent) -> Spec {
        let (uses, notes, by_request) = (Uses::READ, "", None);
        Spec { begin, extent, uses, notes, is_told: true, by_request, is_instead: false }
    }

    /// From argument `first` to `last`, which is counted from `first`, or from the end where it is negative.
    pub const fn range(first: usize, last: i32, step: usize) -> Spec {
        Spec::new(Begin::At(first), Extent::Range { last, step, parts: 0 })
    }

    /// This one argument.
    pub const fn at(position: usize) -> Spec {
        Spec::range(position, 0, 1)
    }

    /// So many as this argument says, behind it.
    pub const fn counted(position: usize) -> Spec {
        Spec::new(Begin::At(position), Extent::Count)
    }

    /// The argument of an option, which may stand from `from` on.
    pub const fn option(word: &'static str, from: usize) -> Spec {
        Spec::after(word, from, true, Extent::Range { last: 0, step: 1, parts: 0 })
    }

    /// All arguments behind a word, which may stand from `from` on.
    pub const fn rest(word: &'static str, from: usize) -> Spec {
        Spec::after(word, from, false, Extent::Range { last: -1, step: 1, parts: 0 })
    }

    /// The first half of the arguments behind a word, which may stand from `from` on.
    pub const fn half(word: &'static str, from: usize) -> Spec {
        Spec::after(word, from, false, Extent::Range { last: -1, step: 1, parts: 2 })
    }

    const fn after(word: &'static str, from: usize, is_option: bool, extent: Extent) -> Spec {
        let told_from = from as i32;
        Spec::new(Begin::After(Word { word, from, told_from, options: &[], is_option }), extent)
    }

    /// Keys that are known only by values.
    pub const fn unknown() -> Spec {
        Spec { is_told: false, ..Spec::NONE }
    }

    /// These keys, used so.
    pub const fn used(self, uses: Uses) -> Spec {
        Spec { uses, ..self }
    }

    /// The word is not an argument of these options.
    pub const fn skipping(self, options: &'static [(&'static str, usize)]) -> Spec {
        match self.begin {
            Begin::After(word) => Spec { begin: Begin::After(Word { options, ..word }), ..self },
            _ => self,
        }
    }

    /// As Redis says where it looks for the word.
    pub const fn told_from(self, told_from: i32) -> Spec {
        match self.begin {
            Begin::After(word) => Spec { begin: Begin::After(Word { told_from, ..word }), ..self },
            _ => self,
        }
    }

    /// COMMAND INFO does not say where they stand.
    pub const fn untold(self) -> Spec {
        Spec { is_told: false, ..self }
    }

    /// Where these are found, those of the spec before are none.
    pub const fn instead(self) -> Spec {
        Spec { is_instead: true, ..self }
    }

    /// With a remark for COMMAND INFO.
    pub const fn noted(self, notes: &'static str) -> Spec {
        Spec { notes, ..self }
    }

    /// What this request does with these keys.
    pub fn uses_in(&self, args: &Args<'_>) -> Uses {
        self.by_request.map_or(self.uses, |asked| asked(args))
    }

    /// The arguments of this request that are meant: from, to (excluded), and the step.
    #[inline]
    fn place(&self, args: &Args<'_>) -> Result<(usize, usize, usize), Invalid> {
        const NOWHERE: (usize, usize, usize) = (0, 0, 1);
        let first = match &self.begin {
            Begin::At(position) => *position,
            Begin::After(word) => match word.find(args) {
                Some(position) => position,
                None => return Ok(NOWHERE),
            },
            Begin::Unknown => return Ok(NOWHERE),
        };
        let count = args.len();
        let (first, last, step) = match self.extent {
            Extent::Range { last, step, .. } if last >= 0 => (first, first + last as usize, step),
            Extent::Range { last, step, parts } => {
                let end =
                    if parts > 1 { first + count.saturating_sub(first) / parts } else { count };
                let last = end.checked_sub(last.unsigned_abs() as usize).ok_or(Invalid)?;
                (first, last, step)
            }
            Extent::Count => {
                let said = if first < count { number::parse_i64(args.get(first)) } else { None };
                let said = said.and_then(|said| usize::try_from(said).ok());
                let last = said.and_then(|said| first.checked_add(said)).ok_or(Invalid)?;
                (first + 1, last, 1)
            }
            Extent::Unknown => return Ok(NOWHERE),
        };
        if first > last || last >= count {
            return Err(Invalid);
        }
        Ok((first, last + 1, step))
    }
}

/// The most specs that a command has (SORT).
const SPECS_MAX: usize = 3;

/// Where all keys of a command stand, and what is done with them.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    specs: [Spec; SPECS_MAX],
    count: usize,
}

impl Keys {
    /// No keys at all.
    pub const NONE: Keys = Keys::of([]);
    /// One key, the first argument.
    pub const ONE: Keys = Keys::of([Spec::at(1)]);
    /// Two keys, the first two arguments.
    pub const TWO: Keys = Keys::of([Spec::range(1, 1, 1)]);
    /// Every argument is a key.
    pub const ALL: Keys = Keys::of([Spec::range(1, -1, 1)]);
    /// Key, value, key, value...
    pub const PAIRS: Keys = Keys::of([Spec::range(1, -1, 2)]);
    /// One key, the second argument (OBJECT ENCODING key).
    pub const SECOND: Keys = Keys::of([Spec::at(2)]);

    /// These, at most three.
    pub const fn of<const COUNT: usize>(some: [Spec; COUNT]) -> Keys {
        let (mut specs, mut index) = ([Spec::NONE; SPECS_MAX], 0);
        while index < COUNT {
            specs[index] = some[index];
            index += 1;
        }
        Keys { specs, count: COUNT }
    }

    /// All of these keys, used so.
    pub const fn used(self, uses: Uses) -> Keys {
        let (mut specs, mut index) = (self.specs, 0);
        while index < self.count {
            specs[index].uses = uses;
            index += 1;
        }
        Keys { specs, ..self }
    }

    /// The keys of the only spec, used at most so; by one request as the function says.
    pub const fn used_as_asked(
        self,
        most: Uses,
        asked: fn(&Args<'_>) -> Uses,
        notes: &'static str,
    ) -> Keys {
        let (uses, by_request) = (most.union(Uses::VARIABLE), Some(asked));
        Keys::of([Spec { uses, by_request, notes, ..self.specs[0] }])
    }

    /// The specs, in the order in which the request's keys are counted.
    pub fn specs(&self) -> &[Spec] {
        &self.specs[..self.count]
    }

    /// The first argument that is a key, where it is always the same one; else 0.
    pub fn first(&self) -> usize {
        match self.specs().first().map(|spec| spec.begin) {
            Some(Begin::At(position)) => position,
            _ => 0,
        }
    }

    /// Whether there are keys to look for.
    pub fn any(&self) -> bool {
        self.specs().iter().any(|spec| !spec.uses.contains(Uses::NOT_KEY))
    }

    /// Whether this request may look at keys that it does not name (SORT with BY or GET): of any shard.
    pub fn may_be_anywhere(&self, args: &Args<'_>) -> bool {
        let is_unknown = |spec: &Spec| matches!(spec.begin, Begin::Unknown);
        self.specs().iter().any(is_unknown)
            && (2..args.len()).any(|index| {
                let word = args.get(index);
                word.eq_ignore_ascii_case(b"BY") || word.eq_ignore_ascii_case(b"GET")
            })
    }

    /// The keys of this request: where each stands, and the spec that found it. What a request lacks is
    /// passed over: the command refuses it.
    #[inline]
    pub fn each<'a>(
        &'a self,
        args: &Args<'a>,
    ) -> impl Iterator<Item = (usize, &'a Spec)> + Clone + use<'a> {
        Found { args: *args, specs: self.specs(), spec: &Spec::NONE, at: 0, end: 0, step: 1 }
    }

    /// The argument indexes of the keys of this request.
    #[inline]
    pub fn positions<'a>(
        &'a self,
        args: &Args<'a>,
    ) -> impl Iterator<Item = usize> + Clone + use<'a> {
        self.each(args).map(|(position, _)| position)
    }

    /// Whether all keys are there that the request says it has.
    pub fn fit(&self, args: &Args<'_>) -> bool {
        let specs = self.specs();
        let fits = |(index, spec): (usize, &Spec)| match spec.place(args) {
            Ok((first, end, _)) if spec.is_instead && first < end => {
                index > 0
                    && specs[index - 1].place(args).is_ok_and(|(at, ..)| args.get(at).is_empty())
            }
            place => place.is_ok(),
        };
        specs.iter().enumerate().all(fits)
    }

    /// First, last (negative counts from the end) and step as COMMAND tells them, all 0 where they cannot say
    /// anything; and whether they do not say all.
    pub fn range(&self) -> (KeyRange, bool) {
        let (mut whole, mut is_movable) = (KeyRange::default(), false);
        for spec in self.specs() {
            is_movable |= spec.uses.contains(Uses::INCOMPLETE);
            let (Begin::At(first), Extent::Range { last, step, .. }) = (spec.begin, spec.extent)
            else {
                is_movable = true;
                continue;
            };
            let last = if last < 0 { last } else { first as i32 + last };
            let follows = whole.last == 0 || whole.last == first as i32 - 1;
            if self.count == 1 {
                whole = KeyRange { first, last, step };
            } else if step == 1 && follows {
                let first = if whole.first == 0 { first } else { whole.first };
                whole = KeyRange { first, last, step };
            } else {
                is_movable = true;
            }
        }
        (whole, is_movable)
    }
}

/// What COMMAND says of keys in three numbers.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct KeyRange {
    /// The first key.
    pub first: usize,
    /// The last one; negative counts from the end.
    pub last: i32,
    /// From one to the next.
    pub step: usize,
}

/// The keys of one request, spec by spec.
#[derive(Clone)]
struct Found<'a> {
    args: Args<'a>,
    /// Those that are still to come.
    specs: &'a [Spec],
    /// The one whose keys stand from `at` to `end`.
    spec: &'a Spec,
    at: usize,
    end: usize,
    step: usize,
}

impl<'a> Iterator for Found<'a> {
    type Item = (usize, &'a Spec);

    #[inline]
    fn next(&mut self) -> Option<(usize, &'a Spec)> {
        while self.at >= self.end {
            let (spec, rest) = self.specs.split_first()?;
            self.specs = rest;
            let is_given_up = rest.first().is_some_and(|next| {
                next.is_instead && next.place(&self.args).is_ok_and(|(first, end, _)| first < end)
            });
            if is_given_up || spec.uses.contains(Uses::NOT_KEY) {
                continue;
            }
            if let Ok(place) = spec.place(&self.args) {
                (self.at, self.end, self.step) = place;
                self.spec = spec;
            }
        }
        let position = self.at;
        self.at += self.step;
        Some((position, self.spec))
    }
}

#[cfg(test)]
mod tests {
    use super::super::OwnedArgs;
    use super::*;

    /// One of each kind.
    fn kinds() -> Vec<Keys> {
        let options = &[("COUNT", 1), ("GROUP", 2)];
        vec![
            Keys::ONE,
            Keys::TWO,
            Keys::ALL,
            Keys::PAIRS,
            Keys::of([Spec::range(1, -2, 1)]),
            Keys::of([Spec::at(2), Spec::range(3, -1, 1)]),
            Keys::of([Spec::counted(1)]),
            Keys::of([Spec::at(1), Spec::counted(2)]),
            Keys::of([Spec::at(1), Spec::unknown(), Spec::option("STORE", 2).skipping(options)]),
            Keys::of([Spec::at(3), Spec::rest("KEYS", 4).instead()]),
            Keys::of([Spec::half("STREAMS", 1).skipping(options)]),
        ]
    }

    #[test]
    fn whatever_a_request_says_its_keys_are_among_its_arguments() {
        const WORDS: [&str; 12] = [
            "",
            "a",
            "b",
            "0",
            "1",
            "2",
            "-1",
            "9223372036854775807",
            "STORE",
            "keys",
            "Streams",
            "COUNT",
        ];
        let mut state = 1u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        let mut found = 0;
        for _ in 0..20_000 {
            let words: Vec<&str> = (0..1 + next(8)).map(|_| WORDS[next(WORDS.len())]).collect();
            let args: OwnedArgs = words.iter().map(|word| word.as_bytes()).collect();
            for keys in kinds() {
                let positions: Vec<usize> = keys.positions(&args.view()).collect();
                assert!(positions.iter().all(|at| (1..words.len()).contains(at)), "{words:?}");
                assert!(positions.len() < words.len(), "{words:?}");
                found += usize::from(!positions.is_empty() && keys.fit(&args.view()));
            }
        }
        assert!(found > 1000, "some of them were requests: {found}");
    }
}
