//! Combining strings bit by bit into another one.

use crate::command::{
    Args, Carried, Carry, Command, Cx, Decided, Decision, Flags, Found, Group, Keys, Refusal, Run,
    Spec, Uses, Write,
};
use crate::types::DbIndex;
use crate::value::{Rope, SharedValue};

pub(super) const BITOP: Command = Command {
    name: "bitop",
    usage: "BITOP <AND | OR | XOR | NOT | DIFF | DIFF1 | ANDOR | ONE> destkey key [key ...]",
    summary: "Combines strings bit by bit, stores the result and returns its length.",
    since: "2.6.0",
    cost: "O(N) for N bytes of the longest string",
    group: Group::Bitmap,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::of([Spec::at(2).used(Uses::REPLACE), Spec::range(3, -1, 1)]),
    run: Run::Carry(Carry { check, gather, decide }),
    examples: r#"
        > MSET one abc other abd
        OK
        > BITOP AND both one other
        (integer) 3
        > GET both
        "ab`"
        > BITOP NOT not one other
        (error) ERR BITOP NOT must be called with a single source key.
        > BITOP OR both nothing
        (integer) 0
        > EXISTS both
        (integer) 0
        > BITOP DIFF both one
        (error) ERR BITOP DIFF must be called with at least two source keys.
    "#,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
    /// Bits of the first source that no other has.
    Diff,
    /// Bits of others that the first source has not.
    Diff1,
    /// Bits of the first source that some other has.
    AndOr,
    /// Bits that one source has and no other.
    One,
}

fn operation(args: Args<'_>) -> Result<Operation, Refusal> {
    const WORDS: [(&str, Operation); 8] = [
        ("AND", Operation::And),
        ("OR", Operation::Or),
        ("XOR", Operation::Xor),
        ("NOT", Operation::Not),
        ("DIFF", Operation::Diff),
        ("DIFF1", Operation::Diff1),
        ("ANDOR", Operation::AndOr),
        ("ONE", Operation::One),
    ];
    let word = args.get(1);
    let named = WORDS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
    let (name, operation) = named.ok_or(Refusal::Syntax)?;
    if *operation == Operation::Not && args.len() != 4 {
        return Err(Refusal::fixed("ERR BITOP NOT must be called with a single source key."));
    }
    let compares = matches!(operation, Operation::Diff | Operation::Diff1 | Operation::AndOr);
    if compares && args.len() < 5 {
        let behind = " must be called with at least two source keys.";
        return Err(Refusal::quoting("ERR BITOP ", name.as_bytes(), behind));
    }
    Ok(*operation)
}

fn check(args: Args<'_>) -> Result<(), Refusal> {
    operation(args).map(drop)
}

/// The first key is the destination: what it holds does not matter.
fn gather(cx: &mut Cx<'_>, key: &[u8], index: usize, _: Args<'_>) -> Result<Carried, Refusal> {
    if index == 0 {
        return Ok(None);
    }
    // Only strings can be combined; the read is counted here, the reference taken below.
    cx.keys.string(cx.db, key)?;
    Ok(cx.keys.peek(cx.db, key).map(Found::of))
}

fn decide(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    let operation = operation(args)?;
    let (db, key) = (decision.db, args.get(2).to_vec());
    let longest = carried[1..].iter().flatten().map(|found| found.value.len()).max().unwrap_or(0);
    if longest.saturating_mul(carried.len() - 1) > WORK_MAX {
        return Err(Refusal::fixed("ERR BITOP over more than 16 GiB of sources is not supported"));
    }
    let mut combining = Combining::of(operation, carried[1..].to_vec(), longest);
    let pondering = move |decision: &mut Decision<'_>| {
        if !combining.more() {
            return Ok(None);
        }
        let (result, key) = (std::mem::replace(&mut combining.result, Rope::of(b"")), key.clone());
        decision.reply.count(result.len());
        Ok(Some(vec![store(db, key, result)]))
    };
    let is_short = longest * (carried.len() - 1) <= SHORT;
    Decided::of(Box::new(pondering), is_short, decision)
}

fn store(db: DbIndex, key: Vec<u8>, result: Rope) -> Write {
    if result.is_empty() {
        return Write::Remove { db, key };
    }
    // As bytes also where they happen to be digits, which is how Redis stores them.
    Write::put(db, key, SharedValue::Large(result))
}

/// Bytes that one BITOP reads, each source as long as the longest: a request may name a key a million
/// times.
const WORK_MAX: usize = 16 << 30;

/// Bytes of all sources that are combined at once: some 20 us.
const SHORT: usize = 128 * 1024;

/// Bytes of the result that are made at a time, of all sources: they stay in the processor's cache, so that
/// memory is read and written once, however many sources there are.
const BLOCK: usize = 16 * 1024;

/// The combination of all sources, each continued with zeros to the length of the longest.
struct Combining {
    operation: Operation,
    sources: Vec<Carried>,
    length: usize,
    result: Rope,
    /// Of `One`: bits of the block that two sources have.
    twice: Vec<u8>,
    /// The block under way, and its next source.
    block: Vec<u8>,
    next: usize,
}

impl Combining {
    fn of(operation: Operation, mut sources: Vec<Carried>, length: usize) -> Combining {
        let (result, block) = (Rope::of(b""), vec![0; BLOCK.min(length)]);
        if matches!(operation, Operation::Diff1 | Operation::AndOr) {
            // The first one is put against what the others have together.
            sources.rotate_left(1);
        }
        let twice = if operation == Operation::One { block.clone() } else { Vec::new() };
        Combining { operation, sources, length, result, twice, block, next: 0 }
    }

    /// Combines some more; whether that is all.
    fn more(&mut self) -> bool {
        /// Sources of one block combined in a row: some 10 us.
        const SOURCES: usize = 8;
        let start = self.result.len();
        let end = self.length.min(start + BLOCK);
        let block = &mut self.block[..end - start];
        for source in self.sources.iter().skip(self.next).take(SOURCES) {
            let (mut at, is_last) = (0, self.next + 1 == self.sources.len());
            let step = match self.operation {
                Operation::And => Step::And,
                Operation::AndOr if is_last => Step::And,
                Operation::Diff => Step::AndNot,
                Operation::Diff1 if is_last => Step::AndNot,
                Operation::Xor => Step::Xor,
                Operation::One => Step::One,
                Operation::Or | Operation::Not | Operation::Diff1 | Operation::AndOr => Step::Or,
            };
            if let Some(found) = source {
                found.value.string().with_stretches(start..end, |bytes| {
                    let place = &mut block[at..at + bytes.len()];
                    if self.next == 0 {
                        place.copy_from_slice(bytes)
                    } else {
                        fold(step, place, self.twice.get_mut(at..).unwrap_or_default(), bytes)
                    }
                    at += bytes.len();
                });
            }
            if self.next == 0 || step == Step::And {
                block[at..].fill(0);
            }
            self.next += 1;
        }
        if self.next < self.sources.len() {
            return false;
        }
        if self.operation == Operation::Not {
            block.iter_mut().for_each(|byte| *byte = !*byte);
        }
        if self.operation == Operation::One {
            block.iter_mut().zip(&self.twice).for_each(|(byte, twice)| *byte &= !twice);
            self.twice.fill(0);
        }
        self.next = 0;
        self.result.write(start, block);
        self.result.len() == self.length
    }
}

/// What one more source does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    And,
    Or,
    Xor,
    AndNot,
    One,
}

/// Combines one more source into `result`, as long as that. These loops over bytes compile to vector
/// instructions.
fn fold(step: Step, result: &mut [u8], twice: &mut [u8], bytes: &[u8]) {
    let pairs = result.iter_mut().zip(bytes);
    match step {
        Step::And => pairs.for_each(|(byte, other)| *byte &= other),
        Step::Or => pairs.for_each(|(byte, other)| *byte |= other),
        Step::Xor => pairs.for_each(|(byte, other)| *byte ^= other),
        Step::AndNot => pairs.for_each(|(byte, other)| *byte &= !other),
        Step::One => pairs.zip(twice).for_each(|((byte, other), twice)| {
            *twice |= *byte & other;
            *byte ^= other;
        }),
    }
}
