//! Commands that every shard runs: DBSIZE, FLUSHALL, DEBUG DIGEST.

use crate::command::{Args, Cx, Outcome, Refusal};
use crate::resp::ReplyWriter;

/// The shape of commands that every shard runs.
#[derive(Debug)]
pub struct All {
    /// Checks the arguments before any shard is asked, given how many databases there are.
    pub check: fn(args: Args<'_>, dbs: usize) -> Result<(), Refusal>,
    /// A piece of one shard's part; whether it was the last. What is found is added to the part.
    pub part: fn(cx: &mut Cx<'_>, args: Args<'_>, part: &mut Part) -> Result<bool, Refusal>,
    /// Makes the reply out of the parts, in the order of the shards.
    pub join: fn(args: Args<'_>, parts: &[Part], reply: &mut ReplyWriter<'_>),
    /// Whether no other transaction may run meanwhile: because it changes keys that it does not name,
    /// or because its answer must be as of one moment. Otherwise each shard answers when it can.
    pub barrier: bool,
}

/// One shard's answer to an [`All`] command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// A number, for sums.
    pub number: i64,
    /// Already written RESP elements, or other bytes.
    pub bytes: Vec<u8>,
    /// Where the next piece begins; what it means is the command's own.
    pub position: (usize, u64),
}

impl All {
    pub(super) fn whole(&self, cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
        (self.check)(args, cx.keys.db_count())?;
        let mut part = Part::default();
        while !(self.part)(cx, args, &mut part)? {}
        (self.join)(args, &[part], &mut cx.reply);
        Ok(())
    }
}
