//! What a session does to shards, without a socket: how it begins, and what its walkers ask and bring.
//!
//! ```text
//!   begin_partial   readers where the replica stands
//!   begin_full      a cut of all shards, readers where it was fixed
//!   walker          ask every flow that it feeds ─► cut_more on its shard ─► deliver the part
//! ```
//!
//! The tasks of `session` perform this over sockets; the model performs it in memory.

use super::flow::FlowSender;
use crate::planted;
use crate::standing::Walks;
use engine::cut::{CutGroup, CutId, CutPart, Labels};
use engine::exec::Front;
use engine::journal::{LogHandle, Reader};
use engine::shard::Shard;
use engine::types::Lsn;
use std::rc::Rc;

/// The flows of a session that has begun, one per log, each standing where its journal begins.
pub struct Begun {
    /// What each flow sends.
    pub senders: Vec<FlowSender>,
    /// Keys to be sent as items.
    pub keys: u64,
}

/// How the data of a session begins.
pub enum Beginning {
    /// Items of all our shards, merged with the journals.
    Full,
    /// The journals from some positions.
    Partial {
        /// The positions.
        from: Vec<Lsn>,
        /// The journals are those of our own shards.
        own: bool,
    },
}

/// Begins a session that sends `logs`; its items come from `cut`.
pub async fn begin(
    front: &Rc<Front>,
    (cut, walks): (CutId, Walks),
    logs: &[LogHandle],
    beginning: Beginning,
) -> Result<Begun, String> {
    match beginning {
        Beginning::Partial { from, own } => begin_partial(front, own, logs, &from).await,
        Beginning::Full => begin_full(front, cut, walks, logs).await,
    }
}

impl Begun {
    /// Where each flow begins.
    pub fn starts(&self) -> Vec<Lsn> {
        self.senders.iter().map(|sender| sender.reader().lsn()).collect()
    }
}

/// Begins a session that continues from `positions`. `own` says that the logs are our shards' own,
/// which may have been only counted while nobody read them.
async fn begin_partial(
    front: &Rc<Front>,
    own: bool,
    logs: &[LogHandle],
    positions: &[Lsn],
) -> Result<Begun, String> {
    if own {
        // No frame is half told anywhere while the journals begin to keep what they are told.
        front.everywhere(false, |shard| shard.set_keeping(true)).await;
    }
    let readers = readers(logs, positions.iter().copied())?;
    Ok(Begun { senders: readers.into_iter().map(FlowSender::partial).collect(), keys: 0 })
}

/// Begins a session that brings all items.
async fn begin_full(
    front: &Rc<Front>,
    cut: CutId,
    walks: Walks,
    logs: &[LogHandle],
) -> Result<Begun, String> {
    let (readers, keys) = match walks {
        Walks::Own => {
            // One transaction that is alone everywhere fixes all cuts at once.
            let begin = move |shard: &mut Shard| {
                shard.set_keeping(true);
                let lsn = shard.cut_begin(cut, Labels::Own);
                (lsn, shard.keys.total_len() as u64)
            };
            let starts = front.everywhere(false, begin).await;
            let keys = starts.iter().map(|(_, keys)| keys).sum();
            let starts = starts
                .into_iter()
                .enumerate()
                .map(|(index, (lsn, _))| planted::mixed_start(index, logs[index].first(), lsn));
            (readers(logs, starts)?, keys)
        }
        Walks::Relay => {
            // All relays move together on this executor: their heads of one moment belong together.
            let readers = readers(logs, logs.iter().map(LogHandle::head_outside_values))?;
            let upstream = logs.len() as u16;
            let begin = move |shard: &mut Shard| {
                shard.cut_begin(cut, Labels::Upstream(upstream));
                shard.keys.total_len() as u64
            };
            (readers, front.call_all(begin).await.into_iter().sum())
        }
        Walks::None => return Err("a full sync without walks".to_owned()),
    };
    let walkers = |flow: u16| {
        front.node.all_shards().filter(move |shard| walks.feeds(*shard, flow)).map(|shard| shard.0)
    };
    let senders = readers
        .into_iter()
        .zip(0u16..)
        .map(|(reader, flow)| FlowSender::full(reader, walkers(flow).collect()))
        .collect();
    Ok(Begun { senders, keys })
}

fn readers(logs: &[LogHandle], starts: impl Iterator<Item = Lsn>) -> Result<Vec<Reader>, String> {
    let reader = |((index, log), lsn): ((usize, &LogHandle), Lsn)| {
        log.reader_at(lsn).map_err(|gone| format!("shard {index}: {gone}"))
    };
    logs.iter().enumerate().zip(starts).map(reader).collect()
}

/// What a part brought to one flow.
#[derive(Clone, Copy, Default)]
pub struct Delivered {
    /// Bytes of its items.
    pub bytes: u64,
    /// The walk has come further.
    pub brings: bool,
    /// The flow has something to send that it may not have had before.
    pub wakes: bool,
}

/// Gives flow `flow` what a part holds for it, which leaves the part.
pub fn deliver(sender: &mut FlowSender, flow: u16, part: &mut CutPart) -> Delivered {
    let group = part.groups.iter().position(|group| group.flow == flow);
    let group = group.map(|place| part.groups.swap_remove(place));
    let bytes = group.as_ref().map_or(0, CutGroup::wire_bytes);
    let read_at = part.read_at.iter().find(|(of, _)| *of == flow).map(|(_, lsn)| *lsn);
    let brings = sender.arrived(part.shard.0, read_at, group, &part.boundaries, part.done);
    // While the part was asked for, the journal stood at its limit.
    Delivered { bytes, brings, wakes: brings || sender.has_log() }
}
