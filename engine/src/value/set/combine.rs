//! Unions, intersections and differences, piece by piece: a new set, made of sets as they were at the beginning.
//!
//! ```text
//!   intersect   along the smallest; each member is looked for in the others
//!   union       the members of all; once that is no small set any more, those of the others into the largest
//!   subtract    along the first, looking in the others; or all of the first, and the others' members out of it
//! ```
//!
//! Large sets are taken as they are, by a reference, and changed where they become others: a union of a million members
//! and ten more shares nearly all pages with the million. All are in one order, so what is looked for lies beside
//! what was looked for before.
//!
//! The form of the outcome, and the order of a small one, are those that Redis 7.2 comes to.

use super::growth::{Form, Limits};
use super::{Member, Set};

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Members of all.
    Intersect,
    /// Members of any.
    Union,
    /// Members of the first that are in no other.
    Subtract,
}

/// An operation under way.
pub struct Combining {
    limits: Limits,
    /// Those whose members are gone along, or looked at beside the first.
    sets: Vec<Set>,
    way: Way,
    /// The one that is gone along, the next of its members, and the next set in which to look for that.
    set: usize,
    at: u64,
    other: usize,
    outcome: Set,
    /// Members of an intersection whose number alone is wanted, and how many are enough.
    counted: Option<(u64, u64)>,
}

/// How it is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// Along the first set: those come that are in all others, or in none.
    Along {
        are_in: bool,
    },
    /// Those of all sets come.
    Put,
    /// Those of all sets but the first go.
    Take,
    End,
}

impl Combining {
    /// Of these sets; a key without one has none.
    pub fn of(operation: Operation, sets: Vec<Option<Set>>, limits: Limits) -> Combining {
        let outcome = Set::default();
        let mut combining = Combining {
            limits,
            sets: Vec::new(),
            way: Way::End,
            set: 0,
            at: 0,
            other: 1,
            outcome,
            counted: None,
        };
        match operation {
            Operation::Union => {
                combining.sets = sets.into_iter().flatten().collect();
                combining.way = Way::Put;
            }
            Operation::Intersect => {
                if let Some(sets) = sets.into_iter().collect() {
                    combining.intersect(sets);
                }
            }
            Operation::Subtract => {
                let mut sets = sets.into_iter();
                if let Some(first) = sets.next().flatten() {
                    combining.subtract(first, sets.flatten().collect());
                }
            }
        }
        combining
    }

    /// How many members an intersection of these has, or `most` if it has more; 0 is no bound.
    pub fn counting(sets: Vec<Option<Set>>, most: u64) -> Combining {
        let mut combining = Combining::of(Operation::Intersect, sets, Limits::default());
        combining.counted = Some((0, if most == 0 { u64::MAX } else { most }));
        combining
    }

    fn intersect(&mut self, mut sets: Vec<Set>) {
        sets.sort_by_key(Set::len);
        // Redis begins with a list where it does not begin with integers.
        if sets.first().is_some_and(|smallest| smallest.form() != Form::Integers) {
            self.outcome = Set::new(Form::Listed);
        }
        self.sets = sets;
        self.way = Way::Along { are_in: true };
    }

    fn subtract(&mut self, first: Set, mut others: Vec<Set>) {
        let (length, rest) = (first.len(), others.iter().map(Set::len).sum::<u64>());
        // Redis's choice. It decides on the form of what is left.
        let is_along = length * (others.len() as u64 + 1) / 2 <= length + rest;
        let Limits { integers, listed, .. } = self.limits;
        let surely = if is_along { length.saturating_sub(rest) } else { length };
        let keeps_form = match first.form() {
            Form::Integers => length <= integers as u64,
            Form::Listed => false,
            Form::Hashed => surely > integers.max(listed) as u64,
        };
        if is_along && !(keeps_form && rest < length) {
            others.sort_by_key(|other| std::cmp::Reverse(other.len()));
            self.way = Way::Along { are_in: false };
        } else {
            if keeps_form {
                self.outcome = first.clone();
            } else {
                first.iter().for_each(|member| come(&mut self.outcome, member, &self.limits));
            }
            (self.set, self.way) = (1, Way::Take);
        }
        self.sets = vec![first];
        self.sets.append(&mut others);
    }

    /// How long it takes, about: what one piece does many times over is long.
    pub fn cost(&self) -> u64 {
        match self.way {
            Way::Along { .. } => {
                self.sets.first().map_or(0, Set::len).saturating_mul(self.sets.len() as u64)
            }
            Way::Put | Way::Take => self.sets.iter().map(Set::len).sum(),
            Way::End => 0,
        }
    }

    /// Does a piece: so many looks at members; whether it was the last.
    pub fn more(&mut self, looks: usize) -> bool {
        match self.way {
            Way::Along { are_in } => self.go_along(are_in, looks),
            Way::Put => self.put_some(looks),
            Way::Take => self.take_some(looks),
            Way::End => {}
        }
        self.way == Way::End
    }

    /// What came of it.
    pub fn outcome(self) -> Set {
        self.outcome
    }

    /// How many members were counted.
    pub fn count(&self) -> u64 {
        self.counted.map_or(self.outcome.len(), |(count, _)| count)
    }

    fn go_along(&mut self, are_in: bool, mut looks: usize) {
        let Combining { limits, sets, at, other, outcome, counted, way, .. } = self;
        let Some((first, others)) = sets.split_first() else {
            *way = Way::End;
            return;
        };
        for member in first.range(*at..u64::MAX) {
            if looks == 0 {
                return;
            }
            loop {
                looks = looks.saturating_sub(1);
                let Some(beside) = others.get(*other - 1) else {
                    match counted {
                        Some((count, _)) => *count += 1,
                        None => come(outcome, member, limits),
                    }
                    break;
                };
                if beside.shares(member) != are_in {
                    break;
                }
                *other += 1;
                // Of very many sets.
                if looks == 0 {
                    return;
                }
            }
            (*at, *other) = (*at + 1, 1);
            if counted.is_some_and(|(count, most)| count >= most) {
                break;
            }
        }
        *way = Way::End;
        let is_small = outcome.len() <= limits.integers as u64;
        if are_in
            && is_small
            && let Some(integers) = outcome.as_integers()
        {
            *outcome = integers;
        }
    }

    fn put_some(&mut self, looks: usize) {
        let mut left = looks as u64;
        while left > 0 {
            let Some(set) = self.sets.get(self.set) else {
                self.way = Way::End;
                return;
            };
            let was_small = self.outcome.form() != Form::Hashed;
            let (mut done, mut is_large_now) = (0, false);
            for member in set.range(self.at..self.at + left) {
                come(&mut self.outcome, member, &self.limits);
                done += 1;
                is_large_now = was_small && self.outcome.form() == Form::Hashed;
                if is_large_now {
                    break;
                }
            }
            self.at += done;
            left -= done.min(left);
            if is_large_now {
                self.take_largest();
            } else if left > 0 {
                (self.set, self.at) = (self.set + 1, 0);
            }
        }
    }

    /// What comes is a large set from here on: if one that is still to come is larger, then into that one.
    fn take_largest(&mut self) {
        let rest = self.sets.iter().enumerate().skip(self.set);
        let hashed = rest.filter(|(_, set)| set.form() == Form::Hashed);
        let largest = hashed.max_by_key(|(_, set)| set.len());
        let Some((index, largest)) = largest.filter(|(_, it)| it.len() > self.outcome.len()) else {
            return;
        };
        let beside = std::mem::replace(&mut self.outcome, largest.clone());
        self.sets[index] = Set::default();
        if index == self.set {
            (self.set, self.at) = (self.set + 1, 0);
        }
        self.sets.push(beside);
    }

    fn take_some(&mut self, looks: usize) {
        let mut left = looks as u64;
        while left > 0 {
            let Some(set) = self.sets.get(self.set).filter(|_| !self.outcome.is_empty()) else {
                self.way = Way::End;
                return;
            };
            let mut done = 0;
            for member in set.range(self.at..self.at + left) {
                member.value.with_bytes(|bytes| self.outcome.remove(bytes));
                done += 1;
            }
            self.at += done;
            left -= done;
            if left > 0 {
                (self.set, self.at) = (self.set + 1, 0);
            }
        }
    }
}

fn come(outcome: &mut Set, member: Member<'_>, limits: &Limits) {
    member.value.with_bytes(|bytes| outcome.put(bytes, limits));
}
