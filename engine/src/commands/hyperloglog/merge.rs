//! Making one of several.

use super::bytes::{add, bytes_of};
use crate::command::{
    Args, Carried, Carry, Command, Cx, Decided, Decision, Flags, Found, Group, Keys, Refusal, Run,
    Spec, Uses, Write,
};
use crate::types::DbIndex;
use crate::value::SentEffect;
use crate::value::hyperloglog::{Edit, Fault, HyperLogLog, REGISTERS, Union};

pub(super) const PFMERGE: Command = Command {
    name: "pfmerge",
    usage: "PFMERGE destkey [sourcekey [sourcekey ...]]",
    summary: "Adds to a HyperLogLog what was added to others, creating it.",
    since: "2.8.9",
    cost: "O(N) for N keys",
    group: Group::HyperLogLog,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::of([
        Spec::at(1).used(Uses::RW.union(Uses::ACCESS).union(Uses::INSERT)),
        Spec::range(2, -1, 1),
    ]),
    run: Run::Carry(Carry { check: Carry::any, gather: look, decide: merge }),
    examples: r#"
        > PFADD one a b c
        (integer) 1
        > PFADD other b c d
        (integer) 1
        > PFMERGE both one other nothing
        OK
        > PFCOUNT both
        (integer) 4
        > SET text hello
        OK
        > PFMERGE both text
        (error) WRONGTYPE Key is not a valid HyperLogLog string value.
        > PFMERGE empty
        OK
        > PFCOUNT empty
        (integer) 0
    "#,
};

fn look(cx: &mut Cx<'_>, key: &[u8], _: usize, _: Args<'_>) -> Result<Carried, Refusal> {
    Ok(cx.keys.find(cx.db, key).map(Found::of))
}

fn merge(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    let sparse_max = decision.encodings.hll_sparse_max_bytes;
    let mut merging = Merging::of(decision.db, args.get(1), carried, sparse_max);
    // Registers of a sparse one are looked for among opcodes.
    let is_short = carried.iter().flatten().count() <= 2;
    let pondering = move |decision: &mut Decision<'_>| {
        if !merging.more()? {
            return Ok(None);
        }
        decision.reply.ok();
        Ok(Some(vec![merging.write()?]))
    };
    Decided::of(Box::new(pondering), is_short, decision)
}

/// A merge under way.
struct Merging {
    db: DbIndex,
    key: Vec<u8>,
    sparse_max: usize,
    old: Carried,
    sources: std::vec::IntoIter<Found>,
    union: Union,
    has_dense: bool,
    /// The outcome, and how many of its registers are right.
    outcome: Option<(Edit, usize)>,
}

impl Merging {
    fn of(db: DbIndex, key: &[u8], carried: &[Carried], sparse_max: usize) -> Merging {
        // What is there takes part as well.
        let sources: Vec<Found> = carried.iter().flatten().cloned().collect();
        Merging {
            db,
            key: key.to_vec(),
            sparse_max,
            old: carried.first().cloned().flatten(),
            sources: sources.into_iter(),
            union: Union::default(),
            has_dense: false,
            outcome: None,
        }
    }

    /// Does a piece; whether that was the last.
    fn more(&mut self) -> Result<bool, Refusal> {
        /// Registers that are set in a row: some 20 us.
        const PIECE: usize = 1024;
        if let Some(source) = self.sources.next() {
            self.has_dense |= add(&mut self.union, &source)?;
            return Ok(false);
        }
        let Some((outcome, done)) = &mut self.outcome else {
            self.outcome = Some((self.begin()?, 0));
            return Ok(false);
        };
        outcome.raise_to(&self.union, *done, PIECE, self.sparse_max)?;
        *done += PIECE;
        Ok(*done >= REGISTERS)
    }

    fn begin(&self) -> Result<Edit, Fault> {
        let mut edit = match &self.old {
            Some(old) => Edit::of(HyperLogLog::of(&bytes_of(old.value.string())?)?),
            None => Edit::default(),
        };
        if self.has_dense {
            edit.make_dense()?;
        }
        Ok(edit)
    }

    fn write(&mut self) -> Result<Write, Refusal> {
        let mut edit = self.outcome.take().map(|(edit, _)| edit).unwrap_or_default();
        edit.is_stale();
        let old = self.old.as_ref().map(|found| bytes_of(found.value.string())).transpose()?;
        let patches = edit.patches(&old.unwrap_or_default());
        let effect = SentEffect::of(&patches.effect(&edit.to_bytes()));
        Ok(Write::Change { db: self.db, key: std::mem::take(&mut self.key), effect })
    }
}
