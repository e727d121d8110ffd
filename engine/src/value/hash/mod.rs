//! Hashes: fields with values, each of which may have a deadline of its own.
//!
//! ```text
//!   a field    length of the name, twice, and 1 if there is a deadline | deadline, 8 bytes | name | value
//!
//!   small      fields as they were put; those with deadlines before the others, in the order of these
//!   large      fields in the order of (hash of the name, name)
//!              deadlines in their order: hash of the name, 4 bytes      only of fields that have one
//!
//!   as a whole:  0 small, 1 small that has or had deadlines, 2 large
//!                each field as it stands there, its length before it
//! ```
//!
//! A long value is the element's tail; of a field whose name is long itself all bytes are.
//!
//! A hash becomes large when a command says so ([`Set`]), and is never small again: what OBJECT ENCODING says,
//! and the order of small ones, are the same on a replica.
//!
//! Nothing expires here: who asks for a field is told its deadline, and [`Hash::due`] tells whose have come.

mod effect;
mod field;
mod large;
mod small;
mod told;

pub use effect::{Date, Given, Remove, Set, TYPE};
pub use field::{Field, Part};
pub use told::WORDS;

use super::effect::{Reading, for_each_whole};
use super::tree::{AsPut, Either, Element, Near, Tree, TreeOr, Walk, hash_of};
use super::{InItem, NewValue, Object};
use crate::types::Millis;
use crate::varint;
use field::{ByHash, opening};
use large::{Large, Spot};
use small::{Small, SmallMut};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// Of the type, for ever.
const NUMBER: u8 = 4;

/// The value: one word, as small ones without deadlines are many.
#[derive(Clone, Default)]
pub struct Hash(TreeOr<AsPut, Other>);

/// Where a field was seen, for who sets it right after: it spares looking for it once more. Nothing depends on it, since
/// what stands there is looked at again.
#[derive(Clone, Copy, Debug)]
pub struct Seen(Spot);

/// It says nothing about an effect.
impl PartialEq for Seen {
    fn eq(&self, _: &Seen) -> bool {
        true
    }
}

impl Eq for Seen {}

/// What is not a small one without deadlines.
#[derive(Clone)]
enum Other {
    /// A small one that has or had deadlines.
    Dated(Tree<AsPut>),
    Large(Large),
}

/// What it is, to be read or to be changed.
enum Form<S, L> {
    Small(S),
    Large(L),
}

/// Calls the same on either form.
macro_rules! either {
    ($form:expr, $it:ident => $call:expr) => {
        match $form {
            Form::Small($it) => $call,
            Form::Large($it) => $call,
        }
    };
}

/// Fields, one after the other.
pub struct Fields<'a>(Walked<'a>);

enum Walked<'a> {
    Small(Walk<'a, AsPut>),
    Large(Walk<'a, ByHash>),
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    #[inline]
    fn next(&mut self) -> Option<Field<'a>> {
        match &mut self.0 {
            Walked::Small(walk) => walk.next().and_then(Field::of),
            Walked::Large(walk) => walk.next().and_then(Field::of),
        }
    }
}

impl Hash {
    /// An empty one of which a value as a whole begins with this mark.
    fn of_mark(mark: u8) -> Option<Hash> {
        Some(Hash(match mark {
            0 => TreeOr::default(),
            1 => TreeOr::boxed(Other::Dated(Tree::new())),
            2 => TreeOr::boxed(Other::Large(Large::default())),
            _ => return None,
        }))
    }

    fn mark(&self) -> u8 {
        match self.form() {
            Form::Small(small) => u8::from(small.is_dated),
            Form::Large(_) => 2,
        }
    }

    #[inline]
    fn form(&self) -> Form<Small<'_>, &Large> {
        match self.0.get() {
            Either::Tree(fields) => Form::Small(Small { fields, is_dated: false }),
            Either::Boxed(Other::Dated(fields)) => Form::Small(Small { fields, is_dated: true }),
            Either::Boxed(Other::Large(large)) => Form::Large(large),
        }
    }

    #[inline]
    fn form_mut(&mut self) -> Form<SmallMut<'_>, &mut Large> {
        match self.0.get_mut() {
            Either::Tree(fields) => Form::Small(SmallMut { fields, is_dated: false }),
            Either::Boxed(Other::Dated(fields)) => Form::Small(SmallMut { fields, is_dated: true }),
            Either::Boxed(Other::Large(large)) => Form::Large(large),
        }
    }

    /// A small one has room for deadlines from now on.
    fn become_dated(&mut self) {
        if let Either::Tree(fields) = self.0.get_mut() {
            self.0 = TreeOr::boxed(Other::Dated(std::mem::take(fields)));
        }
    }

    /// How many fields it has, those among them that have come to their end.
    pub fn len(&self) -> u64 {
        either!(self.form(), form => form.fields.len())
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is in its small form.
    pub fn is_small(&self) -> bool {
        matches!(self.form(), Form::Small(_))
    }

    /// A field, and where it was found, for [`Set`].
    #[inline]
    pub fn look(&self, name: &[u8]) -> (Option<Field<'_>>, Option<Seen>) {
        match self.form() {
            Form::Small(small) => (small.get(name), None),
            Form::Large(large) => {
                let (spot, field) = large.look(name);
                (field, field.is_some().then_some(Seen(spot)))
            }
        }
    }

    /// A field.
    pub fn get(&self, name: &[u8]) -> Option<Field<'_>> {
        either!(self.form(), form => form.get(name))
    }

    /// The fields from this number on: of a small hash as they were put, of a large one in no order that
    /// means anything.
    pub fn from(&self, index: u64) -> Fields<'_> {
        Fields(match self.form() {
            Form::Small(Small { fields, .. }) => Walked::Small(fields.walk(&fields.at(index))),
            Form::Large(large) => Walked::Large(large.fields.walk(&large.fields.at(index))),
        })
    }

    /// All fields.
    pub fn iter(&self) -> Fields<'_> {
        self.from(0)
    }

    /// The field with this number, below [`Hash::len`].
    pub fn at(&self, index: u64) -> Option<Field<'_>> {
        either!(self.form(), form => form.fields.get(&form.fields.at(index)).and_then(Field::of))
    }

    /// A step of a scan: see [`Tree::scan`]. A small hash is seen as a whole.
    pub fn scan<'a>(&'a self, cursor: u64, count: usize, mut see: impl FnMut(Field<'a>)) -> u64 {
        match self.form() {
            Form::Small(_) => {
                self.iter().for_each(see);
                0
            }
            Form::Large(large) => large.fields.scan(cursor, count, |element| {
                if let Some(field) = Field::of(element) {
                    see(field);
                }
            }),
        }
    }

    /// The first deadline of a field.
    pub fn next_deadline(&self) -> Option<Millis> {
        either!(self.form(), form => form.next_deadline())
    }

    /// How many fields have come to their end.
    pub fn due_count(&self, now: Millis) -> u64 {
        either!(self.form(), form => form.due_count(now))
    }

    /// Names of fields whose deadline has come, up to about so many.
    pub fn due(&self, now: Millis, most: usize) -> Vec<Vec<u8>> {
        either!(self.form(), form => form.due(now, most))
    }

    /// Makes it large.
    fn grow(&mut self) {
        if let Form::Small(small) = self.form() {
            let mut large = Large::default();
            for field in small.fields.iter().filter_map(Field::of) {
                let (name, value) = (field.name().to_bytes(), field.value().to_bytes());
                large.set(&name, &value, field.deadline());
            }
            self.0 = TreeOr::boxed(Other::Large(large));
        }
    }

    /// Makes room for the first fields of a small one.
    fn make_room<'f>(&mut self, fields: impl ExactSizeIterator<Item = (&'f [u8], &'f [u8])>) {
        if let Form::Small(SmallMut { fields: tree, .. }) = self.form_mut()
            && tree.is_empty()
        {
            let count = fields.len();
            let long = |(name, value): (&[u8], &[u8])| field::length_of(name, value);
            tree.make_room(count, fields.map(long).sum());
        }
    }

    /// Sets a field; whether it is new.
    fn set(&mut self, name: &[u8], value: &[u8], deadline: Option<Millis>) -> bool {
        self.set_seen((name, value, deadline), None)
    }

    /// The same, where it may have been seen.
    fn set_seen(&mut self, (name, value, deadline): Given<'_>, seen: Option<Seen>) -> bool {
        if deadline.is_some() {
            self.become_dated();
        }
        match self.form_mut() {
            Form::Small(mut small) => small.set(name, value, deadline),
            Form::Large(large) => {
                large.set_seen(name, value, deadline, seen.map(|Seen(spot)| spot))
            }
        }
    }

    /// Gives a field another deadline or none; `false` where it is not there or had none before.
    fn date(&mut self, name: &[u8], deadline: Option<Millis>) -> bool {
        let is_plain = matches!(self.0.get(), Either::Tree(_));
        if is_plain && deadline.is_some() && self.get(name).is_some() {
            self.become_dated();
        }
        match self.form_mut() {
            Form::Small(mut small) => small.date(name, deadline),
            Form::Large(large) => large.date(name, deadline),
        }
    }

    /// Removes a field; whether there was one.
    fn remove(&mut self, name: &[u8]) -> bool {
        match self.form_mut() {
            Form::Small(mut small) => small.remove(name),
            Form::Large(large) => large.remove(name),
        }
    }
}

/// A hash that is put together of fields.
pub struct Builder {
    hash: Hash,
    entries: u64,
    longest: usize,
}

impl Builder {
    /// One that is small up to so many fields, and bytes of a name or a value.
    pub fn new(entries: u64, longest: usize) -> Builder {
        Builder { hash: Hash::default(), entries, longest }
    }

    /// Adds a field; whether it is new.
    pub fn add(&mut self, name: &[u8], value: &[u8], deadline: Option<Millis>) -> bool {
        let is_small = self.hash.len() < self.entries
            && name.len() <= self.longest
            && value.len() <= self.longest;
        if !is_small {
            self.hash.grow();
        }
        self.hash.set(name, value, deadline)
    }

    /// All of it.
    pub fn end(&mut self) -> NewValue<'static> {
        NewValue::Object(Arc::new(std::mem::take(&mut self.hash)))
    }
}

fn encode<K>(element: Element<'_, K>, out: &mut Vec<u8>) {
    varint::write(element.length() as u64, |byte| out.push(byte));
    out.extend_from_slice(element.head);
    if let Some(tail) = element.tail {
        tail.stretches(0..tail.len()).for_each(|stretch| out.extend_from_slice(stretch));
    }
}

fn digest<K>(element: Element<'_, K>, part: &mut dyn FnMut(&[u8])) {
    match element.tail {
        None => part(element.head),
        Some(tail) => part(&[element.head, &tail.to_vec()].concat()),
    }
}

impl Object for Hash {
    fn type_number(&self) -> u8 {
        NUMBER
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn next_due(&self) -> Option<Millis> {
        self.next_deadline()
    }

    fn expiry(&self, now: Millis) -> Option<(u8, Vec<u8>)> {
        /// Fields that expire in one piece: some 50 us.
        const MOST: usize = 64;
        let due = self.due(now, MOST);
        let names: Vec<&[u8]> = due.iter().map(Vec::as_slice).collect();
        (!names.is_empty()).then(|| Remove(&names).as_told())
    }

    fn prefetch(&self) {
        either!(self.form(), form => form.fields.prefetch());
    }

    fn near(&self, field: &[u8]) -> Option<Near<'_>> {
        match self.form() {
            Form::Small(_) => None,
            Form::Large(large) => large.fields.near(hash_of(field)),
        }
    }

    fn encoding(&self) -> &'static str {
        match self.form() {
            Form::Small(small) if small.is_dated => "listpackex",
            Form::Small(_) => "listpack",
            Form::Large(_) => "hashtable",
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.mark());
        either!(self.form(), form => form.fields.iter().for_each(|element| encode(element, out)));
    }

    fn encoded_len(&self) -> usize {
        let fields = either!(self.form(), form => form.fields.encoded_len());
        usize::try_from(fields).unwrap_or(usize::MAX).saturating_add(1)
    }

    fn in_slices(&self) -> bool {
        true
    }

    fn encode_range(&self, range: Range<usize>, out: &mut Vec<u8>) {
        if range.start == 0 && range.end > 0 {
            out.push(self.mark());
        }
        let (start, end) = (range.start.saturating_sub(1), range.end.saturating_sub(1));
        either!(self.form(), form => form.fields.encode_range(start as u64..end as u64, out));
    }

    fn decode_slice(&mut self, at: u64, bytes: &[u8]) -> Option<usize> {
        let mut elements = bytes;
        if at == 0 {
            let Some((mark, behind)) = bytes.split_first() else { return Some(0) };
            *self = Hash::of_mark(*mark)?;
            elements = behind;
        }
        let taken = for_each_whole(elements, &mut |element| {
            let (length, deadline, at) = opening(element)?;
            let (name, value) = element[at..].split_at_checked(length)?;
            let fits = match self.form_mut() {
                Form::Large(large) => large.set(name, value, deadline),
                Form::Small(mut small) => small.push(name, value, deadline),
            };
            fits.then_some(())
        })?;
        Some(bytes.len() - elements.len() + taken)
    }

    fn shared_as(&self) -> Option<(usize, u64)> {
        Some(either!(self.form(), form => (form.fields.address(), form.fields.holders())))
    }

    fn kept_from(&self, at: u64) -> (u64, Option<u64>, usize) {
        let (kept, next, pages) = either!(self.form(), form => form.fields.kept_from(at));
        (kept, Some(next).filter(|next| *next < self.len()), pages)
    }

    fn heap_bytes(&self) -> usize {
        let trees = match self.form() {
            Form::Small(small) => small.fields.heap_bytes(),
            Form::Large(large) => large.fields.heap_bytes() + large.deadlines.heap_bytes(),
        };
        let boxed = match self.0.get() {
            Either::Tree(_) => 0,
            Either::Boxed(_) => size_of::<Other>(),
        };
        size_of::<Hash>() + boxed + usize::try_from(trees).unwrap_or(usize::MAX)
    }

    fn digest(&self, part: &mut dyn FnMut(&[u8])) {
        either!(self.form(), form => form.fields.iter().for_each(|element| digest(element, part)));
    }

    fn copy(&self) -> Arc<dyn Object> {
        Arc::new(self.clone())
    }

    fn in_item(&self) -> Option<&'static InItem> {
        Some(const { &InItem::of::<Hash>(NUMBER) })
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hash({} fields)", self.len())
    }
}

fn decode(bytes: &[u8]) -> Option<NewValue<'_>> {
    let (mark, bytes) = bytes.split_first()?;
    let mut hash = Hash::of_mark(*mark)?;
    match hash.form_mut() {
        Form::Small(small) => *small.fields = small_fields(bytes, small.is_dated)?,
        Form::Large(large) => {
            for_each(bytes, &mut |name, value, deadline| large.set(name, value, deadline))?;
        }
    }
    Some(NewValue::Object(Arc::new(hash)))
}

/// The fields of a small one, in the order in which they are told.
fn small_fields(bytes: &[u8], is_dated: bool) -> Option<Tree<AsPut>> {
    let (mut fields, mut names, mut last) = (Tree::new(), HashSet::new(), Millis(0));
    for_each(bytes, &mut |name, value, deadline| {
        // No deadline is as one behind all others.
        let at = deadline.unwrap_or(Millis(u64::MAX));
        let fits = (deadline.is_none() || is_dated) && at >= last && names.insert(name);
        last = at;
        field::with_element((), (name, value, deadline), |new| fields.push(new));
        fits
    })?;
    Some(fields)
}

/// Reads fields as they stand in a whole value, each of them once: `each` says whether it fits.
fn for_each<'a>(
    bytes: &'a [u8],
    each: &mut dyn FnMut(&'a [u8], &'a [u8], Option<Millis>) -> bool,
) -> Option<()> {
    let mut reading = Reading(bytes);
    while !reading.is_done() {
        let element = reading.bytes()?;
        let (length, deadline, at) = opening(element)?;
        let (name, value) = element[at..].split_at_checked(length)?;
        each(name, value, deadline).then_some(())?;
    }
    Some(())
}

#[cfg(test)]
#[path = "hash_tests.rs"]
mod tests;
