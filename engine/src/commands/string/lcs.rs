//! The longest common subsequence of two strings.
//!
//! The classic table: row i, column j holds the length for the first i bytes of one string and the
//! first j of the other. The way back from its last corner is the subsequence; where two ways are
//! equally long, the one that Redis takes is taken, so that replies are the same.

use crate::command::{
    Args, Carried, Carry, Command, Cx, Decision, Flags, Found, Group, Keys, Refusal, Run, Write,
};
use crate::limits::STRING_MAX;
use crate::resp::ReplyWriter;
use crate::value::Digits;
use std::ops::Range;

pub(super) const LCS: Command = Command {
    name: "lcs",
    usage: "LCS key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
    summary: "Returns the longest common subsequence of two strings, its length or where it stands.",
    since: "7.0.0",
    cost: "O(N*M) for strings of N and M bytes",
    group: Group::String,
    flags: Flags::READONLY,
    keys: Keys::TWO,
    run: Run::Carry(Carry { check, gather, decide }),
    examples: r#"
        > MSET one ohmytext other mynewtext
        OK
        > LCS one other
        "mytext"
        > LCS one other LEN
        (integer) 6
        > LCS one other IDX MINMATCHLEN 4 WITHMATCHLEN
        1) "matches"
        2) 1) 1) 1) (integer) 4
                 2) (integer) 7
              2) 1) (integer) 5
                 2) (integer) 8
              3) (integer) 4
        3) "len"
        4) (integer) 6
    "#,
};

#[derive(Default)]
struct Options {
    length: bool,
    places: bool,
    with_lengths: bool,
    shortest: i64,
}

impl Options {
    fn parse(mut args: Args<'_>) -> Result<Options, Refusal> {
        let mut options = Options::default();
        args.seek(3);
        while args.left() > 0 {
            if args.word("IDX") {
                options.places = true;
            } else if args.word("LEN") {
                options.length = true;
            } else if args.word("WITHMATCHLEN") {
                options.with_lengths = true;
            } else if args.left() > 1 && args.word("MINMATCHLEN") {
                options.shortest = args.integer()?;
            } else {
                return Err(Refusal::Syntax);
            }
        }
        if options.places && options.length {
            return Err(Refusal::fixed(
                "ERR If you want both the length and indexes, please just use IDX.",
            ));
        }
        Ok(options)
    }
}

fn check(args: Args<'_>) -> Result<(), Refusal> {
    Options::parse(args).map(drop)
}

fn gather(cx: &mut Cx<'_>, key: &[u8], _: usize) -> Result<Carried, Refusal> {
    if cx.keys.string(cx.db, key).is_err() {
        return Err(Refusal::fixed("ERR The specified keys must contain string values"));
    }
    Ok(cx.keys.peek(cx.db, key).map(Found::of))
}

fn decide(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Vec<Write>, Refusal> {
    let options = Options::parse(args)?;
    let (mut one_digits, mut other_digits) = (Digits::new(), Digits::new());
    let (one, other) =
        (bytes_of(&carried[0], &mut one_digits), bytes_of(&carried[1], &mut other_digits));
    check_size(one.len(), other.len())?;
    if options.length {
        decision.reply.count(length_of(one, other));
        return Ok(Vec::new());
    }
    let table = Table::of(one, other)?;
    let matches = table.matches(one, other);
    if options.places {
        reply_places(&mut decision.reply, &options, table.total(), &matches);
    } else {
        let parts = matches.iter().rev().map(|found| &one[found.one.clone()]);
        let text: Vec<u8> = parts.flatten().copied().collect();
        decision.reply.bulk(&text);
    }
    Ok(Vec::new())
}

fn bytes_of<'a>(carried: &'a Carried, digits: &'a mut Digits) -> &'a [u8] {
    carried.as_ref().map_or(b"", |found| found.value.as_bytes(digits))
}

/// Refuses what would take more memory than Redis would: its table has cells of 32 bits and may be as
/// large as a string. The length alone needs less here, but is not available for more.
fn check_size(one: usize, other: usize) -> Result<(), Refusal> {
    let cells = (one as u64 + 1) * (other as u64 + 1);
    if cells > (STRING_MAX / size_of::<u32>()) as u64 {
        return Err(Refusal::fixed(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }
    Ok(())
}

/// Writes the next row of the table under `above`.
fn fill_row(byte: u8, other: &[u8], above: &[u32], row: &mut [u32]) {
    let mut left = 0;
    row[0] = 0;
    for (column, &another) in other.iter().enumerate() {
        left = if byte == another { above[column] + 1 } else { above[column + 1].max(left) };
        row[column + 1] = left;
    }
}

/// The length alone: two rows are enough.
fn length_of(one: &[u8], other: &[u8]) -> usize {
    let (longer, shorter) = if one.len() < other.len() { (other, one) } else { (one, other) };
    let mut above = vec![0; shorter.len() + 1];
    let mut row = above.clone();
    for &byte in longer {
        fill_row(byte, shorter, &above, &mut row);
        std::mem::swap(&mut above, &mut row);
    }
    above[shorter.len()] as usize
}

struct Table {
    cells: Vec<u32>,
    width: usize,
}

/// Bytes in a row that both strings have.
struct Match {
    one: Range<usize>,
    other: Range<usize>,
}

impl Table {
    fn of(one: &[u8], other: &[u8]) -> Result<Table, Refusal> {
        let width = other.len() + 1;
        let count = (one.len() + 1) * width;
        let mut cells = Vec::new();
        if cells.try_reserve_exact(count).is_err() {
            return Err(Refusal::fixed(
                "ERR Insufficient memory, failed allocating transient memory for LCS",
            ));
        }
        cells.resize(count, 0);
        for (index, &byte) in one.iter().enumerate() {
            let (above, row) = cells[index * width..(index + 2) * width].split_at_mut(width);
            fill_row(byte, other, above, row);
        }
        Ok(Table { cells, width })
    }

    fn at(&self, one: usize, other: usize) -> u32 {
        self.cells[one * self.width + other]
    }

    fn total(&self) -> u32 {
        self.cells[self.cells.len() - 1]
    }

    /// The subsequence as matches, the last one first: the order in which the way back meets them.
    fn matches(&self, one: &[u8], other: &[u8]) -> Vec<Match> {
        let mut matches = Vec::new();
        let (mut i, mut j) = (one.len(), other.len());
        while i > 0 && j > 0 {
            let (end_one, end_other) = (i, j);
            while i > 0 && j > 0 && one[i - 1] == other[j - 1] {
                (i, j) = (i - 1, j - 1);
            }
            if i < end_one {
                matches.push(Match { one: i..end_one, other: j..end_other });
            } else if self.at(i - 1, j) > self.at(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        matches
    }
}

fn reply_places(reply: &mut ReplyWriter<'_>, options: &Options, total: u32, matches: &[Match]) {
    let long_enough = |found: &&Match| found.one.len() as i64 >= options.shortest;
    reply.map(2);
    reply.bulk("matches");
    reply.array(matches.iter().filter(long_enough).count());
    for found in matches.iter().filter(long_enough) {
        reply.array(2 + usize::from(options.with_lengths));
        for range in [&found.one, &found.other] {
            reply.array(2);
            reply.count(range.start);
            reply.count(range.end - 1);
        }
        if options.with_lengths {
            reply.count(found.one.len());
        }
    }
    reply.bulk("len");
    reply.count(total as usize);
}
