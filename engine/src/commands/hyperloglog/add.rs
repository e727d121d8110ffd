//! Adding elements.

use super::bytes::bytes_of;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Refusal, Run, Uses, Whole};
use crate::types::DbIndex;
use crate::value::hyperloglog::{Edit, Fault, Hashing, HyperLogLog, Mark};
use crate::value::{NewValue, SharedValue, Value};

pub(super) const PFADD: Command = Command {
    name: "pfadd",
    usage: "PFADD key [element [element ...]]",
    summary: "Adds elements to a HyperLogLog, creating it; 1 if its count may be another one now.",
    since: "2.8.9",
    cost: "O(N) for N elements",
    group: Group::HyperLogLog,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: Keys::ONE.used(Uses::ADD),
    run: Run::Sliced(pfadd),
    examples: r#"
        > PFADD visitors ann bob ann
        (integer) 1
        > PFADD visitors bob
        (integer) 0
        > PFCOUNT visitors
        (integer) 2
        > STRLEN visitors
        (integer) 24
        > PFADD nobody
        (integer) 1
        > PFADD nobody
        (integer) 0
        > GET nobody
        "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff"
        > SET text hello
        OK
        > PFADD text ann
        (error) WRONGTYPE Key is not a valid HyperLogLog string value.
    "#,
};

/// Elements that are added at once: some 50 us where each is looked for among many opcodes.
const FEW: usize = 16;

fn pfadd(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    let (key, sparse_max) = (args.get(1), cx.keys.encodings().hll_sparse_max_bytes);
    let mut adding = Adding::default();
    let old = cx.keys.string_to_change(cx.db, key)?.map(bytes_of).transpose()?;
    let is_long = args.len() > 2 + FEW || args.has_long();
    if let Some(old) = &old {
        let there = HyperLogLog::of(old)?;
        let is_there = |element| there.has(Mark::of(Hashing::of(element)));
        if !is_long && args.from(2).all(is_there) {
            // Nearly always, once there are many: without a copy.
            cx.reply.integer(0);
            return Ok(Whole::Done);
        }
        adding = Adding { edit: Edit::of(there), has_changed: false };
    }
    if is_long {
        let (db, key) = (cx.db, key.to_vec());
        let mut elements = Elements::of(args);
        return Ok(Whole::Later(Box::new(move |cx| {
            let is_done = elements.add_some(&mut adding, sparse_max)?;
            if is_done {
                adding.finish(cx, db, &key)?;
            }
            Ok(is_done)
        })));
    }
    for element in args.from(2) {
        adding.add(Mark::of(Hashing::of(element)), sparse_max)?;
    }
    drop(old);
    adding.finish(cx, cx.db, key)?;
    Ok(Whole::Done)
}

/// A HyperLogLog with more and more elements.
struct Adding {
    edit: Edit,
    has_changed: bool,
}

impl Default for Adding {
    /// One that was not there: that it is there from now on is a change.
    fn default() -> Adding {
        Adding { edit: Edit::default(), has_changed: true }
    }
}

impl Adding {
    fn add(&mut self, mark: Mark, sparse_max: usize) -> Result<(), Fault> {
        self.has_changed |= self.edit.add(mark, sparse_max)?;
        Ok(())
    }

    fn finish(&mut self, cx: &mut Cx<'_>, db: DbIndex, key: &[u8]) -> Result<(), Refusal> {
        if self.has_changed {
            let old = cx.keys.string_to_change(db, key)?.map(bytes_of).transpose()?;
            let old = old.unwrap_or_default();
            self.edit.is_stale();
            let patches = self.edit.patches(&old);
            cx.keys.change(db, key, &patches.effect(&self.edit.to_bytes()));
        }
        cx.reply.integer(i64::from(self.has_changed));
        Ok(())
    }
}

/// Elements of a long request.
struct Elements {
    marks: std::vec::IntoIter<Marked>,
    /// The next element, if it is long, and how far it has been read.
    hashing: Option<(Hashing, usize)>,
}

/// An element.
enum Marked {
    Short(Mark),
    Long(SharedValue),
}

impl Elements {
    fn of(args: Args<'_>) -> Elements {
        let marks = (2..args.len()).map(|index| match args.value(index) {
            NewValue::Shared(long) => Marked::Long(long),
            _ => Marked::Short(Mark::of(Hashing::of(args.get(index)))),
        });
        Elements { marks: marks.collect::<Vec<_>>().into_iter(), hashing: None }
    }

    /// Adds some more; whether those were the last.
    fn add_some(&mut self, adding: &mut Adding, sparse_max: usize) -> Result<bool, Fault> {
        for _ in 0..FEW {
            match self.marks.as_slice().first() {
                None => return Ok(true),
                Some(Marked::Short(mark)) => adding.add(*mark, sparse_max)?,
                Some(Marked::Long(element)) => {
                    let Some(hash) = piece_of(element.string(), &mut self.hashing) else {
                        return Ok(false);
                    };
                    adding.add(Mark::of(hash), sparse_max)?;
                }
            }
            self.marks.next();
        }
        Ok(false)
    }
}

/// Reads a piece of a long element; its hash after the last one.
fn piece_of(element: Value<'_>, hashing: &mut Option<(Hashing, usize)>) -> Option<u64> {
    /// Bytes: some 30 us, and whole words.
    const PIECE: usize = 128 * 1024;
    let (mut hash, at) = hashing.take().unwrap_or((Hashing::begin(element.len()), 0));
    let end = at + PIECE;
    element.with_stretches(at..end, |bytes| hash = hash.and(bytes));
    if end < element.len() {
        *hashing = Some((hash, end));
        return None;
    }
    Some(hash.end(b""))
}
