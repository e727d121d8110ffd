//! A value that is put together of its parts, and checked as a whole.
//!
//! Whoever reads one that others wrote (RESTORE, a snapshot, a copy from a Redis) adds the parts as they come. Each
//! that cannot stand with those before it is refused with the reason; what then becomes of the value is for others.

use super::check::Check;
use super::forms::{Limits, building};
use super::parts::{Kind, Part};
use super::pieces::Building;
use crate::value::NewValue;

/// See the module's doc.
pub struct Assembly {
    /// Nothing, of a kind that is not here.
    building: Option<Box<dyn Building>>,
    /// Of streams, whose parts refer to each other.
    check: Option<Check>,
}

impl Assembly {
    /// Of a kind whose form begins with this byte.
    pub fn new(kind: Kind, form: u8, limits: &Limits) -> Assembly {
        let check = (kind == Kind::Stream).then(Check::default);
        Assembly { building: building(kind, form, limits), check }
    }

    /// Whether there will be a value: a kind that is not here only has its parts looked at.
    pub fn makes_something(&self) -> bool {
        self.building.is_some()
    }

    /// Adds a part. The error says what does not go together.
    pub fn add(&mut self, part: &Part<'_>) -> Result<(), &'static str> {
        if let Some(check) = &mut self.check {
            check.add(part)?;
        }
        let is_new = self.building.as_mut().is_none_or(|building| building.add(part));
        if is_new { Ok(()) } else { Err("the same twice in one value") }
    }

    /// After the last part: the value; `None` of a kind that is not here.
    pub fn end(&mut self) -> Result<Option<NewValue<'static>>, &'static str> {
        self.check.as_ref().map_or(Ok(()), Check::end)?;
        Ok(self.building.as_mut().map(|building| building.end()))
    }
}
