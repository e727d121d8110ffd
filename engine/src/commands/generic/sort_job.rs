//! What SORT does, piece by piece.
//!
//! ```text
//!   load ─► weigh (keys of any shard) ─► runs, merged ─► cut ─► fetch (keys of any shard) ─► reply, or a list
//! ```
//!
//! Few elements are done at once. Of many, a piece is some hundred, and others have their turn in between; keys are
//! asked for some thousand at a time.

use crate::command::shape::{Asking, Wanted};
use crate::command::{Decided, Decision, Refusal, Write};
use crate::value::list::{self, List};
use crate::value::number::parse_f64_redis;
use crate::value::set::Set;
use crate::value::sorted_set::SortedSet;
use crate::value::{Object, SharedValue, Value};
use std::any::Any;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// Elements done in one piece: some 50 us.
const PIECE: usize = 256;

/// Up to so many elements are done at once.
const FEW: u64 = 256;

/// Keys asked for at a time.
const ASKED: usize = 4096;

/// What a request asks for; places are arguments.
#[derive(Default, Clone)]
pub(super) struct Options {
    pub(super) is_descending: bool,
    pub(super) is_alpha: bool,
    pub(super) limit: Option<(i64, i64)>,
    pub(super) by: Option<Pattern>,
    /// BY a pattern without a star: the order is left as it is.
    pub(super) is_unsorted: bool,
    pub(super) gets: Vec<Pattern>,
    pub(super) store: Option<Vec<u8>>,
}

impl Options {
    /// Which of `count` elements are wanted.
    fn range(&self, count: usize) -> Range<usize> {
        let (offset, wanted) = self.limit.unwrap_or((0, -1));
        let start = usize::try_from(offset.max(0)).unwrap_or(usize::MAX).min(count);
        let left = count - start;
        let wanted = if wanted < 0 { left } else { usize::try_from(wanted).unwrap_or(left) };
        start..start + wanted.min(left)
    }
}

/// `w_*->field`, `w_*`, `#`; or what names nothing.
#[derive(Clone)]
pub(super) struct Pattern {
    is_element: bool,
    /// What stands around the star, and the field.
    pub(super) key: Option<(Vec<u8>, Vec<u8>, Option<Vec<u8>>)>,
}

impl Pattern {
    pub(super) fn read(text: &[u8]) -> Pattern {
        let is_element = text == b"#";
        let Some(star) = memchr::memchr(b'*', text) else {
            return Pattern { is_element, key: None };
        };
        let (before, after) = (&text[..star], &text[star + 1..]);
        // An arrow with nothing behind it is a part of the key.
        let arrow = after.windows(2).position(|two| two == b"->");
        let arrow = arrow.filter(|at| at + 2 < after.len());
        let (after, field) = match arrow {
            Some(at) => (&after[..at], Some(after[at + 2..].to_vec())),
            None => (after, None),
        };
        Pattern { is_element, key: Some((before.to_vec(), after.to_vec(), field)) }
    }

    fn wanted(&self, element: &[u8]) -> Option<Wanted> {
        let (before, after, field) = self.key.as_ref()?;
        Some(Wanted { key: [before, element, after].concat(), field: field.clone() })
    }
}

/// One element and what it is compared by.
struct Weighed {
    number: f64,
    text: Option<Vec<u8>>,
    element: Vec<u8>,
}

/// Where a job is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Load,
    Weigh,
    Runs,
    Merge,
    Cut,
    Fetch,
    Reply,
}

/// What comes after a piece.
enum Next {
    On,
    Ask(Vec<Wanted>),
    Done(Vec<Write>),
}

/// See the module's doc.
pub(super) struct Job {
    options: Options,
    value: Option<SharedValue>,
    count: u64,
    is_few: bool,
    stage: Stage,
    /// What is loaded, and what is left of it where it is sorted.
    elements: Vec<Vec<u8>>,
    /// What is known of the elements' weights, or of what is to be returned.
    found: Vec<Option<Vec<u8>>>,
    runs: VecDeque<Vec<Weighed>>,
    merged: Vec<Vec<Weighed>>,
    merging: Option<Merging>,
    /// The sorted elements, of which what is wanted is still to be taken.
    source: Option<Box<dyn Iterator<Item = Vec<u8>> + Send>>,
    /// Elements or results that a stage has done.
    done: usize,
}

/// Two runs that become one.
struct Merging {
    one: std::iter::Peekable<std::vec::IntoIter<Weighed>>,
    other: std::iter::Peekable<std::vec::IntoIter<Weighed>>,
    merged: Vec<Weighed>,
}

impl Job {
    /// A job over the elements of a value, if there is one.
    pub(super) fn of(mut options: Options, value: Option<SharedValue>) -> Job {
        let object = value.as_ref().and_then(|value| match value {
            SharedValue::Object(object) => Some(&**object as &dyn Object),
            _ => None,
        });
        let count = object.map_or(0, count_of);
        let is_set = object.is_some_and(|object| (object as &dyn Any).is::<Set>());
        if options.is_unsorted && is_set && options.store.is_some() {
            // What is kept must not depend on how a set lies in memory.
            (options.is_unsorted, options.is_alpha, options.by) = (false, true, None);
        }
        Job {
            options,
            value,
            count,
            is_few: count <= FEW,
            stage: Stage::Load,
            elements: Vec::with_capacity(count as usize),
            found: Vec::new(),
            runs: VecDeque::new(),
            merged: Vec::new(),
            merging: None,
            source: None,
            done: 0,
        }
    }

    /// Goes on as far as it may at a time.
    pub(super) fn go_on(mut self, decision: &mut Decision<'_>) -> Result<Decided, Refusal> {
        loop {
            match self.piece(decision)? {
                Next::On if self.is_few => {}
                Next::On => {
                    return Ok(Decided::More(Box::new(move |decision| self.go_on(decision))));
                }
                Next::Done(writes) => return Ok(Decided::Writes(writes)),
                Next::Ask(wanted) => {
                    let then = move |decision: &mut Decision<'_>, found: Vec<Option<Vec<u8>>>| {
                        self.take_found(found);
                        self.go_on(decision)
                    };
                    return Ok(Decided::Ask(Asking { wanted, then: Box::new(then) }));
                }
            }
        }
    }

    fn piece(&mut self, decision: &mut Decision<'_>) -> Result<Next, Refusal> {
        match self.stage {
            Stage::Load => self.load(),
            Stage::Weigh => return Ok(self.weigh()),
            Stage::Runs => self.make_run()?,
            Stage::Merge => self.merge(),
            Stage::Cut => self.cut(),
            Stage::Fetch => return Ok(self.fetch()),
            Stage::Reply => return Ok(self.reply(decision)),
        }
        Ok(Next::On)
    }

    fn enter(&mut self, stage: Stage) {
        (self.stage, self.done) = (stage, 0);
    }

    fn load(&mut self) {
        let from = self.elements.len() as u64;
        if let Some(SharedValue::Object(object)) = &self.value {
            let range = from..self.count.min(from + PIECE as u64);
            load(&**object, range, self.options.is_backwards(), self.count, &mut self.elements);
        }
        if self.elements.len() as u64 == self.count {
            self.value = None;
            self.enter(match &self.options {
                Options { is_unsorted: true, .. } => Stage::Cut,
                Options { by: Some(_), .. } => Stage::Weigh,
                _ => Stage::Runs,
            });
        }
    }

    /// Asks for the weights of the next elements.
    fn weigh(&mut self) -> Next {
        let next = &self.elements[self.found.len()..];
        let Some(by) = self.options.by.as_ref().filter(|_| !next.is_empty()) else {
            self.enter(Stage::Runs);
            return Next::On;
        };
        Next::Ask(next.iter().take(ASKED).filter_map(|element| by.wanted(element)).collect())
    }

    fn take_found(&mut self, found: Vec<Option<Vec<u8>>>) {
        if self.stage == Stage::Weigh {
            return self.found.extend(found);
        }
        let (mut found, end) = (found.into_iter(), self.fetched_to());
        for element in &self.elements[self.done..end] {
            for pattern in &self.options.gets {
                self.found.push(match &pattern.key {
                    Some(_) => found.next().flatten(),
                    None if pattern.is_element => Some(element.clone()),
                    None => None,
                });
            }
        }
        self.done = end;
    }

    /// Takes the next elements and sorts these.
    fn make_run(&mut self) -> Result<(), Refusal> {
        let end = self.elements.len().min(self.done + PIECE);
        let mut run = Vec::with_capacity(end - self.done);
        for at in self.done..end {
            let element = std::mem::take(&mut self.elements[at]);
            let weight = match &self.options.by {
                Some(_) => self.found.get_mut(at).and_then(Option::take),
                None if self.options.is_alpha => None,
                None => Some(element.clone()),
            };
            run.push(self.options.weighed(element, weight)?);
        }
        run.sort_by(|one, other| self.options.compare(one, other));
        self.runs.push_back(run);
        self.done = end;
        if end == self.elements.len() {
            (self.elements, self.found) = (Vec::new(), Vec::new());
            self.enter(Stage::Merge);
        }
        Ok(())
    }

    /// Merges two runs of a level after the other, until one level is one run.
    fn merge(&mut self) {
        if let Some(merging) = &mut self.merging {
            if merging.piece(&self.options) {
                self.merged.extend(self.merging.take().map(|merging| merging.merged));
            }
            return;
        }
        match (self.runs.pop_front(), self.runs.pop_front()) {
            (Some(one), Some(other)) => self.merging = Some(Merging::of(one, other)),
            (Some(last), None) if self.merged.is_empty() => {
                let sorted = last.into_iter().map(|weighed| weighed.element);
                self.source = Some(Box::new(sorted));
                self.enter(Stage::Cut);
            }
            (last, _) if last.is_some() || !self.merged.is_empty() => {
                self.runs = std::mem::take(&mut self.merged).into_iter().chain(last).collect();
            }
            _ => self.enter(Stage::Cut),
        }
    }

    /// Keeps what is wanted of the sorted elements.
    fn cut(&mut self) {
        let elements = &mut self.elements;
        let source =
            self.source.get_or_insert_with(|| Box::new(std::mem::take(elements).into_iter()));
        let range = self.options.range(self.count as usize);
        for element in source.take(PIECE) {
            if range.contains(&self.done) {
                self.elements.push(element);
            }
            self.done += 1;
        }
        if self.done == self.count as usize {
            self.source = None;
            self.enter(Stage::Fetch);
        }
    }

    /// Up to where the next look at other keys goes.
    fn fetched_to(&self) -> usize {
        let step = (ASKED / self.options.gets.len().max(1)).max(1);
        self.elements.len().min(self.done + step)
    }

    fn fetch(&mut self) -> Next {
        if self.options.gets.is_empty() || self.done == self.elements.len() {
            self.enter(Stage::Reply);
            return Next::On;
        }
        let mut wanted = Vec::new();
        for element in &self.elements[self.done..self.fetched_to()] {
            wanted.extend(self.options.gets.iter().filter_map(|pattern| pattern.wanted(element)));
        }
        if wanted.is_empty() {
            self.take_found(Vec::new());
            return Next::On;
        }
        Next::Ask(wanted)
    }

    /// Replies with the next of what there is; or keeps all of it.
    fn reply(&mut self, decision: &mut Decision<'_>) -> Next {
        let has_gets = !self.options.gets.is_empty();
        let count = if has_gets { self.found.len() } else { self.elements.len() };
        if let Some(key) = self.options.store.take() {
            decision.reply.count(count);
            return Next::Done(vec![self.keep(decision, key)]);
        }
        if self.done == 0 {
            decision.reply.array(count);
        }
        let range = self.done..count.min(self.done + PIECE);
        self.done = range.end;
        match has_gets {
            true => self.found[range]
                .iter()
                .for_each(|found| decision.reply.bulk_or_nil(found.as_deref())),
            false => self.elements[range].iter().for_each(|one| decision.reply.bulk(one)),
        }
        if self.done == count { Next::Done(Vec::new()) } else { Next::On }
    }

    /// What is kept: a list, or nothing where there is nothing to keep.
    fn keep(&self, decision: &Decision<'_>, key: Vec<u8>) -> Write {
        let db = decision.db;
        let limit = list::Limit::of(decision.encodings.list_max_listpack_size);
        let list = match self.options.gets.is_empty() {
            true => List::of(self.elements.iter().map(Vec::as_slice), limit),
            false => {
                List::of(self.found.iter().map(|one| one.as_deref().unwrap_or_default()), limit)
            }
        };
        if list.is_empty() {
            return Write::Remove { db, key };
        }
        Write::put(db, key, SharedValue::Object(Arc::new(list)))
    }
}

impl Merging {
    fn of(one: Vec<Weighed>, other: Vec<Weighed>) -> Merging {
        let merged = Vec::with_capacity(one.len() + other.len());
        Merging { one: one.into_iter().peekable(), other: other.into_iter().peekable(), merged }
    }

    /// Takes some elements over; whether those were the last.
    fn piece(&mut self, options: &Options) -> bool {
        for _ in 0..PIECE {
            let takes_one = match (self.one.peek(), self.other.peek()) {
                (Some(one), Some(other)) => options.compare(one, other) != Ordering::Greater,
                (one, _) => one.is_some(),
            };
            let next = if takes_one { self.one.next() } else { self.other.next() };
            let Some(next) = next else { return true };
            self.merged.push(next);
        }
        false
    }
}

impl Options {
    /// What has an order of its own and is not sorted anew is in that one, from either end.
    fn is_backwards(&self) -> bool {
        self.is_unsorted && self.is_descending
    }

    fn weighed(&self, element: Vec<u8>, weight: Option<Vec<u8>>) -> Result<Weighed, Refusal> {
        if self.is_alpha {
            return Ok(Weighed { number: 0.0, text: weight, element });
        }
        let number = match (&self.by, &weight) {
            (None, _) => number(&element)?,
            (Some(_), Some(weight)) => number(weight)?,
            (Some(_), None) => 0.0,
        };
        Ok(Weighed { number, text: None, element })
    }

    /// One without a weight comes first, as in Redis; equal numbers are told apart by their elements.
    fn compare(&self, one: &Weighed, other: &Weighed) -> Ordering {
        let order = match (self.is_alpha, &self.by) {
            (true, Some(_)) => one.text.cmp(&other.text),
            (true, None) => one.element.cmp(&other.element),
            (false, _) => {
                let by_number = one.number.partial_cmp(&other.number);
                let by_number = by_number.unwrap_or(Ordering::Equal);
                by_number.then_with(|| one.element.cmp(&other.element))
            }
        };
        if self.is_descending { order.reverse() } else { order }
    }
}

/// How many elements a value has.
fn count_of(object: &dyn Object) -> u64 {
    let object: &dyn Any = object;
    let list = object.downcast_ref::<List>().map(List::len);
    let set = || object.downcast_ref::<Set>().map(Set::len);
    let sorted = || object.downcast_ref::<SortedSet>().map(SortedSet::len);
    list.or_else(set).or_else(sorted).unwrap_or_default()
}

/// Elements with these numbers; those of a list and of a sorted set may be counted from its end. A set has no order
/// that could be turned round.
fn load(
    object: &dyn Object,
    range: Range<u64>,
    is_backwards: bool,
    count: u64,
    elements: &mut Vec<Vec<u8>>,
) {
    let object: &dyn Any = object;
    let from_end = || count - range.end..count - range.start;
    if let Some(list) = object.downcast_ref::<List>() {
        match is_backwards {
            true => elements.extend(list.range_back(from_end()).map(owned)),
            false => elements.extend(list.range(range).map(owned)),
        }
    } else if let Some(set) = object.downcast_ref::<Set>() {
        elements.extend(set.range(range).map(|member| owned(member.value)));
    } else if let Some(sorted) = object.downcast_ref::<SortedSet>() {
        let range = if is_backwards { from_end() } else { range };
        sorted.visit(range, is_backwards, |entry| {
            elements.push(owned(entry.member));
            true
        });
    }
}

fn owned(value: Value<'_>) -> Vec<u8> {
    value.to_bytes().into_owned()
}

/// A weight, as `strtod` reads it: a C string, spaces before it, nothing is 0.
fn number(text: &[u8]) -> Result<f64, Refusal> {
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    let text = &text[..end];
    if text.is_empty() {
        return Ok(0.0);
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = text.iter().position(|byte| !is_space(byte)).unwrap_or(text.len());
    parse_f64_redis(&text[start..])
        .filter(|number| !is_out_of_range(*number, text))
        .ok_or(Refusal::fixed("ERR One or more scores can't be converted into double"))
}

/// Whether `strtod` says of what it read as this number that doubles do not reach so far.
fn is_out_of_range(number: f64, text: &[u8]) -> bool {
    let mantissa = text.iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
    let is_large = || text.iter().any(u8::is_ascii_digit);
    let is_small = || mantissa.clone().any(|byte| matches!(byte, b'1'..=b'9'));
    number.is_subnormal() || number.is_infinite() && is_large() || number == 0.0 && is_small()
}
