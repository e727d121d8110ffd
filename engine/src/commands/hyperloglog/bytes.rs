//! Strings that are to be HyperLogLogs.

use crate::command::{Found, Refusal};
use crate::value::hyperloglog::{Fault, HyperLogLog, Union};
use crate::value::{SharedValue, Value};
use std::borrow::Cow;

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        Refusal::fixed(match fault {
            Fault::NoHyperLogLog => "WRONGTYPE Key is not a valid HyperLogLog string value.",
            Fault::Corrupted => "INVALIDOBJ Corrupted HLL object detected",
        })
    }
}

/// All bytes of a string that is to be a HyperLogLog.
pub(super) fn bytes_of(value: Value<'_>) -> Result<Cow<'_, [u8]>, Fault> {
    if value.len() <= HyperLogLog::LENGTH_MAX {
        return Ok(value.to_bytes());
    }
    // As much of it as the header takes tells what it is.
    let mut beginning = Vec::new();
    value.with_stretches(0..HyperLogLog::LENGTH_MAX, |bytes| beginning.extend_from_slice(bytes));
    HyperLogLog::of(&beginning)?;
    Err(Fault::Corrupted)
}

/// Adds what was found at a key to a union; whether that is dense.
pub(super) fn add(union: &mut Union, found: &Found) -> Result<bool, Refusal> {
    if let SharedValue::Object(_) = found.value {
        return Err(Refusal::WrongType);
    }
    let bytes = bytes_of(found.value.string())?;
    let there = HyperLogLog::of(&bytes)?;
    union.add(there)?;
    Ok(there.is_dense())
}
