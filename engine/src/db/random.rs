//! A random key: what RANDOMKEY asks of each shard.
//!
//! Expired keys that nobody has deleted yet stand among the others. They are not deleted here, for they
//! may be open; they must not be answered with, and must not give their shard more weight than the keys
//! that can be answered with give it.

use super::Keyspace;
use crate::table::{Cursor, Table};
use crate::types::{DbIndex, Millis};
use crate::value::Item;

/// Draws that tell how many of a table's keys live; when all of them do, no more is asked.
const DRAWS: usize = 16;

/// Further draws when none of the first ones lives.
const DRAWS_MORE: usize = 84;

/// A table with expired keys and not more keys than this is counted, which takes some 20 us. A larger one
/// is judged by its draws. So many keys are also looked at in a row where no draw has hit one that lives.
const COUNTED_MAX: usize = 1024;

impl Keyspace {
    /// A random key of `db` that has not expired, each as likely as any other, and how many keys it
    /// stands for. `None` when there is none, or when those that live are so few among the expired ones
    /// that a bounded search did not meet them: those are about to be deleted. Deletes nothing.
    pub fn random_key(&mut self, db: DbIndex) -> Option<(Vec<u8>, usize)> {
        let (table, random, now) = (self.door.table(db), &mut self.random, self.now);
        if self.door.expires(db) == 0 {
            return draw(table, random, 1, now).0.map(|key| (key, table.len()));
        }
        let (key, living) = draw(table, random, DRAWS, now);
        if living < DRAWS && table.len() <= COUNTED_MAX {
            return count(table, random, now);
        }
        let key = key
            .or_else(|| draw(table, random, DRAWS_MORE, now).0)
            .or_else(|| search(table, Cursor(random.u64(..)), now))?;
        Some((key, (table.len() * living / DRAWS).max(1)))
    }
}

fn lives(item: &Item, now: Millis) -> bool {
    item.deadline().is_none_or(|deadline| deadline > now)
}

/// The first key of so many draws that lives, and how many of them do.
fn draw(
    table: &Table<Item>,
    random: &mut fastrand::Rng,
    draws: usize,
    now: Millis,
) -> (Option<Vec<u8>>, usize) {
    let (mut key, mut living) = (None, 0);
    table.sample(random, draws, &mut |_, item| {
        if lives(item, now) {
            living += 1;
            key.get_or_insert_with(|| item.key().to_vec());
        }
    });
    (key, living)
}

/// One of all keys that live, and how many these are.
fn count(table: &Table<Item>, random: &mut fastrand::Rng, now: Millis) -> Option<(Vec<u8>, usize)> {
    let (mut chosen, mut living) = (None, 0);
    let mut cursor = Some(Cursor::START);
    while let Some(at) = cursor {
        cursor = table.walk(at, &mut |_, item| {
            if lives(item, now) {
                living += 1;
                if random.usize(..living) == 0 {
                    chosen = Some(item.key().to_vec());
                }
            }
        });
    }
    chosen.map(|key| (key, living))
}

/// The first key from `cursor` on that lives, if there is one among the next.
fn search(table: &Table<Item>, cursor: Cursor, now: Millis) -> Option<Vec<u8>> {
    let (mut key, mut looked_at) = (None, 0);
    let mut cursor = Some(cursor);
    while let Some(at) = cursor
        && key.is_none()
        && looked_at < COUNTED_MAX
    {
        cursor = table.walk(at, &mut |_, item| {
            looked_at += 1;
            if key.is_none() && lives(item, now) {
                key = Some(item.key().to_vec());
            }
        });
    }
    key
}
