//! What happens inside a map of counters.
//!
//! ```text
//!   op  effect   bytes
//!    0  set      fields and what they count now, as in the value as a whole
//! ```

use super::{Counters, NUMBER, decode, for_each, planted};
use crate::value::effect::{ChangeHead, Told, TypeEffect, Write};
use crate::value::types::{Type, Unfit};
use crate::value::{Item, NewValue};
use crate::varint::zigzag;
use std::sync::Arc;

/// The type.
pub static TYPE: Type = Type {
    number: NUMBER,
    name: "counters",
    empty: || NewValue::Object(Arc::new(Counters::default())),
    decode,
    perform,
    wakes: None,
};

const OP_SET: u8 = 0;

/// Fields count this now: all that one command changed, and nothing else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Set<'a>(pub Vec<(&'a [u8], i64)>);

/// Performs an effect that was told.
fn perform(item: &mut Item, op: u8, bytes: &[u8]) -> Result<(), Unfit> {
    if op != OP_SET {
        return Err(Unfit::Unknown);
    }
    let mut fields = Vec::new();
    for_each(bytes, &mut |field, count| fields.push((field, count))).ok_or(Unfit::Malformed)?;
    Set(fields).perform(item)
}

impl TypeEffect for Set<'_> {
    const TYPE: &'static Type = &TYPE;

    type Done = ();

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        let told =
            if planted::is_on(&planted::ONE_COUNT_OF_MANY_IS_TOLD) { 1 } else { self.0.len() };
        for (field, count) in self.0.iter().take(told) {
            room.write_bytes(field);
            room.write_number(zigzag(*count));
        }
        Told { op: OP_SET, head: ChangeHead::default(), bytes: room }
    }

    fn perform(&self, item: &mut Item) -> Result<(), Unfit> {
        let counters: &mut Counters = item.object_mut().ok_or(Unfit::Malformed)?;
        self.0.iter().for_each(|(field, count)| counters.set(field, *count));
        Ok(())
    }
}
