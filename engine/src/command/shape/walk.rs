//! Commands that go from shard to shard in bounded steps: SCAN, KEYS, DEBUG POPULATE.
//!
//! ```text
//!   start ─► Walked ─► step on its shard ─► step ... ─► finish
//!                        └─ moves on within the shard, or to the next one
//! ```

use super::slices::Whole;
use crate::command::{Args, Cx, OwnedArgs, Refusal};
use crate::glob::Pattern;
use crate::resp::ReplyWriter;
use std::any::Any;
use std::sync::Arc;

/// The shape of commands that go from shard to shard in bounded steps.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    /// Checks the arguments and says where to begin.
    pub start: fn(args: Args<'_>) -> Result<Walked, Refusal>,
    /// Does a bounded piece of work on the shard where `walked` stands and moves it on. `Ok(false)`
    /// means that it has come to its end; so does walking past the last shard.
    pub step: fn(cx: &mut Cx<'_>, args: Args<'_>, walked: &mut Walked) -> Result<bool, Refusal>,
    /// The reply, given how many shards there are.
    pub finish: fn(walked: &Walked, shards: u16, reply: &mut ReplyWriter<'_>),
    /// Whether each step is a transaction that is alone on its shard: it changes keys that it does
    /// not name.
    pub alone: bool,
    /// Whether it goes over everything: then it goes step by step also where there is one shard only,
    /// and inside a transaction it wants everything to stand still.
    pub long: bool,
}

/// How far a [`Walk`] has come, and what it has found.
#[derive(Debug, Default)]
pub struct Walked {
    /// The shard of the next step.
    pub shard: u16,
    /// Where the next step begins there; what it means is the command's own.
    pub position: u64,
    /// How much more may be visited.
    pub left: u64,
    /// How many more buckets may be looked at.
    pub budget: u64,
    /// What it has cost so far.
    pub cost: u64,
    /// Where it began on this shard.
    pub from: u64,
    /// The pattern that elements have to fit, read once for all steps.
    pub pattern: Option<Arc<Pattern>>,
    /// How many elements were found.
    pub found: usize,
    /// The elements, already written.
    pub bytes: Vec<u8>,
    /// What is made over several steps; what it is is the command's own.
    pub making: Option<Box<dyn Any + Send>>,
}

impl Walked {
    /// Goes on at the beginning of the next shard.
    pub fn next_shard(&mut self) {
        self.shard = self.shard.saturating_add(1);
        self.position = 0;
    }
}

impl Walk {
    /// One step, on the shard where `walked` stands; what it finds is added to `walked`. Answers whether
    /// it goes on.
    pub fn one_step(
        &self,
        cx: &mut Cx<'_>,
        args: Args<'_>,
        walked: &mut Walked,
    ) -> Result<bool, Refusal> {
        let mut bytes = std::mem::take(&mut walked.bytes);
        let reply = ReplyWriter::new(&mut bytes, cx.reply.protocol);
        let goes_on = (self.step)(&mut cx.writing_to(reply), args, walked);
        walked.bytes = bytes;
        goes_on
    }

    pub(super) fn whole(&self, cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
        let mut walked = (self.start)(args)?;
        if walked.shard < cx.shards && self.one_step(cx, args, &mut walked)? {
            let (walk, args) = (*self, OwnedArgs::copy(args));
            return Ok(Whole::Later(Box::new(move |cx| {
                if walked.shard < cx.shards && walk.one_step(cx, args.view(), &mut walked)? {
                    return Ok(false);
                }
                (walk.finish)(&walked, cx.shards, &mut cx.reply);
                Ok(true)
            })));
        }
        (self.finish)(&walked, cx.shards, &mut cx.reply);
        Ok(Whole::Done)
    }
}
