//! Sets.
//!
//! ```text
//!   11 | intset    of a set of integers
//!    2 | count, strings     of all others: what Redis before 7.2 reads as well
//! ```

use super::dump::{write_length, write_string};
use super::parts::Part;
use super::pieces::{Building, Pen, Writing};
use crate::value::set::{Form, Limits, Set};
use crate::value::{NewValue, Object};
use std::sync::Arc;

const PLAIN: u8 = 2;
const INTSET: u8 = 11;
const LISTPACK: u8 = 20;

/// The most integers that are written together: more than Redis has in one by itself.
const INTEGERS_MAX: u64 = 4096;

/// A set that is held while it is written.
struct Written {
    set: Set,
    at: Option<u64>,
    pen: Pen,
}

pub(super) fn writing(object: &dyn Object) -> Option<Box<dyn Writing>> {
    let set = Set::of(object)?.clone();
    Some(Box::new(Written { set, at: None, pen: Pen::default() }))
}

impl Writing for Written {
    fn more(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(at) = self.at else {
            if self.set.form() == Form::Integers && self.set.len() <= INTEGERS_MAX {
                out.push(INTSET);
                write_string(&intset(&self.set), out);
                return true;
            }
            out.push(PLAIN);
            write_length(self.set.len() as usize, out);
            self.at = Some(0);
            return false;
        };
        let (mut at, mut room) = (at, self.pen.begin(out));
        for member in self.set.range(at..self.set.len()) {
            if !room {
                break;
            }
            self.pen.text(member.value, out);
            (at, room) = (at + 1, self.pen.has_room());
        }
        self.at = Some(at);
        at >= self.set.len() && self.pen.is_clear()
    }
}

/// Width, count, and the integers, ascending.
fn intset(set: &Set) -> Vec<u8> {
    let integers = || set.iter().filter_map(|it| it.integer());
    let width = |number: i64| match () {
        () if i16::try_from(number).is_ok() => 2,
        () if i32::try_from(number).is_ok() => 4,
        () => 8,
    };
    let width: usize = integers().map(width).max().unwrap_or(2);
    let mut bytes = Vec::with_capacity(8 + width * set.len() as usize);
    bytes.extend_from_slice(&(width as u32).to_le_bytes());
    bytes.extend_from_slice(&(set.len() as u32).to_le_bytes());
    for number in integers() {
        bytes.extend_from_slice(&number.to_le_bytes()[..width]);
    }
    bytes
}

/// A set that is being put together.
struct Built {
    set: Set,
    limits: Limits,
}

pub(super) fn building(form: u8, limits: &Limits) -> Box<dyn Building> {
    let set = if form == LISTPACK { Set::new(Form::Listed) } else { Set::default() };
    Box::new(Built { set, limits: *limits })
}

impl Building for Built {
    fn add(&mut self, part: &Part<'_>) -> bool {
        match part {
            Part::Element(member) => member.with_bytes(|member| self.set.put(member, &self.limits)),
            _ => true,
        }
    }

    fn end(&mut self) -> NewValue<'static> {
        NewValue::Object(Arc::new(std::mem::take(&mut self.set)))
    }
}
