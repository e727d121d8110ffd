//! A look at keys that a request does not name: the values that it has found do (SORT with BY and GET).
//!
//! ```text
//!   SORT l BY w_* ─► shard of l: a b c ─► shard of w_a, w_c: 3 1 ─┐
//!                                         shard of w_b:      2   ─┴► decide ─► reply
//! ```

use super::decision::{Asking, Then, Wanted};
use super::pick::KEYS_PER_PIECE;
use crate::command::Cx;
use crate::types::{ShardId, shard_of};
use crate::value::hash::Hash;
use std::any::Any;
use std::collections::BTreeMap;

/// What one shard is to look at, and what it has found so far.
#[derive(Default)]
pub struct LookPart {
    /// Each with its place in the whole list.
    wanted: Vec<(usize, Wanted)>,
    found: Vec<Option<Vec<u8>>>,
}

impl LookPart {
    /// Looks at some of the keys; whether those were the last.
    pub(super) fn piece(&mut self, cx: &mut Cx<'_>) -> bool {
        for (_, wanted) in self.wanted[self.found.len()..].iter().take(KEYS_PER_PIECE) {
            self.found.push(look(cx, wanted));
        }
        self.found.len() == self.wanted.len()
    }
}

/// What stands there: nothing, where it is of another type.
fn look(cx: &mut Cx<'_>, wanted: &Wanted) -> Option<Vec<u8>> {
    let (db, now) = (cx.db, cx.now());
    let item = cx.keys.find(db, &wanted.key)?;
    match &wanted.field {
        None => item.string().map(|value| value.to_bytes().into_owned()),
        Some(field) => {
            let object: &dyn Any = item.object()?;
            let field = object.downcast_ref::<Hash>()?.get(field)?;
            let is_due = field.deadline().is_some_and(|deadline| deadline <= now);
            (!is_due).then(|| field.value().to_bytes().into_owned())
        }
    }
}

/// A look at further keys on all their shards.
pub struct Looking {
    steps: BTreeMap<ShardId, LookPart>,
    count: usize,
    then: Then,
}

impl Looking {
    pub(super) fn of(asking: Asking, shards: u16) -> Looking {
        let Asking { wanted, then } = asking;
        let (mut steps, count) = (BTreeMap::<ShardId, LookPart>::new(), wanted.len());
        for (place, wanted) in wanted.into_iter().enumerate() {
            let part = steps.entry(shard_of(&wanted.key, shards)).or_default();
            part.wanted.push((place, wanted));
        }
        Looking { steps, count, then }
    }

    /// How many keys there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// All of it, for the one shard that there is.
    pub(super) fn take_part(&mut self) -> LookPart {
        self.steps.pop_first().map(|(_, part)| part).unwrap_or_default()
    }

    /// What each shard is to do.
    pub fn take_parts(&mut self) -> impl Iterator<Item = (ShardId, LookPart)> + use<> {
        std::mem::take(&mut self.steps).into_iter()
    }

    /// How the decision goes on, given what the shards have found.
    pub fn found(self, parts: impl IntoIterator<Item = LookPart>) -> (Then, Vec<Option<Vec<u8>>>) {
        let mut all = vec![None; self.count];
        for part in parts {
            for ((place, _), found) in part.wanted.into_iter().zip(part.found) {
                all[place] = found;
            }
        }
        (self.then, all)
    }
}
