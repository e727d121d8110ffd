//! Lists.
//!
//! ```text
//!   1 | count, strings      what Redis before 7.0 reads as well
//! ```

use super::dump::write_length;
use super::parts::Part;
use super::pieces::{Building, Pen, Writing};
use crate::value::list::{Limit, List};
use crate::value::{NewValue, Object};
use std::any::Any;
use std::sync::Arc;

const PLAIN: u8 = 1;

/// A list that is held while it is written.
struct Written {
    list: List,
    at: Option<u64>,
    pen: Pen,
}

pub(super) fn writing(object: &dyn Object) -> Option<Box<dyn Writing>> {
    let object: &dyn Any = object;
    let list = object.downcast_ref::<List>()?.clone();
    Some(Box::new(Written { list, at: None, pen: Pen::default() }))
}

impl Writing for Written {
    fn more(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(at) = self.at else {
            out.push(PLAIN);
            write_length(self.list.len() as usize, out);
            self.at = Some(0);
            return false;
        };
        let (mut at, mut room) = (at, self.pen.begin(out));
        for element in self.list.range(at..self.list.len()) {
            if !room {
                break;
            }
            self.pen.text(element, out);
            (at, room) = (at + 1, self.pen.has_room());
        }
        self.at = Some(at);
        at >= self.list.len() && self.pen.is_clear()
    }
}

/// A list that is being put together.
struct Built {
    list: List,
    limit: Limit,
}

pub(super) fn building(limit: Limit) -> Box<dyn Building> {
    Box::new(Built { list: List::default(), limit })
}

impl Building for Built {
    fn add(&mut self, part: &Part<'_>) -> bool {
        if let Part::Element(element) = part {
            element.with_bytes(|element| self.list.add(element));
        }
        true
    }

    fn end(&mut self) -> NewValue<'static> {
        let mut list = std::mem::take(&mut self.list);
        list.settle(self.limit);
        NewValue::Object(Arc::new(list))
    }
}
