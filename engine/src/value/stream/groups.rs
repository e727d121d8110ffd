//! All groups of a stream, by their names.
//!
//! ```text
//!   pages   [a b c] [d e] [f g h i] ...     each behind a reference, in the order of the names, none empty
//! ```
//!
//! Whoever changes a group copies its page, where somebody else holds that, and the references to the others: of a
//! hundred thousand groups some two thousand. A stretch of the stream as a whole passes over pages, not groups.

use super::group::{Group, named};
use super::part;
use crate::value::aside::{self, Aside};
use std::cell::RefCell;
use std::sync::Arc;

/// Groups of a page at most: copied in some microseconds, and few pages where there are many groups.
const PAGE_MAX: usize = 64;

type Named = (Arc<[u8]>, Arc<Group>);

/// Groups whose names follow each other.
#[derive(Clone, Default)]
struct Page {
    groups: Vec<Named>,
    encoded: usize,
}

/// See the module's front page.
#[derive(Clone, Default)]
pub(super) struct Groups {
    pages: Vec<Arc<Page>>,
    length: usize,
    heap: usize,
    encoded: usize,
}

/// A group's place in a page and the counts of what it is held by.
const PLACE_BYTES: usize = 64;

impl Groups {
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// The page that a name belongs to, and its place there: where it is, or would be. Of no page the first.
    fn find(&self, name: &[u8]) -> (usize, Result<usize, usize>) {
        let behind = self.pages.partition_point(|page| *page.groups[0].0 <= *name);
        let at = behind.saturating_sub(1);
        let place = match self.pages.get(at) {
            Some(page) => page.groups.binary_search_by(|(there, _)| (**there).cmp(name)),
            None => Err(0),
        };
        (at, place)
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&Group> {
        let (page, Ok(place)) = self.find(name) else { return None };
        Some(&self.pages[page].groups[place].1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Group)> {
        let groups = self.pages.iter().flat_map(|page| &page.groups);
        groups.map(|(name, group)| (&**name, &**group))
    }

    /// Those whose names are behind this one; all, behind none.
    pub(super) fn behind(&self, name: Option<&[u8]>) -> impl Iterator<Item = (&[u8], &Group)> {
        let (page, place) = match name.map(|name| self.find(name)) {
            None => (0, 0),
            Some((page, Ok(there))) => (page, there + 1),
            Some((page, Err(next))) => (page, next),
        };
        let groups = self.pages[page.min(self.pages.len())..].iter().flat_map(|page| &page.groups);
        groups.skip(place).map(|(name, group)| (&**name, &**group))
    }

    /// Puts a group there, or another in its place.
    pub(super) fn put(&mut self, name: &[u8], group: Group) {
        self.remove(name);
        let (at, place) = self.find(name);
        let place = place.unwrap_or_else(|place| place);
        let encoded = named(name) + group.encoded_len();
        self.heap += PLACE_BYTES + name.len() + group.heap_bytes();
        self.encoded += encoded;
        self.length += 1;
        if self.pages.is_empty() {
            self.pages.push(Arc::default());
        }
        let is_last = at + 1 == self.pages.len();
        let page = Arc::make_mut(&mut self.pages[at]);
        page.encoded += encoded;
        page.groups.insert(place, (name.into(), Arc::new(group)));
        if page.groups.len() > PAGE_MAX {
            // Names that come in their order leave full pages behind them.
            let half = if is_last && place == PAGE_MAX { PAGE_MAX } else { PAGE_MAX / 2 };
            let rest = Page::of(page.groups.split_off(half));
            page.encoded -= rest.encoded;
            self.pages.insert(at + 1, Arc::new(rest));
            aside::pay(&ASIDE);
        }
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> bool {
        let (at, Ok(place)) = self.find(name) else { return false };
        let page = Arc::make_mut(&mut self.pages[at]);
        let (_, group) = page.groups.remove(place);
        let encoded = named(name) + group.encoded_len();
        page.encoded -= encoded;
        self.heap -= PLACE_BYTES + name.len() + group.heap_bytes();
        self.encoded -= encoded;
        self.length -= 1;
        self.join(at);
        true
    }

    /// Puts a page that has become small together with one beside it, so that there are never many small ones.
    fn join(&mut self, at: usize) {
        let length = |page: usize| self.pages.get(page).map_or(PAGE_MAX, |page| page.groups.len());
        let is_small = |first: usize| length(first) + length(first + 1) <= PAGE_MAX / 2;
        let first = match at {
            _ if length(at) == 0 => {
                self.pages.remove(at);
                return;
            }
            1.. if is_small(at - 1) => at - 1,
            _ if is_small(at) => at,
            _ => return,
        };
        let mut second = self.pages.remove(first + 1);
        let second = Arc::make_mut(&mut second);
        let page = Arc::make_mut(&mut self.pages[first]);
        page.groups.append(&mut second.groups);
        page.encoded += second.encoded;
    }

    /// Changes a group, if there is such a one; a copy of it where somebody else holds it.
    pub(super) fn edit<R>(&mut self, name: &[u8], edit: impl FnOnce(&mut Group) -> R) -> Option<R> {
        let (at, Ok(place)) = self.find(name) else { return None };
        let page = Arc::make_mut(&mut self.pages[at]);
        let group = Arc::make_mut(&mut page.groups[place].1);
        let (heap, encoded) = (group.heap_bytes(), group.encoded_len());
        let done = edit(group);
        self.heap = self.heap + group.heap_bytes() - heap;
        self.encoded = self.encoded + group.encoded_len() - encoded;
        page.encoded = page.encoded + group.encoded_len() - encoded;
        Some(done)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.heap
    }

    pub(super) fn encoded_len(&self) -> usize {
        self.encoded
    }

    /// The last of the names.
    pub(super) fn last_name(&self) -> Option<Arc<[u8]>> {
        Some(self.pages.last()?.groups.last()?.0.clone())
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|(name, group)| group.encode(name, out));
    }

    pub(super) fn encode_range(&self, cutting: &mut part::Cutting<'_>) {
        for page in &self.pages {
            if cutting.passes(page.encoded) {
                continue;
            }
            page.groups.iter().for_each(|(name, group)| group.encode_range(name, cutting));
        }
    }
}

#[cfg(test)]
impl Groups {
    /// Pages that nobody else holds.
    pub(super) fn pages_held_alone(&self) -> usize {
        self.pages.iter().filter(|page| Arc::strong_count(page) == 1).count()
    }

    /// None is empty or too long, and of those beside each other not both are small.
    pub(super) fn assert_pages(&self) {
        let lengths: Vec<usize> = self.pages.iter().map(|page| page.groups.len()).collect();
        assert!(lengths.iter().all(|length| (1..=PAGE_MAX).contains(length)), "{lengths:?}");
        let is_enough = |two: &[usize]| two[0] + two[1] > PAGE_MAX / 2;
        assert!(lengths.windows(2).all(is_enough), "{lengths:?}");
    }
}

impl Page {
    fn of(groups: Vec<Named>) -> Page {
        let encoded = groups.iter().map(|(name, group)| named(name) + group.encoded_len()).sum();
        Page { groups, encoded }
    }
}

thread_local! {
    static ASIDE: RefCell<Aside<Going>> = const { RefCell::new(Aside::none()) };
}

/// Frees up to so many of the pages that were put aside on this thread; `false` when there were none.
pub(in crate::value) fn free_slice(pages: usize) -> bool {
    aside::free_slice(&ASIDE, pages)
}

/// Pages that are to be freed.
struct Going(Vec<Arc<Page>>);

impl aside::Tree for Going {
    /// About: a group's own trees count for themselves when they are put aside.
    fn own_bytes(&self, looks: &mut usize) -> usize {
        *looks = looks.saturating_sub(1);
        let own = self.0.iter().filter(|page| Arc::strong_count(page) == 1);
        let groups: usize = own.map(|page| page.groups.len()).sum();
        groups * (PLACE_BYTES + size_of::<Group>())
    }

    fn is_shared(&self) -> bool {
        matches!(&*self.0, [page] if Arc::strong_count(page) > 1)
    }

    fn has_entries(&self) -> bool {
        self.0.len() > 1
    }

    fn pop(&mut self) -> Option<Going> {
        self.0.pop().map(|page| Going(vec![page]))
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.0.len() > 1 && put_aside(&mut self.0);
    }
}

fn put_aside(pages: &mut Vec<Arc<Page>>) -> bool {
    aside::put(&ASIDE, || Going(std::mem::take(pages)))
}

impl Drop for Groups {
    fn drop(&mut self) {
        let _ = self.pages.len() > 1 && put_aside(&mut self.pages);
    }
}
