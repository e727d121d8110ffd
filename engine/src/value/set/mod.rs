//! Sets: members, each once.
//!
//! ```text
//!   integers  few of them, ascending                    what OBJECT ENCODING calls intset
//!   listed    few short ones, as they were put                                    listpack
//!   hashed    in the order of (hash, member)                                      hashtable
//!
//!   as a whole:  form | bytes | bytes ...       each member with its length before it, integers as digits
//! ```
//!
//! All three are trees of shared pages: a clone is one reference, and holds the set as it was.
//!
//! Files, from below: `member` (how members lie), `growth` (when a set changes its form), `effect`, `combine`
//! (unions, intersections and differences, piece by piece).

mod combine;
mod effect;
mod growth;
mod member;
#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
mod told;

pub use combine::{Combining, Operation};
pub use effect::{Add, Remove, TYPE};
pub use growth::{Form, Growth, Limits};
pub use member::{Member, Members};
pub use told::WORDS;

use super::effect::{Reading, for_each_whole};
use super::tree::{AsPut, Near, NewElement, Place, Tree, hash_of};
use super::{InItem, NewValue, Object, Value};
use crate::varint;
use member::{Ascending, ByHash, Counted, Hashed, InOrder};
use std::any::Any;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// Of the type, for ever.
const NUMBER: u8 = 2;

/// The value.
#[derive(Clone)]
pub struct Set(Kept);

/// Where a member was seen, for who removes it right after: it spares looking for it once more. Nothing depends on it,
/// since what stands there is looked at again.
#[derive(Clone, Copy, Debug)]
pub struct Seen(Place);

/// It says nothing about an effect.
impl PartialEq for Seen {
    fn eq(&self, _: &Seen) -> bool {
        true
    }
}

impl Eq for Seen {}

#[derive(Clone)]
enum Kept {
    Integers(Tree<Ascending>),
    Listed(Tree<AsPut>),
    Hashed(Tree<ByHash>),
}

/// The same of whichever tree a set is.
macro_rules! of_tree {
    ($set:expr, $tree:ident => $what:expr) => {
        match &$set.0 {
            Kept::Integers($tree) => $what,
            Kept::Listed($tree) => $what,
            Kept::Hashed($tree) => $what,
        }
    };
}

impl Default for Set {
    fn default() -> Set {
        Set(Kept::Integers(Tree::new()))
    }
}

impl Set {
    /// An empty one of a form.
    pub fn new(form: Form) -> Set {
        Set(match form {
            Form::Integers => Kept::Integers(Tree::new()),
            Form::Listed => Kept::Listed(Tree::new()),
            Form::Hashed => Kept::Hashed(Tree::new()),
        })
    }

    /// How many members it has.
    #[inline]
    pub fn len(&self) -> u64 {
        of_tree!(self, tree => tree.len())
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Which form it has.
    #[inline]
    pub fn form(&self) -> Form {
        match &self.0 {
            Kept::Integers(_) => Form::Integers,
            Kept::Listed(_) => Form::Listed,
            Kept::Hashed(_) => Form::Hashed,
        }
    }

    /// Whether this is a member.
    #[inline]
    pub fn has(&self, member: &[u8]) -> bool {
        match &self.0 {
            Kept::Integers(list) => {
                member::integer(member).is_some_and(|number| member::rank(list, number).is_ok())
            }
            Kept::Listed(list) => member::position(list, member).is_some(),
            Kept::Hashed(tree) => tree.find(hash_of(member), member).1.is_some(),
        }
    }

    /// Whether another set's member is one of this.
    fn shares(&self, member: Member<'_>) -> bool {
        if let (Kept::Integers(list), Value::Int(number)) = (&self.0, member.value) {
            return member::rank(list, number).is_ok();
        }
        member.value.with_bytes(|bytes| match &self.0 {
            Kept::Hashed(tree) => tree.find(member.hash(bytes), bytes).1.is_some(),
            _ => self.has(bytes),
        })
    }

    /// The members with these numbers, as far as there are.
    pub fn range(&self, range: Range<u64>) -> std::iter::Take<Members<'_>> {
        let count = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let members = match &self.0 {
            Kept::Integers(list) => Members::Ascending(Counted(list.walk(&list.at(range.start)))),
            Kept::Listed(list) => Members::AsPut(InOrder(list.walk(&list.at(range.start)))),
            Kept::Hashed(tree) => Members::ByHash(Hashed(tree.walk(&tree.at(range.start)))),
        };
        members.take(count)
    }

    /// All members: integers ascending, a list as it was put, others in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = Member<'_>> {
        self.range(0..u64::MAX)
    }

    /// The member with this number, below [`Set::len`].
    #[inline]
    pub fn at(&self, index: u64) -> Option<Member<'_>> {
        match &self.0 {
            Kept::Integers(list) => list.get(&list.at(index)).map(member::counted),
            Kept::Listed(list) => list.get(&list.at(index)).map(member::listed),
            Kept::Hashed(tree) => tree.get(&tree.at(index)).map(member::hashed),
        }
    }

    /// The same, and where it was found, for [`Remove`].
    #[inline]
    pub fn look_at(&self, index: u64) -> Option<(Member<'_>, Option<Seen>)> {
        let Kept::Hashed(tree) = &self.0 else { return self.at(index).map(|it| (it, None)) };
        let place = tree.at(index);
        tree.get(&place).map(|it| (member::hashed(it), Some(Seen(place))))
    }

    /// A step of a scan: see [`Tree::scan`]. Small forms are seen as a whole.
    pub fn scan<'a>(&'a self, cursor: u64, count: usize, mut see: impl FnMut(Member<'a>)) -> u64 {
        match &self.0 {
            Kept::Hashed(tree) => tree.scan(cursor, count, |it| see(member::hashed(it))),
            _ => {
                self.iter().for_each(see);
                0
            }
        }
    }

    /// The digits of the longest number, of a set of integers.
    fn longest_integer(&self) -> usize {
        let Kept::Integers(list) = &self.0 else { return 0 };
        let ends = [self.at(0), self.at(list.len().saturating_sub(1))];
        ends.iter().flatten().map(|member| member.value.len()).max().unwrap_or(0)
    }

    /// Puts a member, as Redis would by these limits; whether it is new.
    pub fn put(&mut self, member: &[u8], limits: &Limits) -> bool {
        if self.form() != Form::Hashed {
            if self.has(member) {
                return false;
            }
            let count = self.len() as usize;
            self.raise(limits.with(self.form(), count, || self.longest_integer(), member));
        }
        self.add(member)
    }

    /// Puts a member, which is an integer in a set of them; whether it is new.
    fn add(&mut self, member: &[u8]) -> bool {
        match &mut self.0 {
            Kept::Integers(list) => {
                let Some(number) = member::integer(member) else { return false };
                let Err(index) = member::rank(list, number) else { return false };
                member::put_number(list, index, number);
            }
            Kept::Listed(list) => {
                if member::position(list, member).is_some() {
                    return false;
                }
                list.push(NewElement { key: (), head: &[member], tail: None });
            }
            Kept::Hashed(tree) => {
                let key = hash_of(member);
                let (place, there) = tree.find(key, member);
                if there.is_some() {
                    return false;
                }
                tree.insert(&place, NewElement { key, head: &[member], tail: None });
            }
        }
        true
    }

    /// Adds a member behind all others, as a value as a whole tells them; `false` where it does not belong there.
    fn put_last(&mut self, member: &[u8]) -> bool {
        if let Kept::Integers(list) = &self.0 {
            let last = member::greatest(list);
            if member::integer(member).is_none_or(|number| last >= Some(number)) {
                return false;
            }
        }
        self.add(member)
    }

    /// Makes room for the first members of one that is small.
    fn make_room(&mut self, members: &[&[u8]]) {
        let (count, integer) = (members.len(), |member: &&[u8]| member::integer(member));
        match &mut self.0 {
            Kept::Integers(list) if list.is_empty() => {
                let numbers = members.iter().filter_map(integer);
                list.make_room(count, numbers.map(member::bytes_needed).sum());
            }
            Kept::Listed(list) if list.is_empty() => {
                list.make_room(count, members.iter().map(|member| member.len()).sum());
            }
            _ => {}
        }
    }

    /// Removes a member, which may have been seen; whether it was one.
    fn remove_seen(&mut self, member: &[u8], seen: Option<Seen>) -> bool {
        if let (Kept::Hashed(tree), Some(Seen(place))) = (&mut self.0, seen)
            && tree.get(&place).is_some_and(|it| it.tail.is_none() && it.head == member)
        {
            tree.remove(&place);
            return true;
        }
        self.remove(member)
    }

    /// Removes a member; whether it was one.
    fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.0 {
            Kept::Integers(list) => {
                let number = member::integer(member);
                let index = number.and_then(|number| member::rank(list, number).ok());
                member::remove_at(list, index)
            }
            Kept::Listed(list) => {
                let index = member::position(list, member);
                member::remove_at(list, index)
            }
            Kept::Hashed(tree) => {
                let (place, there) = tree.find(hash_of(member), member);
                let is_there = there.is_some();
                if is_there {
                    tree.remove(&place);
                }
                is_there
            }
        }
    }

    /// Gives it a form, unless it has one that comes behind it.
    fn raise(&mut self, form: Form) {
        if form <= self.form() {
            return;
        }
        self.0 = match form {
            Form::Hashed => Kept::Hashed(member::in_order_of_hashes(self.iter())),
            _ => Kept::Listed(member::as_list(self.iter())),
        };
    }

    /// The same members as a list.
    fn as_list(&self) -> Set {
        Set(Kept::Listed(member::as_list(self.iter())))
    }

    /// The same members as integers, if they are all such.
    fn as_integers(&self) -> Option<Set> {
        let mut integers = Set::new(Form::Integers);
        let mut add = |member: Member<'_>| member.value.with_bytes(|bytes| integers.add(bytes));
        self.iter().all(&mut add).then_some(integers)
    }
}

impl Object for Set {
    fn type_number(&self) -> u8 {
        NUMBER
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn prefetch(&self) {
        of_tree!(self, tree => tree.prefetch());
    }

    fn near(&self, member: &[u8]) -> Option<Near<'_>> {
        match &self.0 {
            Kept::Integers(_) | Kept::Listed(_) => None,
            Kept::Hashed(tree) => tree.near(hash_of(member)),
        }
    }

    fn encoding(&self) -> &'static str {
        match self.form() {
            Form::Integers => "intset",
            Form::Listed => "listpack",
            Form::Hashed => "hashtable",
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.form().number());
        for member in self.iter() {
            let length = member.value.len();
            varint::write(length as u64, |byte| out.push(byte));
            member.value.with_stretches(0..length, |stretch| out.extend_from_slice(stretch));
        }
    }

    fn encoded_len(&self) -> usize {
        let members = of_tree!(self, tree => tree.encoded_len());
        usize::try_from(members).map_or(usize::MAX, |members| 1 + members)
    }

    fn in_slices(&self) -> bool {
        true
    }

    fn encode_range(&self, range: Range<usize>, out: &mut Vec<u8>) {
        if range.start == 0 && range.end > 0 {
            out.push(self.form().number());
        }
        let (start, end) = (range.start.saturating_sub(1), range.end.saturating_sub(1));
        let range = start as u64..end as u64;
        of_tree!(self, tree => tree.encode_range(range, out));
    }

    fn decode_slice(&mut self, at: u64, bytes: &[u8]) -> Option<usize> {
        let mut members = bytes;
        if at == 0 {
            let Some((form, behind)) = bytes.split_first() else { return Some(0) };
            *self = Set::new(Form::numbered(*form)?);
            members = behind;
        }
        let taken = for_each_whole(members, &mut |member| self.put_last(member).then_some(()))?;
        Some(bytes.len() - members.len() + taken)
    }

    fn kept_from(&self, at: u64) -> (u64, Option<u64>, usize) {
        let (kept, next, pages) = of_tree!(self, tree => tree.kept_from(at));
        (kept, Some(next).filter(|next| *next < self.len()), pages)
    }

    fn shared_as(&self) -> Option<(usize, u64)> {
        let (address, holders) = of_tree!(self, tree => (tree.address(), tree.holders()));
        // Pages are aligned: two that say different things of the same members are two.
        Some((address | usize::from(self.form().number()), holders))
    }

    fn heap_bytes(&self) -> usize {
        let members = of_tree!(self, tree => tree.heap_bytes());
        size_of::<Set>() + usize::try_from(members).unwrap_or(usize::MAX)
    }

    fn digest(&self, part: &mut dyn FnMut(&[u8])) {
        for member in self.iter() {
            member.value.with_bytes(&mut *part);
        }
    }

    fn copy(&self) -> Arc<dyn Object> {
        Arc::new(self.clone())
    }

    fn in_item(&self) -> Option<&'static InItem> {
        Some(const { &InItem::of::<Set>(NUMBER) })
    }
}

impl std::fmt::Debug for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Set({} members, {:?})", self.len(), self.form())
    }
}

impl Set {
    /// The value, if it is a set.
    pub fn of(object: &dyn Object) -> Option<&Set> {
        let object: &dyn Any = object;
        object.downcast_ref()
    }
}

fn decode(bytes: &[u8]) -> Option<NewValue<'_>> {
    let (form, members) = bytes.split_first()?;
    let form = Form::numbered(*form)?;
    let (mut reading, mut list) = (Reading(members), Vec::new());
    while !reading.is_done() {
        list.push(reading.bytes()?);
    }
    whole(form, list).map(|set| NewValue::Object(Arc::new(set)))
}

/// A set of these members, if they can be those of one in this form.
fn whole(form: Form, members: Vec<&[u8]>) -> Option<Set> {
    let mut set = Set::new(form);
    match &mut set.0 {
        Kept::Integers(list) => {
            let mut last = None;
            for member in members {
                let number = member::integer(member)?;
                (last < Some(number)).then_some(())?;
                last = Some(number);
                member::put_number(list, list.len(), number);
            }
        }
        Kept::Listed(list) => {
            let mut seen = HashSet::with_capacity(members.len());
            for member in members {
                seen.insert(member).then_some(())?;
                list.push(NewElement { key: (), head: &[member], tail: None });
            }
        }
        Kept::Hashed(tree) => {
            // Another process has another order.
            let mut members: Vec<(u32, &[u8])> =
                members.into_iter().map(|member| (hash_of(member), member)).collect();
            members.sort_unstable();
            let mut last = None;
            for (key, member) in members {
                (last != Some((key, member))).then_some(())?;
                last = Some((key, member));
                tree.push(NewElement { key, head: &[member], tail: None });
            }
        }
    }
    Some(set)
}
