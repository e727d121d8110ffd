//! The longest common subsequence of two strings.
//!
//! The classic table: row i, column j holds the length for the first i bytes of one string and the
//! first j of the other. The way back from its last corner is the subsequence; where two ways are
//! equally long, the one that Redis takes is taken, so that replies are the same.
//!
//! Along a row the length grows by 0 or 1 from column to column, so a row is kept as bits (0 where it
//! grows) and the next one follows from it 64 columns at a time (Hyyro's recurrence):
//!
//! ```text
//!   next = (row + (row & equal)) | (row & !equal)      equal: the columns that hold the row's byte
//! ```
//!
//! That is 32 times smaller than numbers, and some 50 times faster: two strings of 11 KB, the largest
//! pair that is allowed, take milliseconds. Rows stand for the shorter string, which bounds `equal` by
//! the table itself.

use crate::command::{
    Args, Carried, Carry, Command, Cx, Decided, Decision, Flags, Found, Group, Keys, Refusal, Run,
};
use crate::limits::STRING_MAX;
use crate::resp::ReplyWriter;
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

fn gather(cx: &mut Cx<'_>, key: &[u8], _: usize, _: Args<'_>) -> Result<Carried, Refusal> {
    if cx.keys.string(cx.db, key).is_err() {
        return Err(Refusal::fixed("ERR The specified keys must contain string values"));
    }
    Ok(cx.keys.peek(cx.db, key).map(Found::of))
}

fn decide(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    let options = Options::parse(args)?;
    let length_of = |carried: &Carried| carried.as_ref().map_or(0, |it| it.value.string().len());
    check_size(length_of(&carried[0]), length_of(&carried[1]))?;
    let (one, other) = (bytes_of(&carried[0]), bytes_of(&carried[1]));
    let mut searching = Searching::of(&one, &other, options.length)?;
    let is_short = searching.table.cells <= SHORT;
    let pondering = move |decision: &mut Decision<'_>| {
        if !searching.more(&one, &other) {
            return Ok(None);
        }
        let (total, matches) = (searching.table.total, &searching.way.matches);
        if options.length {
            decision.reply.count(total);
        } else if options.places {
            reply_places(&mut decision.reply, &options, total, matches);
        } else {
            let parts = matches.iter().rev().map(|found| &one[found.one.clone()]);
            let text: Vec<u8> = parts.flatten().copied().collect();
            decision.reply.bulk(&text);
        }
        Ok(Some(Vec::new()))
    };
    Decided::of(Box::new(pondering), is_short, decision)
}

/// Bits of a table that is made at once: some 20 us.
const SHORT: usize = 1 << 20;

fn bytes_of(carried: &Carried) -> Vec<u8> {
    carried.as_ref().map_or_else(Vec::new, |found| found.value.string().to_bytes().into_owned())
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

/// The columns of one string, and where each byte of the other stands among them.
struct Columns {
    /// Words of a row.
    words: usize,
    /// Per byte, the place of its columns in `equal`, in rows.
    places: [Option<usize>; 256],
    equal: Vec<u64>,
}

impl Columns {
    fn of(rows: &[u8], columns: &[u8]) -> Result<Columns, Refusal> {
        let words = columns.len().div_ceil(64);
        let (mut places, mut count) = ([None; 256], 0);
        for &byte in rows {
            if places[usize::from(byte)].is_none() {
                places[usize::from(byte)] = Some(count);
                count += 1;
            }
        }
        let mut equal = reserved(count * words)?;
        equal.resize(count * words, 0);
        for (column, &byte) in columns.iter().enumerate() {
            if let Some(place) = places[usize::from(byte)] {
                equal[place * words + column / 64] |= 1 << (column % 64);
            }
        }
        Ok(Columns { words, places, equal })
    }

    /// Turns a row into the next one, which stands for `byte`.
    fn advance(&self, byte: u8, row: &mut [u64]) {
        let place = self.places[usize::from(byte)].expect("every byte of a row has its columns");
        let equal = &self.equal[place * self.words..(place + 1) * self.words];
        let mut carry = false;
        for (word, equal) in row.iter_mut().zip(equal) {
            let (sum, over) = word.overflowing_add(*word & equal);
            let (sum, again) = sum.overflowing_add(u64::from(carry));
            carry = over || again;
            *word = sum | (*word & !equal);
        }
    }
}

fn reserved(words: usize) -> Result<Vec<u64>, Refusal> {
    let mut reserved = Vec::new();
    if reserved.try_reserve_exact(words).is_err() {
        return Err(Refusal::fixed(
            "ERR Insufficient memory, failed allocating transient memory for LCS",
        ));
    }
    Ok(reserved)
}

/// How much a row grows over its first `columns` columns.
fn grown(row: &[u64], columns: usize) -> usize {
    let (whole, rest) = (columns / 64, columns % 64);
    let ones: u32 = row[..whole].iter().map(|word| word.count_ones()).sum();
    let last = if rest == 0 { 0 } else { (row[whole] & ((1 << rest) - 1)).count_ones() };
    columns - (ones + last) as usize
}

/// The rows of the table, or the last one of them, and how far they have come.
struct Table {
    /// One row after the other; the first stands for no byte at all.
    bits: Vec<u64>,
    words: usize,
    equal: Columns,
    /// Rows that are made.
    made: usize,
    total: usize,
    /// Whether the rows are those of the second string.
    swapped: bool,
    /// The length alone is wanted: one row is enough.
    length_only: bool,
    /// Bits of the whole table.
    cells: usize,
}

/// Bytes in a row that both strings have.
struct Match {
    one: Range<usize>,
    other: Range<usize>,
}

/// The rows of the table and its columns.
fn sides<'a>(swapped: bool, one: &'a [u8], other: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    if swapped { (other, one) } else { (one, other) }
}

impl Table {
    fn of(one: &[u8], other: &[u8], length_only: bool) -> Result<Table, Refusal> {
        let swapped = one.len() > other.len();
        let (rows, columns) = sides(swapped, one, other);
        let equal = Columns::of(rows, columns)?;
        let words = equal.words;
        let mut bits = reserved(if length_only { words } else { (rows.len() + 1) * words })?;
        bits.resize(words, u64::MAX);
        let cells = (rows.len() + 1) * words * 64;
        Ok(Table { bits, words, equal, made: 0, total: 0, swapped, length_only, cells })
    }

    /// Makes some more rows; whether those were the last.
    fn more(&mut self, one: &[u8], other: &[u8]) -> bool {
        /// Words that are made in a row: some 10 us.
        const WORDS: usize = 8 * 1024;
        let (rows, columns) = sides(self.swapped, one, other);
        let count = (WORDS / self.words.max(1)).max(1);
        for &byte in rows.iter().skip(self.made).take(count) {
            let above = self.bits.len() - self.words;
            if !self.length_only {
                self.bits.extend_from_within(above..);
            }
            let last = self.bits.len() - self.words;
            self.equal.advance(byte, &mut self.bits[last..]);
            self.made += 1;
        }
        if self.made < rows.len() {
            return false;
        }
        self.total = grown(&self.bits[self.bits.len() - self.words..], columns.len());
        true
    }

    fn row(&self, row: usize) -> &[u64] {
        &self.bits[row * self.words..(row + 1) * self.words]
    }

    /// Whether the length grows from the column before to `column`, counted from 1.
    fn grows(&self, row: usize, column: usize) -> usize {
        let word = self.row(row)[(column - 1) / 64];
        usize::from(word >> ((column - 1) % 64) & 1 == 0)
    }

    /// The length above a cell: of one row less and as many columns.
    fn above(&self, row: usize, column: usize) -> usize {
        if row == 0 { 0 } else { grown(self.row(row - 1), column) }
    }
}

/// The way back through a table: the subsequence as matches, the last one first.
#[derive(Default)]
struct Way {
    row: usize,
    column: usize,
    /// The lengths here and above here: counting a row costs time, stepping along it does not.
    here: usize,
    above: usize,
    matches: Vec<Match>,
}

impl Way {
    fn begin(table: &Table, rows: usize, columns: usize) -> Way {
        let above = table.above(rows, columns);
        Way { row: rows, column: columns, here: table.total, above, matches: Vec::new() }
    }

    /// Goes some steps; whether it has come to the beginning.
    fn more(&mut self, table: &Table, one: &[u8], other: &[u8]) -> bool {
        /// Each step may count a row: all of them some 20 us.
        const STEPS: usize = 128;
        let (rows, columns) = sides(table.swapped, one, other);
        for _ in 0..STEPS {
            if self.row == 0 || self.column == 0 {
                return true;
            }
            self.step(table, rows, columns);
        }
        false
    }

    fn step(&mut self, table: &Table, rows: &[u8], columns: &[u8]) {
        let (mut row, mut column) = (self.row, self.column);
        while row > 0 && column > 0 && rows[row - 1] == columns[column - 1] {
            (row, column) = (row - 1, column - 1);
        }
        if row < self.row {
            let (row_range, column_range) = (row..self.row, column..self.column);
            self.matches.push(if table.swapped {
                Match { one: column_range, other: row_range }
            } else {
                Match { one: row_range, other: column_range }
            });
            self.here = grown(table.row(row), column);
            self.above = table.above(row, column);
            (self.row, self.column) = (row, column);
            return;
        }
        let left = self.here - table.grows(row, column);
        // Redis goes back in the first string where that alone is longer, else in the second.
        let goes_up = if table.swapped { left <= self.above } else { self.above > left };
        if goes_up {
            self.row -= 1;
            (self.here, self.above) = (self.above, table.above(self.row, column));
        } else {
            self.above -= table.grows(row - 1, column);
            self.column -= 1;
            self.here = left;
        }
    }
}

/// A search under way.
struct Searching {
    table: Table,
    is_made: bool,
    way: Way,
}

impl Searching {
    fn of(one: &[u8], other: &[u8], length_only: bool) -> Result<Searching, Refusal> {
        let table = Table::of(one, other, length_only)?;
        Ok(Searching { table, is_made: false, way: Way::default() })
    }

    /// Searches on; whether it has come to the end.
    fn more(&mut self, one: &[u8], other: &[u8]) -> bool {
        if self.is_made {
            return self.way.more(&self.table, one, other);
        }
        self.is_made = self.table.more(one, other);
        if self.is_made && !self.table.length_only {
            let (rows, columns) = sides(self.table.swapped, one, other);
            self.way = Way::begin(&self.table, rows.len(), columns.len());
            return false;
        }
        self.is_made
    }
}

fn reply_places(reply: &mut ReplyWriter<'_>, options: &Options, total: usize, matches: &[Match]) {
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
    reply.count(total);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of numbers, and Redis's way back through it.
    fn plainly(one: &[u8], other: &[u8]) -> (usize, Vec<(Range<usize>, Range<usize>)>) {
        let mut table = vec![vec![0_usize; other.len() + 1]; one.len() + 1];
        for i in 1..=one.len() {
            for j in 1..=other.len() {
                table[i][j] = if one[i - 1] == other[j - 1] {
                    table[i - 1][j - 1] + 1
                } else {
                    table[i - 1][j].max(table[i][j - 1])
                };
            }
        }
        let (mut i, mut j, mut found) = (one.len(), other.len(), Vec::new());
        while i > 0 && j > 0 {
            let end = (i, j);
            while i > 0 && j > 0 && one[i - 1] == other[j - 1] {
                (i, j) = (i - 1, j - 1);
            }
            if i < end.0 {
                found.push((i..end.0, j..end.1));
            } else if table[i - 1][j] > table[i][j - 1] {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        (table[one.len()][other.len()], found)
    }

    #[test]
    fn bits_and_numbers_find_the_same_way() {
        let mut random = fastrand::Rng::with_seed(crate::value::test_seed());
        for round in 0..2000 {
            let letters = random.u8(1..6);
            let longest = if round % 20 == 0 { 300 } else { 20 };
            let mut text = || -> Vec<u8> {
                (0..random.usize(..longest)).map(|_| random.u8(..letters)).collect()
            };
            let (one, other) = (text(), text());
            let (total, ways) = plainly(&one, &other);
            let search = |length_only| {
                let mut searching = Searching::of(&one, &other, length_only).expect("memory");
                while !searching.more(&one, &other) {}
                let matches = searching.way.matches.into_iter();
                let found: Vec<_> = matches.map(|found| (found.one, found.other)).collect();
                (searching.table.total, found)
            };
            assert_eq!(search(true), (total, Vec::new()), "{one:?} {other:?}");
            assert_eq!(search(false), (total, ways), "{one:?} {other:?}");
        }
    }
}
