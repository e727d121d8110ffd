//! What a stream is to be trimmed to, as XADD and XTRIM say it; XTRIM.

use super::words::{WrittenId, new_id, strict_id};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Refusal, Run, Uses, Whole};
use crate::types::DbIndex;
use crate::value::stream::{Leave, NodeLimits, Stream, Trim};

pub(super) const XTRIM: Command = Command {
    name: "xtrim",
    usage: "XTRIM key <MAXLEN | MINID> [= | ~] threshold [LIMIT count]",
    summary: "Deletes entries from the front: down to a length, or up to a number.",
    since: "5.0.0",
    cost: "O(N) with N deleted entries.",
    group: Group::Stream,
    flags: Flags::WRITE,
    keys: Keys::ONE.used(Uses::RW.union(Uses::DELETE)),
    run: Run::Sliced(xtrim),
    examples: r#"
        > XADD sensor 1-1 t 20
        "1-1"
        > XADD sensor 1-2 t 21
        "1-2"
        > XADD sensor 2-1 t 22
        "2-1"
        > XTRIM sensor MAXLEN 2
        (integer) 1
        > XTRIM sensor MINID 2
        (integer) 1
        > XTRIM sensor MAXLEN ~ 0 LIMIT 10
        (integer) 1
        > XTRIM nothing MAXLEN 0
        (integer) 0
        > XTRIM sensor MAXLEN 0 LIMIT 1
        (error) ERR syntax error, LIMIT cannot be used without the special ~ option
        > XTRIM sensor MAXLEN -1
        (error) ERR The MAXLEN argument must be >= 0.
    "#,
};

/// What stands before the fields of an XADD, and all that an XTRIM says.
#[derive(Clone, Copy, Default)]
pub(super) struct Options {
    pub(super) must_exist: bool,
    pub(super) trim: Option<Asked>,
    /// The number of the new entry, if not `*`.
    pub(super) id: Option<WrittenId>,
}

/// A trim that is asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    leave: Leave,
    whole: bool,
    /// Entries, where whole packs go; 0 is any number.
    limit: u64,
}

impl Options {
    /// Reads options from argument 2 on, and leaves `args` behind the number of an XADD. `obeys`: a master says so.
    pub(super) fn parse(
        args: &mut Args<'_>,
        is_add: bool,
        (nodes, obeys): (NodeLimits, bool),
    ) -> Result<Options, Refusal> {
        let mut options = Options::default();
        let mut limit: Option<u64> = None;
        args.seek(2);
        while let Some(word) = args.peek() {
            let has_more = args.left() > 1;
            if is_add && word == b"*" {
                args.next();
                break;
            } else if has_more && args.word("MAXLEN") {
                let whole = options.is_whole(args)?;
                let count = args.integer()?;
                const NEGATIVE: Refusal = Refusal::fixed("ERR The MAXLEN argument must be >= 0.");
                let count = u64::try_from(count).map_err(|_| NEGATIVE)?;
                options.trim = Some(Asked { leave: Leave::Count(count), whole, limit: 0 });
            } else if has_more && args.word("MINID") {
                let whole = options.is_whole(args)?;
                let leave = Leave::From(strict_id(args.required()?)?);
                options.trim = Some(Asked { leave, whole, limit: 0 });
            } else if has_more && args.word("LIMIT") {
                const NEGATIVE: Refusal = Refusal::fixed("ERR The LIMIT argument must be >= 0.");
                limit = Some(u64::try_from(args.integer()?).map_err(|_| NEGATIVE)?);
            } else if is_add && args.word("NOMKSTREAM") {
                options.must_exist = true;
            } else if is_add {
                options.id = Some(new_id(args.required()?)?);
                break;
            } else {
                return Err(Refusal::Syntax);
            }
        }
        options.limit_to(limit, is_add, (nodes, obeys))?;
        Ok(options)
    }

    /// Whether a `~` stands before what a trim leaves.
    fn is_whole(&self, args: &mut Args<'_>) -> Result<bool, Refusal> {
        if self.trim.is_some() {
            return Err(Refusal::fixed(
                "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        let has_more = args.left() > 1;
        let whole = has_more && args.word("~");
        if has_more && !whole {
            args.word("=");
        }
        Ok(whole)
    }

    fn limit_to(
        &mut self,
        limit: Option<u64>,
        is_add: bool,
        (nodes, obeys): (NodeLimits, bool),
    ) -> Result<(), Refusal> {
        let Some(trim) = &mut self.trim else {
            return match limit {
                Some(1..) => Err(Refusal::fixed(
                    "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
                )),
                _ if is_add => match limit {
                    None => Ok(()),
                    Some(_) => Err(NO_LIMIT),
                },
                _ => Err(Refusal::fixed(
                    "ERR syntax error, XTRIM must be called with a trimming strategy",
                )),
            };
        };
        trim.limit = match limit {
            // A master says what went there; it leaves a LIMIT as it was written, behind a `=` too.
            _ if obeys => 0,
            Some(_) if !trim.whole => return Err(NO_LIMIT),
            Some(limit) => limit,
            None if trim.whole => match nodes.entries.saturating_mul(100) {
                0 => 10_000,
                most => most.min(1_000_000),
            },
            None => 0,
        };
        Ok(())
    }
}

const NO_LIMIT: Refusal =
    Refusal::fixed("ERR syntax error, LIMIT cannot be used without the special ~ option");

/// When packs begin.
pub(super) fn node_limits(cx: &Cx<'_>) -> NodeLimits {
    cx.keys.encodings().node_limits()
}

/// A trim under way.
pub(super) struct Trimming {
    asked: Asked,
    gone: u64,
}

impl Trimming {
    pub(super) fn of(asked: Asked) -> Trimming {
        Trimming { asked, gone: 0 }
    }

    /// Packs that go at once: some 50 us.
    const PACKS: u64 = 64;

    /// Whether it takes no more than a piece, also once another entry is there.
    pub(super) fn is_short(&self, stream: &Stream) -> bool {
        let Asked { leave, whole, limit } = self.asked;
        !stream.front(leave, whole, limit, Trimming::PACKS - 1).1
    }

    /// Takes some packs; how many entries went in all, once that was all.
    pub(super) fn more(
        &mut self,
        cx: &mut Cx<'_>,
        db: DbIndex,
        key: &[u8],
    ) -> Result<Option<u64>, Refusal> {
        let Asked { leave, whole, limit } = self.asked;
        let Some(stream) = cx.keys.object_to_change::<Stream>(db, key)? else {
            return Ok(Some(self.gone));
        };
        let left = if limit > 0 { limit - self.gone.min(limit) } else { 0 };
        if limit > 0 && left == 0 {
            return Ok(Some(self.gone));
        }
        let (front, has_more) = stream.front(leave, whole, left, Trimming::PACKS);
        if front.packs > 0 || front.entries > 0 {
            let left = stream.len() - front.total;
            let trim = Trim { packs: front.packs, entries: front.entries, left };
            if front.total == 0 {
                // Only dead slots go.
                cx.keys.unsaid(|keys| keys.change(db, key, &trim));
            } else {
                cx.keys.call_it("xtrim");
                self.gone += cx.keys.change(db, key, &trim);
            }
        }
        Ok((!has_more).then_some(self.gone))
    }
}

fn xtrim(cx: &mut Cx<'_>, mut args: Args<'_>) -> Result<Whole, Refusal> {
    let nodes = node_limits(cx);
    let options = Options::parse(&mut args, false, (nodes, cx.who.is_master))?;
    let Some(asked) = options.trim else { return Err(Refusal::Syntax) };
    let (db, key) = (cx.db, args.get(1));
    let mut trimming = Trimming::of(asked);
    let there: Option<&Stream> = cx.keys.object_to_change(db, key)?;
    let (is_short, key) = (there.is_none_or(|there| trimming.is_short(there)), key.to_vec());
    let slices = move |cx: &mut Cx<'_>| {
        let gone = trimming.more(cx, db, &key)?;
        if let Some(gone) = gone {
            cx.reply.count(gone as usize);
        }
        Ok(gone.is_some())
    };
    Whole::of(Box::new(slices), is_short, cx)
}
