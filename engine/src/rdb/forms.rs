//! The types that are written and put together in parts, as lists: a type has a file here with both (`set`), and its line
//! in each.

use super::parts::Kind;
pub use super::pieces::Recipient;

use super::pieces::{Building, Writing};
use super::{hash, list, set, sorted_set, stream_value};
use crate::value::{Object, Small};

/// Up to when values are kept in their small forms, for those who build them.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of sets.
    pub set: crate::value::set::Limits,
    /// Of lists.
    pub list: crate::value::list::Limit,
    /// Of hashes.
    pub hash: Small,
    /// Of sorted sets.
    pub sorted_set: Small,
    /// Of streams.
    pub stream: crate::value::stream::NodeLimits,
}

/// How a value is written as a whole; `None` of a type that has no form.
pub fn writing(object: &dyn Object) -> Option<Box<dyn Writing>> {
    writing_for(object, Recipient::Newest)
}

/// How a value is written for somebody; `None` of a type that has no form.
pub fn writing_for(object: &dyn Object, recipient: Recipient) -> Option<Box<dyn Writing>> {
    set::writing(object)
        .or_else(|| list::writing(object))
        .or_else(|| hash::writing(object, recipient))
        .or_else(|| sorted_set::writing(object))
        .or_else(|| stream_value::writing(object, recipient))
}

/// How a value of a kind is put together whose form begins with this byte; `None` of a kind that is not here.
pub fn building(kind: Kind, form: u8, limits: &Limits) -> Option<Box<dyn Building>> {
    match kind {
        Kind::Set => Some(set::building(form, &limits.set)),
        Kind::List => Some(list::building(limits.list)),
        Kind::Hash => Some(hash::building(limits.hash)),
        Kind::SortedSet => Some(sorted_set::building(form, limits.sorted_set)),
        Kind::Stream => Some(stream_value::building(limits.stream)),
        _ => None,
    }
}
