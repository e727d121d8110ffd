//! What a master has run and this node could not: the copy is not exact any more.

use crate::command::Entry;
use crate::shard::Batch;

/// A command that did not do here what it did there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Misfit {
    /// Its name.
    pub command: &'static str,
    /// What it was answered.
    pub error: String,
}

impl Misfit {
    /// If a reply, of those that nobody wants, is an error.
    pub(super) fn of(entry: &'static Entry, reply: &[u8]) -> Option<Misfit> {
        let error = reply.strip_prefix(b"-")?.trim_ascii_end();
        Some(Misfit { command: entry.name(), error: String::from_utf8_lossy(error).into_owned() })
    }

    /// The first of a batch whose replies, as nobody wants them, are those that are errors.
    pub(super) fn in_batch(batch: &Batch) -> Option<Misfit> {
        if batch.replies.whole() == 0 {
            return None;
        }
        let replies = batch.replies.to_bytes();
        let starts = std::iter::once(0).chain(batch.ends.iter().copied());
        let ran = batch.iter().skip(batch.ran - batch.ends.len());
        let mut each = ran.zip(starts.zip(&batch.ends));
        each.find_map(|((entry, _), (start, &end))| Misfit::of(entry, &replies[start..end]))
    }
}
