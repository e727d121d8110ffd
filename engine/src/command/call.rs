//! A request on its way to be run: what was asked, by whom, in which words the answer is wanted.
//!
//! [`Call`] borrows and is handed from plan to run as it is; [`OwnedCall`] is the same for requests that
//! go to other shards or wait.

use super::shape::{Asked, Did, Joined, NodeFacts, Picks, Step, Steps, Whole};
use super::{Args, Cx, Entry, OwnedArgs, Refusal, Run, Who};
use crate::resp::{Protocol, ReplyWriter};
use crate::types::{DbIndex, ShardId};
use std::sync::Arc;

/// One request.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The command.
    pub entry: &'static Entry,
    /// The connection's database.
    pub db: DbIndex,
    /// The words of the reply.
    pub protocol: Protocol,
    /// Who asks.
    pub who: &'a Who,
    /// The whole request.
    pub args: Args<'a>,
}

impl Call<'_> {
    /// What its shape sees of it.
    #[inline]
    fn asked(&self) -> Asked<'_> {
        let command = self.entry.command;
        Asked { name: command.name, keys: &command.keys, db: self.db, args: self.args }
    }

    /// Looks at the arguments, before anything else is done about the request.
    pub fn check(&self, node: NodeFacts) -> Result<(), Refusal> {
        self.entry.command.run.check(&self.asked(), node)
    }

    /// What each shard has to do first, given whose the keys are.
    pub fn split(&self, picks: Picks, node: NodeFacts) -> Steps {
        self.entry.command.run.split(self.args, picks, node)
    }

    /// The same for one that sleeps if there is nothing: what is promised to somebody else is passed over
    /// then, unless it is that one itself.
    pub fn split_to_wait(&self, picks: Picks, minds_promises: bool) -> Steps {
        match &self.entry.command.run {
            Run::Wait(wait) => wait.split(picks, minds_promises),
            _ => unreachable!("{} does not wait", self.entry.name()),
        }
    }

    /// Writes the reply of one that found nothing and does not wait.
    pub fn nothing(&self, reply: &mut ReplyWriter<'_>) {
        if let Run::Wait(wait) = &self.entry.command.run {
            (wait.nothing)(reply);
        }
    }

    /// One piece of a shard's step; `None` when there is more to do.
    pub fn step(&self, cx: &mut Cx<'_>, step: &mut Step) -> Result<Option<Did>, Refusal> {
        self.entry.command.run.step(cx, self.args, step)
    }

    /// Makes the reply of what the shards have done, in their order, or says what comes next.
    pub fn join(
        &self,
        node: NodeFacts,
        done: Vec<(ShardId, Did)>,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<Joined, Refusal> {
        self.entry.command.run.join(&self.asked(), node, done, reply)
    }

    /// The whole command on the one shard that has all its keys.
    #[inline]
    pub fn whole(&self, cx: &mut Cx<'_>) -> Result<Whole, Refusal> {
        self.entry.command.run.whole(cx, &self.asked())
    }

    /// Whether it changes nothing, and so may end in its middle: also a SORT that stores nothing.
    pub fn only_reads(&self) -> bool {
        let changes = |args| {
            self.entry.command.keys.each(args).any(|(_, spec)| spec.uses_in(args).is_change())
        };
        !self.entry.writes() || self.entry.name() == "sort" && !changes(&self.args)
    }

    /// Whether this request leaves access times alone: TOUCH touches whoever asks.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.who.no_touch && self.entry.name() != "touch"
    }

    /// The same, for another shard or for later.
    pub fn to_owned(&self) -> OwnedCall {
        self.with_args(OwnedArgs::copy(self.args))
    }

    /// The same with arguments that were copied already.
    pub fn with_args(&self, args: OwnedArgs) -> OwnedCall {
        let (who, args) = (self.who.clone(), Arc::new(args));
        OwnedCall { entry: self.entry, db: self.db, protocol: self.protocol, who, args }
    }
}

/// A request that outlives its read buffer. Clones share the arguments.
#[derive(Clone)]
pub struct OwnedCall {
    entry: &'static Entry,
    db: DbIndex,
    protocol: Protocol,
    who: Who,
    args: Arc<OwnedArgs>,
}

impl OwnedCall {
    /// The view.
    pub fn view(&self) -> Call<'_> {
        let OwnedCall { entry, db, protocol, ref who, ref args } = *self;
        Call { entry, db, protocol, who, args: args.view() }
    }
}
