//! Commands that every shard runs: DBSIZE, FLUSHALL, DEBUG DIGEST.

use super::{Did, NodeFacts, Step, Steps};
use crate::command::{Args, Call, Cx, Outcome, Refusal};
use crate::resp::ReplyWriter;
use crate::types::ShardId;

/// The shape of commands that every shard runs.
#[derive(Debug)]
pub struct All {
    /// Checks the arguments before any shard is asked, given how many databases there are.
    pub check: fn(args: Args<'_>, dbs: usize) -> Result<(), Refusal>,
    /// One shard's part.
    pub part: fn(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Part, Refusal>,
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
}

impl All {
    pub(super) fn split(&self, call: &Call<'_>, node: NodeFacts) -> Result<Steps, Refusal> {
        (self.check)(call.args, node.dbs)?;
        Ok((0..node.shards).map(|shard| (ShardId(shard), Step::All)).collect())
    }

    pub(super) fn join(
        &self,
        call: &Call<'_>,
        done: Vec<(ShardId, Did)>,
        reply: &mut ReplyWriter<'_>,
    ) {
        let part = |(_, did)| match did {
            Did::Part(part) => part,
            _ => unreachable!("an All step answers with its part"),
        };
        let parts: Vec<Part> = done.into_iter().map(part).collect();
        (self.join)(call.args, &parts, reply);
    }

    pub(super) fn whole(&self, cx: &mut Cx<'_>, call: &Call<'_>) -> Outcome {
        (self.check)(call.args, cx.keys.db_count())?;
        let part = (self.part)(cx, call.args)?;
        (self.join)(call.args, &[part], &mut cx.reply);
        Ok(())
    }
}
