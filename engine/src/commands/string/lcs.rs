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

/// As Redis, which looks at the keys before it looks at the options.
fn check(_: Args<'_>) -> Result<(), Refusal> {
    Ok(())
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
    let mut searching = Searching::of([&carried[0], &carried[1]], options.length);
    let is_short = searching.is_short();
    let pondering = move |decision: &mut Decision<'_>| {
        if !searching.more()? {
            return Ok(None);
        }
        let (total, matches) = (searching.way.total, &searching.way.matches);
        if options.length {
            decision.reply.count(total);
        } else if options.places {
            reply_places(&mut decision.reply, &options, total, matches);
        } else {
            let one = &searching.sides.bytes[0];
            let parts = matches.iter().rev().map(|found| &one[found.one.clone()]);
            let text: Vec<u8> = parts.flatten().copied().collect();
            decision.reply.bulk(&text);
        }
        Ok(Some(Vec::new()))
    };
    Decided::of(Box::new(pondering), is_short, decision)
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

fn reserved<T>(count: usize) -> Result<Vec<T>, Refusal> {
    let mut reserved = Vec::new();
    if reserved.try_reserve_exact(count).is_err() {
        return Err(Refusal::fixed(
            "ERR Insufficient memory, failed allocating transient memory for LCS",
        ));
    }
    Ok(reserved)
}

/// Words of bits that are made, or counted, in a row: some 10 us.
const WORDS: usize = 8 * 1024;

/// Bytes in a row that both strings have.
struct Match {
    one: Range<usize>,
    other: Range<usize>,
}

/// The two strings, copied piece by piece: they are read at random.
#[derive(Default)]
struct Sides {
    values: [Carried; 2],
    bytes: [Vec<u8>; 2],
    /// Whether the rows are those of the second string.
    swapped: bool,
}

impl Sides {
    fn of(values: [&Carried; 2]) -> Sides {
        let values = values.map(Carried::clone);
        let mut sides = Sides { values, ..Sides::default() };
        sides.swapped = sides.length(0) > sides.length(1);
        sides
    }

    fn length(&self, side: usize) -> usize {
        self.values[side].as_ref().map_or(0, |found| found.value.string().len())
    }

    fn row_count(&self) -> usize {
        self.length(usize::from(self.swapped))
    }

    fn column_count(&self) -> usize {
        self.length(usize::from(!self.swapped))
    }

    fn rows(&self) -> &[u8] {
        &self.bytes[usize::from(self.swapped)]
    }

    fn columns(&self) -> &[u8] {
        &self.bytes[usize::from(!self.swapped)]
    }

    /// Copies some more; whether that is all.
    fn more(&mut self) -> Result<bool, Refusal> {
        /// Some 10 us.
        const BYTES: usize = 64 * 1024;
        for side in 0..2 {
            let length = self.length(side);
            let copy = &mut self.bytes[side];
            if copy.capacity() < length {
                *copy = reserved(length)?;
            }
            if let Some(found) = self.values[side].as_ref().filter(|_| copy.len() < length) {
                let range = copy.len()..copy.len() + BYTES;
                found.value.string().with_stretches(range, |bytes| copy.extend_from_slice(bytes));
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The columns, and where each byte of a row stands among them.
struct Columns {
    /// Words of a row.
    words: usize,
    /// Per byte, the place of its columns in `equal`, in rows.
    places: [Option<usize>; 256],
    equal: Vec<u64>,
    /// Columns that are noted.
    noted: usize,
    /// Bytes that the rows have.
    count: usize,
}

impl Columns {
    fn of(sides: &Sides) -> Result<Columns, Refusal> {
        let words = sides.column_count().div_ceil(64);
        let (mut places, mut count) = ([None; 256], 0);
        // The shorter string: of 12 KB at the most.
        for &byte in sides.rows() {
            if places[usize::from(byte)].is_none() {
                places[usize::from(byte)] = Some(count);
                count += 1;
            }
        }
        Ok(Columns { words, places, equal: reserved(count * words)?, noted: 0, count })
    }

    /// Notes some more columns; whether those were the last.
    fn more(&mut self, columns: &[u8]) -> bool {
        let all = self.count * self.words;
        if self.equal.len() < all {
            self.equal.resize(all.min(self.equal.len() + WORDS), 0);
            return false;
        }
        let end = columns.len().min(self.noted + WORDS);
        for (column, byte) in (self.noted..end).zip(&columns[self.noted..end]) {
            if let Some(place) = self.places[usize::from(*byte)] {
                self.equal[place * self.words + column / 64] |= 1 << (column % 64);
            }
        }
        self.noted = end;
        end == columns.len()
    }

    /// The columns that hold the byte of a row.
    fn equal_to(&self, byte: u8) -> &[u64] {
        let place = self.places[usize::from(byte)].expect("every byte of a row has its columns");
        &self.equal[place * self.words..(place + 1) * self.words]
    }
}

/// The rows of the table, or the last one of them, and how far they have come.
struct Table {
    /// One row after the other; the first stands for no byte at all.
    bits: Vec<u64>,
    words: usize,
    columns: Columns,
    /// Rows that are made, and words of the next one, with what the last of these carries over.
    made: usize,
    at: usize,
    carry: bool,
    /// The length alone is wanted: one row is enough.
    length_only: bool,
}

impl Table {
    fn of(sides: &Sides, length_only: bool) -> Result<Table, Refusal> {
        let columns = Columns::of(sides)?;
        let words = columns.words;
        let rows = if length_only { 1 } else { sides.row_count() + 1 };
        let bits = reserved(rows * words)?;
        Ok(Table { bits, words, columns, made: 0, at: 0, carry: false, length_only })
    }

    /// Makes some more of it; whether that was the last.
    fn more(&mut self, sides: &Sides) -> bool {
        if self.bits.len() < self.words {
            self.bits.resize(self.words.min(self.bits.len() + WORDS), u64::MAX);
            return false;
        }
        if !self.columns.more(sides.columns()) {
            return false;
        }
        let (rows, mut left) = (sides.rows(), WORDS);
        while left > 0 && self.made < rows.len() {
            let end = self.words.min(self.at + left);
            left -= (end - self.at).max(1).min(left);
            self.part_of_row(rows[self.made], end);
            if self.at == self.words {
                (self.made, self.at, self.carry) = (self.made + 1, 0, false);
            }
        }
        self.made == rows.len()
    }

    /// Makes the next row, which stands for `byte`, out of the one before, as far as `end`.
    fn part_of_row(&mut self, byte: u8, end: usize) {
        let equal = &self.columns.equal_to(byte)[self.at..end];
        let next = |word: u64, equal: u64, carry: &mut bool| {
            let (sum, over) = word.overflowing_add(word & equal);
            let (sum, again) = sum.overflowing_add(u64::from(*carry));
            *carry = over || again;
            sum | (word & !equal)
        };
        let mut carry = self.carry;
        let above = if self.length_only { self.at } else { self.made * self.words + self.at };
        let below = above + self.words;
        if !self.length_only {
            // It is written over at once.
            self.bits.extend_from_within(above..above + equal.len());
        }
        let place = if self.length_only { above } else { below };
        for (word, equal) in self.bits[place..place + equal.len()].iter_mut().zip(equal) {
            *word = next(*word, *equal, &mut carry);
        }
        (self.at, self.carry) = (end, carry);
    }

    fn row(&self, row: usize) -> &[u64] {
        let row = if self.length_only { 0 } else { row };
        &self.bits[row * self.words..(row + 1) * self.words]
    }

    /// Whether the length grows from the column before to `column`, counted from 1.
    fn grows(&self, row: usize, column: usize) -> usize {
        let word = self.row(row)[(column - 1) / 64];
        usize::from(word >> ((column - 1) % 64) & 1 == 0)
    }
}

/// How much a row grows over its first columns, found piece by piece.
#[derive(Default)]
struct Growth {
    words: usize,
    ones: usize,
}

impl Growth {
    /// Counts some more, as far as there is something `left` of what may be counted in a row.
    fn more(&mut self, row: &[u64], columns: usize, left: &mut usize) -> Option<usize> {
        let (whole, rest) = (columns / 64, columns % 64);
        let end = whole.min(self.words + *left);
        let ones: u32 = row[self.words..end].iter().map(|word| word.count_ones()).sum();
        *left -= end - self.words;
        (self.words, self.ones) = (end, self.ones + ones as usize);
        if end < whole {
            return None;
        }
        let last = if rest == 0 { 0 } else { (row[whole] & ((1 << rest) - 1)).count_ones() };
        Some(columns - (self.ones + last as usize))
    }
}

/// The way back through a table: the subsequence as matches, the last one first.
#[derive(Default)]
struct Way {
    /// The length for both strings, once it is found.
    total: usize,
    is_begun: bool,
    row: usize,
    column: usize,
    /// The lengths here and above here: counting a row costs time, stepping along it does not.
    here: usize,
    above: Option<usize>,
    growth: Growth,
    matches: Vec<Match>,
}

impl Way {
    /// Goes on; whether it has come to the beginning.
    fn more(&mut self, table: &Table, sides: &Sides) -> bool {
        /// Some 10 us.
        const STEPS: usize = 512;
        let (mut left, (rows, columns)) = (WORDS, (sides.row_count(), sides.column_count()));
        if !self.is_begun {
            let Some(total) = self.growth.more(table.row(rows), columns, &mut left) else {
                return false;
            };
            (self.total, self.here, self.row, self.column) = (total, total, rows, columns);
            (self.is_begun, self.growth) = (true, Growth::default());
        }
        if table.length_only {
            return true;
        }
        for _ in 0..STEPS {
            if self.row == 0 || self.column == 0 {
                return true;
            }
            let counted = || self.growth.more(table.row(self.row - 1), self.column, &mut left);
            let Some(above) = self.above.or_else(counted) else { return false };
            self.growth = Growth::default();
            self.step(above, table, sides);
        }
        false
    }

    fn step(&mut self, above: usize, table: &Table, sides: &Sides) {
        let (rows, columns, swapped) = (sides.rows(), sides.columns(), sides.swapped);
        let (mut row, mut column) = (self.row, self.column);
        while row > 0 && column > 0 && rows[row - 1] == columns[column - 1] {
            (row, column) = (row - 1, column - 1);
        }
        if row < self.row {
            let (row_range, column_range) = (row..self.row, column..self.column);
            // Each of these bytes is one of the subsequence.
            (self.here, self.above) = (self.here - row_range.len(), None);
            self.matches.push(if swapped {
                Match { one: column_range, other: row_range }
            } else {
                Match { one: row_range, other: column_range }
            });
            (self.row, self.column) = (row, column);
            return;
        }
        let left = self.here - table.grows(row, column);
        // Redis goes back in the first string where that alone is longer, else in the second.
        let goes_up = if swapped { left <= above } else { above > left };
        if goes_up {
            (self.row, self.here, self.above) = (row - 1, above, None);
        } else {
            (self.column, self.here) = (column - 1, left);
            self.above = Some(above - table.grows(row - 1, column));
        }
    }
}

/// A search under way.
struct Searching {
    sides: Sides,
    length_only: bool,
    table: Option<Table>,
    way: Way,
}

impl Searching {
    fn of(values: [&Carried; 2], length_only: bool) -> Searching {
        let (sides, way) = (Sides::of(values), Way::default());
        Searching { sides, length_only, table: None, way }
    }

    /// Whether all of it is some 20 us of work.
    fn is_short(&self) -> bool {
        const BITS: usize = 1 << 20;
        (self.sides.row_count() + 1) * self.sides.column_count().next_multiple_of(64) <= BITS
    }

    /// Searches on; whether it has come to the end.
    fn more(&mut self) -> Result<bool, Refusal> {
        let Some(table) = &mut self.table else {
            if self.sides.more()? {
                self.table = Some(Table::of(&self.sides, self.length_only)?);
            }
            return Ok(false);
        };
        Ok(table.more(&self.sides) && self.way.more(table, &self.sides))
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
    use crate::value::{Rope, SharedValue};

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

    type Ways = Vec<(Range<usize>, Range<usize>)>;

    /// The length and the way, and in how many pieces they were found.
    fn search_in_pieces(one: &[u8], other: &[u8], length_only: bool) -> (usize, Ways, usize) {
        let found = |bytes: &[u8]| {
            let value = SharedValue::Large(Rope::of(bytes));
            Some(Found { value, deadline: None, clock: 0 })
        };
        let mut searching = Searching::of([&found(one), &found(other)], length_only);
        let mut pieces = 1;
        while !searching.more().expect("memory") {
            pieces += 1;
        }
        let matches = searching.way.matches.into_iter();
        let found = matches.map(|found| (found.one, found.other)).collect();
        (searching.way.total, found, pieces)
    }

    fn search(one: &[u8], other: &[u8], length_only: bool) -> (usize, Ways) {
        let (total, ways, _) = search_in_pieces(one, other, length_only);
        (total, ways)
    }

    #[test]
    fn a_long_string_beside_a_short_one_is_searched_in_pieces_too() {
        // 8 MB beside 10 bytes: copied, noted, combined and counted by pieces.
        let long: Vec<u8> = (0..8 << 20).map(|at: u32| b'a' + (at % 7) as u8).collect();
        for (one, other) in [(long.as_slice(), b"abcdefg_ga".as_slice()), (b"g_fedcbaa", &long)] {
            let (total, ways, pieces) = search_in_pieces(one, other, false);
            let whole: usize = ways.iter().map(|(one, _)| one.len()).sum();
            assert!(ways.iter().all(|(a, b)| one[a.clone()] == other[b.clone()]));
            assert_eq!((total, whole), (one.len().min(other.len()) - 1, total));
            assert_eq!(search(one, other, true).0, total);
            assert!(pieces > 1000, "{pieces} pieces");
        }
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
            let search = |length_only| search(&one, &other, length_only);
            assert_eq!(search(true), (total, Vec::new()), "{one:?} {other:?}");
            assert_eq!(search(false), (total, ways), "{one:?} {other:?}");
        }
    }
}
