//! Lists: elements in the order in which they were put, found by their number from either end.
//!
//! ```text
//!   elements   a tree in no order but that of places; the bytes are the element's
//!
//!   as a whole:  1 if the list is "quick", else 0 | each element, its length before it
//! ```
//!
//! A list that is not "quick" is one that Redis would keep as a listpack: OBJECT ENCODING says so, and nothing
//! else. When it changes from one to the other is decided by who changes the list, and told ([`Form`]).

mod effect;
mod form;
mod told;

pub use effect::{End, Insert, Push, Remove, Set, TYPE, Trim, event_of};
pub use form::{Form, Limit};
pub use told::WORDS;

use super::effect::for_each_whole;
use super::tree::{AsPut, Element, NewElement, Tree, Walk};
use super::{InItem, NewValue, Object, Value};
use crate::varint;
use std::ops::Range;
use std::sync::Arc;

/// Of the type, for ever.
const NUMBER: u8 = 1;

/// The value.
#[derive(Clone, Default)]
pub struct List {
    elements: Tree<AsPut>,
    form: Form,
    packed: Packed,
}

/// What the elements would take in a listpack, as long as that is the form: a number of 7 bytes, so that a list
/// fits an item's own block.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Packed([u8; 7]);

impl Packed {
    fn of(bytes: u64) -> Packed {
        let [packed @ .., _] = bytes.to_le_bytes();
        Packed(packed)
    }

    fn bytes(self) -> u64 {
        let [a, b, c, d, e, f, g] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, 0])
    }
}

/// Elements of a list, one after the other.
pub struct Elements<'a> {
    walk: Walk<'a, AsPut>,
    left: u64,
    is_back: bool,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        self.left = self.left.checked_sub(1)?;
        let element = if self.is_back { self.walk.back() } else { self.walk.next() };
        element.map(Element::value)
    }
}

impl List {
    /// A list of these elements, in the form that they ask for.
    pub fn of<'a>(elements: impl IntoIterator<Item = &'a [u8]>, limit: Limit) -> List {
        let mut list = List::default();
        elements.into_iter().for_each(|element| list.put_last(element));
        list.settle(limit);
        list
    }

    /// Puts an element behind the last, for who makes a list that is nobody's yet.
    pub fn add(&mut self, element: &[u8]) {
        self.put_last(element);
    }

    /// Such a list is complete: it is given the form that its elements ask for.
    pub fn settle(&mut self, limit: Limit) {
        self.set_form(Form::of(self.packed.bytes(), self.len(), limit));
    }

    /// How many elements it has.
    #[inline]
    pub fn len(&self) -> u64 {
        self.elements.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// How Redis would keep it.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The element with this number from the start on.
    #[inline]
    pub fn get(&self, index: u64) -> Option<Value<'_>> {
        let is_there = index < self.len();
        is_there.then(|| self.elements.get(&self.elements.at(index))).flatten().map(Element::value)
    }

    /// Elements with these numbers, as far as there are.
    #[inline]
    pub fn range(&self, range: Range<u64>) -> Elements<'_> {
        let end = range.end.min(self.len());
        let left = end.saturating_sub(range.start);
        Elements { walk: self.elements.walk(&self.elements.at(range.start)), left, is_back: false }
    }

    /// The same, the last of them first.
    #[inline]
    pub fn range_back(&self, range: Range<u64>) -> Elements<'_> {
        let end = range.end.min(self.len());
        let left = end.saturating_sub(range.start);
        Elements { walk: self.elements.walk(&self.elements.at(end)), left, is_back: true }
    }

    /// What tells it from all other lists that there are now; the same for all that share it.
    pub fn address(&self) -> usize {
        self.elements.address()
    }

    /// The form when elements are put beside those that are there, before any is taken away.
    pub fn form_with<'e>(&self, new: impl IntoIterator<Item = &'e [u8]>, limit: Limit) -> Form {
        if self.form == Form::Quick {
            return Form::Quick;
        }
        // As Redis counts before it puts them: their own bytes.
        let (mut bytes, mut count) = (self.packed.bytes() + form::FRAME, self.len());
        for element in new {
            bytes += element.len() as u64;
            count += 1;
        }
        Form::of_pack(bytes, count, limit)
    }

    /// The form when these elements, so many, are what is left: a list that shrinks is a listpack again from
    /// half of the limit on.
    pub fn form_left<'v>(
        &self,
        left: impl IntoIterator<Item = Value<'v>>,
        count: u64,
        limit: Limit,
    ) -> Form {
        if self.form == Form::Pack {
            return Form::Pack;
        }
        let half = limit.half();
        if !half.may_hold(count) {
            return Form::Quick;
        }
        let mut bytes = form::FRAME;
        for element in left {
            bytes += form::packed(element);
            if !half.holds_all(bytes, count) {
                return Form::Quick;
            }
        }
        Form::Pack
    }

    /// The form when so many elements, which there are, are gone at each end.
    pub fn form_trimmed(&self, front: u64, back: u64, limit: Limit) -> Form {
        let kept = front..self.len() - back;
        let count = kept.end - kept.start;
        // The elements of a long one are not even sought.
        if self.form == Form::Pack || !limit.half().may_hold(count) {
            return self.form;
        }
        self.form_left(self.range(kept), count, limit)
    }

    /// The form when another element stands in place of the one with this number: first as if it came beside
    /// those that are there, as Redis has it.
    pub fn form_set(&self, index: u64, element: &[u8], limit: Limit) -> Form {
        if self.form == Form::Pack {
            let form = self.form_with([element], limit);
            if form == Form::Pack {
                return form;
            }
        }
        let left = self.range(0..index).chain([Value::Bytes(element)]);
        let left = left.chain(self.range(index + 1..self.len()));
        let quick = List { form: Form::Quick, ..List::default() };
        quick.form_left(left, self.len(), limit)
    }

    fn set_form(&mut self, form: Form) {
        if self.form != form {
            self.form = form;
            self.count_packed();
        }
    }

    /// Looks at all elements of a listpack, which are few.
    fn count_packed(&mut self) {
        self.packed = Packed::of(match self.form {
            Form::Quick => 0,
            Form::Pack => self.range(0..self.len()).map(form::packed).sum(),
        });
    }

    /// Makes room for the first elements.
    fn make_room(&mut self, elements: &[&[u8]]) {
        if self.elements.is_empty() {
            let bytes = elements.iter().map(|element| element.len()).sum();
            self.elements.make_room(elements.len(), bytes);
        }
    }

    fn put_last(&mut self, element: &[u8]) {
        self.elements.push(NewElement { key: (), head: &[element], tail: None });
        self.note_put(element);
    }

    fn put_first(&mut self, element: &[u8]) {
        let place = self.elements.start();
        self.elements.insert(&place, NewElement { key: (), head: &[element], tail: None });
        self.note_put(element);
    }

    #[inline]
    fn note_put(&mut self, element: &[u8]) {
        if self.form == Form::Pack {
            let more = form::packed(Value::Bytes(element));
            self.packed = Packed::of(self.packed.bytes() + more);
        }
    }

    /// Puts an element before the one with this number, which is there.
    fn insert(&mut self, index: u64, element: &[u8]) {
        let place = self.elements.at(index);
        self.elements.insert(&place, NewElement { key: (), head: &[element], tail: None });
        self.note_put(element);
    }

    /// Puts another element in place of the one with this number, which is there.
    fn set(&mut self, index: u64, element: &[u8]) {
        self.note_gone(index);
        let place = self.elements.at(index);
        self.elements.replace(&place, NewElement { key: (), head: &[element], tail: None });
        self.note_put(element);
    }

    fn note_gone(&mut self, index: u64) {
        if self.form == Form::Pack {
            let less = self.get(index).map_or(0, form::packed);
            self.packed = Packed::of(self.packed.bytes() - less);
        }
    }

    /// Takes elements away at both ends; there are as many.
    fn trim(&mut self, front: u64, back: u64) {
        match (front, back) {
            (1, 0) => {
                self.note_gone(0);
                self.elements.remove(&self.elements.start());
            }
            (0, 1) => {
                let last = self.len() - 1;
                self.note_gone(last);
                self.elements.remove(&self.elements.at(last));
            }
            _ => {
                let length = self.len();
                self.elements.remove_range(length - back..length);
                self.elements.remove_range(0..front);
                self.count_packed();
            }
        }
    }

    /// Takes away the element with this number, which is there.
    fn remove(&mut self, index: u64) {
        self.note_gone(index);
        self.elements.remove(&self.elements.at(index));
    }
}

impl Object for List {
    fn type_number(&self) -> u8 {
        NUMBER
    }

    fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    fn prefetch(&self) {
        self.elements.prefetch();
    }

    fn encoding(&self) -> &'static str {
        match self.form {
            Form::Pack => "listpack",
            Form::Quick => "quicklist",
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.form as u8);
        for element in self.elements.iter() {
            varint::write(element.length() as u64, |byte| out.push(byte));
            out.extend_from_slice(element.head);
            if let Some(tail) = element.tail {
                tail.stretches(0..tail.len()).for_each(|stretch| out.extend_from_slice(stretch));
            }
        }
    }

    fn encoded_len(&self) -> usize {
        1 + usize::try_from(self.elements.encoded_len()).unwrap_or(usize::MAX - 1)
    }

    fn in_slices(&self) -> bool {
        true
    }

    fn encode_range(&self, range: Range<usize>, out: &mut Vec<u8>) {
        if range.start == 0 && range.end > 0 {
            out.push(self.form as u8);
        }
        let (start, end) = (range.start.saturating_sub(1), range.end.saturating_sub(1));
        self.elements.encode_range(start as u64..end as u64, out);
    }

    fn decode_slice(&mut self, at: u64, bytes: &[u8]) -> Option<usize> {
        let mut elements = bytes;
        if at == 0 {
            let Some((form, behind)) = bytes.split_first() else { return Some(0) };
            self.form = Form::numbered(u64::from(*form))?;
            elements = behind;
        }
        let taken = for_each_whole(elements, &mut |element| {
            self.put_last(element);
            Some(())
        })?;
        Some(bytes.len() - elements.len() + taken)
    }

    fn kept_from(&self, at: u64) -> (u64, Option<u64>, usize) {
        let (kept, next, pages) = self.elements.kept_from(at);
        (kept, Some(next).filter(|next| *next < self.len()), pages)
    }

    fn shared_as(&self) -> Option<(usize, u64)> {
        // Pages are aligned: two that say different things of the same elements are two.
        Some((self.elements.address() | self.form as usize, self.elements.holders()))
    }

    fn heap_bytes(&self) -> usize {
        let bytes = self.elements.heap_bytes();
        size_of::<List>() + usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    fn digest(&self, part: &mut dyn FnMut(&[u8])) {
        // The order of parts does not matter, that of elements does.
        let mut numbered = Vec::new();
        for (element, index) in self.range(0..self.len()).zip(0u64..) {
            numbered.clear();
            numbered.extend_from_slice(&index.to_le_bytes());
            element.with_stretches(0..element.len(), |stretch| {
                numbered.extend_from_slice(stretch);
            });
            part(&numbered);
        }
    }

    fn copy(&self) -> Arc<dyn Object> {
        Arc::new(self.clone())
    }

    fn in_item(&self) -> Option<&'static InItem> {
        Some(const { &InItem::of::<List>(NUMBER) })
    }
}

impl std::fmt::Debug for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "List({} elements)", self.len())
    }
}

fn decode(bytes: &[u8]) -> Option<NewValue<'_>> {
    let mut list = List::default();
    let is_whole = !bytes.is_empty() && list.decode_slice(0, bytes)? == bytes.len();
    is_whole.then(|| NewValue::Object(Arc::new(list)))
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
