//! A tree as bytes, any stretch of them.

use super::find::{Place, Tree, totals};
use super::order::{Element, Order};
use std::ops::Range;

impl<O: Order> Tree<O> {
    /// Appends these bytes of all elements as they are written when the value is: [`Order::encode_opening`],
    /// [`Order::encoded_head`], the tail.
    pub fn encode_range(&self, range: Range<u64>, out: &mut Vec<u8>) {
        let (place, mut at) = self.at_encoded(range.start);
        let mut opening = Vec::new();
        for element in self.walk(&place) {
            if at >= range.end {
                return;
            }
            let end = at + O::encoded(element);
            if end > range.start {
                opening.clear();
                O::encode_opening(element, &mut opening);
                let from = range.start.saturating_sub(at) as usize;
                put::<O>(&opening, element, from..(range.end.min(end) - at) as usize, out);
            }
            at = end;
        }
    }

    /// The beginning of the leaf that has this byte, and the number of its first byte.
    fn at_encoded(&self, byte: u64) -> (Place, u64) {
        let (mut place, mut before) = (self.start(), 0);
        let Some(mut page) = self.page() else { return (place, 0) };
        while page.height() > 0 {
            let mut slot = 0;
            while slot + 1 < page.count() {
                let bytes = totals::<O>(page.child(slot)).encoded;
                if byte < before + bytes {
                    break;
                }
                (before, slot) = (before + bytes, slot + 1);
            }
            place.slots[usize::from(page.height())] = slot as u16;
            page = page.child(slot);
        }
        (place, before)
    }
}

/// Appends some of an element's bytes, counted from its opening on.
fn put<O: Order>(
    opening: &[u8],
    element: Element<'_, O::Key>,
    range: Range<usize>,
    out: &mut Vec<u8>,
) {
    let mut before = 0;
    for part in [opening, O::encoded_head(element)] {
        let within = |at: usize| at.saturating_sub(before).min(part.len());
        out.extend_from_slice(&part[within(range.start)..within(range.end)]);
        before += part.len();
    }
    if let Some(tail) = element.tail {
        let within = |at: usize| at.saturating_sub(before).min(tail.len());
        let range = within(range.start)..within(range.end);
        tail.stretches(range).for_each(|stretch| out.extend_from_slice(stretch));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AsPut, NewElement};
    use super::*;
    use crate::varint;

    #[test]
    fn any_stretch_of_the_bytes_is_that_of_all_of_them() {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        println!("SEED={seed}");
        let mut dice = fastrand::Rng::with_seed(seed);
        for elements in [0, 1, 20, 3000] {
            let mut tree = Tree::<AsPut>::new();
            let mut whole = Vec::new();
            for _ in 0..elements {
                let most = [3, 200, 3000][dice.usize(..3)];
                let bytes: Vec<u8> = (0..dice.usize(..most)).map(|_| dice.u8(..)).collect();
                tree.push(NewElement { key: (), head: &[&bytes], tail: None });
                varint::write(bytes.len() as u64, |byte| whole.push(byte));
                whole.extend_from_slice(&bytes);
            }
            assert_eq!(tree.encoded_len(), whole.len() as u64);
            for _ in 0..200 {
                let from = dice.usize(..=whole.len());
                let to = dice.usize(from..=whole.len());
                let to = if dice.bool() { to.min(from + 50) } else { to };
                let mut out = Vec::new();
                tree.encode_range(from as u64..to as u64, &mut out);
                assert!(out == whole[from..to], "{from}..{to} of {elements} elements");
            }
        }
    }
}
