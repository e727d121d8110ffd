//! LPOS: where an element stands.

use super::common::PIECE;
use super::edit::is;
use super::pop::positive;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Refusal, Run, Uses, Whole};
use crate::resp::ReplyWriter;
use crate::value::list::List;

pub(super) const LPOS: Command = Command {
    name: "lpos",
    usage: "LPOS key element [RANK rank] [COUNT num-matches] [MAXLEN len]",
    summary: "Returns the numbers of elements that equal one.",
    since: "6.0.6",
    cost: "O(N) for N elements that are looked at",
    group: Group::List,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(lpos),
    examples: r#"
        > RPUSH line ann bob ann carl ann
        (integer) 5
        > LPOS line ann
        (integer) 0
        > LPOS line ann RANK 2
        (integer) 2
        > LPOS line ann RANK -1 COUNT 2
        1) (integer) 4
        2) (integer) 2
        > LPOS line ann COUNT 0 MAXLEN 3
        1) (integer) 0
        2) (integer) 2
        > LPOS line nobody
        (nil)
        > LPOS nothing ann COUNT 1
        (empty array)
        > LPOS line ann COUNT -1
        (error) ERR COUNT can't be negative
        > LPOS line ann RANK 0
        (error) ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list
    "#,
};

/// What is asked for.
struct Options {
    /// Matches before the first that counts.
    skipped: u64,
    is_back: bool,
    /// As many as there are where it is 0; one, not as an array, where nothing is said.
    count: Option<u64>,
    /// Elements that are looked at; all where it is 0.
    most: u64,
}

impl Options {
    fn read(mut args: Args<'_>) -> Result<Options, Refusal> {
        let mut options = Options { skipped: 0, is_back: false, count: None, most: 0 };
        args.seek(3);
        while args.left() > 0 {
            let has_more = args.left() > 1;
            if has_more && args.word("RANK") {
                let rank = args.negatable()?;
                if rank == 0 {
                    return Err(Refusal::fixed(
                        "ERR RANK can't be zero: use 1 to start from the first match, 2 from the \
                         second ... or use negative to start from the end of the list",
                    ));
                }
                (options.skipped, options.is_back) = (rank.unsigned_abs() - 1, rank < 0);
            } else if has_more && args.word("COUNT") {
                options.count = Some(positive(args.required()?, "ERR COUNT can't be negative")?);
            } else if has_more && args.word("MAXLEN") {
                options.most = positive(args.required()?, "ERR MAXLEN can't be negative")?;
            } else {
                return Err(Refusal::Syntax);
            }
        }
        Ok(options)
    }
}

fn lpos(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    let options = Options::read(args)?;
    let Some(list) = cx.keys.object::<List>(cx.db, args.get(1))? else {
        reply(&mut cx.reply, &options, &[]);
        return Ok(Whole::Done);
    };
    let length = list.len();
    let most = if options.most == 0 { length } else { options.most.min(length) };
    let is_short = most <= PIECE;
    let (list, element) = (list.clone(), args.get(2).to_vec());
    let mut search =
        Search { list, element, options, most, seen: 0, matches: 0, found: Vec::new() };
    Whole::of(Box::new(move |cx| Ok(search.more(&mut cx.reply))), is_short, cx)
}

/// An LPOS under way.
struct Search {
    list: List,
    element: Vec<u8>,
    options: Options,
    most: u64,
    seen: u64,
    matches: u64,
    found: Vec<u64>,
}

impl Search {
    /// Looks at some elements; whether that is all.
    fn more(&mut self, out: &mut ReplyWriter<'_>) -> bool {
        let (length, seen) = (self.list.len(), self.seen);
        let end = self.most.min(seen + PIECE);
        let elements = match self.options.is_back {
            true => self.list.range_back(length - end..length - seen),
            false => self.list.range(seen..end),
        };
        let wanted = match self.options.count {
            None => 1,
            Some(0) => u64::MAX,
            Some(count) => count,
        };
        for (element, index) in elements.zip(seen..) {
            if !is(element, &self.element) {
                continue;
            }
            self.matches += 1;
            if self.matches > self.options.skipped {
                self.found.push(if self.options.is_back { length - 1 - index } else { index });
                if self.found.len() as u64 == wanted {
                    reply(out, &self.options, &self.found);
                    return true;
                }
            }
        }
        self.seen = end;
        if end == self.most {
            reply(out, &self.options, &self.found);
        }
        end == self.most
    }
}

fn reply(out: &mut ReplyWriter<'_>, options: &Options, found: &[u64]) {
    match (options.count, found) {
        (None, [first, ..]) => out.integer(*first as i64),
        (None, []) => out.nil(),
        (Some(_), found) => {
            out.array(found.len());
            found.iter().for_each(|index| out.integer(*index as i64));
        }
    }
}
