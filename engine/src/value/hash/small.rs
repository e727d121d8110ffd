//! A small hash: its fields as they were put, found by going along. Those that have a deadline come first, in
//! the order of these; so Redis keeps them, and answers.

use super::field::{Field, Sought, with_element};
use crate::types::Millis;
use crate::value::tree::{AsPut, Element, Tree};

/// One to be read.
#[derive(Clone, Copy)]
pub(super) struct Small<'a> {
    pub(super) fields: &'a Tree<AsPut>,
    /// Whether a field has or had a deadline.
    pub(super) is_dated: bool,
}

/// One to be changed. Only one that is dated is given deadlines.
pub(super) struct SmallMut<'a> {
    pub(super) fields: &'a mut Tree<AsPut>,
    pub(super) is_dated: bool,
}

impl<'a> Small<'a> {
    fn find(self, name: &[u8]) -> Option<(u64, Element<'a, ()>)> {
        let sought = Sought::new(name);
        let mut elements = (0..).zip(self.fields.iter());
        elements.find(|(_, element)| sought.is(*element))
    }

    pub(super) fn get(self, name: &[u8]) -> Option<Field<'a>> {
        self.find(name).and_then(|(_, element)| Field::of(element))
    }

    /// How many fields have a deadline up to this one.
    fn dated_up_to(self, deadline: Millis) -> u64 {
        if !self.is_dated {
            return 0;
        }
        let deadlines = self.fields.iter().filter_map(Field::of).map(Field::deadline);
        deadlines.take_while(|at| at.is_some_and(|at| at <= deadline)).count() as u64
    }

    pub(super) fn due_count(self, now: Millis) -> u64 {
        self.dated_up_to(now)
    }

    pub(super) fn due(self, now: Millis, most: usize) -> Vec<Vec<u8>> {
        let fields = self.fields.iter().filter_map(Field::of);
        let due = fields.take_while(|field| field.is_due(now)).take(most);
        due.map(|field| field.name().to_bytes().into_owned()).collect()
    }

    pub(super) fn next_deadline(self) -> Option<Millis> {
        if !self.is_dated {
            return None;
        }
        self.fields.iter().next().and_then(Field::of).and_then(Field::deadline)
    }
}

impl SmallMut<'_> {
    fn seen(&self) -> Small<'_> {
        Small { fields: self.fields, is_dated: self.is_dated }
    }

    /// Adds a field behind all others, as a value as a whole tells them; `false` where it does not belong there.
    pub(super) fn push(&mut self, name: &[u8], value: &[u8], deadline: Option<Millis>) -> bool {
        // No deadline is as one behind all others.
        let never = Millis(u64::MAX);
        let last = self.fields.len().checked_sub(1).map(|last| self.fields.at(last));
        let last = last.and_then(|at| self.fields.get(&at)).and_then(Field::of);
        let is_behind =
            last.is_none_or(|last| last.deadline().unwrap_or(never) <= deadline.unwrap_or(never));
        let fits =
            is_behind && (deadline.is_none() || self.is_dated) && self.seen().get(name).is_none();
        if fits {
            with_element((), (name, value, deadline), |new| self.fields.push(new));
        }
        fits
    }

    /// Puts a field that is not there where its deadline belongs.
    fn put(&mut self, name: &[u8], value: &[u8], deadline: Option<Millis>) {
        assert!(deadline.is_none() || self.is_dated, "one that is given deadlines is dated before");
        let place = match deadline {
            None => self.fields.end(),
            // Before those that end with it, as in Redis.
            Some(Millis(at)) => {
                let before = at.checked_sub(1).map(|at| self.seen().dated_up_to(Millis(at)));
                self.fields.at(before.unwrap_or(0))
            }
        };
        with_element((), (name, value, deadline), |new| self.fields.insert(&place, new));
    }

    pub(super) fn set(&mut self, name: &[u8], value: &[u8], deadline: Option<Millis>) -> bool {
        let Some((index, there)) = self.seen().find(name) else {
            self.put(name, value, deadline);
            return true;
        };
        let before = Field::of(there).and_then(Field::deadline);
        let place = self.fields.at(index);
        if before == deadline {
            with_element((), (name, value, deadline), |new| self.fields.replace(&place, new));
        } else {
            self.fields.remove(&place);
            self.put(name, value, deadline);
        }
        false
    }

    pub(super) fn date(&mut self, name: &[u8], deadline: Option<Millis>) -> bool {
        let Some((index, there)) = self.seen().find(name) else { return false };
        let Some(field) = Field::of(there) else { return false };
        if deadline.is_none() && field.deadline().is_none() {
            return false;
        }
        let value = field.value().to_bytes().into_owned();
        self.fields.remove(&self.fields.at(index));
        self.put(name, &value, deadline);
        true
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> bool {
        let Some((index, _)) = self.seen().find(name) else { return false };
        self.fields.remove(&self.fields.at(index));
        true
    }
}
