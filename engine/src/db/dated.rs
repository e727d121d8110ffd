//! Keys whose values have something inside that ends to be at a time of its own: fields of hashes.
//!
//! One entry for each such key, with the first of its times that was noted. It is never later than the first
//! there is: a value whose first time moved on is looked at once in vain, and noted anew. Keys without such
//! values cost nothing.

use crate::types::Millis;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

#[derive(Default)]
pub(super) struct Dated {
    noted: HashMap<Arc<[u8]>, Millis>,
    order: BTreeSet<(Millis, Arc<[u8]>)>,
}

impl Dated {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Something inside the value at a key ends at this time, and nothing earlier.
    pub(super) fn note(&mut self, key: &[u8], at: Millis) {
        let key = match self.noted.get_key_value(key) {
            Some((_, noted)) if *noted <= at => return,
            Some((known, noted)) => {
                let known = known.clone();
                self.order.remove(&(*noted, known.clone()));
                known
            }
            None => Arc::from(key),
        };
        self.noted.insert(key.clone(), at);
        self.order.insert((at, key));
    }

    /// Nothing inside the value at a key ends any more.
    pub(super) fn forget(&mut self, key: &[u8]) {
        if let Some((key, at)) = self.noted.remove_entry(key) {
            self.order.remove(&(at, key));
        }
    }

    /// A key of which something may have ended, beyond those that are skipped.
    pub(super) fn due(&self, now: Millis, skipped: usize) -> Option<Arc<[u8]>> {
        let (at, key) = self.order.iter().nth(skipped)?;
        (*at <= now).then(|| key.clone())
    }
}
