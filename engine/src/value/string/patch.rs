//! Parts of a string that are others now, also longer or shorter ones.
//!
//! ```text
//!   as bytes:  kept (number) | replaced (number) | what stands there now (bytes) | kept | ...
//!   what follows the last part is kept
//! ```

use crate::limits::STRING_MAX;
use crate::value::Value;
use crate::value::effect::{Reading, Write};
use crate::value::item::Item;
use crate::value::types::Unfit;

/// The longest string of which a part may become longer or shorter: it is copied for that. Those that use
/// this are far below.
const RESIZED_MAX: usize = 256 * 1024;

/// Which parts of a string are others, found from its beginning on.
#[derive(Clone, Default, Debug)]
pub struct Patches {
    bytes: Vec<u8>,
    /// What was kept since the last one.
    kept: usize,
    /// A part is longer or shorter than before.
    resizes: bool,
}

impl Patches {
    /// As they are told.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether a part is longer or shorter than before.
    pub(super) fn resizes(&self) -> bool {
        self.resizes
    }

    /// The next part of the string, `old`, is now `new`.
    pub fn difference(&mut self, old: &[u8], new: &[u8]) {
        if old.len() == new.len() {
            self.spots(old, new);
            return;
        }
        let pairs = old.iter().zip(new);
        let before = pairs.take_while(|(one, other)| one == other).count();
        let (old, new) = (&old[before..], &new[before..]);
        let pairs = old.iter().rev().zip(new.iter().rev());
        let after = pairs.take_while(|(one, other)| one == other).count();
        self.kept += before;
        self.replace(old.len() - after, &new[..new.len() - after]);
        self.kept += after;
    }

    /// So many next bytes are now these.
    pub fn replace(&mut self, old: usize, new: &[u8]) {
        self.resizes |= old != new.len();
        self.bytes.write_number(std::mem::take(&mut self.kept) as u64);
        self.bytes.write_number(old as u64);
        self.bytes.write_bytes(new);
    }

    /// Single bytes that are others, in parts as long as these.
    fn spots(&mut self, old: &[u8], new: &[u8]) {
        /// What is compared at once.
        const BLOCK: usize = 256;
        /// Equal bytes that do not part two spots: to name another spot takes as many.
        const NEAR: usize = 3;
        let mut at = 0;
        while at < old.len() {
            let end = old.len().min(at + BLOCK);
            if old[at..end] == new[at..end] {
                (self.kept, at) = (self.kept + end - at, end);
                continue;
            }
            let same = old[at..].iter().zip(&new[at..]).take_while(|(one, other)| one == other);
            let start = at + same.count();
            let (mut last, mut next) = (start, start + 1);
            while next < old.len() && next - last <= NEAR + 1 {
                if old[next] != new[next] {
                    last = next;
                }
                next += 1;
            }
            self.kept += start - at;
            at = last + 1;
            self.replace(at - start, &new[start..at]);
        }
    }
}

/// Calls `each` for the parts that `told` names: where, how many bytes are replaced, and by what.
pub(super) fn each_part<'a>(
    told: &'a [u8],
    each: &mut dyn FnMut(usize, usize, &'a [u8]) -> Result<(), Unfit>,
) -> Result<(), Unfit> {
    let (mut reading, mut at) = (Reading(told), 0usize);
    let number = |reading: &mut Reading<'_>| reading.number().map(|number| number as usize);
    while !reading.is_done() {
        let kept = number(&mut reading).ok_or(Unfit::Malformed)?;
        let replaced = number(&mut reading).ok_or(Unfit::Malformed)?;
        let bytes = reading.bytes().ok_or(Unfit::Malformed)?;
        at = at.saturating_add(kept);
        each(at, replaced, bytes)?;
        at = at.saturating_add(replaced);
    }
    Ok(())
}

/// One part.
struct Patch<'a> {
    at: usize,
    replaced: usize,
    bytes: &'a [u8],
}

/// The parts that `told` names of a string of `length` bytes.
fn parts(told: &[u8], length: usize) -> Result<Vec<Patch<'_>>, Unfit> {
    let mut parts = Vec::new();
    each_part(told, &mut |at, replaced, bytes| {
        if at.saturating_add(replaced) > length {
            return Err(Unfit::Malformed);
        }
        parts.push(Patch { at, replaced, bytes });
        Ok(())
    })?;
    Ok(parts)
}

/// Makes the parts of a string what `told` says; answers with its length then.
pub(super) fn perform(item: &mut Item, told: &[u8]) -> Result<usize, Unfit> {
    let length = item.string().map_or(0, Value::len);
    let parts = parts(told, length)?;
    if parts.iter().all(|part| part.replaced == part.bytes.len()) {
        for part in &parts {
            item.set_range(part.at, part.bytes);
        }
        return Ok(length);
    }
    let more: usize = parts.iter().map(|part| part.bytes.len()).sum();
    if length > RESIZED_MAX || more > STRING_MAX {
        return Err(Unfit::TooLong);
    }
    let old = item.string().unwrap_or(Value::Bytes(b"")).to_bytes();
    let (mut new, mut at) = (Vec::with_capacity(length + more), 0);
    for part in parts {
        new.extend_from_slice(&old[at..part.at]);
        new.extend_from_slice(part.bytes);
        at = part.at + part.replaced;
    }
    new.extend_from_slice(&old[at..]);
    if new.len() > STRING_MAX {
        return Err(Unfit::TooLong);
    }
    Ok(item.rewrite(&new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::NewValue;

    fn check(old: &[u8], patches: &Patches, new: &[u8]) {
        let mut item = Item::new(b"key", NewValue::Bytes(old), None);
        assert_eq!(perform(&mut item, patches.as_bytes()), Ok(new.len()));
        assert_eq!(item.string().map(|value| value.to_bytes().into_owned()), Some(new.to_vec()));
    }

    #[test]
    fn what_is_told_of_two_strings_makes_one_of_the_other() {
        let mut dice = fastrand::Rng::with_seed(crate::value::test_seed());
        for _ in 0..2000 {
            let most = if dice.bool() { 3000 } else { 40 };
            let length = dice.usize(..most);
            let old: Vec<u8> = (0..length).map(|_| dice.u8(..3)).collect();
            let mut new = old.clone();
            for _ in 0..dice.usize(..5) {
                let at = dice.usize(..=new.len());
                match dice.u8(..3) {
                    0 => new.insert(at, dice.u8(..3)),
                    1 if at < new.len() => drop(new.remove(at)),
                    _ if at < new.len() => new[at] = dice.u8(..3),
                    _ => {}
                }
            }
            let mut patches = Patches::default();
            patches.difference(&old, &new);
            check(&old, &patches, &new);
            let (cut, mut parted) = (dice.usize(..=old.len().min(new.len())), Patches::default());
            parted.difference(&old[..cut], &new[..cut]);
            parted.difference(&old[cut..], &new[cut..]);
            check(&old, &parted, &new);
        }
    }

    #[test]
    fn one_byte_of_many_is_told_in_a_few() {
        let (old, mut new) = (vec![7; 12_304], vec![7; 12_304]);
        (new[15], new[9000]) = (8, 8);
        let mut patches = Patches::default();
        patches.difference(&old, &new);
        assert!(patches.as_bytes().len() <= 10, "{patches:?}");
        check(&old, &patches, &new);
    }

    #[test]
    fn what_fits_no_such_string_is_refused_and_changes_nothing() {
        for told in [&[1][..], &[4, 0, 1, b'x'], &[3, 1, 0], &[0, 0, 9, b'x'], &[1, 255]] {
            let mut item = Item::new(b"key", NewValue::Bytes(b"abc"), None);
            assert_eq!(perform(&mut item, told), Err(Unfit::Malformed), "{told:?}");
            assert_eq!(item.string(), Some(Value::Bytes(b"abc")));
        }
    }
}
